//! One call, counted while it goes on.

use std::{
    collections::VecDeque,
    fmt,
    panic::Location,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    function::Function,
    snapshot::{CallSnapshot, Outcome, WorkerSteps},
};
use crate::{
    cancel::CancelToken,
    error::{Cause, TaskError},
    mutex::lock,
};

/// How many of the last failures are kept.
const ERRORS: usize = 16;
/// Bytes of a failure's text that are kept.
const ERROR_LEN: usize = 4 << 10;
/// The total of a call whose input has not ended.
const UNKNOWN: u64 = u64::MAX;

/// What is known of a call before it begins.
#[derive(Debug, Clone)]
pub(crate) struct CallParts {
    pub(crate) function: Function,
    pub(crate) caller: Option<&'static Location<'static>>,
    pub(crate) form: &'static str,
    pub(crate) total: Option<u64>,
    pub(crate) token: Option<CancelToken>,
}

/// What workers have in hand of a call.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    /// Items of chunks that have not ended whose results are complete.
    pub(crate) finished: u64,
    pub(crate) steps: Vec<WorkerSteps>,
}

/// Looks at what workers have in hand of a call.
type Look = Box<dyn Fn() -> UnderWay + Send>;

/// A call that is recorded. One thread at a time counts, that which has the call's job; any thread
/// reads.
pub(crate) struct WatchedCall {
    number: u64,
    parts: CallParts,
    began: Instant,
    started: SystemTime,
    total: AtomicU64,
    read: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    errors: Mutex<VecDeque<TaskError>>,
    ended: Mutex<Option<End>>,
    /// Until the end. No look goes on when it is taken away.
    look: Mutex<Option<Look>>,
    /// The most items that a look has seen to have ended.
    seen: AtomicU64,
    /// The number by which insights know it.
    job: AtomicU64,
}

impl fmt::Debug for WatchedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedCall").field("parts", &self.parts).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct End {
    at: SystemTime,
    elapsed: Duration,
    outcome: Outcome,
}

