//! Allocates blocks for a job's items in the parent's arena, and encodes items into them.
//!
//! Invariant: a block belongs to the code that reserved it until it is handed over; if that never
//! happens, it is freed.

use std::{borrow::Borrow, sync::Arc, time::Instant};

use pool_ipc::{
    Block, Wire, WireFault,
    batch::{BatchWriter, head_len, is_fixed},
    board::SlotIndex,
};

use crate::{
    compact::Compact,
    engine::JobId,
    error::{Error, is_disconnected, while_zygote_lives},
    ids::ItemIndex,
    session::{Buffers, Carried, NoRoom, Session},
};

/// Allocates the blocks of one job.
#[derive(Debug)]
pub(crate) struct ItemAllocator {
    pub(crate) session: Arc<Session>,
    pub(crate) job: JobId,
    pub(crate) limit: u64,
    /// Whether the calling thread may wait for room.
    pub(crate) waits: bool,
}

/// A block of the parent's arena until its chunk is submitted. If that does not happen, also
/// because the user's iterator panics, the block is freed.
struct Reserved<'s> {
    session: &'s Session,
    block: Block,
    base: *mut u8,
}

/// Items in a block that now belongs to the caller.
pub(crate) struct EncodedItems {
    pub(crate) block: Block,
    pub(crate) carried: Option<Carried>,
    pub(crate) count: usize,
    /// Bytes of the block in use.
    pub(crate) used: usize,
    /// Bytes under way with it: the block, and segments that have no other handle.
    pub(crate) bytes: u64,
}

/// Bytes of the segments that go with a message and that have no other handle in this process.
#[cold]
fn exclusive_segment_bytes((_, segments): &Carried) -> u64 {
    let alone = segments.iter().filter(|segment| !segment.has_other_handles());
    alone.map(|segment| segment.counted_bytes() as u64).sum()
}

impl ItemAllocator {
    /// Encodes `first` and what else `items` yields, up to `most` items, into a block with room for
    /// their head and, if their size is not known, `guess` bytes, or of just the size of `first` if
    /// that is larger. `pending` gets an item that does not fit. `None`: there is no room now, see
    /// [`ItemAllocator::reserve`], and `pending` gets the first item. `index`: that of the first
    /// item, for errors; `None` for the context.
    #[inline]
    pub(crate) fn encode<T: Wire, A: Borrow<T>>(
        &self,
        buffers: &mut Buffers,
        (first, items): (A, &mut impl Iterator<Item = A>),
        pending: &mut Option<Compact<A>>,
        (most, guess): (usize, usize),
        (idle, until): (bool, Option<Instant>),
        index: Option<ItemIndex>,
    ) -> Result<Option<EncodedItems>, Error> {
        let Buffers { released, encoder, .. } = buffers;
        let room = head_len::<T>(most) + if is_fixed::<T>() { 0 } else { guess };
        let Some(mut reserved) = self.reserve(released, room.max(1), idle, until)? else {
            *pending = Some(Compact::new(first));
            return Ok(None);
        };
        // SAFETY: the block is ours until it is handed over, aligned, with room for the head.
        let mut writer = unsafe { BatchWriter::new(reserved.base, reserved.room(), most) };
        let mut next = first;
        loop {
            match writer.push(next.borrow(), encoder) {
                Ok(()) => {}
                Err(WireFault::Overflow) if writer.count() > 0 => {
                    *pending = Some(Compact::new(next));
                    break;
                }
                Err(WireFault::Overflow) => {
                    // A single item that is larger than the guess gets a block of just its size.
                    drop(reserved);
                    let fault = |fault| self.unsendable(index, fault);
                    let needed = writer.room_for(next.borrow(), encoder).map_err(fault)?;
                    let Some(larger) = self.reserve(released, needed, idle, until)? else {
                        *pending = Some(Compact::new(next));
                        return Ok(None);
                    };
                    reserved = larger;
                    // SAFETY: the new block is ours, aligned, and has room for the head and the
                    // item.
                    writer = unsafe { BatchWriter::new(reserved.base, reserved.room(), most) };
                    writer.push(next.borrow(), encoder).map_err(fault)?;
                }
                Err(fault) => {
                    let index = index.map(|first| first.after(writer.count()));
                    return Err(self.unsendable(index, fault));
                }
            }
            if writer.is_full() {
                break;
            }
            match items.next() {
                Some(item) => {
                    self.refuse_if_foreign()?; // the input may have forked
                    next = item;
                }
                None => break,
            }
        }
        let (count, used) = (writer.count(), writer.used_bytes());
        let manifest = writer.manifest(reserved.block.offset);
        let carried = manifest.map(|manifest| (manifest, encoder.take_segments()));
        let bytes = reserved.block.len + carried.as_ref().map_or(0, exclusive_segment_bytes);
        Ok(Some(EncodedItems { block: reserved.hand_over(), carried, count, used, bytes }))
    }

