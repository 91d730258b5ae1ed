//! What is known of a call at one moment, and how calls end.

use std::{
    fmt,
    panic::Location,
    time::{Duration, SystemTime},
};

/// How a call has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All items have ended. Where a call goes on after failures, some of them may have failed.
    Done,
    /// A failure has ended it; the text is that of the error.
    Failed(String),
    /// It was cancelled, or dropped before its last item.
    Cancelled,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(text) => write!(f, "failed: {text}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// The steps of an item that a worker has in hand, as its task reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerSteps {
    /// The worker's id.
    pub worker: u32,
    /// How many steps are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What is known of one call at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallSnapshot {
    /// The number of the call, which no other call of this process has.
    pub number: u64,
    /// The function's name, as far as the executable tells it. Of a closure, and in an executable
    /// without symbols, it is the function's type.
    pub function: String,
    /// Where the call was made.
    pub caller: Option<&'static Location<'static>>,
    /// The name of the method that runs it, such as `map`.
    pub form: &'static str,
    /// How many items it has; `None`: that shows when its input ends.
    pub total: Option<u64>,
    /// How many items of its input were read.
    pub read: u64,
    /// How many items have ended, by a value or a failure.
    pub done: u64,
    /// How many of these have failed.
    pub failed: u64,
    /// Steps inside of items, as tasks report them by `worker.progress(done, total)`.
    pub steps: Vec<WorkerSteps>,
    /// When the call has sent its first item.
    pub started: SystemTime,
    /// For how long it goes on, or went on.
    pub elapsed: Duration,
    /// When and how it has ended; `None`: it goes on.
    pub ended: Option<(SystemTime, Outcome)>,
    /// The last failures of its items, up to 16, each with the backtrace of its panic if there is
    /// one.
    pub errors: Vec<String>,
    /// Whether [`cancel`](crate::WatchedPool::cancel) can end it.
    pub can_be_cancelled: bool,
}

impl CallSnapshot {
    /// Items a second since it began; 0 at the beginning.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.done as f64 / seconds } else { 0.0 }
    }

    /// How long the rest takes at the rate so far; `None` while that is unknown, and after the end.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let (left, rate) = (self.total?.saturating_sub(self.done), self.rate());
        let goes_on = self.ended.is_none() && rate > 0.0;
        goes_on.then(|| Duration::try_from_secs_f64(left as f64 / rate).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(done: u64, total: Option<u64>, seconds: u64) -> CallSnapshot {
        CallSnapshot {
            number: 1,
            function: String::new(),
            caller: None,
            form: "map",
            total,
            read: done,
            done,
            failed: 0,
            steps: Vec::new(),
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::from_secs(seconds),
            ended: None,
            errors: Vec::new(),
            can_be_cancelled: true,
        }
    }

    #[test]
    fn the_rest_takes_as_long_as_the_rate_says() {
        assert_eq!(snapshot(10, Some(40), 5).remaining(), Some(Duration::from_secs(15)));
        assert_eq!(snapshot(40, Some(40), 5).remaining(), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_unknown_is_none() {
        assert_eq!(snapshot(10, None, 5).remaining(), None);
        assert_eq!(snapshot(0, Some(10), 5).remaining(), None);
        assert_eq!(snapshot(0, Some(u64::MAX), 0).rate(), 0.0);
        assert_eq!(snapshot(1, Some(u64::MAX), u64::MAX / 2).remaining(), None);
        let ended = CallSnapshot {
            ended: Some((SystemTime::UNIX_EPOCH, Outcome::Done)),
            ..snapshot(10, Some(40), 5)
        };
        assert_eq!(ended.remaining(), None);
    }
}
