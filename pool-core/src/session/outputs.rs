//! Outputs of failed items, on their way to their errors.
//!
//! Invariant: nothing is waited for here. An output is asked for before the engine is told of the
//! failure, and found again where the engine's delivery becomes an error, under the same lock.

use std::sync::atomic::Ordering::Relaxed;

use pool_ipc::board::{Incarnation, SlotIndex};

use super::state::{Session, SessionState};
use crate::{
    engine::JobId,
    error::{LateOutput, TaskError},
    ids::ItemIndex,
    output::{Failed, Position},
};

/// How a worker stopped with an item, as far as its output is concerned.
pub(super) enum LastItem {
    /// It has said that the item failed.
    Failed,
    /// It ended, or is about to.
    WithWorker,
}

impl Session {
    /// Asks for the output of the item behind the `finished` ones of the chunk in `slot`, if
    /// outputs are captured.
    pub(super) fn ask_for_output(
        &self,
        state: &mut SessionState,
        slot: SlotIndex,
        incarnation: Incarnation,
        finished: u32,
        last: &LastItem,
    ) {
        let (Some(capture), Some(chunk)) = (&*self.output, state.engine.chunk(slot)) else {
            return;
        };
        let position = chunk.start.saturating_add(finished);
        let failed = match last {
            LastItem::Failed => Failed::Item(Position { slot: slot.index() as u32, position }),
            LastItem::WithWorker => {
                // Relaxed: a hint, and the session's lock orders the rest.
                self.reports_matter.store(true, Relaxed);
                Failed::Last
            }
        };
        let (job, item) = (chunk.job, chunk.first.after(position as usize));
        state.outputs.push((job, item, capture.output_of(incarnation, failed)));
    }

    /// The error with the output that was asked for.
    pub(super) fn with_output(
        &self,
        state: &mut SessionState,
        job: JobId,
        error: TaskError,
    ) -> TaskError {
        let index = ItemIndex::new(error.index());
        let asked = state.outputs.iter().position(|(of, item, _)| (*of, *item) == (job, index));
        let output = asked.map_or(LateOutput::none(), |at| state.outputs.swap_remove(at).2);
        error.with_output(output)
    }

    /// Reads and delivers what workers have written.
    pub(super) fn flush_output(&self) {
        if let Some(capture) = &*self.output {
            capture.flush();
        }
    }
}
