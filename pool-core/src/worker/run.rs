//! The loop of a worker process: claim, run, report; spin a little, then sleep; leave when asked.
//!
//! Invariant: a worker never returns to the code that forked it, and no panic gets out.

use std::{
    io::Write,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use nix::unistd::Pid;
use pool_ipc::{
    Arena,
    board::{Board, Claim, Claimer, End},
    prefetch_for_reading,
};
use pool_shm::ForkMark;

use super::{
    chunk::ChunkRun,
    config::{SharedMappings, WorkerFds, WorkerStart},
    hook_state::{FailedStart, HookState},
    memory_limit::Growth,
    runtime::{KEPT_WARM, WorkerRuntime},
    stack_overflow::watch_stack,
    startup::awake,
    task_stack::run_on_stack,
};
#[cfg(feature = "capture-log")]
use crate::capture;
use crate::{
    bootstrap,
    error::{ExitStatus, Failure, FailureKind, StartFailure},
    hooks::become_daemon,
    ids::WorkerId,
    insights::{Describer, InsightsArea, MakeDescriber, RowWriter},
    os::{self, KeptFd, ProcessName},
    output::WorkerOutput,
    panic::{end_quietly, exit, learn_locations, print_panics},
    protocol,
    segments::{SegmentCache, SegmentClient},
    shared::seen_for_life,
    stack::StackRange,
    task::Call,
};

/// Exit code of a worker that could not set itself up, or found the board in disorder.
const DISORDER: i32 = 102;
/// Exit code of a worker that may not use the CPUs that it is to run on: they were taken away since
/// the pool was built.
const UNPINNED: i32 = 103;
/// Exit code of a worker whose memory could not be limited.
const UNLIMITED: i32 = 104;
/// Exit code of a worker that has no room for its stack.
const NO_STACK: i32 = 105;

/// Exit code of a worker that has no descriptors for its output.
const NO_OUTPUT: i32 = 106;

/// Describes the end of a worker that was never ready.
pub(crate) fn failed_start_text(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(UNPINNED) => {
            "could not be pinned to its CPUs (cpu_ids): this process may not use them any more"
                .into()
        }
        ExitStatus::Code(NO_STACK) => {
            "had no room for its stack (stack_size): the system refuses that much memory".into()
        }
        ExitStatus::Code(NO_OUTPUT) => {
            "had no descriptors for its output (stdout, stderr): the system refuses them".into()
        }
        status => status.to_string(),
    }
}

/// The process name of a worker, filled up with NULs. Without `format!`, which would
/// make a forked worker fault in many pages of code for nothing else.
pub(crate) fn worker_process_name(worker: WorkerId) -> ProcessName {
    const WORD: &[u8] = b"worker-";
    let mut name = ProcessName::default();
    name[..WORD.len()].copy_from_slice(WORD);
    let number = worker.index();
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut left = number;
    for digit in name[WORD.len()..15].iter_mut().take(digits).rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    name
}

/// Runs as the worker that `start` describes, with the mappings and descriptors that `means` gives.
pub(crate) fn live(
    start: &WorkerStart,
    means: impl FnOnce() -> Option<(SharedMappings, WorkerFds)>,
) -> ! {
    let _ = run_on_stack(start.config.bounds.stack, |stack| live_on(stack, start, means));
    exit(NO_STACK)
}

fn live_on(
    stack: StackRange,
    start: &WorkerStart,
    means: impl FnOnce() -> Option<(SharedMappings, WorkerFds)>,
) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        if !os::arm_parent_death(Pid::from_raw(start.zygote)) {
            end_quietly();
        }
        os::set_process_name(&worker_process_name(start.worker));
        start.config.descriptors.restore();
        if start.cpus.is_some_and(|cpus| cpus.pin_current_thread().is_err()) {
            exit(UNPINNED);
        }
        learn_locations(true);
        if start.config.bounds.daemon {
            become_daemon();
        }
        if start.config.bounds.dumped {
            pool_shm::dump_shared_objects(true);
        }
        match means().and_then(|(mappings, fds)| Worker::set_up(stack, start, mappings, fds)) {
            Some(mut worker) => worker.work(),
            None => exit(DISORDER),
        }
    }));
    exit(if lived.is_ok() { 0 } else { DISORDER })
}

/// Calls the function that makes a describer, at this offset of the image.
fn describer_at(offset: u64) -> Option<Describer> {
    let function = bootstrap::address_of(offset)?;
    // SAFETY: the parent made the offset of a `MakeDescriber`, and all processes of a pool run the
    // same image.
    let function = unsafe { std::mem::transmute::<usize, MakeDescriber>(function) };
    Some(function())
}

