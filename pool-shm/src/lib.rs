//! Shared memory for cooperating processes: sealed segments, mappings, futexes.
//!
//! Invariant of the whole crate: memory that another process can write is handed out as pointers,
//! and as references only to the holder of its lock; and no peer can make an access to a
//! [`Mapping`] fault: a [`Segment`] never shrinks.
#![doc = include_str!("../README.md")]

// Code that would not compile elsewhere is left out, and no crate above is reached, so the compiler
// prints this sentence alone.
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("pool-shm supports Linux with glibc on x86-64 and aarch64 only");

// * `segment.rs`: the memory itself; `mapping.rs`: one mapping of it; `region.rs`: address space
//   that this process has mapped.
// * `object/`: many objects in one segment.
// * `array/`: elements that are accessed by atomics.
// * `sync/`: locks.
// * `named/` (feature `named`): memory that programs find by name.
// * `wire.rs` (feature `wire`): handles as parts of a message.
// * `futex.rs`: sleeps on a word of shared memory.
// * `fork_mark.rs`: tells whether this process has been forked; `forks.rs`: the count of its forks;
//   `exclusive.rs`: counts references that a fork must not carry along.
// * `core_dump.rs`: whether shared objects are part of core dumps.
// * `limits.rs`: the page size and the limits of this process.
// * `error.rs`: the error type of the crate.
// * `sys.rs`: system calls that no crate wraps.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod array;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod core_dump;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod error;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod exclusive;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod fork_mark;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod forks;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod futex;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod limits;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod mapping;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "named"))]
mod named;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod object;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod region;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod segment;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod sync;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod sys;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "wire"))]
pub mod wire;

/// Its trait [`Pod`](bytemuck::Pod) says which types a lock can protect.
pub use bytemuck;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "named"))]
pub use named::NamedSegment;
pub use sys::{readable_within, thread_stack};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use {
    array::{
        Alone, Bitwise, Element, ExclusiveElements, Iter, LentArray, Number, SharedArray,
        SharedValue,
    },
    core_dump::dump_shared_objects,
    error::Error,
    exclusive::{Exclusive, exclusive_borrows},
    fork_mark::ForkMark,
    mapping::Mapping,
    object::{
        Block, ElementType, Kind, PerProcess, SegmentFault, SegmentId, SegmentWatcher, Shape,
        SharedSegment,
    },
    segment::Segment,
    sync::{
        LockError, ProcessIdentity, SharedBarrier, SharedBarrierWaitResult, SharedCondvar,
        SharedEvent, SharedMutex, SharedMutexGuard, SharedPermit, SharedReadGuard,
        SharedReentrantMutex, SharedReentrantMutexGuard, SharedRwLock, SharedSemaphore,
        SharedWriteGuard, begin_idle, end_idle, exit_process,
    },
};
