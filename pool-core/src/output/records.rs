//! Outputs of failed items, on their way to their errors: the reader may see an item's end before
//! or after its session does.
//!
//! Invariant: what is kept for errors that do not exist yet is bounded; every output that was asked
//! for is filled in once, at the latest when the end of its worker is seen.

use std::collections::VecDeque;

use pool_ipc::board::Incarnation;

use super::marker::Mark;
use crate::error::{LateOutput, TaskOutput};

/// Bytes of outputs that are kept for errors that do not exist yet.
const MOST_BYTES: usize = 64 << 20;

/// Where an item lies: its slot, and its position in the batch there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) slot: u32,
    pub(crate) position: u32,
}

/// Whose output is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// That of an item which failed, and whose worker lives on.
    Item(Position),
    /// What a worker had written last when it ended.
    Last,
}

impl From<Mark> for Position {
    fn from(mark: Mark) -> Self {
        Self { slot: mark.slot, position: mark.position }
    }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Outputs that were read and not asked for, oldest first.
    kept: VecDeque<(Incarnation, Position, TaskOutput)>,
    bytes: usize,
    awaited: Vec<(Incarnation, Failed, LateOutput)>,
}

/// What an output counts as: an empty one takes memory, too.
fn bytes_of(output: &TaskOutput) -> usize {
    output.len() + 128
}

impl Records {
    /// The output of a failed item, which is there or will be.
    pub(super) fn ask(&mut self, incarnation: Incarnation, failed: Failed) -> LateOutput {
        let late = LateOutput::awaited();
        let is_it =
            |of: &Incarnation, at: &Position| *of == incarnation && failed == Failed::Item(*at);
        match self.kept.iter().position(|(of, at, _)| is_it(of, at)) {
            Some(at) => {
                if let Some((_, _, output)) = self.kept.remove(at) {
                    self.bytes -= bytes_of(&output);
                    late.fill(output);
                }
            }
            None => self.awaited.push((incarnation, failed, late.clone())),
        }
        late
    }

    /// Whether any output was asked for that is known with the end of its worker.
    pub(super) fn wait_for_ends(&self) -> bool {
        self.awaited.iter().any(|(_, failed, _)| *failed == Failed::Last)
    }

    /// Notes the output of an item that has failed.
    pub(super) fn failed(
        &mut self,
        incarnation: Incarnation,
        position: Position,
        output: TaskOutput,
    ) {
        let wanted = |(of, failed, _): &mut (Incarnation, Failed, LateOutput)| {
            *of == incarnation && *failed == Failed::Item(position)
        };
        let asked: Vec<_> = self.awaited.extract_if(.., wanted).collect();
        if !asked.is_empty() {
            asked.iter().for_each(|(_, _, late)| late.fill(output.clone()));
            return;
        }
        self.bytes += bytes_of(&output);
        self.kept.push_back((incarnation, position, output));
        while self.bytes > MOST_BYTES && self.kept.len() > 1 {
            if let Some((_, _, oldest)) = self.kept.pop_front() {
                self.bytes -= bytes_of(&oldest);
            }
        }
    }

    /// Notes that a worker has ended, and what it had written last.
    pub(super) fn ended(&mut self, incarnation: Incarnation, last: &TaskOutput) {
        for (_, failed, late) in self.awaited.extract_if(.., |(of, ..)| *of == incarnation) {
            // Its marker has not come, so its output is not known.
            late.fill(if failed == Failed::Last { last.clone() } else { TaskOutput::default() });
        }
        self.kept.retain(|(of, ..)| *of != incarnation);
        self.bytes = self.kept.iter().map(|(_, _, output)| bytes_of(output)).sum();
    }

    /// Fills in all that is asked for: nothing is read any more.
    pub(super) fn give_up(&mut self) {
        self.awaited.drain(..).for_each(|(_, _, late)| late.fill(TaskOutput::default()));
        *self = Self::default();
    }
}
