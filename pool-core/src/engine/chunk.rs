//! Chunks, the events that the engine is told of, and the actions that it answers with.

use std::time::Duration;

use pool_ipc::{
    Block,
    board::{Audience, Incarnation, Outcome, SlotIndex},
};

use super::{jobs::JobId, measure::MeasureResults};
use crate::{
    error::Cause,
    ids::{ItemIndex, WorkerId},
    task::Call,
};

/// Items that lie side by side in one block and have no result yet.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) job: JobId,
    pub(crate) call: Call,
    /// Finds the end of its results, so that they can be copied unread.
    pub(crate) measure: MeasureResults,
    pub(crate) timed: bool,
    /// The context's number and place; number 0: none.
    pub(crate) context: (u64, u64),
    pub(crate) items: Block,
    /// Bytes that are under way with it: the block, and segments that only its items hold.
    pub(crate) bytes: u64,
    /// Position in the job's input of the batch's first item.
    pub(crate) first: ItemIndex,
    /// Items of the whole batch.
    pub(crate) capacity: u32,
    /// The part of the batch that has no results yet.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// How long one item may take.
    pub(crate) limit: Option<Duration>,
    /// How long an item that is overdue may go on before its worker is killed.
    pub(crate) grace: Duration,
    /// How often an item may be tried again whose worker died, also where it was killed for an item
    /// that was overdue.
    pub(crate) retries: u32,
    /// Tries of item `start` that ended with their worker.
    pub(crate) lost_tries: u32,
    /// Workers in a row that died with the chunk and had begun no item of it.
    pub(crate) unbegun_deaths: u32,
    /// What is known of the item in hand before its worker is reaped.
    pub(crate) time_out: TimeOut,
    /// Whether its call was cancelled, though its job goes on: what is left is not tried again.
    pub(crate) cancelled: bool,
    /// The incarnation that keeps the result of item `start` in hand.
    pub(crate) in_hand: Option<Incarnation>,
    /// Whether that result may lie beyond the limit of the worker's arena.
    pub(crate) past_limit: bool,
    pub(crate) audience: Audience,
    /// The only worker that may run it.
    pub(crate) worker: Option<WorkerId>,
    /// Whether it goes before the chunks of other calls that wait on the board.
    pub(crate) goes_first: bool,
}

/// What has to be known of a chunk that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) job: JobId,
    pub(super) items: Block,
    pub(super) bytes: u64,
}

/// Whether the item that a worker has in hand is overdue, and its worker timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimeOut {
    #[default]
    None,
    /// It will be tried again.
    Retried,
    /// It has failed, and its job knows.
    Reported,
}

/// Workers in a row whose deaths with a chunk, before they began an item, count as a try: one that
/// is killed from outside just then is no fault of the chunk, several are. (An item that is larger
/// than a worker's stack ends it before the call.)
const MOST_UNBEGUN_DEATHS: u32 = 3;

impl Chunk {
    /// `count` items from position `first` on, whose batch has `capacity`, in the block `items`.
    /// Any worker tries them once, without a context and for as long as they take.
    #[inline]
    pub(crate) fn new(
        (job, call, measure): (JobId, Call, MeasureResults),
        items: Block,
        first: ItemIndex,
        (count, capacity): (u32, u32),
    ) -> Self {
        Self {
            job,
            call,
            measure,
            timed: false,
            context: (0, 0),
            items,
            bytes: items.len,
            first,
            capacity,
            start: 0,
            end: count,
            limit: None,
            grace: Duration::ZERO,
            retries: 0,
            lost_tries: 0,
            unbegun_deaths: 0,
            time_out: TimeOut::None,
            cancelled: false,
            in_hand: None,
            past_limit: false,
            audience: Audience::default(),
            worker: None,
            goes_first: false,
        }
    }

    /// The workers that may run it while none keeps a result of it in hand.
    pub(super) fn open_to(&self) -> Audience {
        Audience { place: self.worker.map(WorkerId::number), min_serial: 0 }
    }

    pub(super) fn ended(&self) -> Ended {
        Ended { job: self.job, items: self.items, bytes: self.bytes }
    }

    /// Moves the start behind items that have results or have failed.
    pub(super) fn advance(&mut self, items: u32) {
        self.start += items;
        if items > 0 {
            self.lost_tries = 0;
        }
    }

    /// Counts a worker's death with the chunk, after it had finished `finished` items; returns
    /// whether that is a try of the first item left. It is if the item was begun, and from the
    /// third worker in a row on that began nothing.
    pub(super) fn count_death(&mut self, begun: bool, finished: u32) -> bool {
        if begun || finished > 0 {
            self.unbegun_deaths = 0;
            return begun;
        }
        self.unbegun_deaths += 1;
        self.unbegun_deaths >= MOST_UNBEGUN_DEATHS
    }

    /// Counts a lost try of the first item left; answers whether it may be tried again.
    pub(super) fn lose_try(&mut self) -> bool {
        // The count stays at its largest value, which stands for an endless number of tries.
        let may = self.has_tries();
        self.lost_tries = self.lost_tries.saturating_add(1);
        may
    }

    /// Whether the first item left may lose another try.
    pub(crate) fn has_tries(&self) -> bool {
        self.lost_tries < self.retries || self.retries == u32::MAX
    }

    /// Why the item fails that a dead worker had in hand: it was overdue, or else the `cause`.
    pub(super) fn cause(&self, cause: Cause) -> Cause {
        match self.limit {
            Some(limit) if self.time_out != TimeOut::None => Cause::Timeout { limit },
            _ => cause,
        }
    }

    /// Fails the first item left; answers with what its job is told.
    pub(super) fn fail(&mut self, worker: WorkerId, cause: Cause) -> Delivery {
        let index = self.first.after(self.start as usize);
        // A try that ended with its worker is in the count already.
        let ended = cause.ends_worker();
        let tries = self.lost_tries.saturating_add(u32::from(!ended));
        self.advance(1);
        Delivery::Failed { index, worker, cause, tries }
    }
}

/// Why a worker stopped with a chunk.
#[derive(Debug)]
pub(crate) enum Why {
    Complete,
    Failed(Cause),
    /// Its arena is full: it keeps the next result in hand.
    Full,
    /// It stopped between two items: the others are not wanted, or go on later.
    Cancelled,
    /// It died; `begun`: it had begun the item behind the finished ones.
    Died {
        begun: bool,
        cause: Cause,
    },
}

/// What a job is told.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Results of consecutive items, in a slot that the job has to give back.
    Results {
        slot: SlotIndex,
        incarnation: Incarnation,
        first: ItemIndex,
        capacity: u32,
        measure: MeasureResults,
        outcome: Outcome,
    },
    /// An item failed.
    Failed { index: ItemIndex, worker: WorkerId, cause: Cause, tries: u32 },
    /// A chunk's block was freed: the job was told of all its items.
    Ended { bytes: u64 },
}

/// An action of the engine. The session carries actions out in their order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Publish `Engine::chunk(slot)` in the slot.
    Publish {
        slot: SlotIndex,
    },
    /// Free a block of items.
    FreeItems {
        block: Block,
    },
    /// Give the slot back on the board.
    Release {
        slot: SlotIndex,
    },
    Deliver {
        job: JobId,
        delivery: Delivery,
    },
    /// Copy what jobs have not read yet of this incarnation's results, and release their slots.
    MakeRoom {
        incarnation: Incarnation,
    },
    /// Start a worker.
    Start {
        worker: WorkerId,
        incarnation: Incarnation,
        serial: u64,
    },
}
