//! Running the items of one chunk in a worker process: decode, call, encode, one at a time.
//!
//! Invariant: the progress word says 2k + 1 before item k is touched and 2k + 2 after its result is
//! complete, so whoever finds this process dead loses at most the item in hand. A result that does
//! not fit into the arena is kept in hand, never computed twice.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_ipc::{
    Arena, Block, Decoder, Encoder, WireFault,
    batch::{BatchReader, BatchWriter, head_len},
    board::{Claim, Claimer, Description, End, Progress},
};

use pool_shm::ForkMark;

use super::{
    failure::FailureKind,
    form::{ContextCell, Form, ItemAt, Surroundings},
    record::function_at,
};
use crate::worker::{self, take_panic};

/// What a worker process works with, from birth to death.
pub(crate) struct Desk {
    pub(crate) claimer: Claimer,
    pub(crate) arena: Arena,
    /// The parent's arena, read-only: its base and length.
    pub(crate) items: (*const u8, usize),
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) context: ContextCell,
    /// The result of the item before the next chunk's first, when the arena had no room for it.
    pub(crate) in_hand: Option<Box<dyn Any>>,
    /// Blocks that the parent has not given back yet, oldest first.
    lent: VecDeque<Lent>,
    /// Reads as this incarnation, and as 0 in a child that a task forked.
    pub(crate) mark: ForkMark,
    /// What the pool shares.
    shared: &'static (dyn Any + Send + Sync),
    /// What a result took on average lately, beside its table entry.
    bytes_per_result: usize,
}

/// Blocks up to this size wait for their slot to come round again.
const SMALL: u64 = 4096;
const MANY_LENT: usize = 512;

struct Lent {
    slot: usize,
    generation: u32,
    block: Block,
}

impl Desk {
    pub(crate) fn new(
        claimer: Claimer,
        arena: Arena,
        items: (*const u8, usize),
        mark: ForkMark,
        shared: &'static (dyn Any + Send + Sync),
    ) -> Self {
        Self {
            mark,
            shared,
            claimer,
            arena,
            items,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            context: ContextCell::default(),
            in_hand: None,
            lent: VecDeque::new(),
            bytes_per_result: 0,
        }
    }

    /// Notes that `block` belongs to the parent until `claim`'s slot moves on.
    pub(crate) fn lend(&mut self, claim: &Claim, block: Block) {
        self.lent.push_back(Lent { slot: claim.slot(), generation: claim.generation(), block });
    }

    /// Takes back the blocks at the front of the queue that the parent has released. A small one is
    /// only looked at when its slot has just been claimed again, or when there are many: each look
    /// pulls a line that the parent wrote.
    fn reclaim(&mut self, claim: &Claim) {
        while let Some(oldest) = self.lent.front() {
            let worth = oldest.slot == claim.slot()
                || oldest.block.len > SMALL
                || self.lent.len() > MANY_LENT;
            if !worth || !self.claimer.board().was_released(oldest.slot, oldest.generation) {
                break;
            }
            self.arena.free(oldest.block);
            self.lent.pop_front();
        }
    }

    /// Takes back every released block, also behind ones that are still read.
    pub(crate) fn reclaim_all(&mut self) {
        let (board, arena) = (self.claimer.board(), &mut self.arena);
        self.lent.retain(|lent| {
            let released = board.was_released(lent.slot, lent.generation);
            if released {
                arena.free(lent.block);
            }
            !released
        });
    }

    /// A block of `wanted` bytes, or of at least `needed` if there is no room for more.
    fn alloc(&mut self, claim: &Claim, wanted: usize, needed: usize) -> Option<Block> {
        self.reclaim(claim);
        if let Ok(block) = self.arena.alloc(wanted as u64) {
            return Some(block);
        }
        self.reclaim_all();
        self.arena.alloc(wanted as u64).or_else(|_| self.arena.alloc(needed as u64)).ok()
    }

