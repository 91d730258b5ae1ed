//! The user's hooks in a worker: makes the state before the first chunk, counts tasks, and writes
//! the exit record at the end.
//!
//! Invariant: whatever ends the process meanwhile, its row on the board says what it was at. When
//! the parent sees the report of a worker's last chunk, the row says that the worker is at its
//! exit.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::unistd::Pid;
use pool_ipc::{AlignedBytes, board::LastWords};

use super::{
    config::WorkerStart,
    memory_limit::{Growth, limit_memory},
    runtime::WorkerRuntime,
};
use crate::{
    error::{FailureKind, Fault, Stage, StartFailure, WorkerStage},
    hooks::{Around, Exit, Init},
    ids::WorkerId,
    os::{self, nanos},
    panic::{end_quietly, in_task, take_panic},
};

/// The hooks of a worker, and how far it has come with them.
pub(super) struct HookState {
    init: Option<Init>,
    /// How many nanoseconds `init` may take.
    init_limit: Option<u64>,
    /// Bytes of memory that tasks may take in addition to what was in use before.
    memory: Option<u64>,
    exit: Option<Exit>,
    /// How many nanoseconds `exit` may take.
    exit_limit: Option<u64>,
    /// Tasks that may still be begun.
    left: u64,
    began: bool,
    over: bool,
    zygote: Pid,
}

/// Why a worker cannot run its first chunk.
pub(super) enum FailedStart {
    NoState,
    /// The memory could not be limited.
    Unlimited,
}

impl HookState {
    pub(super) fn new(start: &WorkerStart) -> Self {
        Self {
            init: start.config.life.init(),
            init_limit: start.config.bounds.init.map(nanos),
            memory: start.config.bounds.memory,
            exit: start.config.life.exit(),
            exit_limit: start.config.bounds.exit.map(nanos),
            left: start.config.life.span().map_or(u64::MAX, u64::from),
            began: false,
            over: false,
            zygote: Pid::from_raw(start.zygote),
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

    /// Makes the state, then limits the memory. If one of them fails, the worker has to end without
    /// a report about the chunk that it has claimed.
    #[cold]
    pub(super) fn begin(&mut self, runtime: &mut WorkerRuntime) -> Result<(), FailedStart> {
        self.began = true;
        if self.init.is_none() && self.memory.is_none() {
            return Ok(());
        }
        runtime.set_stage(WorkerStage::Init);
        if let Some(insights) = &mut runtime.insights {
            insights.begin_init();
        }
        if let Some(init) = self.init {
            self.make_state(init, runtime)?;
        }
        let claimer = &runtime.claimer;
        if let Some(bytes) = self.memory {
            let limited = limit_memory(bytes, claimer.board(), WorkerId::new(claimer.place()));
            limited.map_err(|_| FailedStart::Unlimited)?;
        }
        claimer.set_stage(WorkerStage::Ready.number());
        if let Some(insights) = &mut runtime.insights {
            insights.end_init();
        }
        Ok(())
    }

    fn make_state(&self, init: Init, runtime: &mut WorkerRuntime) -> Result<(), FailedStart> {
        if let Some(limit) = self.init_limit {
            runtime.start_clock(limit, 0);
        }
        let around = Around {
            worker: WorkerId::new(runtime.claimer.place()),
            shared: runtime.shared,
            overdue: &|| false,
        };
        let made = in_task(|| catch_unwind(AssertUnwindSafe(|| init.call(around))));
        if runtime.mark.get() == 0 {
            end_quietly(); // it has forked and come back in the child, too
        }
        runtime.stop_clock();
        match made {
            Ok(state) => runtime.state = state,
            Err(panic) => {
                let fault = Fault::Task(take_panic(panic));
                StartFailure { stage: Stage::Init, fault }.write_to(runtime.arena.mapping());
                return Err(FailedStart::NoState);
            }
        }
        // Again, as at the start: the user's code may have changed credentials.
        if !os::arm_parent_death(self.zygote) {
            end_quietly();
        }
        Ok(())
    }

    /// Counts `tasks` of a chunk that is about to be reported, and sees whether it is the last one.
    #[inline]
    pub(super) fn ran(&mut self, tasks: u32, runtime: &WorkerRuntime) {
        self.left = self.left.saturating_sub(u64::from(tasks));
        if runtime.growth.as_ref().is_some_and(Growth::exceeds_limit) {
            self.left = 0;
        }
        if self.left == 0 && runtime.in_hand.is_none() {
            self.over = true;
            if self.exit.is_some() {
                runtime.set_stage(WorkerStage::ExitDue);
                self.start_exit_clock(runtime);
            }
        }
    }

    fn start_exit_clock(&self, runtime: &WorkerRuntime) {
        if let Some(limit) = self.exit_limit {
            runtime.start_clock(limit, 0);
        }
    }

    /// Runs the exit of a worker that had tasks, and writes the exit record.
    pub(super) fn end(&mut self, runtime: &mut WorkerRuntime) {
        if !mem::take(&mut self.began) {
            return;
        }
        if self.init.is_none() && self.exit.is_none() {
            return; // no code of the user runs: a kill from here on is no failure of it
        }
        runtime.set_stage(WorkerStage::Exit);
        if !self.over || self.exit.is_none() {
            self.start_exit_clock(runtime); // it was not due before
        }
        let around = Around {
            worker: WorkerId::new(runtime.claimer.place()),
            shared: runtime.shared,
            overdue: &|| false,
        };
        let ended = in_task(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let call =
                    |exit: Exit| exit.call(around, &mut *runtime.state, &mut runtime.encoder);
                let result = self.exit.map(call);
                drop(mem::replace(&mut runtime.state, Box::new(())));
                result
            }))
        });
        if runtime.mark.get() == 0 {
            end_quietly(); // as above
        }
        runtime.stop_clock();
        let left = match ended {
            Ok(None) => return runtime.set_stage(WorkerStage::Ready),
            Ok(Some(Ok(bytes))) => leave_result(runtime, &bytes),
            Ok(Some(Err(fault))) => Err(FailureKind::of_result(fault)),
            Err(panic) => Err(take_panic(panic)),
        };
        let stage = match left.or_else(|kind| leave_failure(runtime, &kind)) {
            Ok(stage) => stage,
            // If this fails, the parent knows at least what this worker was at.
            Err(_) => return,
        };
        runtime.set_stage(stage);
    }
}

