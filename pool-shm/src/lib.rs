//! Shared memory for cooperating processes: sealed segments, mappings, futexes.
//!
//! Invariant of the whole crate: memory that another process can write is handed out as pointers, never
//! as references, but to who holds the lock of it; and no peer can make an access to a [`Mapping`] fault: a [`Segment`]
//! never shrinks.
//!
//! Where to look: `segment.rs` for the memory itself, `mapping.rs` for seeing it, `futex.rs` for waiting on a
//! word of it, `fork_mark.rs` for knowing that one has been forked, `object/` for many objects in one segment, `array/` for elements
//! that are accessed by atomics, `sync/` for locks, `named/` (feature `named`) for memory that programs find by name.
#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("pool-shm needs Linux: it is built on sealed memfds, futexes and MADV_WIPEONFORK");

#[cfg(target_os = "linux")]
mod array;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod exclusive;
#[cfg(target_os = "linux")]
mod fork_mark;
#[cfg(target_os = "linux")]
mod forks;
#[cfg(target_os = "linux")]
pub mod futex;
#[cfg(target_os = "linux")]
pub mod limits;
#[cfg(target_os = "linux")]
mod mapping;
#[cfg(all(target_os = "linux", feature = "named"))]
mod named;
#[cfg(target_os = "linux")]
mod object;
#[cfg(target_os = "linux")]
mod segment;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(all(target_os = "linux", feature = "wire"))]
pub mod wire;

/// Says which types a lock can protect: [`Pod`](bytemuck::Pod).
pub use bytemuck;
#[cfg(all(target_os = "linux", feature = "named"))]
pub use named::NamedSegment;
#[cfg(target_os = "linux")]
pub use {
    array::{Alone, Bitwise, Element, Iter, LentArray, Number, SharedArray, SharedValue},
    error::Error,
    exclusive::{Exclusive, exclusive_borrows},
    fork_mark::ForkMark,
    mapping::Mapping,
    object::{
        Block, ElementType, Kind, SegmentFault, SegmentId, SegmentWatcher, Shape, SharedSegment,
    },
    segment::Segment,
    sync::{
        LockError, SharedBarrier, SharedBarrierWaitResult, SharedCondvar, SharedEvent, SharedMutex,
        SharedMutexGuard, SharedPermit, SharedReadGuard, SharedRwLock, SharedSemaphore,
        SharedWriteGuard,
    },
};