    /// A block for `bytes`, whatever they are, lent with the claim.
    pub(crate) fn store(&mut self, claim: &Claim, bytes: &[u8]) -> Option<Block> {
        let block = self.alloc(claim, bytes.len(), bytes.len())?;
        // SAFETY: the block has room for the bytes and is ours until lent.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.arena.ptr(block), bytes.len());
        }
        self.lend(claim, block);
        Some(block)
    }
}

/// One chunk while it runs.
pub(crate) struct ChunkRun<'d> {
    pub(crate) desk: &'d mut Desk,
    pub(crate) claim: &'d Claim,
    pub(crate) what: Description,
    /// Why the run ended; the cause beside [`End::Failed`].
    pub(crate) end: End,
    pub(crate) failure: Option<FailureKind>,
}

/// What is in hand when there is no room for even the head of the results: the item was not run.
struct NotBegun;

enum Stop {
    End(End),
    Fail(FailureKind),
}

/// Runs the chunk of `run` with the function at `function`.
///
/// # Safety
///
/// `function` is the address of an `F::Function` in this process, and `run.what` describes a batch
/// of `F::Item` that the parent published.
pub(super) unsafe fn run_chunk<F: Form>(function: *const (), run: &mut ChunkRun<'_>) {
    // SAFETY: as promised by the caller.
    let function = unsafe { function_at::<F>(function) };
    let count = run.what.end.saturating_sub(run.what.start) as usize;
    let mut results = match Results::<F>::begin(run.desk, run.claim, count) {
        Ok(results) => results,
        Err(stop) => return run.stop(stop),
    };
    let outcome = worker::in_task(|| {
        catch_unwind(AssertUnwindSafe(|| {
            run_items::<F>(function, run.desk, run.claim, &run.what, &mut results)
        }))
    });
    end_if_forked(&run.desk.mark);
    results.finish(run.desk, run.claim);
    match outcome {
        Ok(Ok(())) => run.end = End::Complete,
        Ok(Err(stop)) => run.stop(stop),
        Err(payload) => run.stop(Stop::Fail(take_panic(payload))),
    }
}

impl ChunkRun<'_> {
    fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::End(end) => self.end = end,
            Stop::Fail(kind) => {
                self.end = End::Failed;
                self.failure = Some(kind);
            }
        }
    }
}

#[inline]
fn run_items<F: Form>(
    function: F::Function,
    desk: &mut Desk,
    claim: &Claim,
    what: &Description,
    results: &mut Results<F>,
) -> Result<(), Stop> {
    let (base, len) = desk.items;
    let offset = usize::try_from(what.items).unwrap_or(usize::MAX);
    let Some(room) = len.checked_sub(offset) else {
        return Err(Stop::Fail(FailureKind::Undecodable));
    };
    // SAFETY: within the parent's arena, which stays mapped; a published block does not change
    // before its chunk has ended, and blocks are aligned.
    let reader =
        unsafe { BatchReader::<F::Item>::new(base.add(offset), room, what.capacity as usize) };
    desk.context.wanted = what.context;
    desk.context.bytes = usize::try_from(what.context_offset)
        .ok()
        .filter(|_| what.context != 0)
        // SAFETY: within the parent's arena (checked).
        .and_then(|at| Some((unsafe { base.add(at.min(len)) }, len.checked_sub(at)?)));
    let (start, count) = (what.start as usize, results.count);
    let mut first = 0;
    let kept = desk.in_hand.take();
    if what.in_hand {
        if desk.claimer.is_cancelled(claim) {
            return Err(Stop::End(End::Cancelled));
        }
        let kept = kept.ok_or(Stop::Fail(FailureKind::BadResult))?;
        if !kept.is::<NotBegun>() {
            desk.claimer.set_progress(claim, Progress { finished: 0, begun: true });
            let kept = kept.downcast::<F::Output>();
            let kept = kept.map_err(|_| Stop::Fail(FailureKind::BadResult))?;
            results.push(desk, claim, *kept)?;
            desk.claimer.set_progress(claim, Progress { finished: 1, begun: false });
            first = 1;
        }
    }
    for index in first..count {
        let finished = index as u32;
        if desk.claimer.is_cancelled(claim) {
            return Err(Stop::End(End::Cancelled));
        }
        desk.claimer.set_progress(claim, Progress { finished, begun: true });
        let (claimer, mark) = (&desk.claimer, &desk.mark);
        let mut surroundings = Surroundings {
            worker: claimer.place(),
            shared: desk.shared,
            cancelled: &|| mark.get() != 0 && claimer.is_cancelled(claim),
            decoder: &mut desk.decoder,
            context: &mut desk.context,
        };
        let item = ItemAt { reader: &reader, index: start + index };
        let output = F::call_at(function, &mut surroundings, item);
        end_if_forked(&desk.mark);
        let output = output.map_err(|_| Stop::Fail(FailureKind::Undecodable))?;
        results.push(desk, claim, output)?;
        desk.claimer.set_progress(claim, Progress { finished: finished + 1, begun: false });
    }
    Ok(())
}

