//! One function in one process (or thread), with its types.
//!
//! * `builder.rs`: how a process is set up.
//! * `start.rs`: starts it, by each start method.
//! * `handle.rs`: the handle of it; `status.rs`: how it ended.
//! * `future.rs`: the handle as a future and as a descriptor.
//! * `list.rs`: this process, its parent, its children; `runnable.rs`: a value that runs.
//! * `thread.rs`: the thread that stands for a process under Threads.

mod builder;
mod future;
mod handle;
mod list;
mod runnable;
mod start;
mod status;
#[cfg(feature = "threads")]
mod thread;

pub use builder::ProcessBuilder;
pub use handle::Process;
pub use list::{
    ActiveChild, CurrentProcess, ParentProcess, active_children, current_process, parent_process,
};
pub use runnable::Runnable;
pub use status::ProcessStatus;
