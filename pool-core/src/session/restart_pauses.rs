//! Pauses before workers are replaced that were ready and died before they had a chunk.
//!
//! A call loses nothing by such a death, so the worker is replaced; but where something ends
//! workers again and again, each start takes a millisecond of a CPU. Invariant: the more workers
//! die in a row at a place, the longer it stays vacant, and never longer than [`LONGEST`]. Where
//! chunks wait that they could have taken, they count as workers that never got ready
//! (`WorkerTable::start_limit_reached`), so the calls end and say how the last one died.

use std::time::{Duration, Instant};

use pool_ipc::board::{Incarnation, SlotState};

use super::state::{Session, SessionState};
use crate::ids::WorkerId;

/// Most deaths in a row at a place after which there is no pause.
const AT_ONCE: u32 = 3;
/// The pause after the next death; it doubles with each further one.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(512);

impl Session {
    /// Vacates the place of a worker that was ready and has died without a chunk; after several
    /// such deaths the place stays vacant for a while.
    pub(super) fn died_idle(
        &self,
        state: &mut SessionState,
        worker: WorkerId,
        incarnation: Incarnation,
    ) {
        let serial = state.engine.workers.serial_of(incarnation);
        let awaited = state.engine.published().any(|(slot, chunk)| {
            chunk.audience.place.is_none_or(|place| place == worker.number())
                && chunk.audience.min_serial <= serial
                && self.board.slot_state(slot) == SlotState::Ready
        });
        let deaths = state.engine.workers.vacate_idle(incarnation, awaited);
        if let Some(rest) = rest_after(deaths) {
            state.engine.workers.rest(worker);
            state.rests.push((worker, Instant::now() + rest));
        }
    }

    /// Fills the places whose pause is over.
    pub(super) fn end_rests(&self, state: &mut SessionState) {
        if state.rests.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut over = false;
        for (worker, _) in state.rests.extract_if(.., |(_, until)| *until <= now) {
            state.engine.workers.end_rest(worker);
            over = true;
        }
        if over {
            self.refill(state);
        }
    }
}

impl SessionState {
    /// When the first of the pauses ends.
    pub(super) fn first_rest_ends(&self) -> Option<Instant> {
        self.rests.iter().map(|(_, until)| *until).min()
    }
}

/// The pause at a place at which so many workers have died in a row.
fn rest_after(deaths: u32) -> Option<Duration> {
    let doublings = deaths.checked_sub(AT_ONCE + 1)?;
    let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
    Some(SHORTEST.saturating_mul(factor).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_rest_longer_and_longer_but_not_for_ever() {
        assert_eq!([0, 1, AT_ONCE].map(rest_after), [None; 3]);
        let millis = |deaths| rest_after(deaths).unwrap().as_millis();
        assert_eq!([4, 5, 6, 12, 13, 14].map(millis), [1, 2, 4, 256, 512, 512]);
        assert_eq!([100, u32::MAX].map(millis), [512; 2]);
    }
}
