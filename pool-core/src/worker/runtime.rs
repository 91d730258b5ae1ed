//! What a worker process works with: its arena, the blocks that it has lent to the parent, and
//! segments of shared objects.
//!
//! Invariant: a block that was lent with a slot stays as it is until the slot's generation has
//! moved on.

use std::{
    any::Any,
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use pool_ipc::{
    Arena, Block, Decoder, Encoder, Manifest, SegmentId,
    board::{Claim, Claimer, SlotIndex, Stopped},
};
use pool_shm::{ForkMark, SharedSegment};

use super::memory_limit::Growth;
use crate::{
    error::{FailureKind, WorkerStage},
    hooks::State,
    insights::{Describer, RowWriter},
    os::{self, KeptFd},
    output::WorkerOutput,
    panic, protocol,
    segments::SegmentCache,
    task::ContextCell,
};

/// What a worker process works with, from its start to its end.
pub(crate) struct WorkerRuntime {
    pub(crate) claimer: Claimer,
    pub(crate) arena: Arena,
    /// The parent's arena, read-only: its base and length.
    pub(crate) items: (*const u8, usize),
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) context: ContextCell,
    /// The result that the arena had no room for: that of the first item of the chunk that lets it
    /// go.
    pub(crate) in_hand: Option<Box<dyn Any>>,
    /// Blocks that the parent has not released yet, oldest first.
    pub(crate) lent: VecDeque<Lent>,
    /// Segments of handles in results that the parent has not read yet.
    lent_segments: Vec<LentSegments>,
    cache: Arc<SegmentCache>,
    /// Whether the board says that this worker keeps segments in case they come again.
    keeps: bool,
    /// How many segments the parent had let go of when this worker looked last.
    releases_seen: u64,
    /// The socket through which this worker tells the zygote that a clock is due soon.
    handshake_socket: Arc<KeptFd>,
    /// Holds this incarnation, and 0 in a child that a task forked.
    pub(crate) mark: ForkMark,
    /// The value that the workers of the pool share.
    pub(crate) shared: &'static (dyn Any + Send + Sync),
    /// The user's state, which this worker keeps from task to task.
    pub(crate) state: State,
    /// Sees when this process has become too large to go on.
    pub(crate) growth: Option<Growth>,
    /// The captured streams of this process.
    pub(crate) output: Option<WorkerOutput>,
    /// Writes the times of this worker, if they are recorded.
    pub(crate) insights: Option<RowWriter>,
    /// Which arguments have texts.
    pub(crate) describers: Vec<Describer>,
    /// Whether something is to be done before each item of the present chunk: it has a clock, or
    /// its output is captured.
    pub(crate) attends: bool,
    /// The next item of the chunk before which something is to be done.
    pub(crate) attended: usize,
    /// Bytes that a result took on average lately, without its table entry.
    pub(crate) bytes_per_result: usize,
    /// When the arena was trimmed last.
    trimmed: Instant,
}

/// How long memory stays with a worker that no result uses: to fetch it anew costs a page fault for
/// each page, and to give it back a system call.
pub(super) const KEPT_WARM: Duration = Duration::from_secs(1);
/// Bytes that stay with a worker for good, so that short calls cost an idle worker no wake-up.
const RESERVE: u64 = 256 << 10;

/// Blocks up to this size are taken back when their slot is claimed again.
const SMALL: u64 = 4096;
const MANY_LENT: usize = 512;

pub(crate) struct Lent {
    slot: SlotIndex,
    generation: u32,
    block: Block,
}

struct LentSegments {
    slot: SlotIndex,
    generation: u32,
    #[expect(dead_code, reason = "they are kept alive")]
    segments: Vec<SharedSegment>,
}

impl WorkerRuntime {
    /// Writes the stage of this worker to the board.
    pub(super) fn set_stage(&self, stage: WorkerStage) {
        self.claimer.set_stage(stage.number());
    }

    pub(crate) fn new(
        claimer: Claimer,
        arena: Arena,
        items: (*const u8, usize),
        mark: ForkMark,
        shared: &'static (dyn Any + Send + Sync),
        cache: Arc<SegmentCache>,
        handshake_socket: Arc<KeptFd>,
    ) -> Self {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        encoder.set_broker(cache.clone());
        decoder.set_broker(cache.clone());
        Self {
            mark,
            shared,
            state: Box::new(()),
            claimer,
            arena,
            items,
            encoder,
            decoder,
            context: ContextCell::default(),
            in_hand: None,
            lent: VecDeque::new(),
            lent_segments: Vec::new(),
            cache,
            keeps: false,
            releases_seen: 0,
            handshake_socket,
            growth: None,
            output: None,
            insights: None,
            describers: Vec::new(),
            attends: false,
            attended: usize::MAX,
            bytes_per_result: 0,
            trimmed: Instant::now(),
        }
    }

    /// Starts the clock of the item in hand, which may take `limit` nanoseconds, and `grace` more
    /// once it was told.
    #[inline]
    pub(crate) fn start_clock(&self, limit: u64, grace: u64) {
        if self.claimer.start_clock(os::monotonic_nanos(), limit, grace) {
            protocol::send_alarm(&self.handshake_socket);
        }
    }

