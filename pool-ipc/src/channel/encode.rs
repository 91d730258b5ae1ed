//! Encodes a message before a slot is claimed for it.
//!
//! Invariant: a block that was allocated is given back unless its message was sent, whatever the
//! type's own code does.

use std::{cell::Cell, ptr::NonNull};

use pool_shm::SegmentFault;

use super::{
    blocks::{BlockId, Blocks},
    payload::{InBlock, MOST_ENCODED, Prepared, is_plain},
};
use crate::{AlignedBytes, Encoder, Wire, WireFault};

/// Messages up to this size are encoded once, in private memory; of larger ones the size is asked
/// for first.
const SCRATCH: usize = 4096;

/// Why a message was not prepared.
pub(super) enum Unfit {
    Encode(WireFault),
    TooLarge {
        bytes: usize,
    },
    /// There was no room in time.
    NoRoom,
    Disconnected,
}

/// A block that was allocated for a message; given back when dropped.
pub(super) struct Allocated {
    pub(super) blocks: Blocks,
    pub(super) id: BlockId,
    pub(super) offset: usize,
    pub(super) start: NonNull<u8>,
}

impl Drop for Allocated {
    fn drop(&mut self) {
        self.blocks.free(self.id);
    }
}

/// What a thread encodes with.
#[derive(Default)]
struct Scratch {
    encoder: Encoder,
    bytes: AlignedBytes,
}

thread_local! {
    // Taken while it is in use: a type's own code may send by another channel.
    static SCRATCH_ROOM: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Encodes `message` if it has to be, and calls `send` with it, which says whether it was sent.
/// Room that a slot has not comes from `allocate`.
#[inline]
pub(super) fn prepare<T: Wire>(
    message: &T,
    allocate: impl FnOnce(usize) -> Result<Allocated, Unfit>,
    send: impl FnOnce(Prepared<'_, T>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    if is_plain::<T>() { send(Prepared::Plain(message)) } else { encode(message, allocate, send) }
}

fn encode<T: Wire>(
    message: &T,
    allocate: impl FnOnce(usize) -> Result<Allocated, Unfit>,
    send: impl FnOnce(Prepared<'_, T>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let mut scratch = SCRATCH_ROOM.take().unwrap_or_default();
    let Scratch { encoder, bytes } = &mut *scratch;
    bytes.resize(SCRATCH);
    // SAFETY: the buffer is this thread's, aligned, and as long as it is said to be.
    let encoded = unsafe { encode_into(encoder, message, bytes.as_mut_ptr(), SCRATCH) };
    let result = match encoded {
        Ok(len) if len <= MOST_ENCODED => send(Prepared::Encoded(&bytes[..len])),
        Ok(len) => allocate(len).and_then(|block| {
            // SAFETY: `len` bytes were allocated, for this thread alone.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.start.as_ptr(), len) };
            send_block(block, len, send)
        }),
        Err(WireFault::Overflow) => encode_in_place(encoder, message, allocate, send),
        Err(fault) => Err(Unfit::Encode(fault)),
    };
    SCRATCH_ROOM.set(Some(scratch));
    result
}

#[cold]
fn encode_in_place<T: Wire>(
    encoder: &mut Encoder,
    message: &T,
    allocate: impl FnOnce(usize) -> Result<Allocated, Unfit>,
    send: impl FnOnce(Prepared<'_, T>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let room = encoder.measure(message, 0).map_err(Unfit::Encode)?;
    let block = allocate(room)?;
    // SAFETY: as many bytes were allocated, for this thread alone, aligned like all blocks.
    let encoded = unsafe { encode_into(encoder, message, block.start.as_ptr(), room) };
    send_block(block, encoded.map_err(Unfit::Encode)?, send)
}

fn send_block<T>(
    block: Allocated,
    len: usize,
    send: impl FnOnce(Prepared<'_, T>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let in_block = InBlock { id: block.id, offset: block.offset, len };
    send(Prepared::InBlock(in_block))?;
    // It is its receiver's.
    std::mem::forget(block);
    Ok(())
}

/// Encodes `message` to the `room` bytes at `base`.
///
/// # Safety
///
/// The promises of [`Encoder::encode_at`] hold for these bytes, from the first one on.
unsafe fn encode_into<T: Wire>(
    encoder: &mut Encoder,
    message: &T,
    base: *mut u8,
    room: usize,
) -> Result<usize, WireFault> {
    // SAFETY: promised by the caller.
    let encoded = unsafe { encoder.encode_at(message, base, room, 0) };
    let carries_segments = !encoder.take_segments().is_empty();
    match encoded {
        Ok(_) if carries_segments => Err(WireFault::Segment(SegmentFault::NotCarried)),
        encoded => encoded,
    }
}
