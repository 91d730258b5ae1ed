//! Which process is which worker, at present.
//!
//! Invariant: serial numbers are counted upwards and never used again, so they alone say which of
//! two workers is older. An incarnation is a worker's name on the board, in orders and in reports,
//! and has 28 bits: after all of them the names begin again, and a name is passed over as long as
//! anything of an older worker still has it: the table, results that are being read, its arena.

use std::sync::{Arc, Weak};

use pool_ipc::board::{Incarnation, incarnation_of};

use super::chunk::Action;
use crate::ids::WorkerId;

/// The workers of an engine, each with the process that it is at present.
#[derive(Debug, Default)]
pub(crate) struct WorkerTable {
    entries: Vec<Entry>,
    next_serial: u64,
    /// The serial number of the oldest worker that chunks go to.
    min_serial: u64,
    outlived: Outlived,
    /// Workers in a row that died before they were ready.
    pub(super) failed_starts: usize,
    /// Whether a worker was not replaced for a while.
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
struct Entry {
    incarnation: Option<Incarnation>,
    serial: u64,
    pid: i32,
    /// Workers in a row that died here before they were ready.
    failed_starts: usize,
    /// Whether the worker has ended a chunk, or died with one.
    served: bool,
    /// Workers in a row that were ready and died here without a chunk.
    idle_deaths: u32,
    /// Whether the worker is not to be replaced for a while.
    rests: bool,
}

impl WorkerTable {
    pub(super) fn new(workers: usize) -> Self {
        Self { entries: vec![Entry::default(); workers], next_serial: 1, ..Self::default() }
    }

    /// The number of workers.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes that the worker has ended a chunk, or died with one; answers which worker it is, if it
    /// still is one.
    pub(super) fn serves(&mut self, incarnation: Incarnation) -> Option<WorkerId> {
        self.failed_starts = 0;
        let worker = self.worker_of(incarnation)?;
        self.entries[worker.index()].served = true;
        Some(worker)
    }

    /// Starts this worker if it has no process. `is_lent`: whether results of a worker of that name
    /// are still read.
    #[inline]
    pub(super) fn start_if_missing(
        &mut self,
        worker: WorkerId,
        is_lent: impl Fn(Incarnation) -> bool,
        out: &mut Vec<Action>,
    ) {
        if self.entries[worker.index()].incarnation.is_none() && !self.entries[worker.index()].rests
        {
            while self.is_taken(incarnation_of(self.next_serial), &is_lent) {
                self.next_serial += 1;
            }
            let serial = self.next_serial;
            let incarnation = incarnation_of(serial);
            self.next_serial += 1;
            self.entries[worker.index()].incarnation = Some(incarnation);
            self.entries[worker.index()].serial = serial;
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

    /// The worker's serial number; 0 when it is no worker any more.
    pub(crate) fn serial_of(&self, incarnation: Incarnation) -> u64 {
        self.worker_of(incarnation).map_or(0, |worker| self.entries[worker.index()].serial)
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
            self.entries[worker.index()].pid = pid;
        }
    }

    /// Takes a worker out that was reaped or was never started. `ready`: it had come so far that it
    /// could take chunks.
    pub(crate) fn vacate(&mut self, incarnation: Incarnation, ready: bool) {
        if let Some(worker) = self.worker_of(incarnation) {
            let failed_starts =
                if ready { 0 } else { self.entries[worker.index()].failed_starts + 1 };
            self.entries[worker.index()] = Entry { failed_starts, ..Entry::default() };
            self.failed_starts = if ready { 0 } else { self.failed_starts + 1 };
        }
    }

    /// Takes a worker out that was ready, was not asked to leave, and died without a chunk; answers
    /// how many processes of this worker in a row died so. `awaited`: a chunk was there that it
    /// could have taken, so that it counts as one that never got ready.
    pub(crate) fn vacate_idle(&mut self, incarnation: Incarnation, awaited: bool) -> u32 {
        let Some(at) = self.worker_of(incarnation) else { return 0 };
        let Entry { failed_starts, idle_deaths, .. } = self.entries[at.index()];
        let failed_starts = if awaited { failed_starts + 1 } else { 0 };
        let idle_deaths = idle_deaths.saturating_add(1);
        self.entries[at.index()] = Entry { failed_starts, idle_deaths, ..Entry::default() };
        self.failed_starts = if awaited { self.failed_starts + 1 } else { 0 };
        idle_deaths
    }

    /// Whether the worker has ended a chunk, or died with one.
    pub(crate) fn has_served(&self, incarnation: Incarnation) -> bool {
        self.worker_of(incarnation).is_some_and(|worker| self.entries[worker.index()].served)
    }

    /// Keeps a worker from being replaced until [`WorkerTable::end_rest`] or the next
    /// [`WorkerTable::reset_failed_starts`].
    pub(crate) fn rest(&mut self, worker: WorkerId) {
        if let Some(entry) = self.entries.get_mut(worker.index()) {
            entry.rests = true;
            self.rested = true;
        }
    }

    /// Lets the worker be replaced again.
    pub(crate) fn end_rest(&mut self, worker: WorkerId) {
        if let Some(entry) = self.entries.get_mut(worker.index()) {
            entry.rests = false;
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
        let Some(entry) = self.entries.get_mut(worker.index()) else { return false };
        let gives_up = entry.failed_starts > most;
        if gives_up {
            entry.failed_starts = 0;
        }
        gives_up
    }

    fn max_failed_starts(&self) -> usize {
        2 * self.entries.len() + 2
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
            for entry in &mut self.entries {
                (entry.rests, entry.idle_deaths) = (false, 0);
            }
        }
    }

    pub(crate) fn worker_of(&self, incarnation: Incarnation) -> Option<WorkerId> {
        self.entries
            .iter()
            .position(|entry| entry.incarnation == Some(incarnation))
            .map(WorkerId::from_index)
    }

    /// The workers that there are, with their incarnations and process ids (0: not known yet).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, Incarnation, i32)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            Some((WorkerId::from_index(index), entry.incarnation?, entry.pid))
        })
    }
}
