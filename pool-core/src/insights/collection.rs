//! The insights of a pool: the areas of its sets of workers, and what is left of those that have
//! ended.
//!
//! Invariant: what a set of workers has written is counted once: from its area while that is open,
//! and from the sums here once it was folded into them.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    activity::{WorkerActivity, activity_of},
    area::InsightsArea,
    describe::MakeDescriber,
    layout::InsightsShape,
    options::InsightsOptions,
    picture::write_picture,
    record::Record,
    report::Insights,
    row::RowTimes,
    snapshot::{Snapshot, Stream},
    timeline::Timeline,
    trace::write_events,
};
use crate::{error::Error, mutex::lock};

/// What a pool records of its workers.
#[derive(Debug)]
pub(crate) struct Collection {
    n_jobs: usize,
    options: InsightsOptions,
    state: Mutex<Collected>,
}

#[derive(Debug)]
struct Collected {
    /// Sets of workers, the oldest first.
    areas: Vec<(InsightsArea, Arc<AtomicBool>)>,
    /// Of sets of workers that have ended.
    folded: Vec<RowTimes>,
    streams: Vec<Stream>,
}

/// The area of a set of workers, as these have it; its drop closes the rows.
#[derive(Debug)]
pub(crate) struct OpenArea {
    area: InsightsArea,
    is_closed: Arc<AtomicBool>,
    /// A forked child has a copy of this.
    owner: u32,
}

impl Collection {
    /// What was asked for, checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`].
    pub(crate) fn new(options: InsightsOptions, n_jobs: usize) -> Result<Self, Error> {
        options.check()?;
        let folded = vec![RowTimes::default(); n_jobs];
        let state = Mutex::new(Collected { areas: Vec::new(), folded, streams: Vec::new() });
        Ok(Self { n_jobs, options, state })
    }

    /// How large the area of a set of workers is.
    pub(crate) fn shape(&self) -> InsightsShape {
        InsightsShape::new(self.n_jobs, self.options.trace_records)
    }

    /// What makes the texts of arguments.
    pub(crate) fn describers(&self) -> &[MakeDescriber] {
        &self.options.describers
    }

    /// Adds the area of a set of workers that is about to start.
    pub(crate) fn open(&self, area: InsightsArea) -> OpenArea {
        let is_closed = Arc::new(AtomicBool::new(false));
        let mut state = lock(&self.state);
        state.fold(self.options.trace_records);
        state.areas.push((area.clone(), is_closed.clone()));
        OpenArea { area, is_closed, owner: std::process::id() }
    }

    /// The times until now.
    pub(crate) fn insights(&self) -> Insights {
        Insights::new(&self.snapshot(false))
    }

    /// Writes the trace: see [`Pool::write_trace`](crate::Pool::write_trace).
    pub(crate) fn write_trace(&self, out: &mut impl Write) -> io::Result<()> {
        let snapshot = self.snapshot(true);
        write_events(&Timeline::new(&snapshot), &Insights::new(&snapshot), out)
    }

    /// Writes the picture: see [`Pool::write_svg`](crate::Pool::write_svg).
    pub(crate) fn write_svg(&self, out: &mut impl Write) -> io::Result<()> {
        let snapshot = self.snapshot(true);
        write_picture(&Timeline::new(&snapshot), &Insights::new(&snapshot), out)
    }

    /// What each worker is at.
    pub(crate) fn activity(&self) -> Vec<WorkerActivity> {
        let state = lock(&self.state);
        (0..self.n_jobs)
            .map(|worker| {
                let mut areas = state.areas.iter().rev();
                let of = areas.find_map(|(area, _)| activity_of(area, worker));
                of.unwrap_or_else(|| WorkerActivity::not_started(worker))
            })
            .collect()
    }

    /// All that is known now; with the records of the trace, if these are wanted.
    pub(super) fn snapshot(&self, traced: bool) -> Snapshot {
        let state = lock(&self.state);
        let mut workers = state.folded.clone();
        let mut streams = if traced { state.streams.clone() } else { Vec::new() };
        for (area, _) in &state.areas {
            for (worker, sum) in workers.iter_mut().enumerate() {
                if let Some(times) = RowTimes::read(area, worker) {
                    sum.add(&times);
                }
                if traced {
                    streams.extend(Stream::read(area, worker));
                }
            }
        }
        Snapshot { workers, streams, now: crate::os::monotonic_nanos() }
    }
}

impl Collected {
    /// Takes over what sets of workers that have ended left, and lets go of their areas.
    fn fold(&mut self, most_records: usize) {
        let Self { areas, folded, streams } = self;
        areas.retain(|(area, is_closed)| {
            // Acquire: pairs with the Release of the drop that closed it.
            if !is_closed.load(Ordering::Acquire) {
                return true;
            }
            let mut known: usize = streams.iter().map(|stream| stream.records.len()).sum();
            for (worker, sum) in folded.iter_mut().enumerate() {
                if let Some(times) = RowTimes::read(area, worker) {
                    sum.add(&times);
                }
                let Some(mut stream) = Stream::read(area, worker) else { continue };
                // Starts and ends come in addition to the items.
                let room = (2 * most_records).saturating_sub(known);
                if stream.records.len() > room {
                    let dropped = stream.records.split_off(room);
                    let is_item = |record: &&Record| matches!(record, Record::Item(_));
                    let items = dropped.iter().filter(is_item).count() as u64;
                    sum.items_left_out = sum.items_left_out.saturating_add(items);
                }
                known += stream.records.len();
                if !stream.records.is_empty() {
                    streams.push(stream);
                }
            }
            false
        });
    }
}

impl OpenArea {
    /// The area.
    pub(crate) fn area(&self) -> &InsightsArea {
        &self.area
    }

    /// Closes the rows of workers that have ended without a report.
    pub(crate) fn close(&self) {
        if self.owner == std::process::id() && !self.is_closed.load(Ordering::Relaxed) {
            self.area.close();
            // Release: pairs with the Acquire in `fold`.
            self.is_closed.store(true, Ordering::Release);
        }
    }
}

impl Drop for OpenArea {
    fn drop(&mut self) {
        self.close();
    }
}
