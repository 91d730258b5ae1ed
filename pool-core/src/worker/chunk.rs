//! Running the items of one chunk in a worker process: decode, call, encode, one at a time.
//!
//! Invariant: the progress word is 2k + 1 before item k is touched and 2k + 2 after its result is
//! complete, so at this process's death the parent loses at most the item in hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Instant,
};

use pool_ipc::{
    WireFault,
    batch::BatchReader,
    board::{Claim, Description, End, Progress},
};

use super::{
    function_pointer::function_at,
    item_batch::{
        ItemBatch, begin_item, check_cancelled, check_late, end_if_forked, end_item, is_to_end,
        overdue, report,
    },
    results::{Results, Stop},
    runtime::WorkerRuntime,
};
use crate::{
    error::FailureKind,
    insights::text_function,
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
    /// How many of them have a result.
    pub(crate) done: u32,
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
    let mut results = match Results::begin(run.runtime, run.claim, count, run.what.past_limit) {
        Ok(results) => results,
        Err(stop) => return run.stop(stop),
    };
    // (Not behind a `dyn`: the loop keeps the results in registers.)
    let outcome = panic::in_task(|| {
        catch_unwind(AssertUnwindSafe(|| run_items::<F>(function, run, &mut results)))
    });
    let late = run.items_ended(&outcome, results.done());
    if run.describes() {
        describe_items::<F>(run);
    }
    results.finish(run.runtime, run.claim);
    run.chunk_ended(outcome, late);
}

/// How the items ended; `Err`: one has panicked.
type Outcome = thread::Result<Result<(), Stop>>;

/// Runs the items. (Nothing that does not know their types is here: it is compiled anew for each
/// of a program's tasks.)
#[inline]
fn run_items<F: Form>(
    function: F::Function,
    run: &mut ChunkRun<'_>,
    results: &mut Results<F::Output>,
) -> Result<(), Stop> {
    let (runtime, claim, what) = (&mut *run.runtime, run.claim, &run.what);
    let batch = ItemBatch::find(runtime, what)?;
    // SAFETY: the block lies within the parent's arena, which stays mapped; a published block does
    // not change before its chunk has ended, and blocks are aligned.
    let reader =
        unsafe { BatchReader::<F::Item>::new(batch.base, batch.room, what.capacity as usize) };
    // SAFETY: the runtime has the claimer, and the claimer the board, until the process ends.
    let marks = unsafe { runtime.claimer.item_marks(claim) };
    let mut slice = TimeSlice::since(run.began);
    let (start, count, mut first) = (what.start as usize, results.count, 0);
    let kept = runtime.in_hand.take();
    if what.in_hand {
        check_cancelled(&marks)?;
        if let Some(kept) = results.kept(kept)? {
            marks.set_progress(Progress { finished: 0, begun: true });
            results.push(runtime, claim, *kept)?;
            marks.set_progress(Progress { finished: 1, begun: false });
            first = 1;
        }
    }
    for index in first..count {
        begin_item(&marks, runtime, (what, claim), index)?;
        let (claimer, mark) = (&runtime.claimer, &runtime.mark);
        let mut surroundings = Surroundings {
            worker: claimer.place(),
            shared: runtime.shared,
            state: &mut *runtime.state,
            cancelled: &|| is_to_end(&marks, claimer, mark, what),
            report: &|done, total| report(&marks, mark, (done, total)),
            decoder: &mut runtime.decoder,
            context: &mut runtime.context,
        };
        let item = ItemAt { reader: &reader, index: start + index };
        let output = F::call_at(function, &mut surroundings, item);
        check_late(runtime, what)?;
        // (No `?` here: without optimisations each of its steps has a copy of the value in this
        // frame.)
        match output {
            Ok(output) => results.push(runtime, claim, output)?,
            Err(fault) => return Err(unreadable(fault)),
        }
        end_item(&marks, &mut slice, runtime, (what, claim), (index + 1, count))?;
    }
    Ok(())
}

/// Adds the texts of items to the longest tasks, where the type of the items has texts. The items
/// are still there: their chunk has not ended.
#[cold]
fn describe_items<F: Form>(run: &mut ChunkRun<'_>) {
    let runtime = &mut *run.runtime;
    let Some(text_of) = text_function::<F::Item>(&runtime.describers) else { return };
    let Some(insights) = &mut runtime.insights else { return };
    insights.end_items();
    let long: Vec<_> = insights.long_items().collect();
    if long.is_empty() {
        return;
    }
    let Ok(batch) = ItemBatch::find(runtime, &run.what) else { return };
    // SAFETY: as for the items of `run_items`.
    let reader =
        unsafe { BatchReader::<F::Item>::new(batch.base, batch.room, run.what.capacity as usize) };
    for index in long {
        let at = run.what.start as usize + index;
        let text = panic::in_task(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let item = reader.decode(at, &mut runtime.decoder).ok()?;
                Some(text_of(&item))
            }))
        });
        end_if_forked(&runtime.mark);
        match (text, &mut runtime.insights) {
            (Ok(Some(text)), Some(insights)) => insights.describe(index, &text),
            (Err(payload), _) => drop(take_panic(payload)),
            _ => {}
        }
    }
}

impl ChunkRun<'_> {
    /// Whether items of some types have texts.
    #[inline]
    fn describes(&self) -> bool {
        !self.runtime.describers.is_empty()
    }

    /// Counts the items, of which `done` have a result; returns whether the last one was late.
    #[inline]
    fn items_ended(&mut self, outcome: &Outcome, done: usize) -> bool {
        end_if_forked(&self.runtime.mark);
        // If an item has failed, its clock still runs.
        let late = self.what.limit > 0 && self.runtime.stop_clock();
        let failed = matches!(outcome, Err(_) | Ok(Err(Stop::Fail(_))));
        self.tasks = (done + usize::from(failed)) as u32;
        self.done = done as u32;
        late
    }

    /// Notes why the run ended, after its results were handed over.
    #[inline]
    fn chunk_ended(&mut self, outcome: Outcome, late: bool) {
        if self.what.manifest.is_some() || self.what.context_manifest.is_some() {
            self.runtime.announce_kept();
        }
        match outcome {
            Ok(Ok(())) => self.end = End::Complete,
            Err(payload) if late => {
                take_panic(payload);
                self.stop(overdue(&self.what));
            }
            Ok(Err(Stop::Fail(_))) if late => self.stop(overdue(&self.what)),
            Ok(Err(stop)) => self.stop(stop),
            Err(payload) => self.stop(Stop::Fail(take_panic(payload))),
        }
    }

    #[inline]
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

#[cold]
fn unreadable(fault: WireFault) -> Stop {
    Stop::Fail(FailureKind::of_item(fault))
}
