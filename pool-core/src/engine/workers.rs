//! Which worker is at which place.
//!
//! Invariant: incarnations are counted upwards and never used again.

use super::{chunk::Action, dispatch::Engine};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    incarnation: Option<u32>,
    pid: i32,
    /// Workers in a row that died here before they were ready.
    stillborn: usize,
}

impl Engine {
    /// Fills every vacant place.
    pub(crate) fn staff(&mut self, out: &mut Vec<Action>) {
        for index in 0..self.places.len() {
            self.staff_place(index, out);
        }
    }

    /// Fills this place if it is vacant.
    pub(super) fn staff_place(&mut self, index: usize, out: &mut Vec<Action>) {
        if self.places[index].incarnation.is_none() {
            let incarnation = self.next_incarnation;
            self.next_incarnation += 1;
            self.places[index].incarnation = Some(incarnation);
            out.push(Action::Start { place: index as u32, incarnation });
        }
    }

    /// From now on chunks go to workers that are started later only.
    pub(crate) fn retire_all(&mut self) {
        self.min_incarnation = self.next_incarnation;
    }

    /// The oldest worker that chunks go to.
    pub(crate) fn min_incarnation(&self) -> u32 {
        self.min_incarnation
    }

    pub(crate) fn started(&mut self, incarnation: u32, pid: i32) {
        if let Some(place) = self.place_of(incarnation) {
            self.places[place].pid = pid;
        }
    }

    /// The worker is reaped (or was never started): its place is vacant. `ready`: it had come so far
    /// that it could take chunks.
    pub(crate) fn vacate(&mut self, incarnation: u32, ready: bool) {
        if let Some(place) = self.place_of(incarnation) {
            let stillborn = if ready { 0 } else { self.places[place].stillborn + 1 };
            self.places[place] = Place { stillborn, ..Place::default() };
            self.stillborn = if ready { 0 } else { self.stillborn + 1 };
        }
    }

    /// Whether so many workers died before they were ready that starting more is of no use.
    pub(crate) fn is_barren(&self) -> bool {
        self.stillborn > self.most_stillborn()
    }

    /// The same for those at one place; to be asked when one has died there, and said once.
    pub(crate) fn gives_place_up(&mut self, place: u32) -> bool {
        let most = self.most_stillborn();
        let Some(place) = self.places.get_mut(place as usize) else { return false };
        let gives_up = place.stillborn > most;
        if gives_up {
            place.stillborn = 0;
        }
        gives_up
    }

    fn most_stillborn(&self) -> usize {
        2 * self.places.len() + 2
    }

    /// The number of the worker that is started next.
    pub(crate) fn next_incarnation(&self) -> u32 {
        self.next_incarnation
    }

    pub(crate) fn forgive(&mut self) {
        self.stillborn = 0;
    }

    pub(crate) fn place_of(&self, incarnation: u32) -> Option<usize> {
        self.places.iter().position(|place| place.incarnation == Some(incarnation))
    }

    /// The occupied places with their incarnations and process ids (0: not known yet).
    pub(crate) fn workers(&self) -> impl Iterator<Item = (usize, u32, i32)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(index, place)| Some((index, place.incarnation?, place.pid)))
    }
}
