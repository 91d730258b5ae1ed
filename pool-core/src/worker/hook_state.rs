//! The user's part of a worker's life: the state, made before the first chunk; how many tasks were run; what is left behind at the end.
//!
//! Invariant: whatever ends the process meanwhile, its row on the board says what it was at; and a worker whose last chunk is
//! reported is seen to be at its exit by whoever sees the report.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::unistd::Pid;
use pool_ipc::{AlignedBytes, SegmentFault, WireFault, board::LastWords};

use super::{
    config::WorkerPapers,
    memory_limit::{Growth, limit_memory},
    runtime::Desk,
};
use crate::{
    error::{FailureKind, Fault, Stage, StartFailure},
    hooks::{Around, Exit, Init},
    os::{self, nanos},
    panic::{end_quietly, in_task, take_panic},
};

/// See the module.
pub(super) struct Living {
    init: Option<Init>,
    /// How many nanoseconds that may take.
    init_limit: Option<u64>,
    /// Bytes of memory that tasks may take beside what was there before.
    memory: Option<u64>,
    exit: Option<Exit>,
    /// How many nanoseconds that may take.
    exit_limit: Option<u64>,
    /// Tasks that may still be begun.
    left: u64,
    began: bool,
    over: bool,
    zygote: Pid,
}

/// Why a life does not begin.
pub(super) enum Unborn {
    NoState,
    /// The memory could not be limited.
    Unlimited,
}

impl Living {
    pub(super) fn new(papers: &WorkerPapers) -> Self {
        Self {
            init: papers.life.init(),
            init_limit: papers.bounds.init.map(nanos),
            memory: papers.bounds.memory,
            exit: papers.life.exit(),
            exit_limit: papers.bounds.exit.map(nanos),
            left: papers.life.span().map_or(u64::MAX, u64::from),
            began: false,
            over: false,
            zygote: Pid::from_raw(papers.zygote),
        }
    }

    /// Whether the first chunk is still to come.
    #[inline]
    pub(super) fn is_new(&self) -> bool {
        !self.began
    }

    /// Whether the worker has run as many tasks as it may, or has grown too large.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Makes the state, then limits the memory. Where one cannot be had, says so: the worker then leaves without a word about
    /// the chunk that it has claimed.
    #[cold]
    pub(super) fn begin(&mut self, desk: &mut Desk) -> Result<(), Unborn> {
        self.began = true;
        if self.init.is_none() && self.memory.is_none() {
            return Ok(());
        }
        desk.claimer.set_stage(Stage::Init.number());
        if let Some(init) = self.init {
            self.make_state(init, desk)?;
        }
        let claimer = &desk.claimer;
        if let Some(bytes) = self.memory {
            let limited = limit_memory(bytes, claimer.board(), claimer.place());
            limited.map_err(|_| Unborn::Unlimited)?;
        }
        claimer.set_stage(0);
        Ok(())
    }

    fn make_state(&self, init: Init, desk: &mut Desk) -> Result<(), Unborn> {
        if let Some(limit) = self.init_limit {
            desk.start_clock(limit, 0);
        }
        let around =
            Around { worker: desk.claimer.place(), shared: desk.shared, overdue: &|| false };
        let made = in_task(|| catch_unwind(AssertUnwindSafe(|| init.call(around))));
        if desk.mark.get() == 0 {
            end_quietly(); // it has forked and come back in the child, too
        }
        desk.stop_clock();
        match made {
            Ok(state) => desk.state = state,
            Err(panic) => {
                let fault = Fault::Task(take_panic(panic));
                StartFailure { stage: Stage::Init, fault }.leave_in(desk.arena.mapping());
                return Err(Unborn::NoState);
            }
        }
        // As when it was born: the user's code may have changed credentials.
        if !os::arm_parent_death(self.zygote) {
            end_quietly();
        }
        Ok(())
    }