struct Worker {
    runtime: WorkerRuntime,
    hooks: HookState,
    wake_counter: std::os::fd::OwnedFd,
    /// Whether a task has closed the wake counter, so that this worker cannot wake the parent.
    is_cut_off: bool,
    spin: u32,
    /// Where the items of the last chunk lay; often the next ones lie there, too.
    likely_items: *const u8,
    /// The call that was resolved last, with what it resolved to.
    resolved: Option<(Call, (super::function_record::RunChunk, *const ()))>,
    /// When the last chunk ended, if the worker has not waited since.
    clock: Option<Instant>,
}

impl Worker {
    fn set_up(
        stack: StackRange,
        start: &WorkerStart,
        mappings: SharedMappings,
        fds: WorkerFds,
    ) -> Option<Self> {
        let SharedMappings { board, items } = mappings;
        let arena = Arena::new(&fds.arena, start.config.arena_limit).ok()?;
        for mapping in [&*board, &items, arena.mapping()] {
            mapping.dont_fork().ok()?;
        }
        let Ok(output) =
            WorkerOutput::set_up(start.config.output, fds.output, start.worker, start.incarnation)
        else {
            exit(NO_OUTPUT)
        };
        if output.as_ref().is_some_and(WorkerOutput::captures_errors) {
            print_panics();
        }
        let handshake_socket = KeptFd::new(fds.handshake_socket).ok()?;
        bootstrap::may_end_alone(start.incarnation, &handshake_socket);
        #[cfg(feature = "capture-log")]
        capture::begin(&board, start.config.log_area, start.worker.index());
        let area = InsightsArea::open(board.clone(), start.config.insights_area);
        let board = Board::new(board, start.config.shape);
        let pid = std::process::id();
        let claimer = Claimer::new(board, start.worker.number(), start.incarnation, pid);
        watch_stack(stack, claimer.board(), start.worker).ok()?;
        let mark = ForkMark::new(u64::from(start.incarnation.number()).try_into().ok()?).ok()?;
        let shared = match awake(start, fds.shared, &claimer, &mark, &handshake_socket) {
            Ok(shared) => seen_for_life(shared),
            Err(failure) => {
                // If this fails, the parent knows at least what this worker was at.
                let _ = StartFailure::write_encoded(&failure.to_bytes(), &fds.arena);
                exit(DISORDER)
            }
        };
        // The user's code may have changed credentials, which disarms the signal.
        if !os::arm_parent_death(Pid::from_raw(start.zygote)) {
            end_quietly();
        }
        let (handshake_socket, incarnation) = (Arc::new(handshake_socket), start.incarnation);
        let ours = handshake_socket.clone();
        let introduce =
            move |socket: BorrowedFd<'_>| protocol::introduce(&ours, incarnation, socket);
        let cache = SegmentCache::new(SegmentClient::new(Box::new(introduce), Box::new(|_| {})));
        let base = (items.as_ptr().cast_const(), items.len());
        // The mapping is needed until the process ends.
        std::mem::forget(items);
        let mut runtime =
            WorkerRuntime::new(claimer, arena, base, mark, shared, cache, handshake_socket);
        runtime.growth = start.config.bounds.resident.map(Growth::beyond);
        runtime.output = output;
        runtime.insights = area.and_then(|area| RowWriter::new(area, start.worker.index(), pid));
        if let Some(insights) = &mut runtime.insights {
            insights.ready();
            let functions = start.config.describers.iter();
            runtime.describers = functions.filter_map(|offset| describer_at(*offset)).collect();
        }
        Some(Self {
            runtime,
            hooks: HookState::new(start),
            wake_counter: fds.wake_counter,
            is_cut_off: false,
            spin: start.config.spin,
            likely_items: base.0,
            resolved: None,
            clock: None,
        })
    }

    fn work(&mut self) -> ! {
        loop {
            if self.runtime.in_hand.is_some() {
                self.wait_for_kept_result();
                continue;
            }
            if self.is_cut_off || self.hooks.is_over() || self.runtime.claimer.asked_to_leave() {
                self.leave();
            }
            let claim = self.runtime.claimer.claim().or_else(|| self.wait());
            if let Some(claim) = claim {
                self.runtime.take_release_notices();
                self.run(claim);
            }
        }
    }

    /// Waits until there is room for the result in hand, and takes no other chunk before.
    fn wait_for_kept_result(&mut self) {
        self.clock = None;
        self.runtime.reclaim_all();
        if let Some(claim) = self.runtime.claimer.wait_for_kept() {
            self.run(claim);
        }
    }

