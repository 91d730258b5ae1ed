//! One future: the state that its handle shares with the side that completes it.
//!
//! Invariant: the outcome is written once; the stage becomes DONE after the outcome is written.

use std::{
    fmt, mem,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::Waker,
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use super::{
    callbacks::Callback,
    notices::Notice,
    queue::{Held, QueueShared},
};
use crate::{
    compact::Compact,
    error::Error,
    ids::FutureId,
    mutex::lock,
    panic::{drop_quietly, quietly},
    reentrancy::{Brought, InCall, Within},
};

/// The state of one future.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) queue_shared: Arc<QueueShared>,
    /// The tasks and calls inside of which it was made.
    within: Within,
    /// What tells it from the other futures of its pool.
    id: FutureId,
    /// Whether it is that of a map.
    of_map: bool,
    stage: AtomicU8,
    cell: Mutex<Cell<R>>,
    /// Notified when callbacks have been made of the outcome.
    settled: Condvar,
}

#[derive(Debug)]
struct Cell<R> {
    outcome: Outcome<R>,
    /// Bytes that the result counts as.
    bytes: u64,
    watchers: Vec<Watcher<R>>,
}

/// Notified of the outcome.
pub(super) enum Watcher<R> {
    Waker(Waker),
    Notice(Notice),
    /// Makes a callback of the outcome, if the callback is for that kind of outcome.
    Callback(Box<Make<R>>),
}

/// Makes a callback of an outcome.
type Make<R> = dyn FnOnce(Result<&R, &Error>) -> Option<Callback> + Send;

impl<R> fmt::Debug for Watcher<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

#[derive(Debug)]
enum Outcome<R> {
    Pending,
    /// This thread makes callbacks of the outcome, which may run the user's code: no other thread
    /// can reach the outcome meanwhile.
    Read(ThreadId),
    // (Errors are boxed, since there may be a million of these.)
    Done(Result<Compact<R>, Box<Error>>),
    Taken,
}

impl<R> Outcome<R> {
    fn is_read_here(&self) -> bool {
        matches!(self, Self::Read(by) if *by == thread::current().id())
    }
}

/// How far a future is: no worker thread has begun it.
const WAITING: u8 = 0;
/// A worker thread has begun it.
const BEGUN: u8 = 1;
const DONE: u8 = 2;

impl<R> Entry<R> {
    /// The future of one item.
    #[inline]
    pub(super) fn new(queue_shared: Arc<QueueShared>) -> Arc<Self> {
        Self::with_id(queue_shared, false)
    }

    pub(super) fn of_map(queue_shared: Arc<QueueShared>) -> Arc<Self> {
        Self::with_id(queue_shared, true)
    }

    #[inline]
    fn with_id(queue_shared: Arc<QueueShared>, of_map: bool) -> Arc<Self> {
        let cell = Cell { outcome: Outcome::Pending, bytes: 0, watchers: Vec::new() };
        let (stage, cell) = (AtomicU8::new(WAITING), Mutex::new(cell));
        let (within, id) = (Within::here(), queue_shared.budget.take_future_id());
        let settled = Condvar::new();
        Arc::new(Self { queue_shared, within, id, of_map, stage, cell, settled })
    }

    /// The number that [`AsyncResult::number`](super::AsyncResult::number) returns.
    pub(super) fn id(&self) -> FutureId {
        self.id
    }

    /// While the returned value lives, the calling thread hands the outcome over, or runs a task
    /// for it.
    #[inline]
    pub(super) fn enter_delivery(&self) -> (Brought, InCall) {
        (self.within.bring(), InCall::enter_delivery(self.queue_shared.backend, self.address()))
    }

    /// The future's identity.
    #[inline]
    pub(super) fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    /// The tasks and calls inside of which it was made.
    #[inline]
    pub(super) fn within(&self) -> &Within {
        &self.within
    }

