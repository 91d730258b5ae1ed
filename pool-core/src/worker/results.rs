//! The results of a chunk on their way into the worker's arena.
//!
//! Invariant: whatever of them the progress word counts is complete, the segments of their handles are registered, and the board says
//! where both are. A result that does not fit is kept in hand, never computed twice.

use pool_ipc::{
    Block, WireFault,
    batch::{BatchWriter, head_len, is_fixed},
    board::{Claim, End},
};

use super::runtime::Desk;
use crate::{error::FailureKind, task::Form};

/// What is in hand when there is no room for even the head of the results: the item was not run.
pub(crate) struct NotBegun;

/// Why the items of a chunk are not run to the end.
pub(crate) enum Stop {
    End(End),
    Fail(FailureKind),
}

/// The batch of results of a chunk, in this worker's arena.
pub(crate) struct Results<F: Form> {
    block: Block,
    writer: BatchWriter<F::Output>,
    pub(crate) count: usize,
    /// Segments that the board says the results need.
    announced: usize,
    /// Whether the first result may exceed the arena's limit.
    past_limit: bool,
}

impl<F: Form> Results<F> {
    pub(crate) fn begin(
        desk: &mut Desk,
        claim: &Claim,
        count: usize,
        past_limit: bool,
    ) -> Result<Self, Stop> {
        let head = head_len::<F::Output>(count);
        let guess = head + (desk.bytes_per_result + desk.bytes_per_result / 4) * count;
        let found = desk.alloc(claim, guess.max(1), head.max(1));
        let Some(block) = found.or_else(|| desk.alloc_past_limit(past_limit, head.max(1))) else {
            if desk.lent.is_empty() || past_limit {
                desk.in_hand = None;
                return Err(Stop::Fail(desk.too_large(head as u64)));
            }
            desk.in_hand.get_or_insert_with(|| Box::new(NotBegun));
            return Err(Stop::End(End::Full));
        };
        desk.claimer.set_results(claim, block.offset, None);
        // SAFETY: the block is ours, aligned, of at least `head` bytes, and stays so until `finish`
        // lends it; nobody reads results that the progress word does not count.
        let writer = unsafe { BatchWriter::new(desk.arena.ptr(block), block.len as usize, count) };
        Ok(Self { block, writer, count, announced: 0, past_limit })
    }

    #[inline]
    pub(crate) fn push(
        &mut self,
        desk: &mut Desk,
        claim: &Claim,
        output: F::Output,
    ) -> Result<(), Stop> {
        match self.writer.push(&output, &mut desk.encoder) {
            Ok(()) => {}
            Err(WireFault::Overflow) => self.push_in_larger(desk, claim, output)?,
            Err(fault) => return Err(unsendable(fault)),
        }
        if !is_fixed::<F::Output>() && self.writer.segments() != self.announced {
            self.announce(desk, claim);
        }
        Ok(())
    }

    /// Says on the board where the results lie, and the segments that they need.
    #[cold]
    fn announce(&mut self, desk: &Desk, claim: &Claim) {
        self.announced = self.writer.segments();
        let manifest = self.writer.manifest(self.block.offset);
        desk.claimer.set_results(claim, self.block.offset, manifest);
    }

    #[cold]
    fn push_in_larger(
        &mut self,
        desk: &mut Desk,
        claim: &Claim,
        output: F::Output,
    ) -> Result<(), Stop> {
        let needed = self.writer.room_for(&output, &mut desk.encoder).map_err(unsendable)?;
        let done = self.writer.count() + 1;
        let wanted = needed + (needed / done).saturating_mul(self.count - done).min(needed);
        let mut larger = desk.alloc(claim, wanted, needed);
        if larger.is_none() && self.writer.count() == 0 {
            // Nothing is in this chunk's block yet: its room counts too.
            desk.arena.free(self.block);
            larger = desk.alloc(claim, needed, needed);
            if larger.is_none() {
                let len = self.block.len;
                let old = desk.arena.alloc(len).or_else(|_| desk.arena.alloc_past_limit(len));
                self.block = old.expect("what was freed just now can be had again");
                desk.claimer.set_results(claim, self.block.offset, None);
                // SAFETY: as in `begin`; no value was written yet.
                unsafe {
                    self.writer.move_to(
                        desk.arena.ptr(self.block),
                        self.block.len as usize,
                        &desk.encoder,
                    )
                };
            }
            if let Some(block) = larger {
                return self.push_into(desk, claim, block, false, &output);
            }
            larger = desk.alloc_past_limit(self.past_limit, needed);
        }
        match larger {
            Some(block) => self.push_into(desk, claim, block, true, &output),
            None if self.writer.count() == 0 && (desk.lent.is_empty() || self.past_limit) => {
                Err(Stop::Fail(desk.too_large(needed as u64)))
            }
            None => {
                desk.in_hand = Some(Box::new(output));
                Err(Stop::End(End::Full))
            }
        }
    }

    fn push_into(
        &mut self,
        desk: &mut Desk,
        claim: &Claim,
        block: Block,
        free_old: bool,
        output: &F::Output,
    ) -> Result<(), Stop> {
        // SAFETY: the new block is ours and larger than what is used of the old one; it may be the
        // old one's memory only when nothing was written yet (then no byte is copied).
        unsafe { self.writer.move_to(desk.arena.ptr(block), block.len as usize, &desk.encoder) };
        let old = std::mem::replace(&mut self.block, block);
        self.announce(desk, claim);
        if free_old {
            desk.arena.free(old);
        }
        self.writer.push(output, &mut desk.encoder).map_err(unsendable)
    }

    /// How many there are.
    pub(crate) fn done(&self) -> usize {
        self.writer.count()
    }

    /// The block is the parent's from the report on.
    pub(crate) fn finish(self, desk: &mut Desk, claim: &Claim) {
        let bytes = self.writer.used_bytes().saturating_sub(head_len::<F::Output>(self.count));
        if let Some(each) = bytes.checked_div(self.writer.count()) {
            desk.bytes_per_result = each;
        }
        desk.lend(claim, self.block);
        desk.lend_segments(claim);
    }
}

fn unsendable(fault: WireFault) -> Stop {
    Stop::Fail(match fault {
        WireFault::Segment(fault) => FailureKind::Handle { fault },
        _ => FailureKind::BadResult,
    })
}
