//! Writes the results of a chunk into the worker's arena.
//!
//! Invariant: the results that the progress word counts are complete, the segments of their handles
//! are registered, and the board says where both are. A result that does not fit is kept in hand,
//! never computed twice.

use std::any::Any;

use pool_ipc::{
    Block, Wire, WireFault,
    batch::{BatchWriter, head_len, is_fixed},
    board::{Claim, End},
};

use super::runtime::WorkerRuntime;
use crate::error::FailureKind;

/// In hand when there is not even room for the head of the results: the item was not run.
pub(crate) struct NotBegun;

/// Why the items of a chunk are not run to the end.
pub(crate) enum Stop {
    End(End),
    Fail(FailureKind),
}

/// The batch of results of a chunk, in this worker's arena.
pub(crate) struct Results<R> {
    block: Block,
    writer: BatchWriter<R>,
    pub(crate) count: usize,
    /// Segments that the board says the results need.
    announced: usize,
    /// Whether the first result may exceed the arena's limit.
    past_limit: bool,
}

impl<R: Wire> Results<R> {
    #[inline]
    pub(crate) fn begin(
        runtime: &mut WorkerRuntime,
        claim: &Claim,
        count: usize,
        past_limit: bool,
    ) -> Result<Self, Stop> {
        let head = head_len::<R>(count);
        let guess = head + (runtime.bytes_per_result + runtime.bytes_per_result / 4) * count;
        let found = runtime.alloc(claim, guess.max(1), head.max(1));
        let Some(block) = found.or_else(|| runtime.alloc_past_limit(past_limit, head.max(1)))
        else {
            if runtime.lent.is_empty() || past_limit {
                runtime.in_hand = None;
                return Err(Stop::Fail(runtime.too_large(head as u64)));
            }
            runtime.in_hand.get_or_insert_with(|| Box::new(NotBegun));
            return Err(Stop::End(End::Full));
        };
        runtime.claimer.set_results(claim, block.offset, None);
        // SAFETY: the block is this worker's, aligned, of at least `head` bytes, and stays so until
        // `finish` lends it; no process reads results that the progress word does not count.
        let writer =
            unsafe { BatchWriter::new(runtime.arena.ptr(block), block.len as usize, count) };
        Ok(Self { block, writer, count, announced: 0, past_limit })
    }

    /// The result that was in hand; `None`: its item was not run.
    ///
    /// # Errors
    ///
    /// What was in hand is no such result.
    pub(crate) fn kept(&self, kept: Option<Box<dyn Any>>) -> Result<Option<Box<R>>, Stop> {
        let kept = kept.ok_or(Stop::Fail(FailureKind::BadResult))?;
        if kept.is::<NotBegun>() {
            return Ok(None);
        }
        kept.downcast().map(Some).map_err(|_| Stop::Fail(FailureKind::BadResult))
    }

    #[inline]
    pub(crate) fn push(
        &mut self,
        runtime: &mut WorkerRuntime,
        claim: &Claim,
        output: R,
    ) -> Result<(), Stop> {
        match self.writer.push(&output, &mut runtime.encoder) {
            Ok(()) => {}
            Err(WireFault::Overflow) => self.push_in_larger(runtime, claim, output)?,
            Err(fault) => return Err(unsendable(fault)),
        }
        if !is_fixed::<R>() && self.writer.segments() != self.announced {
            self.announce(runtime, claim);
        }
        Ok(())
    }

    /// Says on the board where the results lie, and the segments that they need.
    #[cold]
    fn announce(&mut self, runtime: &WorkerRuntime, claim: &Claim) {
        self.announced = self.writer.segments();
        let manifest = self.writer.manifest(self.block.offset);
        runtime.claimer.set_results(claim, self.block.offset, manifest);
    }

    #[cold]
    fn push_in_larger(
        &mut self,
        runtime: &mut WorkerRuntime,
        claim: &Claim,
        output: R,
    ) -> Result<(), Stop> {
        let needed = self.writer.room_for(&output, &mut runtime.encoder).map_err(unsendable)?;
        let done = self.writer.count() + 1;
        let wanted = needed + (needed / done).saturating_mul(self.count - done).min(needed);
        let mut larger = runtime.alloc(claim, wanted, needed);
        if larger.is_none() && self.writer.count() == 0 {
            // This chunk's block is still empty, so its room can be used as well.
            runtime.arena.free(self.block);
            larger = runtime.alloc(claim, needed, needed);
            if larger.is_none() {
                let len = self.block.len;
                let old = runtime.arena.alloc(len).or_else(|_| runtime.arena.alloc_past_limit(len));
                self.block = old.expect("what was freed just now can be had again");
                runtime.claimer.set_results(claim, self.block.offset, None);
                // SAFETY: as in `begin`; no value was written yet.
                unsafe {
                    self.writer.move_to(
                        runtime.arena.ptr(self.block),
                        self.block.len as usize,
                        &runtime.encoder,
                    )
                };
            }
            if let Some(block) = larger {
                return self.push_into(runtime, claim, block, false, &output);
            }
            larger = runtime.alloc_past_limit(self.past_limit, needed);
        }
        match larger {
            Some(block) => self.push_into(runtime, claim, block, true, &output),
            None if self.writer.count() == 0 && (runtime.lent.is_empty() || self.past_limit) => {
                Err(Stop::Fail(runtime.too_large(needed as u64)))
            }
            None => {
                runtime.in_hand = Some(Box::new(output));
                Err(Stop::End(End::Full))
            }
        }
    }

    fn push_into(
        &mut self,
        runtime: &mut WorkerRuntime,
        claim: &Claim,
        block: Block,
        free_old: bool,
        output: &R,
    ) -> Result<(), Stop> {
        // SAFETY: the new block is this worker's and larger than what is used of the old one; it
        // may be the old one's memory only when nothing was written yet (then no byte is copied).
        unsafe {
            self.writer.move_to(runtime.arena.ptr(block), block.len as usize, &runtime.encoder)
        };
        let old = std::mem::replace(&mut self.block, block);
        self.announce(runtime, claim);
        if free_old {
            runtime.arena.free(old);
        }
        self.writer.push(output, &mut runtime.encoder).map_err(unsendable)
    }

    /// How many results were written.
    pub(crate) fn done(&self) -> usize {
        self.writer.count()
    }

    /// Lends the block and the segments to the parent, to which they belong from the report on.
    #[inline]
    pub(crate) fn finish(self, runtime: &mut WorkerRuntime, claim: &Claim) {
        let bytes = self.writer.used_bytes().saturating_sub(head_len::<R>(self.count));
        if let Some(each) = bytes.checked_div(self.writer.count()) {
            runtime.bytes_per_result = each;
        }
        runtime.lend(claim, self.block);
        runtime.lend_segments(claim);
    }
}

fn unsendable(fault: WireFault) -> Stop {
    Stop::Fail(FailureKind::of_result(fault))
}
