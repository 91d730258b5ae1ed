//! The report of a run, in one line.

use std::{fmt, time::Duration};

/// Counts and times of one kind.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) kills: usize,
    /// From the kill of a holder until another process had the lock.
    pub(crate) after_holding: Vec<Duration>,
    /// From the kill of a process that had changed the data and given the lock back, but not yet
    /// notified, until another process saw the change.
    pub(crate) before_notifying: Vec<Duration>,
    /// From the kill of a process that held nothing, as far as its word says, until the others went
    /// on.
    pub(crate) after_others: Vec<Duration>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills", self.kills)?;
        for (what, times) in [
            ("while holding", &self.after_holding),
            ("before notifying", &self.before_notifying),
            ("otherwise", &self.after_others),
        ] {
            let mut times = times.clone();
            times.sort();
            let Some(longest) = times.last() else { continue };
            let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
            write!(
                f,
                "; {} {what}: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, longest {longest:.1?}",
                times.len(),
                at(0.5),
                at(0.99),
                at(0.999),
            )?;
        }
        Ok(())
    }
}
