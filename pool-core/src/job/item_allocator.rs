//! Allocates blocks for a job's items in the parent's arena.
//!
//! Invariant: a block belongs to the code that reserved it until it is handed over; if that never
//! happens, it is freed.

use std::{sync::Arc, time::Instant};

use pool_ipc::{Block, WireFault, board::SlotIndex};

use crate::{
    engine::JobId,
    error::{Error, is_disconnected, while_zygote_lives},
    session::{Carried, NoRoom, Session},
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
pub(crate) struct Reserved<'s> {
    session: &'s Session,
    pub(crate) block: Block,
    pub(crate) base: *mut u8,
}

/// Bytes of the segments that go with a message and that have no other handle in this process.
#[cold]
pub(crate) fn exclusive_segment_bytes((_, segments): &Carried) -> u64 {
    let alone = segments.iter().filter(|segment| !segment.has_other_handles());
    alone.map(|segment| segment.len() as u64).sum()
}

impl ItemAllocator {
    /// Reserves a block with room for `len` bytes. `None`: there is no room now, and chunks of this
    /// job are under way, or the thread may not wait. Otherwise waits until other jobs free some,
    /// or until it is `until`.
    pub(crate) fn reserve(
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
    pub(crate) fn unsendable(&self, index: Option<u64>, fault: WireFault) -> Error {
        match (fault, index) {
            (fault, _) if self.is_end(&fault) => self.session.end_error(),
            (WireFault::Segment(fault), index) => {
                Error::Handle { index, fault: while_zygote_lives(fault) }
            }
            (_, Some(index)) => Error::Encode { index },
            (fault, None) => {
                Error::InvalidInput(format!("the context could not be encoded: {fault}"))
            }
        }
    }

    /// Whether a handle cannot be opened because the zygote is gone.
    #[cold]
    pub(crate) fn is_end(&self, fault: &WireFault) -> bool {
        matches!(fault, WireFault::Segment(fault) if is_disconnected(*fault))
            && self.session.sees_end()
    }

    /// Refuses in a process forked from the pool's own, which has none of its memory.
    #[inline]
    pub(crate) fn refuse_if_foreign(&self) -> Result<(), Error> {
        if self.session.is_foreign() { Err(Error::ForeignProcess) } else { Ok(()) }
    }
}

impl Reserved<'_> {
    pub(crate) fn room(&self) -> usize {
        self.block.len as usize
    }

    /// Gives the block away: this no longer frees it.
    pub(crate) fn hand_over(self) -> Block {
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
