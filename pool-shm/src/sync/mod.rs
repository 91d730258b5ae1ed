//! Locks in shared memory that a dead holder cannot keep.
//!
//! Invariant of all of them: taking something and signing for it is one atomic step on one word,
//! which names thread or process by id and start time. So at every instruction the words are true,
//! and a survivor that finds a dead name there puts it right by one step of its own. No process is
//! told of a death: waiters sleep a few milliseconds at once and look.
//!
//! Where to look: `owner.rs` for names, `stat.rs` for finding the dead, `leaked.rs` for leaked
//! guards of ended threads, `process_end.rs` for the orderly end of a process, `backoff.rs` for
//! waiting; `raw_*.rs` for the state of each lock, which knows no data and no handles; the files
//! beside them for the public types; `lock_layout.rs` and `guarded.rs` for the memory of a lock.

mod backoff;
mod barrier;
mod condvar;
mod error;
mod event;
mod event_count;
mod guarded;
mod leaked;
mod lock_layout;
mod mutex;
mod owner;
mod process_end;
mod raw_barrier;
mod raw_mutex;
mod raw_rwlock;
mod raw_semaphore;
mod rwlock;
mod semaphore;
mod stat;
mod table_scan;
#[cfg(feature = "wire")]
mod wire;

pub use barrier::{SharedBarrier, SharedBarrierWaitResult};
pub use condvar::SharedCondvar;
pub use error::LockError;
pub use event::SharedEvent;
pub use mutex::{SharedMutex, SharedMutexGuard};
pub use process_end::{begin_idle, end_idle, exit_process};
pub use rwlock::{SharedReadGuard, SharedRwLock, SharedWriteGuard};
pub use semaphore::{SharedPermit, SharedSemaphore};