/// Ends a process that a task forked and that came back from the task: it is no worker, and the
/// board is not mapped in it.
#[inline]
fn end_if_forked(mark: &ForkMark) {
    if mark.get() == 0 {
        worker::end_quietly();
    }
}

/// The batch of results of a chunk, in this worker's arena.
struct Results<F: Form> {
    block: Block,
    writer: BatchWriter<F::Output>,
    count: usize,
}

impl<F: Form> Results<F> {
    fn begin(desk: &mut Desk, claim: &Claim, count: usize) -> Result<Self, Stop> {
        let head = head_len::<F::Output>(count);
        let guess = head + (desk.bytes_per_result + desk.bytes_per_result / 4) * count;
        let Some(block) = desk.alloc(claim, guess.max(1), head.max(1)) else {
            if desk.lent.is_empty() {
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
        Ok(Self { block, writer, count })
    }

    #[inline]
    fn push(&mut self, desk: &mut Desk, claim: &Claim, output: F::Output) -> Result<(), Stop> {
        match self.writer.push(&output, &mut desk.encoder) {
            Ok(()) => Ok(()),
            Err(WireFault::Overflow) => self.push_in_larger(desk, claim, output),
            Err(_) => Err(Stop::Fail(FailureKind::BadResult)),
        }
    }

    #[cold]
    fn push_in_larger(
        &mut self,
        desk: &mut Desk,
        claim: &Claim,
        output: F::Output,
    ) -> Result<(), Stop> {
        let fault = |_| Stop::Fail(FailureKind::BadResult);
        let needed = self.writer.room_for(&output, &mut desk.encoder).map_err(fault)?;
        let done = self.writer.count() + 1;
        let wanted = needed + (needed / done).saturating_mul(self.count - done).min(needed);
        let mut larger = desk.alloc(claim, wanted, needed);
        if larger.is_none() && self.writer.count() == 0 {
            // Nothing is in this chunk's block yet: its room counts too.
            desk.arena.free(self.block);
            larger = desk.alloc(claim, needed, needed);
            if larger.is_none() {
                let old = desk.arena.alloc(self.block.len);
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
        }
        match larger {
            Some(block) => self.push_into(desk, claim, block, true, &output),
            None if self.writer.count() == 0 && desk.lent.is_empty() => {
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
        desk.claimer.set_results(claim, block.offset, None);
        let old = std::mem::replace(&mut self.block, block);
        if free_old {
            desk.arena.free(old);
        }
        let pushed = self.writer.push(output, &mut desk.encoder);
        pushed.map_err(|_| Stop::Fail(FailureKind::BadResult))
    }

    /// The block is the parent's from the report on.
    fn finish(self, desk: &mut Desk, claim: &Claim) {
        let bytes = self.writer.used_bytes().saturating_sub(head_len::<F::Output>(self.count));
        if let Some(each) = bytes.checked_div(self.writer.count()) {
            desk.bytes_per_result = each;
        }
        desk.lend(claim, self.block);
    }
}

impl Desk {
    fn too_large(&self, bytes: u64) -> FailureKind {
        FailureKind::ResultTooLarge { bytes, limit: self.arena.limit() }
    }
}
