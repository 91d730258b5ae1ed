//! Chunks that only the worker at one place may run: those that wait for their turn on the board.
//!
//! Invariant: of each place no more than a few lie in slots, and of all places no more than in half
//! of the slots, so that a worker that is busy or absent keeps nothing from the others.

use std::collections::VecDeque;

use pool_ipc::board::Board;

use super::chunk::Chunk;
use crate::ids::WorkerId;

/// The chunks of every place that wait, and how many are in slots.
#[derive(Debug)]
pub(super) struct TargetedQueues {
    places: Vec<Place>,
    /// Most chunks of one place that are in slots at a time.
    most_published: usize,
    /// Chunks that wait, of all places.
    waiting: usize,
    /// Chunks in slots, of all places.
    in_slots: usize,
    /// The place at which the search for the next chunk begins, so that places have turns.
    cursor: usize,
}

#[derive(Debug, Clone, Default)]
struct Place {
    waiting: VecDeque<Chunk>,
    published: usize,
}

impl TargetedQueues {
    pub(super) fn new(places: usize, slots: usize) -> Self {
        // One entry is left for the chunk whose result the worker keeps in hand.
        let most_published = (slots / (2 * places)).clamp(1, Board::MOST_TARGETED - 1);
        let places = vec![Place::default(); places];
        Self { places, most_published, waiting: 0, in_slots: 0, cursor: 0 }
    }

    /// Adds a chunk behind the others of its place, or before them if it goes on. `false`: there is
    /// no such place.
    pub(super) fn wait(&mut self, worker: WorkerId, chunk: Chunk, goes_on: bool) -> bool {
        let Some(place) = self.places.get_mut(worker.index()) else { return false };
        if goes_on {
            place.waiting.push_front(chunk);
        } else {
            place.waiting.push_back(chunk);
        }
        self.waiting += 1;
        true
    }

    /// Whether a chunk could be published if there were a slot.
    pub(super) fn is_due(&self) -> bool {
        self.waiting > 0 && self.next_place().is_some()
    }

    /// Whether any chunk waits.
    pub(super) fn any_waits(&self) -> bool {
        self.waiting > 0
    }

    fn next_place(&self) -> Option<usize> {
        let count = self.places.len();
        let due =
            |place: &Place| place.published < self.most_published && !place.waiting.is_empty();
        (0..count).map(|step| (self.cursor + step) % count).find(|at| due(&self.places[*at]))
    }

    /// Takes the next chunk that may be published.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Chunk> {
        if self.waiting == 0 {
            return None;
        }
        let at = self.next_place()?;
        self.cursor = (at + 1) % self.places.len();
        self.waiting -= 1;
        self.places[at].waiting.pop_front()
    }

    /// Counts a chunk of the place that was put into a slot.
    pub(super) fn published(&mut self, worker: WorkerId) {
        self.places[worker.index()].published += 1;
        self.in_slots += 1;
    }

    /// Subtracts a chunk of the place that is in no slot any more.
    pub(super) fn left(&mut self, worker: WorkerId) {
        self.places[worker.index()].published -= 1;
        self.in_slots -= 1;
    }

    /// Whether any chunk is in a slot.
    pub(super) fn any_published(&self) -> bool {
        self.in_slots > 0
    }

    /// Takes out the waiting chunks that `which` selects.
    pub(super) fn withdraw(&mut self, which: impl Fn(&Chunk) -> bool) -> Vec<Chunk> {
        let mut withdrawn = Vec::new();
        if self.waiting > 0 {
            for place in &mut self.places {
                let (out, left) = std::mem::take(&mut place.waiting).into_iter().partition(&which);
                place.waiting = left;
                let out: VecDeque<Chunk> = out;
                withdrawn.extend(out);
            }
            self.waiting -= withdrawn.len();
        }
        withdrawn
    }

    /// Whether nothing waits and nothing is published.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let empty = |place: &Place| place.waiting.is_empty() && place.published == 0;
        self.waiting == 0 && self.places.iter().all(empty)
    }

    pub(super) fn waiting_at(&self, worker: WorkerId) -> impl Iterator<Item = &Chunk> {
        self.places.get(worker.index()).into_iter().flat_map(|place| &place.waiting)
    }
}
