//! What workers were at, as columns of a picture that are each a part of the time.

use super::timeline::{Span, Timeline, What};

/// What a column shows, by the index of its times.
pub(super) const KINDS: usize = 6;
pub(super) const WORKING: usize = 3;
pub(super) const NAMES: [&str; KINDS] =
    ["start up", "init", "waiting", "working", "exit", "not recorded"];
/// Classes of their colours.
pub(super) const CLASSES: [&str; KINDS] = ["start", "init", "wait", "work", "exit", "gap"];
/// Steps of height of what is working in a column.
pub(super) const STEPS: u64 = 8;

/// The times of one worker, by columns.
#[derive(Debug)]
pub(super) struct Columns {
    times: Vec<[u64; KINDS]>,
    /// Nanoseconds of a column.
    width: f64,
}

/// Columns next to each other that show the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) column: usize,
    pub(super) columns: usize,
    /// What it shows beside work.
    pub(super) ground: Option<usize>,
    /// How much of it is work, in steps.
    pub(super) work: u64,
}

impl Columns {
    /// So many columns from the start to the end of the timeline.
    pub(super) fn of(spans: &[Span], timeline: &Timeline, columns: usize) -> Self {
        let width = ((timeline.end - timeline.start) as f64 / columns as f64).max(1.0);
        let mut times = vec![[0; KINDS]; columns];
        for span in spans {
            let kind = kind_of(span.what);
            let from = span.start.saturating_sub(timeline.start) as f64;
            let to = span.end.saturating_sub(timeline.start) as f64;
            let first = ((from / width) as usize).min(columns - 1);
            let last = ((to / width) as usize).min(columns - 1);
            for (column, times) in times.iter_mut().enumerate().take(last + 1).skip(first) {
                let (start, end) = (column as f64 * width, (column + 1) as f64 * width);
                let spent = to.min(end) - from.max(start);
                times[kind] += spent.max(0.0) as u64;
            }
        }
        Self { times, width }
    }

    /// Which part of each column is work, from 0 to 1.
    pub(super) fn work(&self) -> impl Iterator<Item = f64> + '_ {
        self.times.iter().map(|times| (times[WORKING] as f64 / self.width).clamp(0.0, 1.0))
    }

    /// What the columns show, those that show the same together.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (column, times) in self.times.iter().enumerate() {
            let ground = (0..KINDS)
                .filter(|kind| *kind != WORKING && times[*kind] > 0)
                .max_by_key(|kind| times[*kind]);
            let share = times[WORKING] as f64 / self.width;
            let work = (share * STEPS as f64).ceil().clamp(0.0, STEPS as f64) as u64;
            match runs.last_mut() {
                Some(run) if (run.ground, run.work) == (ground, work) => run.columns += 1,
                _ => runs.push(Run { column, columns: 1, ground, work }),
            }
        }
        runs
    }
}

fn kind_of(what: What) -> usize {
    match what {
        What::StartUp => 0,
        What::Init => 1,
        What::Waiting => 2,
        What::Task { .. } | What::Chunk { .. } | What::HandOver { .. } => WORKING,
        What::Exit => 4,
        What::NotRecorded => 5,
    }
}
