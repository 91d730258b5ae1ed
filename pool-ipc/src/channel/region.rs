//! Where in its region a process places large messages.
//!
//! Invariant: only the process at a place allocates from the region there, and notes in private
//! memory what is in use; a range is used again when the word of its block says that its use is
//! over. A forked child has a place, and so notes, of its own.

use std::{
    collections::BTreeMap,
    fmt, ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicPtr,
            Ordering::{AcqRel, Acquire},
        },
    },
};

use super::{
    blocks::{BlockId, Blocks},
    word::Ticket,
};
use crate::AlignedBytes;

/// Up to as many blocks in use are searched from the begin of the region, for the memory there is
/// warm; beyond that the search goes on where it ended last.
const FEW: usize = 64;

/// A range of the region.
#[derive(Debug, Clone, Copy)]
struct Used {
    len: usize,
    id: BlockId,
}

/// What a process has in use.
#[derive(Debug, Default)]
struct Region {
    /// By offset.
    used: BTreeMap<usize, Used>,
    /// Numbers of blocks that were used and are free.
    numbers: Vec<usize>,
    /// How many numbers were ever used.
    begun: usize,
    /// Behind the range that was allocated last.
    cursor: usize,
}

impl Region {
    fn allocate(
        &mut self,
        blocks: Blocks,
        place: usize,
        size: usize,
        len: usize,
    ) -> Option<(BlockId, usize)> {
        let len = len.checked_next_multiple_of(AlignedBytes::ALIGN).filter(|len| *len <= size)?;
        let offset = self.find(blocks, size, len)?;
        let number = self.number(blocks)?;
        let id = blocks.send(place, number);
        self.used.insert(offset, Used { len, id });
        self.cursor = offset + len;
        Some((id, offset))
    }

    /// Where there are `len` bytes that are not in use.
    fn find(&mut self, blocks: Blocks, size: usize, len: usize) -> Option<usize> {
        let mut at = if self.used.len() <= FEW { 0 } else { self.cursor };
        let mut is_last_pass = at == 0;
        loop {
            match self.used.range(at..).next().map(|(begin, used)| (*begin, *used)) {
                Some((begin, _)) if begin - at >= len => return Some(at),
                Some((begin, used)) if blocks.is_over(used.id) => self.forget(begin, used.id),
                Some((begin, used)) => at = begin + used.len,
                None if size.saturating_sub(at) >= len => return Some(at),
                None if is_last_pass => return None,
                None => (at, is_last_pass) = (0, true),
            }
        }
    }

    fn number(&mut self, blocks: Blocks) -> Option<usize> {
        if self.numbers.is_empty() && self.begun == blocks.each {
            let numbers = &mut self.numbers;
            self.used.retain(|_, used| {
                let is_over = blocks.is_over(used.id);
                numbers.extend(is_over.then(|| used.id.number()));
                !is_over
            });
        }
        if let Some(number) = self.numbers.pop() {
            return Some(number);
        }
        (self.begun < blocks.each).then(|| {
            self.begun += 1;
            self.begun - 1
        })
    }

    fn forget(&mut self, offset: usize, id: BlockId) {
        self.used.remove(&offset);
        self.numbers.push(id.number());
    }
}

/// The notes of the process that asks.
pub(super) struct Regions {
    /// Those of the process that has asked last: a forked child leaves its parent's alone.
    current: AtomicPtr<Owned>,
}

struct Owned {
    ticket: Ticket,
    region: Mutex<Region>,
}

