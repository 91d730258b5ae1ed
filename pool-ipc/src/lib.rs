//! The values that may cross between processes, and the task board and channels they cross on.
//!
//! * [`Wire`]: the types that may cross; [`to_bytes`] and [`from_bytes`] for a whole value.
//! * [`batch`]: many values side by side in one block of shared memory, readable item by item.
//! * [`SharedObject`]: one value that all processes read in place and none can change.
//! * [`Arena`]: memory that one process allocates blocks from and all others read.
//! * [`board`]: the table of slots through which blocks change hands.
//! * [`channel`](mod@channel): typed, bounded channels.
//! * [`log_ring`]: rings of bytes through which workers hand log records to their parent.
//!
//! This crate knows no process: which processes publish and claim, and how they die, is the
//! business of the crates above.
#![doc = include_str!("../README.md")]

// * `wire/`: what may cross, and how it becomes bytes and a value again.
// * `batch.rs`, `batch/`: many values side by side in one block.
// * `array/`: arrays with a shape.
// * `codec/`: types with serde's traits cross.
// * `sealed/`: one value's archive in memory that no process can change any more.
// * `manifest.rs`: the segments that the handles of a message lie in.
// * `bytes.rs`: a private buffer whose base is aligned like a block of an arena.
// * `arena/`: memory that one process allocates from and all others read.
// * `board/`: the task board.
// * `channel/`: channels.
// * `log_ring/`: log records on their way to the parent.
// * `primitive.rs`, `primitive/`: the atomics and the futex of board and channels.

mod arena;
#[cfg(feature = "ndarray")]
mod array;
mod bytes;
#[cfg(feature = "serde")]
mod codec;
mod manifest;
mod primitive;
mod sealed;
mod wire;

pub mod batch;
pub mod board;
pub mod channel;
#[cfg(not(loom))]
pub mod log_ring;

pub use arena::{Arena, ArenaFull, Block, NoAddressSpace, default_limit, reservation};
#[cfg(feature = "ndarray")]
pub use array::{
    ArchivedNdArray, ArchivedWireArray, ArrayError, Rows, SharedNdArray, SharedView, WireArray,
};
pub use bytes::AlignedBytes;
#[cfg(feature = "serde")]
pub use codec::{ArchivedSerde, ArchivedSerdeDyn, Serde, SerdeDyn, SerdeError};
pub use manifest::Manifest;
pub use pool_shm::{SegmentFault, SegmentId};
pub use primitive::prefetch_for_reading;
pub use rkyv;
pub use sealed::{ArchivedObject, SealError, SealedArchive, SharedObject};
pub use wire::{
    Decoder, Encoder, Encoding, Recursive, SegmentBroker, SerdeFault, Wire, WireCheck, WireDecode,
    WireEncode, WireFault, from_bytes, is_scalar, to_bytes, view_bytes,
};
#[doc(hidden)]
pub use wire::{Encodable, FieldType};