/// Leaves an encoded result and the ids of the segments that it needs; answers with the stage that
/// says so.
fn leave_result(
    runtime: &mut WorkerRuntime,
    bytes: &AlignedBytes,
) -> Result<WorkerStage, FailureKind> {
    let limit = runtime.arena.limit();
    if bytes.len() as u64 > limit {
        return Err(FailureKind::ResultTooLarge { bytes: bytes.len() as u64, limit });
    }
    let segments = runtime.encoder.segments();
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(16), 0);
    whole.extend(segments.iter().flat_map(|segment| segment.id().0.to_ne_bytes()));
    let segments = segments.len() as u64;
    leave(runtime, &whole, bytes.len() as u64, segments)?;
    Ok(WorkerStage::LeftResult)
}

fn leave_failure(
    runtime: &mut WorkerRuntime,
    kind: &FailureKind,
) -> Result<WorkerStage, FailureKind> {
    let bytes = pool_ipc::to_bytes(kind).map_err(|_| FailureKind::BadResult)?;
    leave(runtime, &bytes, bytes.len() as u64, 0)?;
    Ok(WorkerStage::LeftFailure)
}

fn leave(
    runtime: &mut WorkerRuntime,
    bytes: &[u8],
    len: u64,
    segments: u64,
) -> Result<(), FailureKind> {
    runtime.reclaim_all();
    let block = runtime.arena.alloc_last(bytes.len() as u64);
    let block =
        block.map_err(|full| FailureKind::ResultTooLarge { bytes: len, limit: full.limit })?;
    // SAFETY: the block has room for the bytes and is this worker's.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), runtime.arena.ptr(block), bytes.len()) };
    runtime.claimer.set_last_words(LastWords { offset: block.offset, len, segments });
    Ok(())
}
