//! Running the items of one chunk in a worker process: decode, call, encode, one at a time.
//!
//! Invariant: the progress word is 2k + 1 before item k is touched and 2k + 2 after its result is
//! complete, so at this process's death the parent loses at most the item in hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use pool_ipc::{
    WireFault,
    batch::BatchReader,
    board::{Claim, Description, End, Progress},
};
use pool_shm::ForkMark;

use super::{
    function_pointer::function_at,
    results::{NotBegun, Results, Stop},
    runtime::WorkerRuntime,
};
use crate::{
    error::FailureKind,
    panic::{self, take_panic},
    task::{Form, ItemAt, Surroundings, TimeSlice},
};

/// One chunk while it runs.
pub(crate) struct ChunkRun<'d> {
    pub(crate) runtime: &'d mut WorkerRuntime,
    pub(crate) claim: &'d Claim,
    pub(crate) what: Description,
    /// When the chunk began, if it is timed.
    pub(crate) began: Option<Instant>,
    /// Why the run ended; with [`End::Failed`], `failure` is the cause.
    pub(crate) end: End,
    pub(crate) failure: Option<FailureKind>,
    /// How many items were begun.
    pub(crate) tasks: u32,
}

/// Runs the chunk of `run` with the function at `function`.
///
/// # Safety
///
/// `function` is the address of an `F::Function` in this process, and `run.what` describes a batch
/// of `F::Item` that the parent published.
pub(crate) unsafe fn run_chunk<F: Form>(function: *const (), run: &mut ChunkRun<'_>) {
    // SAFETY: as promised by the caller.
    let function = unsafe { function_at::<F>(function) };
    let count = run.what.end.saturating_sub(run.what.start) as usize;
    let mut results = match Results::<F>::begin(run.runtime, run.claim, count, run.what.past_limit)
    {
        Ok(results) => results,
        Err(stop) => return run.stop(stop),
    };
    let outcome = panic::in_task(|| {
        catch_unwind(AssertUnwindSafe(|| {
            run_items::<F>(function, run.runtime, run.claim, (&run.what, run.began), &mut results)
        }))
    });
    end_if_forked(&run.runtime.mark);
    // If an item has failed, its clock still runs.
    let late = run.what.limit > 0 && run.runtime.stop_clock();
    let failed = matches!(outcome, Err(_) | Ok(Err(Stop::Fail(_))));
    run.tasks = (results.done() + usize::from(failed)) as u32;
    results.finish(run.runtime, run.claim);
    if run.what.manifest.is_some() || run.what.context_manifest.is_some() {
        run.runtime.announce_kept();
    }
    match outcome {
        Ok(Ok(())) => run.end = End::Complete,
        Err(payload) if late => {
            take_panic(payload);
            run.stop(overdue(&run.what));
        }
        Ok(Err(Stop::Fail(_))) if late => run.stop(overdue(&run.what)),
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
    runtime: &mut WorkerRuntime,
    claim: &Claim,
    (what, began): (&Description, Option<Instant>),
    results: &mut Results<F>,
) -> Result<(), Stop> {
    let (base, len) = runtime.items;
    let offset = usize::try_from(what.items).unwrap_or(usize::MAX);
    let Some(room) = len.checked_sub(offset) else {
        return Err(Stop::Fail(FailureKind::Undecodable));
    };
    // SAFETY: the block lies within the parent's arena, which stays mapped; a published block does
    // not change before its chunk has ended, and blocks are aligned.
    let reader =
        unsafe { BatchReader::<F::Item>::new(base.add(offset), room, what.capacity as usize) };
    match what.manifest {
        None => runtime.decoder.clear_segments(),
        Some(manifest) => {
            let segments = runtime.segments_of(manifest);
            runtime.decoder.set_segments(&segments);
        }
    }
    runtime.context.wanted = what.context;
    match what.context_manifest {
        None => runtime.context.segments.clear(),
        Some(manifest) => runtime.context.segments = runtime.segments_of(manifest),
    }
    runtime.context.bytes = usize::try_from(what.context_offset)
        .ok()
        .filter(|_| what.context != 0)
        // SAFETY: the offset lies within the parent's arena (checked).
        .and_then(|at| Some((unsafe { base.add(at.min(len)) }, len.checked_sub(at)?)));
    let (start, count) = (what.start as usize, results.count);
    // SAFETY: the runtime has the claimer, and the claimer the board, until the process ends.
    let marks = unsafe { runtime.claimer.item_marks(claim) };
    let mut slice = TimeSlice::since(began);
    let mut first = 0;
    let kept = runtime.in_hand.take();
    if what.in_hand {
        if marks.is_cancelled() {
            return Err(Stop::End(End::Cancelled));
        }
        let kept = kept.ok_or(Stop::Fail(FailureKind::BadResult))?;
        if !kept.is::<NotBegun>() {
            marks.set_progress(Progress { finished: 0, begun: true });
            let kept = kept.downcast::<F::Output>();
            let kept = kept.map_err(|_| Stop::Fail(FailureKind::BadResult))?;
            results.push(runtime, claim, *kept)?;
            marks.set_progress(Progress { finished: 1, begun: false });
            first = 1;
        }
    }
    for index in first..count {
        let finished = index as u32;
        if marks.is_cancelled() {
            return Err(Stop::End(End::Cancelled));
        }
        marks.set_progress(Progress { finished, begun: true });
        if what.limit > 0 {
            runtime.start_clock(what.limit, what.grace);
        }
        let (claimer, mark) = (&runtime.claimer, &runtime.mark);
        let mut surroundings = Surroundings {
            worker: claimer.place(),
            shared: runtime.shared,
            state: &mut *runtime.state,
            cancelled: &|| {
                mark.get() != 0 && (marks.is_cancelled() || (what.grace > 0 && claimer.is_late()))
            },
            decoder: &mut runtime.decoder,
            context: &mut runtime.context,
        };
        let item = ItemAt { reader: &reader, index: start + index };
        let output = F::call_at(function, &mut surroundings, item);
        end_if_forked(&runtime.mark);
        if what.limit > 0 && what.grace > 0 && runtime.claimer.is_late() {
            return Err(overdue(what));
        }
        // (No `?` here: without optimisations each of its steps has a copy of the value in this
        // frame.)
        match output {
            Ok(output) => results.push(runtime, claim, output)?,
            Err(fault) => return Err(unreadable(fault)),
        }
        if what.limit > 0 && runtime.stop_clock() {
            return Err(overdue(what)); // its result is not counted
        }
        marks.set_progress(Progress { finished: finished + 1, begun: false });
        if index + 1 < count
            && let Some(growth) = &mut runtime.growth
            && growth.check()
        {
            return Err(Stop::End(End::Cancelled)); // the next worker runs the others
        }
        if index + 1 < count
            && marks.others_wait()
            && slice.check(index + 1)
            && !runtime.claimer.is_targeted(claim)
        {
            return Err(Stop::End(End::Cancelled)); // they go on behind what waits
        }
    }
    Ok(())
}

/// Ends this process if a task forked it and it came back from the task: it is no worker, and the
/// board is not mapped in it.
#[inline]
fn end_if_forked(mark: &ForkMark) {
    if mark.get() == 0 {
        panic::end_quietly();
    }
}

/// The failure of an item that was over its limit and has ended within its grace.
fn overdue(what: &Description) -> Stop {
    Stop::Fail(FailureKind::Overdue { nanos: what.limit })
}

fn unreadable(fault: WireFault) -> Stop {
    Stop::Fail(FailureKind::of_item(fault))
}