    #[inline]
    fn run(&mut self, claim: Claim) {
        pool_shm::end_idle();
        if self.hooks.is_new()
            && !self.runtime.claimer.is_cancelled(&claim)
            && let Err(failed) = self.hooks.begin(&mut self.runtime)
        {
            os::flush_output();
            exit(match failed {
                FailedStart::NoState => DISORDER,
                FailedStart::Unlimited => UNLIMITED,
            });
        }
        let what = self.runtime.claimer.description(&claim);
        self.likely_items = self.runtime.items.0.wrapping_add(what.items as usize);
        prefetch_for_reading(self.likely_items);
        if what.timed && self.clock.is_none() {
            self.clock = Some(Instant::now());
        }
        self.runtime.attends = what.limit > 0 || self.runtime.output.is_some();
        self.runtime.attended = if self.runtime.attends { 0 } else { usize::MAX };
        if let Some(insights) = &mut self.runtime.insights {
            let first = what.first.map(|first| first.saturating_add(u64::from(what.start)));
            let count = what.end.saturating_sub(what.start) as usize;
            insights.begin_chunk((what.call, first), (count, usize::from(what.in_hand)));
            self.runtime.attended = 0;
        }
        let call = Call { record: what.record, function: what.function, signature: what.signature };
        let target = match self.resolved {
            Some((known, target)) if known == call => Some(target),
            _ => call.resolve(),
        };
        let mut run = ChunkRun {
            runtime: &mut self.runtime,
            claim: &claim,
            what,
            began: self.clock.filter(|_| what.timed),
            end: End::Failed,
            failure: Some(FailureKind::Undecodable),
            tasks: 0,
            done: 0,
        };
        if let Some(target) = target {
            self.resolved = Some((call, target));
            run.failure = None;
            // SAFETY: `resolve` has checked record and signature, so the function is of the form
            // that the record runs; the parent published a batch of that form's items.
            unsafe { (target.0)(target.1, &mut run) };
        }
        let (end, failure, tasks, done) = (run.end, run.failure, run.tasks, run.done);
        if let Some(insights) = &mut self.runtime.insights {
            insights.end_chunk(done as usize);
        }
        self.hooks.ran(tasks, &self.runtime);
        self.report(claim, end, failure, what.timed);
    }

    #[inline]
    fn report(&mut self, claim: Claim, end: End, failure: Option<FailureKind>, timed: bool) {
        // What a task has printed is written before its result is known.
        let _ = std::io::stdout().flush();
        os::flush_c_output();
        if let Some(output) = &mut self.runtime.output {
            output.end(failure.is_some());
        }
        // From here on, barriers do not wait for this worker if it is killed.
        pool_shm::begin_idle();
        let mut at = (0, 0);
        if let Some(kind) = failure {
            let bytes = pool_ipc::to_bytes(&Failure { kind }).unwrap_or_default();
            if let Some(block) = self.runtime.store(&claim, &bytes) {
                at = (block.offset, bytes.len() as u64);
            }
        }
        let mut nanos = 0;
        if timed {
            let now = Instant::now();
            let since = self.clock.replace(now).unwrap_or(now);
            nanos = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        } else {
            self.clock = None;
        }
        match self.runtime.claimer.report(claim, end, nanos, at) {
            Some(true) => self.wake_parent(),
            Some(false) => {}
            None => end_quietly(),
        }
    }

    /// Waits for a chunk or another reason to go on: spins for a while, then sleeps. The worker
    /// searches all slots before the sleep and after it, and may find a chunk.
    fn wait(&mut self) -> Option<Claim> {
        self.clock = None;
        if os::spin_for(self.spin, None, || self.runtime.claimer.has_news()) {
            self.runtime.claimer.expect_claim();
            prefetch_for_reading(self.likely_items);
            return None;
        }
        // An order that comes after this ends the sleep.
        let wake_count = self.runtime.claimer.wake_count();
        self.runtime.reclaim_all();
        self.runtime.take_release_notices();
        let holds_much = self.runtime.trim();
        if let Some(claim) = self.runtime.claimer.search() {
            return Some(claim);
        }
        let (_, parent_has_items) = self.runtime.claimer.prepare_sleep()?;
        if parent_has_items {
            self.wake_parent();
        }
        if holds_much && !self.runtime.claimer.nap(wake_count, KEPT_WARM) {
            self.runtime.give_back();
        }
        self.runtime.claimer.sleep(wake_count);
        if self.runtime.claimer.asked_to_leave() {
            return None;
        }
        self.runtime.claimer.search()
    }

    fn wake_parent(&mut self) {
        // If a task has closed the descriptors of its process, this worker cannot wake the parent
        // and leaves, so that another one takes its place. The parent looks by itself before long.
        self.is_cut_off |= !os::increment_counter(self.wake_counter.as_fd());
    }

    fn leave(&mut self) -> ! {
        if let Some(insights) = &mut self.runtime.insights {
            insights.begin_exit();
        }
        self.hooks.end(&mut self.runtime);
        os::flush_output();
        if let Some(insights) = &mut self.runtime.insights {
            insights.gone();
        }
        // Objects that tasks share outlive this worker: its end breaks no barrier that it has
        // waited at.
        pool_shm::exit_process(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_number_of_the_place() {
        assert_eq!(&worker_process_name(WorkerId::FIRST), b"worker-0\0\0\0\0\0\0\0\0");
        assert_eq!(&worker_process_name(WorkerId::new(4095)), b"worker-4095\0\0\0\0\0");
    }
}
