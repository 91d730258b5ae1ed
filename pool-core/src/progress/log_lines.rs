//! Progress as a line now and then, for logs, CI and journals.

use std::time::{Duration, Instant};

use super::{
    line::{Numbers, line},
    report::{
        IntoProgress, Progress, ProgressOption, check_interval, check_text, in_one_line, sealed,
    },
    terminal,
};
use crate::calls::Outcome;

/// Shows progress as a line of text every few seconds, at the beginning and at the end. It goes to
/// standard error, whether or not that is a terminal, or to the logger.
///
/// ```
/// use pool_core::LogLines;
///
/// let lines = LogLines::new().message("words").interval(std::time::Duration::from_secs(10));
/// // words: 1200/5000 (24 %), 240.0/s, 5 s elapsed, 15 s left
/// ```
#[derive(Debug, Clone)]
pub struct LogLines {
    label: String,
    interval: Duration,
    to_log: bool,
    began: Instant,
    /// Until the end: so far.
    numbers: Numbers,
    error: Option<String>,
}

impl Default for LogLines {
    fn default() -> Self {
        Self::new()
    }
}

impl LogLines {
    /// A line every 5 seconds on standard error.
    #[must_use]
    pub fn new() -> Self {
        let numbers = Numbers { done: 0, failed: 0, total: None, elapsed: Duration::ZERO };
        Self {
            label: "progress".to_string(),
            interval: Duration::from_secs(5),
            to_log: false,
            began: Instant::now(),
            numbers,
            error: None,
        }
    }

    /// What the lines begin with; `progress` without it. A text with control characters, such as
    /// the end of a line, or with characters that change the direction of others refuses the call:
    /// `Error::InvalidInput`.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// The time between two lines, from 10 ms to 24 h, otherwise the call is
    /// `Error::InvalidInput`; 5 s without it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Hands the lines to the program's logger, as records of the target `pool::progress`: `info`,
    /// or `warn` where the call has failed.
    #[cfg(feature = "log")]
    #[must_use]
    pub fn to_log(mut self) -> Self {
        self.to_log = true;
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_text("message", &self.label)?;
        check_interval(self.interval)
    }

    fn say(&mut self, end: Option<&Outcome>) {
        self.numbers.elapsed = self.began.elapsed();
        let mut text = format!("{}: {}", self.label, line(self.numbers));
        match (end, self.error.take()) {
            (Some(Outcome::Done), _) | (None, None) => {}
            (Some(outcome), _) => text = format!("{text}, {}", in_one_line(&outcome.to_string())),
            (None, Some(error)) => text = format!("{text}, last failure: {error}"),
        }
        if !self.to_log {
            terminal::println(&text);
        }
        #[cfg(feature = "log")]
        if self.to_log {
            let failed = matches!(end, Some(Outcome::Failed(_)));
            let level = if failed { log::Level::Warn } else { log::Level::Info };
            log::log!(target: "pool::progress", level, "{text}");
        }
    }
}

impl Progress for LogLines {
    fn begin(&mut self, total: Option<u64>) {
        (self.began, self.numbers.total) = (Instant::now(), total);
        self.say(None);
    }

    fn advance(&mut self, done: u64, failed: u64) {
        (self.numbers.done, self.numbers.failed) = (done, failed);
        // The last one is followed by the end.
        if self.began.elapsed() >= self.numbers.elapsed + self.interval / 2 {
            self.say(None);
        }
    }

    fn total(&mut self, total: u64) {
        self.numbers.total = Some(total);
    }

    fn message(&mut self, text: &str) {
        self.error = Some(in_one_line(text));
    }

    fn end(&mut self, outcome: &Outcome) {
        self.say(Some(outcome));
    }

    fn interval(&self) -> Duration {
        self.interval
    }
}

impl sealed::Sealed for LogLines {}
impl IntoProgress for LogLines {
    fn into_progress(self) -> Option<ProgressOption> {
        Some(match self.check() {
            Ok(()) => ProgressOption::new(self),
            Err(why) => ProgressOption::refused(why),
        })
    }
}
