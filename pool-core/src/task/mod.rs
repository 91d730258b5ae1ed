//! What a task is: a function of some form, and what it has access to while it runs.
//!
//! * `form.rs`: the forms that a task's function may have; `scoped.rs`: closures with captures;
//!   `slices.rs`: functions for parts of a shared array.
//! * `worker_handle.rs`: a task's access to its worker.
//! * `call.rs`: the function of a chunk.
//! * `shared_type.rs`: the type of the value that a pool shares.
//! * `time_slice.rs`: how long a worker goes on with one chunk while other calls wait.

mod call;
mod form;
mod scoped;
mod shared_type;
mod slices;
mod time_slice;
mod worker_handle;

pub(crate) use call::Call;
pub(crate) use form::{ContextCell, ItemAt, Surroundings};
pub use form::{Form, OnEvery, OnWorker, Plain, Portable, Viewing, WithContext};
pub(crate) use scoped::Scoped;
pub(crate) use shared_type::SharedType;
pub(crate) use slices::{Parts, Slices, SlicesMut};
pub(crate) use time_slice::TimeSlice;
pub use worker_handle::{Starting, Worker};