    /// Whether the outcome is there.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == DONE
    }

    /// A worker thread begins the call; `false` when the call is not to run any more.
    #[inline]
    pub(super) fn begin(&self) -> bool {
        self.leave_waiting(BEGUN)
    }

    #[inline]
    fn leave_waiting(&self, to: u8) -> bool {
        self.stage.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Completes a future that no worker has begun; `false` when one has.
    pub(super) fn cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        // The thread that wins this exchange completes the future.
        let cancelled = self.leave_waiting(BEGUN);
        if cancelled {
            self.complete(Err(Error::Cancelled), 0);
        }
        cancelled
    }

    /// Writes the outcome; a second one is dropped.
    #[inline]
    pub(super) fn complete(&self, outcome: Result<Compact<R>, Error>, bytes: u64) {
        self.try_complete(outcome, bytes);
    }

    /// Writes the outcome if it is the first, and returns whether it was; a second one is dropped.
    #[inline]
    pub(super) fn try_complete(&self, outcome: Result<Compact<R>, Error>, bytes: u64) -> bool {
        let outcome = outcome.map_err(|error| error.of_future(self.id, self.of_map));
        let mut cell = lock(&self.cell);
        if !matches!(cell.outcome, Outcome::Pending) {
            drop(cell);
            drop_quietly(outcome); // the user's code
            return false;
        }
        let watchers = mem::take(&mut cell.watchers);
        if watchers.is_empty() {
            self.store(&mut cell, outcome, bytes);
            return true;
        }
        cell.outcome = Outcome::Read(thread::current().id());
        drop(cell);
        let _inside = self.enter_delivery();
        let well = outcome.is_ok();
        let (mut others, mut callbacks) = (Vec::new(), Vec::new());
        for watcher in watchers {
            match watcher {
                Watcher::Callback(make) => {
                    let make =
                        || make(outcome.as_deref()).map(|callback| self.count(callback, bytes));
                    quietly(|| callbacks.extend(make()));
                }
                other => others.push(other),
            }
        }
        let mut cell = lock(&self.cell);
        // Watchers that came meanwhile.
        let late = mem::take(&mut cell.watchers);
        self.store(&mut cell, outcome, bytes);
        drop(cell);
        self.settled.notify_all();
        self.queue_shared.watched.fetch_sub(1, Ordering::SeqCst);
        callbacks.into_iter().for_each(|callback| self.queue_shared.callbacks.run(callback));
        for watcher in others {
            match watcher {
                Watcher::Waker(waker) => quietly(|| waker.wake()),
                Watcher::Notice(notice) => notice.send(well),
                Watcher::Callback(_) => {}
            }
        }
        late.into_iter().for_each(|watcher| self.watch(watcher));
        true
    }

    /// Writes the outcome if it is the first and has no watchers, so that none of the user's code
    /// runs but the value's drop; whether it was written.
    #[inline]
    pub(super) fn complete_unwatched(&self, value: Compact<R>, bytes: u64) -> bool {
        let mut cell = lock(&self.cell);
        let is_unwatched = matches!(cell.outcome, Outcome::Pending) && cell.watchers.is_empty();
        if is_unwatched {
            self.store(&mut cell, Ok(value), bytes);
        }
        is_unwatched
    }

    /// Wraps the callback, so that its copy of the value counts until it has run.
    fn count(&self, callback: Callback, bytes: u64) -> Callback {
        let held = Held::new(&self.queue_shared.budget, bytes);
        Box::new(move || {
            callback();
            drop(held);
        })
    }

    #[inline]
    fn store(&self, cell: &mut Cell<R>, outcome: Result<Compact<R>, Error>, bytes: u64) {
        cell.outcome = Outcome::Done(outcome.map_err(Box::new));
        cell.bytes = bytes;
        self.queue_shared.budget.add(bytes);
        self.stage.store(DONE, Ordering::SeqCst);
    }

    /// Notifies the watcher of the outcome, now if there is one. After the result was taken, a
    /// callback is dropped.
    pub(super) fn watch(&self, watcher: Watcher<R>) {
        let mut cell = lock(&self.cell);
        match (&cell.outcome, watcher) {
            (outcome @ (Outcome::Pending | Outcome::Read(_)), watcher) => {
                if matches!(outcome, Outcome::Pending) && cell.watchers.is_empty() {
                    self.queue_shared.watched.fetch_add(1, Ordering::SeqCst);
                }
                let is_past = |w: &mut Watcher<R>| match (&watcher, w) {
                    // A task that moved to another one waits with its new waker only.
                    (Watcher::Waker(_), Watcher::Waker(_)) => true,
                    // A thread that has stopped waiting needs no notice.
                    (Watcher::Notice(_), Watcher::Notice(notice)) => notice.is_vain(),
                    _ => false,
                };
                let past: Vec<_> = cell.watchers.extract_if(.., is_past).collect();
                cell.watchers.push(watcher);
                drop(cell);
                drop_quietly(past); // the user's code
                // A callback or a waker waits, but possibly no thread does.
                if self.queue_shared.queue().is_some() {
                    self.queue_shared.driver.unpark();
                }
            }
            (_, Watcher::Waker(waker)) => {
                drop(cell);
                quietly(|| waker.wake());
            }
            (outcome, Watcher::Notice(notice)) => {
                let well = !matches!(outcome, Outcome::Done(Err(_)));
                drop(cell);
                notice.send(well);
            }
            (Outcome::Taken, Watcher::Callback(make)) => {
                drop(cell);
                drop_quietly(make);
            }
            (Outcome::Done(_), Watcher::Callback(make)) => {
                let by = Outcome::Read(thread::current().id());
                let outcome = mem::replace(&mut cell.outcome, by);
                let bytes = cell.bytes;
                drop(cell);
                let inside = self.enter_delivery();
                let mut callback = None;
                if let Outcome::Done(outcome) = &outcome {
                    let make = || make(outcome.as_deref().map_err(|error| &**error));
                    quietly(|| callback = make().map(|callback| self.count(callback, bytes)));
                }
                let mut cell = lock(&self.cell);
                cell.outcome = outcome;
                // Watchers that came meanwhile.
                let late = mem::take(&mut cell.watchers);
                drop(cell);
                drop(inside);
                self.settled.notify_all();
                if let Some(callback) = callback {
                    self.queue_shared.callbacks.run(callback);
                }
                late.into_iter().for_each(|watcher| self.watch(watcher));
            }
        }
    }

    /// Whether the calling thread is making callbacks of the outcome: waiting for it there would
    /// last for ever.
    pub(super) fn is_read_here(&self) -> bool {
        lock(&self.cell).outcome.is_read_here()
    }

    /// Whether the call ended with a value; `None` before it has ended.
    pub(super) fn successful(&self) -> Option<bool> {
        match &lock(&self.cell).outcome {
            Outcome::Pending | Outcome::Read(_) | Outcome::Taken => None,
            Outcome::Done(outcome) => Some(outcome.is_ok()),
        }
    }

    /// Takes the outcome, if there is one. Waits while another thread makes callbacks of it, but
    /// not beyond `until`.
    ///
    /// # Errors
    ///
    /// That of the outcome; [`Error::ResultTaken`] the second time; [`Error::NestedUse`] in code
    /// that makes a callback.
    #[inline]
    pub(super) fn take(&self, until: Option<Instant>) -> Option<Result<Compact<R>, Error>> {
        let mut cell = lock(&self.cell);
        while self.is_done() && matches!(cell.outcome, Outcome::Read(_)) {
            if cell.outcome.is_read_here() {
                return Some(Err(Error::NestedUse));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            cell = match left {
                None => self.settled.wait(cell).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    let waited = self.settled.wait_timeout(cell, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        if matches!(cell.outcome, Outcome::Pending | Outcome::Read(_)) {
            return None;
        }
        let outcome = mem::replace(&mut cell.outcome, Outcome::Taken);
        self.queue_shared.budget.remove(mem::take(&mut cell.bytes));
        drop(cell);
        Some(match outcome {
            Outcome::Done(outcome) => outcome.map_err(|error| *error),
            Outcome::Pending | Outcome::Read(_) | Outcome::Taken => Err(Error::ResultTaken),
        })
    }
}

impl<R> Drop for Entry<R> {
    fn drop(&mut self) {
        self.queue_shared
            .budget
            .remove(self.cell.get_mut().map_or_else(|e| e.into_inner().bytes, |c| c.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc};

    use super::{
        super::{Budget, ProcessQueue},
        *,
    };

    struct Loud;

    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("it is dropped");
        }
    }

    #[test]
    fn the_outcome_is_not_waited_for_beyond_a_limit() {
        let budget = Arc::new(Budget::new(None, u64::MAX, 1 << 20));
        let entry = Entry::new(QueueShared::new(budget, (0x92, None), Weak::<ProcessQueue>::new()));
        entry.complete(Ok(Compact::new(7)), 0);
        let (made, is_made) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                let make = move |_: Result<&u32, &Error>| {
                    made.send(()).unwrap();
                    goes_on.recv().unwrap();
                    None
                };
                entry.watch(Watcher::Callback(Box::new(make)));
            });
            is_made.recv().unwrap();
            assert!(entry.take(Some(Instant::now() + Duration::from_millis(5))).is_none());
            assert!(entry.take(Some(Instant::now())).is_none());
            go_on.send(()).unwrap();
            let taken = entry.take(None).unwrap();
            assert_eq!(taken.map(Compact::into_inner).ok(), Some(7));
        });
    }

    /// The thread that brings the second outcome may be the one that works for all futures.
    #[test]
    fn a_second_outcome_is_dropped_without_its_panic() {
        let budget = Arc::new(Budget::new(None, u64::MAX, 1 << 20));
        let entry = Entry::new(QueueShared::new(budget, (0x91, None), Weak::<ProcessQueue>::new()));
        assert!(entry.try_complete(Err(Error::Cancelled), 0));
        assert!(!entry.try_complete(Ok(Compact::new(Loud)), 0));
    }
}
