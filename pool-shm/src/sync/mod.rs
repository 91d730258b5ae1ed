//! Locks in shared memory that a dead holder cannot keep.
//!
//! Invariant of all of them: taking something and signing for it is one atomic step on one word,
//! which names thread or process by id and start time. So at every instruction the words are true,
//! and a survivor that finds a dead name there puts it right by one step of its own. No process is
//! told of a death: waiters sleep a few milliseconds at once and look.
//!
//! * `mutex.rs`, `reentrant_mutex.rs`, `rwlock.rs`, `semaphore.rs`, `barrier.rs`, `condvar.rs`,
//!   `event.rs`: the public types.
//! * `raw_mutex.rs`, `raw_reentrant_mutex.rs`, `raw_rwlock.rs`, `raw_semaphore.rs`,
//!   `raw_barrier.rs`: the state of each lock, which knows no data and no handles;
//!   `event_count.rs`: that of events and of the condvar.
//! * `lock_layout.rs`: the memory of a lock; `guarded.rs`: the data in it.
//! * `owner.rs`: the name of a holder; `stat.rs`: finds the dead; `table_scan.rs`: one look at a
//!   whole table of holders.
//! * `process_identity.rs`: a process as other crates name it.
//! * `backoff.rs`: how long a waiter sleeps at once.
//! * `leaked.rs`: leaked guards of ended threads; `process_end.rs`: the orderly end of a process.
//! * `error.rs`: why something was not locked, or was locked with a warning.
//! * `wire.rs`: locks as parts of a message.

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
mod process_identity;
mod raw_barrier;
mod raw_mutex;
mod raw_reentrant_mutex;
mod raw_rwlock;
mod raw_semaphore;
mod reentrant_mutex;
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
pub use process_identity::ProcessIdentity;
pub use reentrant_mutex::{SharedReentrantMutex, SharedReentrantMutexGuard};
pub use rwlock::{SharedReadGuard, SharedRwLock, SharedWriteGuard};
pub use semaphore::{SharedPermit, SharedSemaphore};
