//! Which worker is at which place.
//!
//! Invariant: serial numbers are counted upwards and never used again, so they alone say which of
//! two workers is older. An incarnation is a worker's name on the board, in orders and in reports,
//! and has 28 bits: after all of them the names begin again, and a name is passed over as long as
//! anything of an older worker still has it: its place, results that are being read, its arena.

use std::sync::{Arc, Weak};

use pool_ipc::board::{Incarnation, incarnation_of};

use super::chunk::Action;
use crate::ids::WorkerId;

/// The workers of an engine, each at its place.
#[derive(Debug, Default)]
pub(crate) struct WorkerTable {
    places: Vec<Place>,
    next_serial: u64,
    /// The serial number of the oldest worker that chunks go to.
    min_serial: u64,
    outlived: Outlived,
    /// Workers in a row that died before they were ready.
    pub(super) failed_starts: usize,
    /// Whether a place was left vacant for a while.
    rested: bool,
}

/// Names whose workers are dead and whose arenas are still read.
#[derive(Debug, Default)]
struct Outlived {
    names: Vec<(Incarnation, Weak<()>)>,
    /// The number of names at which those whose arena is gone are removed.
    enough: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    incarnation: Option<Incarnation>,
    serial: u64,
    pid: i32,
    /// Workers in a row that died here before they were ready.
    failed_starts: usize,
    /// Whether the worker has ended a chunk, or died with one.
    served: bool,
    /// Workers in a row that were ready and died here without a chunk.
    idle_deaths: u32,
    /// Whether the place is to stay vacant for a while.
    rests: bool,
}

impl WorkerTable {
    pub(super) fn new(places: usize) -> Self {
        Self { places: vec![Place::default(); places], next_serial: 1, ..Self::default() }
    }

    /// The number of places.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Notes that the worker has ended a chunk, or died with one; answers with its place, if it
    /// still has one.
    pub(super) fn serves(&mut self, incarnation: Incarnation) -> Option<WorkerId> {
        self.failed_starts = 0;
        let worker = self.worker_of(incarnation)?;
        self.places[worker.index()].served = true;
        Some(worker)
    }

    /// Fills this place if it is vacant. `is_lent`: whether results of a worker of that name are
    /// still read.
    pub(super) fn staff(
        &mut self,
        worker: WorkerId,
        is_lent: impl Fn(Incarnation) -> bool,
        out: &mut Vec<Action>,
    ) {
        if self.places[worker.index()].incarnation.is_none() && !self.places[worker.index()].rests {
            while self.is_taken(incarnation_of(self.next_serial), &is_lent) {
                self.next_serial += 1;
            }
            let serial = self.next_serial;
            let incarnation = incarnation_of(serial);
            self.next_serial += 1;
            self.places[worker.index()].incarnation = Some(incarnation);
            self.places[worker.index()].serial = serial;
            out.push(Action::Start { worker, incarnation, serial });
        }
    }

    /// Whether anything of an older worker still has this name.
    fn is_taken(&self, incarnation: Incarnation, is_lent: impl Fn(Incarnation) -> bool) -> bool {
        self.worker_of(incarnation).is_some()
            || is_lent(incarnation)
            || self.outlived.names.iter().any(|(name, _)| *name == incarnation)
    }

    /// Keeps the name of a dead worker from being used again while `arena` is held.
    pub(crate) fn outlives(&mut self, incarnation: Incarnation, arena: &Arc<()>) {
        let Outlived { names, enough } = &mut self.outlived;
        if names.len() >= *enough {
            names.retain(|(_, arena)| arena.strong_count() > 0);
            *enough = 2 * names.len() + 64;
        }
        names.push((incarnation, Arc::downgrade(arena)));
    }

    /// The worker's serial number; 0 when it has no place any more.
    pub(crate) fn serial_of(&self, incarnation: Incarnation) -> u64 {
        self.worker_of(incarnation).map_or(0, |worker| self.places[worker.index()].serial)
    }

    /// Has chunks go only to workers that are started from now on.
    pub(crate) fn retire_all(&mut self) {
        self.min_serial = self.next_serial;
    }

