//! What shows progress: the trait, and the option of a call.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    calls::{Outcome, WorkerSteps},
    error::Error,
    mutex::lock,
    text::leaves_line,
};

/// The shortest and the longest time between two looks at a call.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Shows how far one call is.
///
/// One thread of the process calls these methods, for all calls of all pools: `begin` once, then
/// the others, at most once in an [`interval`](Progress::interval), and `end` once, always after a
/// last `advance`. A call waits for `end` before it returns, but not longer than a second: a method
/// that blocks keeps other calls from being shown as long, and holds up none but the first of them
/// that ends meanwhile, for that second. It may use pools, also the one whose call it shows. A
/// method that panics is the last one that is called; its call goes on.
///
/// ```
/// use pool_core::{Outcome, Progress};
///
/// struct Counts;
///
/// impl Progress for Counts {
///     fn begin(&mut self, total: Option<u64>) {
///         println!("0 of {total:?}");
///     }
///     fn advance(&mut self, done: u64, failed: u64) {
///         println!("{done}, and {failed} of them failed");
///     }
///     fn end(&mut self, outcome: &Outcome) {
///         println!("{outcome}");
///     }
/// }
/// ```
pub trait Progress: Send + 'static {
    /// The call has begun. `total`: how many items it has, if that is known.
    fn begin(&mut self, total: Option<u64>);

    /// So many items have ended until now, of which so many have failed. Called when that has
    /// changed, and before the end.
    fn advance(&mut self, done: u64, failed: u64);

    /// The input has ended: it has so many items. Called where `begin` did not know it, or where
    /// the input has another number of items than it said.
    fn total(&mut self, total: u64) {
        let _ = total;
    }

    /// Steps inside of the items in hand, by workers: those whose task reports them by
    /// `worker.progress(done, total)`. Called when they have changed; at the end there are none.
    fn steps(&mut self, steps: &[WorkerSteps]) {
        let _ = steps;
    }

    /// The text of the last failure of an item.
    fn message(&mut self, text: &str) {
        let _ = text;
    }

    /// The call has ended.
    fn end(&mut self, outcome: &Outcome);

    /// The time between two looks at the call; times below 10 ms count as 10 ms.
    fn interval(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// What shows the progress of one call.
type Reporter = Box<dyn Progress>;

/// How one call shows its progress, as an option of it.
#[derive(Clone)]
pub struct ProgressOption {
    /// Taken by the call when it begins.
    reporter: Arc<Mutex<Option<Reporter>>>,
    /// Why it is refused.
    refused: Option<String>,
}

impl ProgressOption {
    /// What shows the progress.
    pub fn new(progress: impl Progress) -> Self {
        Self { reporter: Arc::new(Mutex::new(Some(Box::new(progress)))), refused: None }
    }

    pub(super) fn refused(why: String) -> Self {
        Self { reporter: Arc::default(), refused: Some(why) }
    }

    /// Fails if it cannot be shown as asked for.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.refused {
            Some(why) => Err(Error::InvalidInput(why.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn take(&self) -> Option<Reporter> {
        lock(&self.reporter).take()
    }
}

impl PartialEq for ProgressOption {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.reporter, &other.reporter)
    }
}

impl fmt::Debug for ProgressOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressOption").field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// What a call's option `progress` takes: `true` or `false` and `Bar` (with the feature
/// `progress`), or a [`LogLines`](super::LogLines).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no way to show progress",
    label = "`true`, `Bar::new()` (both with the feature `progress`) or `LogLines::new()`; an own `Progress` is for `progress_with`"
)]
pub trait IntoProgress: sealed::Sealed {
    /// The option; `None`: nothing is shown.
    #[doc(hidden)]
    fn into_progress(self) -> Option<ProgressOption>;
}

pub(super) mod sealed {
    /// Restricts [`IntoProgress`](super::IntoProgress) to this crate.
    pub trait Sealed {}
}

/// Refuses a time between two looks that is out of range.
pub(super) fn check_interval(interval: Duration) -> Result<(), String> {
    if (SHORTEST..=LONGEST).contains(&interval) {
        return Ok(());
    }
    Err(format!("progress: interval must be from 10 ms to 24 h, got {interval:?}"))
}

/// Refuses a text that does not fit into a line.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), String> {
    match text.chars().find(|c| leaves_line(*c)) {
        Some(c) => Err(format!("progress: {name} must be one line of text, got {c:?} in it")),
        None => Ok(()),
    }
}

/// A text in one line.
pub(super) fn in_one_line(text: &str) -> String {
    text.chars().map(|c| if leaves_line(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_in_their_line() {
        for c in ['\n', '\r', '\u{1b}', '\u{9b}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{2069}'] {
            let refused = check_text("message", &format!("a{c}b")).expect_err("no line");
            assert!(refused.contains("message"), "{refused}");
            assert_eq!(in_one_line(&format!("a{c}b")), "a b");
        }
        for text in ["", "é €", "שלום", "\u{200f}", "\u{feff}"] {
            assert_eq!(
                (check_text("message", text), in_one_line(text)),
                (Ok(()), text.to_string())
            );
        }
    }
}