    /// Reserves a block with room for `len` bytes. `None`: there is no room now, and chunks of this
    /// job are under way, or the thread may not wait. Otherwise waits until other jobs free some,
    /// or until it is `until`.
    #[inline]
    fn reserve(
        &self,
        released: &mut Vec<SlotIndex>,
        len: usize,
        idle: bool,
        until: Option<Instant>,
    ) -> Result<Option<Reserved<'_>>, Error> {
        self.refuse_if_foreign()?;
        let session = &*self.session;
        let too_large = || Error::ItemTooLarge { bytes: len as u64, limit: self.limit };
        let (block, base) = match session.alloc_items(len) {
            Ok(found) => found,
            Err(full) if full.never_fits() => return Err(too_large()),
            Err(_) if !idle => return Ok(None),
            Err(_) if !self.waits => match session.try_room(len) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(_) => return Err(too_large()),
            },
            Err(_) => {
                session.submit(released, None);
                match session.wait_for_room(self.job, len, until) {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(None),
                    Err(NoRoom::Never) => return Err(too_large()),
                    Err(NoRoom::Failed(error)) => return Err(error),
                }
            }
        };
        Ok(Some(Reserved { session, block, base }))
    }

    /// The error for item `index`, or for the context, that could not be encoded.
    #[cold]
    pub(crate) fn unsendable(&self, index: Option<ItemIndex>, fault: WireFault) -> Error {
        match (fault, index) {
            (fault, _) if self.check_for_end(&fault) => self.session.end_error(),
            (WireFault::Segment(fault), index) => Error::Handle {
                index: index.map(ItemIndex::number),
                fault: while_zygote_lives(fault),
            },
            (fault, Some(index)) => Error::unencodable(index.number(), fault),
            (WireFault::Serde(fault), None) => Error::Serde { index: None, fault },
            (fault, None) => {
                Error::InvalidInput(format!("the context could not be encoded: {fault}"))
            }
        }
    }

    /// Reads reports if a handle cannot be opened; returns whether that is so because the zygote is
    /// gone.
    #[cold]
    pub(crate) fn check_for_end(&self, fault: &WireFault) -> bool {
        matches!(fault, WireFault::Segment(fault) if is_disconnected(*fault))
            && self.session.check_for_end()
    }

    /// Refuses in a process forked from the pool's own, which has none of its memory.
    #[inline]
    pub(crate) fn refuse_if_foreign(&self) -> Result<(), Error> {
        if self.session.is_foreign() { Err(Error::ForeignProcess) } else { Ok(()) }
    }
}

impl Reserved<'_> {
    fn room(&self) -> usize {
        self.block.len as usize
    }

    /// Gives the block away: this no longer frees it.
    fn hand_over(self) -> Block {
        let block = self.block;
        std::mem::forget(self);
        block
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.session.free_items(self.block);
    }
}