    /// Stops the clock of the item in hand, if it runs. Answers whether the item was overdue and
    /// has ended within its grace: it has failed, but this worker lives on.
    ///
    /// Ends this process if the zygote has timed it out: the item has failed already, and the
    /// zygote is about to kill this worker.
    #[inline]
    pub(crate) fn stop_clock(&self) -> bool {
        match self.claimer.stop_clock() {
            Stopped::InTime => false,
            Stopped::Late => true,
            Stopped::TimedOut => panic::end_quietly(),
        }
    }

    /// Notes that `block` belongs to the parent until `claim`'s slot moves on.
    #[inline]
    pub(crate) fn lend(&mut self, claim: &Claim, block: Block) {
        self.lent.push_back(Lent { slot: claim.slot(), generation: claim.generation(), block });
    }

    /// Takes back the blocks at the front of the queue that the parent has released. Looks at a
    /// small one only when its slot has just been claimed again, or when there are many: each look
    /// fetches a cache line that the parent wrote.
    #[inline]
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

    /// Takes back every released block, also behind blocks that are still read, and lets go of
    /// segments.
    pub(crate) fn reclaim_all(&mut self) {
        self.reclaim_segments();
        let (board, arena) = (self.claimer.board(), &mut self.arena);
        self.lent.retain(|lent| {
            let released = board.was_released(lent.slot, lent.generation);
            if released {
                arena.free(lent.block);
            }
            !released
        });
    }

    /// Gives back memory that no result has used for [`KEPT_WARM`]; answers whether the arena held
    /// more than [`RESERVE`].
    pub(crate) fn trim(&mut self) -> bool {
        let much = self.arena.used() + self.arena.warm() > RESERVE;
        if much && self.trimmed.elapsed() >= KEPT_WARM {
            self.arena.trim();
            self.trimmed = Instant::now();
        }
        much
    }

    /// Gives back the memory of all results that the parent has read.
    pub(crate) fn give_back(&mut self) {
        self.reclaim_all();
        // The second call gives back what was free at the first.
        self.arena.trim();
        self.arena.trim();
    }

    fn reclaim_segments(&mut self) {
        let board = self.claimer.board();
        self.lent_segments.retain(|lent| !board.was_released(lent.slot, lent.generation));
    }

    /// Keeps the segments of the handles in the results until the parent has read the results. The
    /// parent notifies this worker when it releases the slot.
    #[inline]
    pub(crate) fn lend_segments(&mut self, claim: &Claim) {
        if !self.encoder.segments().is_empty() {
            let (slot, generation) = (claim.slot(), claim.generation());
            let segments = self.encoder.take_segments();
            self.reclaim_segments();
            self.lent_segments.push(LentSegments { slot, generation, segments });
        }
    }

    /// Lets go of the segments that the parent has let go of since the last time.
    #[inline]
    pub(crate) fn take_release_notices(&mut self) {
        if self.keeps {
            self.read_release_notices();
        }
    }

    #[cold]
    fn read_release_notices(&mut self) {
        let news = self.claimer.released_since(&mut self.releases_seen);
        if news.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let gone = |id| news.as_ref().is_none_or(|news| news.contains(&id));
        self.context.release(gone);
        self.cache.release(gone);
        self.announce_kept();
    }

    /// Writes to the board whether this worker keeps segments: before it reports the chunk that
    /// came with them, so before the parent lets go of them.
    pub(crate) fn announce_kept(&mut self) {
        let keeps = self.context.keeps() || !self.cache.is_empty();
        if self.keeps != keeps {
            self.keeps = keeps;
            self.claimer.set_keeps(keeps);
        }
    }

    /// The table of segments that came with a message; without one no handle is decoded.
    #[cold]
    pub(crate) fn segments_of(&self, manifest: Manifest) -> Vec<SegmentId> {
        let (base, len) = self.items;
        // SAFETY: `base` and `len` are those of the parent's arena, which stays mapped.
        unsafe { manifest.read(base, len) }.unwrap_or_default()
    }

    /// Allocates a block of `wanted` bytes, or of at least `needed` if there is no room for more.
    #[inline]
    pub(crate) fn alloc(&mut self, claim: &Claim, wanted: usize, needed: usize) -> Option<Block> {
        self.reclaim(claim);
        if let Ok(block) = self.arena.alloc(wanted as u64) {
            return Some(block);
        }
        self.reclaim_all();
        self.arena.alloc(wanted as u64).or_else(|_| self.arena.alloc(needed as u64)).ok()
    }

    /// Allocates a block of `needed` bytes beyond the limit, if the parent allows it (`may`).
    #[cold]
    pub(crate) fn alloc_past_limit(&mut self, may: bool, needed: usize) -> Option<Block> {
        if may { self.arena.alloc_past_limit(needed as u64).ok() } else { None }
    }

    /// Copies `bytes` into a block that is lent with the claim.
    pub(crate) fn store(&mut self, claim: &Claim, bytes: &[u8]) -> Option<Block> {
        let block = self.alloc(claim, bytes.len(), bytes.len())?;
        // SAFETY: the block has room for the bytes and is this worker's until it is lent.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.arena.ptr(block), bytes.len());
        }
        self.lend(claim, block);
        Some(block)
    }

    pub(crate) fn too_large(&self, bytes: u64) -> FailureKind {
        FailureKind::ResultTooLarge { bytes, limit: self.arena.limit() }
    }
}