impl Regions {
    pub(super) const fn new() -> Self {
        Self { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Allocates `len` bytes of the `size` bytes in the region of the calling process, which has
    /// this ticket. `None` if there is no room.
    pub(super) fn allocate(
        &self,
        ticket: Ticket,
        blocks: Blocks,
        size: usize,
        len: usize,
    ) -> Option<(BlockId, usize)> {
        self.with(ticket, |region| region.allocate(blocks, ticket.place(), size, len))
    }

    /// The uses of blocks of the calling process that its notes have.
    pub(super) fn in_use(&self, ticket: Ticket) -> Vec<BlockId> {
        self.with(ticket, |region| region.used.values().map(|used| used.id).collect())
    }

    /// Whether a block of the calling process is in use. A process that has allocated none gets no
    /// notes here.
    pub(super) fn has_in_use(&self, ticket: Ticket, blocks: Blocks) -> bool {
        // SAFETY: as in `with`. Acquire: pairs with the AcqRel there.
        let known = unsafe { self.current.load(Acquire).as_ref() };
        known.filter(|owned| owned.ticket == ticket).is_some_and(|owned| {
            let region = owned.region.lock().unwrap_or_else(PoisonError::into_inner);
            region.used.values().any(|used| !blocks.is_over(used.id))
        })
    }

    fn with<R>(&self, ticket: Ticket, work: impl FnOnce(&mut Region) -> R) -> R {
        // Acquire: pairs with the AcqRel below.
        let mut seen = self.current.load(Acquire);
        loop {
            // SAFETY: null, or made by `into_raw` below, and freed only when the channel is
            // dropped.
            let known = unsafe { seen.as_ref() };
            if let Some(owned) = known.filter(|owned| owned.ticket == ticket) {
                let mut region = owned.region.lock().unwrap_or_else(PoisonError::into_inner);
                return work(&mut region);
            }
            // A mutex of the parent's may be locked for ever here, so it is left alone.
            let fresh = Box::into_raw(Box::new(Owned { ticket, region: Mutex::default() }));
            match self.current.compare_exchange(seen, fresh, AcqRel, Acquire) {
                Ok(_) => seen = fresh,
                Err(winner) => {
                    // SAFETY: made just now, and no other thread saw it.
                    drop(unsafe { Box::from_raw(fresh) });
                    seen = winner;
                }
            }
        }
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        let last = *self.current.get_mut();
        if !last.is_null() {
            // SAFETY: made by `into_raw` in `with`, and no thread has the channel any more.
            drop(unsafe { Box::from_raw(last) });
        }
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::AtomicU64;

    fn blocks(each: usize) -> Blocks {
        let words = (0..64 * each).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        Blocks { words: words.leak(), each }
    }

    #[test]
    fn ranges_do_not_overlap_and_are_used_again() {
        let (blocks, mut region, size) = (blocks(200), Region::default(), 1 << 16);
        let mut live: Vec<(BlockId, usize, usize)> = Vec::new();
        let mut state = 7u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = 1 + (state >> 33) as usize % 2000;
            match region.allocate(blocks, 3, size, len) {
                Some((id, offset)) => {
                    assert!(offset + len <= size && offset.is_multiple_of(AlignedBytes::ALIGN));
                    assert!(live.iter().all(|(_, at, l)| at + l <= offset || offset + len <= *at));
                    live.push((id, offset, len));
                }
                None => assert!(!live.is_empty(), "an empty region has room"),
            }
            if live.len() > 100 || state >> 62 == 0 && !live.is_empty() {
                let (id, ..) = live.swap_remove((state >> 20) as usize % live.len());
                blocks.free(id);
            }
        }
    }

    #[test]
    fn what_is_too_large_or_one_too_many_is_refused() {
        let (blocks, mut region) = (blocks(2), Region::default());
        assert!(region.allocate(blocks, 0, 256, 257).is_none());
        assert!(region.allocate(blocks, 0, 256, usize::MAX).is_none());
        let all = region.allocate(blocks, 0, 256, 256).unwrap();
        assert!(region.allocate(blocks, 0, 256, 1).is_none());
        blocks.free(all.0);
        let [one, _] = [(); 2].map(|()| region.allocate(blocks, 0, 1024, 1).unwrap());
        assert!(region.allocate(blocks, 0, 1024, 1).is_none(), "there are two blocks");
        blocks.free(one.0);
        assert!(region.allocate(blocks, 0, 1024, 1).is_some());
    }
}