impl WatchedCall {
    /// A call that begins now.
    pub(crate) fn new(parts: CallParts) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Relaxed),
            total: AtomicU64::new(parts.total.unwrap_or(UNKNOWN)),
            parts,
            began: Instant::now(),
            started: SystemTime::now(),
            read: AtomicU64::new(0),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            errors: Mutex::default(),
            ended: Mutex::default(),
            look: Mutex::default(),
            seen: AtomicU64::new(0),
            job: AtomicU64::new(UNKNOWN),
        }
    }

    /// Sets the number by which insights know it, and what looks at what workers have in hand.
    pub(crate) fn set_look(&self, (job, look): (u64, Look)) {
        self.job.store(job, Relaxed);
        *lock(&self.look) = Some(look);
    }

    /// The number by which insights know it.
    pub(super) fn job(&self) -> u64 {
        self.job.load(Relaxed)
    }

    /// The call's workers and memory are looked at no more.
    pub(crate) fn end_looks(&self) {
        let look = lock(&self.look).take();
        drop(look);
    }

    /// How many items have ended, how many of these have failed, and the steps of those in hand.
    pub(crate) fn now(&self) -> ((u64, u64), Vec<WorkerSteps>) {
        // Before the look: what is counted here is in no worker's hand any more, so no item counts
        // twice. One that is on its way in between is missing, and the next look has it.
        let (done, failed) = self.done();
        let UnderWay { finished, mut steps } = match &*lock(&self.look) {
            Some(look) => look(),
            None => return ((done, failed), Vec::new()),
        };
        let most = self.total().unwrap_or(u64::MAX).max(done);
        let seen = (done + finished).min(most);
        let before = self.seen.fetch_max(seen, Relaxed);
        steps.sort_by_key(|steps| steps.worker);
        ((seen.max(before), failed), steps)
    }

    /// Whether it is known how it has ended.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.ended).is_some()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.parts.token.as_ref()
    }

    /// Counts items that were read.
    pub(crate) fn add_read(&self, items: u64) {
        self.read.store(self.read.load(Relaxed) + items, Relaxed);
    }

    /// The input has ended: all items were read.
    pub(crate) fn read_all(&self) {
        self.total.store(self.read.load(Relaxed), Relaxed);
    }

    /// Counts items that have ended.
    pub(crate) fn add_done(&self, items: u64) {
        self.done.store(self.done.load(Relaxed) + items, Relaxed);
    }

    /// Counts the failure of an item, which [`WatchedCall::add_done`] counts, too.
    pub(crate) fn add_failed(&self, error: &TaskError) {
        self.failed.store(self.failed.load(Relaxed) + 1, Relaxed);
        let mut errors = lock(&self.errors);
        let oldest = if errors.len() == ERRORS { errors.pop_front() } else { None };
        errors.push_back(error.clone());
        drop(errors);
        drop(oldest);
    }

    /// How many items it has; `None`: that is not known yet.
    pub(crate) fn total(&self) -> Option<u64> {
        Some(self.total.load(Relaxed)).filter(|total| *total != UNKNOWN)
    }

    /// How many items have ended, and how many of these have failed.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.done.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Notes how the call has ended, unless that was noted before.
    pub(crate) fn end(&self, outcome: impl FnOnce() -> Outcome) {
        let mut ended = lock(&self.ended);
        if ended.is_none() {
            let (at, elapsed) = (SystemTime::now(), self.began.elapsed());
            *ended = Some(End { at, elapsed, outcome: outcome() });
        }
    }

    /// The text of the last failure of an item.
    pub(crate) fn last_failure(&self) -> Option<String> {
        let last = lock(&self.errors).back().cloned();
        last.map(|error| error.to_string())
    }

    /// How it has ended, if it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        lock(&self.ended).as_ref().map(|end| end.outcome.clone())
    }

    /// What is known of it now.
    pub(crate) fn snapshot(&self) -> CallSnapshot {
        let ended = lock(&self.ended).clone();
        let ((done, failed), steps) =
            if ended.is_some() { (self.done(), Vec::new()) } else { self.now() };
        let errors = lock(&self.errors).clone();
        CallSnapshot {
            number: self.number,
            function: self.parts.function.name(),
            caller: self.parts.caller,
            form: self.parts.form,
            total: self.total(),
            read: self.read.load(Relaxed),
            done,
            failed,
            steps,
            started: self.started,
            elapsed: ended.as_ref().map_or_else(|| self.began.elapsed(), |end| end.elapsed),
            errors: errors.iter().map(text_of).collect(),
            can_be_cancelled: ended.is_none() && self.parts.token.is_some(),
            ended: ended.map(|end| (end.at, end.outcome)),
        }
    }
}

/// The text of a failure, with its backtrace behind a line that says so.
fn text_of(error: &TaskError) -> String {
    let mut text = error.to_string();
    if let Cause::Panic { backtrace: Some(backtrace), .. } = error.cause() {
        text = format!("{text}\nstack backtrace:\n{backtrace}");
    }
    if text.len() > ERROR_LEN {
        let end = (0..=ERROR_LEN).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ItemIndex, WorkerId};

    fn call(total: Option<u64>) -> WatchedCall {
        WatchedCall::new(CallParts {
            function: Function::closure::<u8>(),
            caller: None,
            form: "map",
            total,
            token: None,
        })
    }

    #[test]
    fn the_total_is_what_was_read_when_the_input_ends() {
        let call = call(None);
        call.add_read(3);
        call.add_done(2);
        assert_eq!((call.snapshot().total, call.done()), (None, (2, 0)));
        call.add_read(1);
        call.read_all();
        assert_eq!(call.snapshot().total, Some(4));
    }

    #[test]
    fn the_first_end_counts() {
        let call = call(Some(1));
        assert!(call.snapshot().ended.is_none());
        call.end(|| Outcome::Cancelled);
        call.end(|| Outcome::Done);
        let (first, second) = (call.snapshot(), call.snapshot());
        assert_eq!(first.ended.map(|(_, outcome)| outcome), Some(Outcome::Cancelled));
        assert_eq!(first.elapsed, second.elapsed);
    }

    #[test]
    fn of_many_failures_the_last_ones_are_kept() {
        let call = call(None);
        for index in 0..40 {
            let error = TaskError::new(ItemIndex::new(index), WorkerId::FIRST, Cause::BadResult, 1);
            call.add_failed(&error);
        }
        let snapshot = call.snapshot();
        assert_eq!((snapshot.failed, snapshot.errors.len()), (40, ERRORS));
        assert!(snapshot.errors[ERRORS - 1].contains("39"), "{:?}", snapshot.errors);
    }
}
