//! The items of a chunk in their block, for code that does not know their types: what happens
//! before and after each of them.

use pool_ipc::board::{Claim, Claimer, Description, End, ItemMarks, Progress};
use pool_shm::ForkMark;

use super::{results::Stop, runtime::WorkerRuntime};
use crate::{error::FailureKind, panic, task::TimeSlice};

/// The items of one chunk.
pub(super) struct ItemBatch {
    pub(super) base: *const u8,
    /// Bytes from there to the end of the arena.
    pub(super) room: usize,
}

impl ItemBatch {
    /// Finds the items, and prepares the decoder for them.
    #[inline]
    pub(super) fn find(runtime: &mut WorkerRuntime, what: &Description) -> Result<Self, Stop> {
        let (base, len) = runtime.items;
        let offset = usize::try_from(what.items).unwrap_or(usize::MAX);
        let Some(room) = len.checked_sub(offset) else {
            return Err(Stop::Fail(FailureKind::Undecodable));
        };
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
        // SAFETY: the offset lies within the parent's arena (checked).
        let base = unsafe { base.add(offset) };
        Ok(Self { base, room })
    }
}

#[inline]
pub(super) fn check_cancelled(marks: &ItemMarks) -> Result<(), Stop> {
    if marks.is_cancelled() { Err(Stop::End(End::Cancelled)) } else { Ok(()) }
}

/// Notes that the item is touched from now on, and starts its clock.
#[inline]
pub(super) fn begin_item(
    marks: &ItemMarks,
    runtime: &mut WorkerRuntime,
    (what, claim): (&Description, &Claim),
    index: usize,
) -> Result<(), Stop> {
    check_cancelled(marks)?;
    marks.set_progress(Progress { finished: index as u32, begun: true });
    if index >= runtime.attended {
        attend(runtime, (what, claim), index);
    }
    Ok(())
}

/// Says whose output follows, starts the item's clock, and takes times.
fn attend(runtime: &mut WorkerRuntime, (what, claim): (&Description, &Claim), index: usize) {
    runtime.attended = if runtime.attends { 0 } else { usize::MAX };
    if let Some(output) = &mut runtime.output {
        let position = what.start.saturating_add(index as u32);
        let item = what.first.map(|first| first.saturating_add(u64::from(position)));
        output.begin(claim.slot().index() as u32, position, item);
    }
    if what.limit > 0 {
        runtime.start_clock(what.limit, what.grace);
    }
    if let Some(insights) = &mut runtime.insights {
        if index >= insights.due() {
            insights.at_item(index);
        }
        runtime.attended = runtime.attended.min(insights.due());
    }
}

/// Whether a task that asks is told to end.
#[inline]
pub(super) fn is_to_end(
    marks: &ItemMarks,
    claimer: &Claimer,
    mark: &ForkMark,
    what: &Description,
) -> bool {
    mark.get() != 0 && (marks.is_cancelled() || (what.grace > 0 && claimer.is_late()))
}

/// Says how many steps of the item in hand are done, unless a task has forked this process: the
/// board is not mapped in it.
pub(super) fn report(marks: &ItemMarks, mark: &ForkMark, (done, total): (u64, u64)) {
    if mark.get() != 0 {
        marks.set_steps(done, total);
    }
}

/// Notes that the results of `done` of `count` items are complete, and stops if the others go on
/// elsewhere or later.
#[inline]
pub(super) fn end_item(
    marks: &ItemMarks,
    slice: &mut TimeSlice,
    runtime: &mut WorkerRuntime,
    (what, claim): (&Description, &Claim),
    (done, count): (usize, usize),
) -> Result<(), Stop> {
    if what.limit > 0 && runtime.stop_clock() {
        return Err(overdue(what)); // its result is not counted
    }
    marks.set_progress(Progress { finished: done as u32, begun: false });
    if done < count
        && let Some(growth) = &mut runtime.growth
        && growth.check()
    {
        return Err(Stop::End(End::Cancelled)); // the next worker runs the others
    }
    if done < count
        && marks.others_wait()
        && slice.check(done)
        && !runtime.claimer.is_targeted(claim)
    {
        return Err(Stop::End(End::Cancelled)); // they go on behind what waits
    }
    Ok(())
}

/// Fails if the item that was called just now is late.
#[inline]
pub(super) fn check_late(runtime: &WorkerRuntime, what: &Description) -> Result<(), Stop> {
    end_if_forked(&runtime.mark);
    if what.limit > 0 && what.grace > 0 && runtime.claimer.is_late() {
        return Err(overdue(what));
    }
    Ok(())
}

/// Ends this process if a task forked it and it came back from the task: it is no worker, and the
/// board is not mapped in it.
#[inline]
pub(super) fn end_if_forked(mark: &ForkMark) {
    if mark.get() == 0 {
        panic::end_quietly();
    }
}

/// The failure of an item that was over its limit and has ended within its grace.
#[cold]
pub(super) fn overdue(what: &Description) -> Stop {
    Stop::Fail(FailureKind::Overdue { nanos: what.limit })
}