    /// The serial number of the oldest worker that chunks go to.
    pub(crate) fn min_serial(&self) -> u64 {
        self.min_serial
    }

    pub(crate) fn started(&mut self, incarnation: Incarnation, pid: i32) {
        if let Some(worker) = self.worker_of(incarnation) {
            self.places[worker.index()].pid = pid;
        }
    }

    /// Vacates the place of a worker that was reaped or was never started. `ready`: it had come so
    /// far that it could take chunks.
    pub(crate) fn vacate(&mut self, incarnation: Incarnation, ready: bool) {
        if let Some(worker) = self.worker_of(incarnation) {
            let failed_starts =
                if ready { 0 } else { self.places[worker.index()].failed_starts + 1 };
            self.places[worker.index()] = Place { failed_starts, ..Place::default() };
            self.failed_starts = if ready { 0 } else { self.failed_starts + 1 };
        }
    }

    /// Vacates the place of a worker that was ready, was not asked to leave, and died without a
    /// chunk; answers how many in a row died so at this place. `awaited`: a chunk was there that it
    /// could have taken, so that it counts as one that never got ready.
    pub(crate) fn vacate_idle(&mut self, incarnation: Incarnation, awaited: bool) -> u32 {
        let Some(at) = self.worker_of(incarnation) else { return 0 };
        let Place { failed_starts, idle_deaths, .. } = self.places[at.index()];
        let failed_starts = if awaited { failed_starts + 1 } else { 0 };
        let idle_deaths = idle_deaths.saturating_add(1);
        self.places[at.index()] = Place { failed_starts, idle_deaths, ..Place::default() };
        self.failed_starts = if awaited { self.failed_starts + 1 } else { 0 };
        idle_deaths
    }

    /// Whether the worker has ended a chunk, or died with one.
    pub(crate) fn has_served(&self, incarnation: Incarnation) -> bool {
        self.worker_of(incarnation).is_some_and(|worker| self.places[worker.index()].served)
    }

    /// Keeps a place vacant until [`WorkerTable::end_rest`] or the next
    /// [`WorkerTable::reset_failed_starts`].
    pub(crate) fn rest(&mut self, worker: WorkerId) {
        if let Some(place) = self.places.get_mut(worker.index()) {
            place.rests = true;
            self.rested = true;
        }
    }

    /// Lets the place be filled again.
    pub(crate) fn end_rest(&mut self, worker: WorkerId) {
        if let Some(place) = self.places.get_mut(worker.index()) {
            place.rests = false;
        }
    }

    /// Whether so many workers died before they were ready that starting more is of no use.
    pub(crate) fn start_limit_reached(&self) -> bool {
        self.failed_starts > self.max_failed_starts()
    }

    /// Whether so many processes of this worker died before they were ready that starting more is
    /// of no use; then the count begins anew. Called when one has died.
    pub(crate) fn take_start_limit_reached(&mut self, worker: WorkerId) -> bool {
        let most = self.max_failed_starts();
        let Some(place) = self.places.get_mut(worker.index()) else { return false };
        let gives_up = place.failed_starts > most;
        if gives_up {
            place.failed_starts = 0;
        }
        gives_up
    }

    fn max_failed_starts(&self) -> usize {
        2 * self.places.len() + 2
    }

    /// The lowest serial number that the next worker can have.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// Gives the next worker this serial number.
    pub(super) fn count_from(&mut self, serial: u64) {
        self.next_serial = serial;
    }

    pub(crate) fn reset_failed_starts(&mut self) {
        self.failed_starts = 0;
        if std::mem::take(&mut self.rested) {
            for place in &mut self.places {
                (place.rests, place.idle_deaths) = (false, 0);
            }
        }
    }

    pub(crate) fn worker_of(&self, incarnation: Incarnation) -> Option<WorkerId> {
        self.places
            .iter()
            .position(|place| place.incarnation == Some(incarnation))
            .map(WorkerId::from_index)
    }

    /// The occupied places with their incarnations and process ids (0: not known yet).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, Incarnation, i32)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            Some((WorkerId::from_index(index), place.incarnation?, place.pid))
        })
    }
}
