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
    /// Whether the worker has ended a chunk, or died with one.
    pub(super) served: bool,
    /// Workers in a row that were ready and died here without a chunk.
    idle_deaths: u32,
    /// Whether it is not filled for now.
    rests: bool,
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
        if self.places[index].incarnation.is_none() && !self.places[index].rests {
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

    /// As [`Engine::vacate`], for a worker that was ready, was not asked to leave, and had no
    /// chunk. `awaited`: there was one that it could have taken, so that it counts as one that
    /// never got ready. How many such there were in a row at this place.
    pub(crate) fn vacate_idle(&mut self, incarnation: u32, awaited: bool) -> u32 {
        let Some(at) = self.place_of(incarnation) else { return 0 };
        let Place { stillborn, idle_deaths, .. } = self.places[at];
        let stillborn = if awaited { stillborn + 1 } else { 0 };
        let idle_deaths = idle_deaths.saturating_add(1);
        self.places[at] = Place { stillborn, idle_deaths, ..Place::default() };
        self.stillborn = if awaited { self.stillborn + 1 } else { 0 };
        idle_deaths
    }

    /// Whether the worker has ended a chunk, or died with one.
    pub(crate) fn has_served(&self, incarnation: u32) -> bool {
        self.place_of(incarnation).is_some_and(|place| self.places[place].served)
    }

    /// Leaves a vacant place as it is, until [`Engine::end_rest`] or the next [`Engine::forgive`].
    pub(crate) fn rest(&mut self, place: u32) {
        if let Some(place) = self.places.get_mut(place as usize) {
            place.rests = true;
            self.rested = true;
        }
    }

    /// The place may be filled again.
    pub(crate) fn end_rest(&mut self, place: u32) {
        if let Some(place) = self.places.get_mut(place as usize) {
            place.rests = false;
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
        if std::mem::take(&mut self.rested) {
            for place in &mut self.places {
                (place.rests, place.idle_deaths) = (false, 0);
            }
        }
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