    /// A chunk is about to be reported in which `tasks` were begun.
    #[inline]
    pub(super) fn ran(&mut self, tasks: u32, desk: &Desk) {
        self.left = self.left.saturating_sub(u64::from(tasks));
        if desk.growth.as_ref().is_some_and(Growth::is_there) {
            self.left = 0;
        }
        if self.left == 0 && desk.in_hand.is_none() {
            self.over = true;
            if self.exit.is_some() {
                desk.claimer.set_stage(Stage::EXIT_DUE);
                self.start_exit_clock(desk);
            }
        }
    }

    fn start_exit_clock(&self, desk: &Desk) {
        if let Some(limit) = self.exit_limit {
            desk.start_clock(limit, 0);
        }
    }

    /// Ends the life of a worker that had tasks, and leaves behind what comes of that.
    pub(super) fn end(&mut self, desk: &mut Desk) {
        if !mem::take(&mut self.began) {
            return;
        }
        if self.init.is_none() && self.exit.is_none() {
            return; // no code of the user's runs: to be killed from here on is no failure of it
        }
        desk.claimer.set_stage(Stage::Exit.number());
        if !self.over || self.exit.is_none() {
            self.start_exit_clock(desk); // it was not due before
        }
        let around =
            Around { worker: desk.claimer.place(), shared: desk.shared, overdue: &|| false };
        let ended = in_task(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let call = |exit: Exit| exit.call(around, &mut *desk.state, &mut desk.encoder);
                let result = self.exit.map(call);
                drop(mem::replace(&mut desk.state, Box::new(())));
                result
            }))
        });
        if desk.mark.get() == 0 {
            end_quietly(); // as above
        }
        desk.stop_clock();
        let left = match ended {
            Ok(None) => return desk.claimer.set_stage(0),
            Ok(Some(Ok(bytes))) => leave_result(desk, &bytes),
            Ok(Some(Err(WireFault::Segment(fault)))) => Err(unsendable(fault)),
            Ok(Some(Err(_))) => Err(FailureKind::BadResult),
            Err(panic) => Err(take_panic(panic)),
        };
        let stage = match left.or_else(|kind| leave_failure(desk, &kind)) {
            Ok(stage) => stage,
            // Without it the parent knows at least what this worker was at.
            Err(_) => return,
        };
        desk.claimer.set_stage(stage);
    }
}

fn unsendable(fault: SegmentFault) -> FailureKind {
    FailureKind::Handle { fault }
}

/// Leaves an encoded result behind, and the identities of the segments that it needs; the stage that says so.
fn leave_result(desk: &mut Desk, bytes: &AlignedBytes) -> Result<u32, FailureKind> {
    let limit = desk.arena.limit();
    if bytes.len() as u64 > limit {
        return Err(FailureKind::ResultTooLarge { bytes: bytes.len() as u64, limit });
    }
    let segments = desk.encoder.segments();
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(16), 0);
    whole.extend(segments.iter().flat_map(|segment| segment.id().0.to_ne_bytes()));
    let segments = segments.len() as u64;
    leave(desk, &whole, bytes.len() as u64, segments)?;
    Ok(Stage::LEFT_RESULT)
}

fn leave_failure(desk: &mut Desk, kind: &FailureKind) -> Result<u32, FailureKind> {
    let bytes = pool_ipc::to_bytes(kind).map_err(|_| FailureKind::BadResult)?;
    leave(desk, &bytes, bytes.len() as u64, 0)?;
    Ok(Stage::LEFT_FAILURE)
}

fn leave(desk: &mut Desk, bytes: &[u8], len: u64, segments: u64) -> Result<(), FailureKind> {
    desk.reclaim_all();
    let block = desk.arena.alloc_last(bytes.len() as u64);
    let block =
        block.map_err(|full| FailureKind::ResultTooLarge { bytes: len, limit: full.limit })?;
    // SAFETY: the block has room for the bytes and is ours.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), desk.arena.ptr(block), bytes.len()) };
    desk.claimer.set_last_words(LastWords { offset: block.offset, len, segments });
    Ok(())
}
