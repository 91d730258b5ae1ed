//! What a manager and its feeder share: the stage, room for items, and the results.
//!
//! Invariant: an item is handed to the pool and its handle is added under one lock, so handles lie
//! in the order of the puts.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pool_core::{Refused, Unread, UnreadCounts};

use super::{error::ManagerError, workers::Workers};
use crate::Error;

/// The most results that wait to be taken: beyond them there is no room for further items.
pub(super) const MOST_UNREAD: usize = 65_536;

/// How long a put waits at most until it asks a pool again that had no room.
const POOL_ASKED_AGAIN: Duration = Duration::from_millis(5);

/// How far a manager is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    New,
    Started,
    /// No items are taken any more.
    Closed,
    /// The workers have finished and ended.
    Joined,
    /// The workers were killed, and the results dropped.
    Terminated,
}

const STAGES: [Stage; 5] =
    [Stage::New, Stage::Started, Stage::Closed, Stage::Joined, Stage::Terminated];

pub(super) struct ManagerState<A, R> {
    pub(super) workers: Box<dyn Workers<A, R>>,
    stage: AtomicU8,
    /// Whether a thread puts the items of an iterator.
    pub(super) is_feeding: AtomicBool,
    /// How many results were taken.
    takes: AtomicU64,
    /// How many puts wait for room.
    waiting_puts: AtomicUsize,
    /// Locked while an item is handed over.
    order: Mutex<()>,
    pub(super) unread: Unread<R>,
    /// How many items may have been put without having ended.
    pub(super) most_unfinished: usize,
    pub(super) ordered: bool,
}

impl<A, R> ManagerState<A, R> {
    pub(super) fn new(
        workers: Box<dyn Workers<A, R>>,
        most_unfinished: usize,
        ordered: bool,
    ) -> Self {
        Self {
            workers,
            stage: AtomicU8::new(Stage::New as u8),
            is_feeding: AtomicBool::new(false),
            takes: AtomicU64::new(0),
            waiting_puts: AtomicUsize::new(0),
            order: Mutex::new(()),
            unread: Unread::default(),
            most_unfinished,
            ordered,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(SeqCst))]
    }

    /// Begins a later stage; whether it was an earlier one until now.
    pub(super) fn advance(&self, to: Stage) -> bool {
        self.stage.fetch_max(to as u8, SeqCst) < to as u8
    }

    /// Refuses where no item is taken, and gives it back.
    pub(super) fn check_open<T>(&self, item: T) -> Result<T, ManagerError<T>> {
        match self.stage() {
            Stage::New => Err(ManagerError::NotStarted(item)),
            Stage::Started => Ok(item),
            Stage::Closed | Stage::Joined | Stage::Terminated => Err(ManagerError::Closed(item)),
        }
    }

    fn has_room(&self, counts: UnreadCounts) -> bool {
        counts.unfinished < self.most_unfinished && counts.all() < MOST_UNREAD
    }

    /// Puts an item; waits for room until `until`.
    pub(super) fn put(&self, item: A, until: Option<Instant>) -> Result<(), ManagerError<A>> {
        if let Err(error) = self.unread.check() {
            return Err(ManagerError::Refused { item, error });
        }
        let mut item = item;
        loop {
            let order = self.lock_order();
            item = self.check_open(item)?;
            // Read before the pool is asked, which may refuse since results are not taken.
            let (takes, counts) = (self.takes.load(SeqCst), self.unread.counts());
            let has_room = self.has_room(counts);
            if has_room {
                let Refused { item: back, error } = match self.workers.submit(item) {
                    Ok(handle) => {
                        self.unread.add(handle);
                        return Ok(());
                    }
                    Err(refused) => *refused,
                };
                if !matches!(error, Error::ResultsUnread { .. } | Error::QueueFull) {
                    return Err(ManagerError::Refused { item: back, error });
                }
                item = back;
            }
            drop(order);
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return Err(ManagerError::Full(item));
            }
            // The pool may have room again without a further end: calls that were taken back fill
            // it until a worker has passed them.
            let again = has_room.then(|| now + POOL_ASKED_AGAIN);
            let until = again.into_iter().chain(until).min();
            if let Err(error) = self.wait_for_room(takes, counts.ended, until) {
                return Err(ManagerError::Refused { item, error });
            }
        }
    }

    /// Waits until further results were taken, or further calls have ended, or until `until`.
    fn wait_for_room(&self, takes: u64, ended: u64, until: Option<Instant>) -> Result<(), Error> {
        let changed = |unread: &Unread<R>| {
            self.takes.load(SeqCst) != takes
                || unread.counts().ended != ended
                || self.stage() > Stage::Started
        };
        // SeqCst: a thread that takes a result counts that, and then looks for waiting puts.
        self.waiting_puts.fetch_add(1, SeqCst);
        let waited = self.unread.wait_until(until, &changed);
        self.waiting_puts.fetch_sub(1, SeqCst);
        waited
    }

    /// Takes the answer for one item; waits for it until `until`.
    pub(super) fn get(&self, until: Option<Instant>) -> Result<Result<R, Error>, ManagerError> {
        self.unread.check().map_err(ManagerError::Failed)?;
        loop {
            match self.stage() {
                Stage::New => return Err(ManagerError::NotStarted(())),
                Stage::Terminated => return Err(ManagerError::WorkersGone),
                _ => {}
            }
            let feeds = self.is_fed();
            if let Some(handle) = self.unread.take(self.ordered) {
                let answer = handle.get();
                self.takes.fetch_add(1, SeqCst);
                // A put may wait for that, or a get of another thread for what is not there.
                if self.waiting_puts.load(SeqCst) > 0 || self.unread.counts().all() == 0 {
                    self.unread.wake();
                }
                if matches!(answer, Err(Error::Cancelled)) {
                    continue; // another thread has just taken the item back
                }
                return Ok(answer);
            }
            if self.unread.counts().all() == 0 && !feeds {
                return Err(ManagerError::NothingOutstanding);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(ManagerError::Empty);
            }
            let goes_on = |unread: &Unread<R>| {
                unread.has_next(self.ordered)
                    || self.stage() == Stage::Terminated
                    || (unread.counts().all() == 0 && !self.may_be_fed())
            };
            self.unread.wait_until(until, &goes_on).map_err(ManagerError::Failed)?;
        }
    }

    /// Whether the thread of an iterator may put another item, or has one in hand.
    fn may_be_fed(&self) -> bool {
        self.is_feeding.load(SeqCst) && self.stage() == Stage::Started
    }

    /// Whether the thread of an iterator may put another item; where not, what it has put is there.
    fn is_fed(&self) -> bool {
        let is_fed = self.may_be_fed();
        if !is_fed && self.is_feeding.load(SeqCst) {
            drop(self.lock_order()); // behind the item that it was handing over
        }
        is_fed
    }

    fn lock_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no further items. Those that other threads are handing over are with the pool
    /// afterwards.
    pub(super) fn close(&self) {
        self.advance(Stage::Closed);
        self.unread.wake();
        drop(self.lock_order());
    }

    /// Kills the workers, and drops what was not taken.
    pub(super) fn terminate(&self) -> Result<(), ManagerError> {
        self.unread.check().map_err(ManagerError::Failed)?;
        self.advance(Stage::Terminated);
        self.unread.wake();
        let terminated = self.workers.terminate();
        // An item that another thread was handing over has workers start anew.
        drop(self.lock_order());
        let terminated = terminated.and_then(|()| self.workers.terminate());
        self.unread.clear();
        terminated.map_err(ManagerError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        thread,
    };

    use pool_core::{AsyncResult, ProgressOption};

    use super::*;

    /// Takes an item in hand until it is told, and refuses it.
    struct Slow {
        begun: Mutex<Sender<()>>,
        told: Mutex<Receiver<()>>,
        events: Mutex<Vec<&'static str>>,
    }

    impl Slow {
        fn note(&self, event: &'static str) {
            self.events.lock().unwrap().push(event);
        }
    }

    impl Workers<u8, u8> for &'static Slow {
        fn start(&self) -> crate::Result<()> {
            Ok(())
        }

        fn submit(&self, item: u8) -> Result<AsyncResult<u8>, Box<Refused<u8>>> {
            self.begun.lock().unwrap().send(()).unwrap();
            self.told.lock().unwrap().recv().unwrap();
            self.note("submit");
            Err(Box::new(Refused { item, error: Error::Terminated }))
        }

        fn map(
            &self,
            _: &mut dyn Iterator<Item = u8>,
            _: Option<ProgressOption>,
        ) -> crate::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn stop(&self) -> crate::Result<()> {
            Ok(())
        }

        #[cfg(feature = "capture-log")]
        fn capture_logs(&self, _: Option<pool_core::LogCapture>) -> crate::Result<()> {
            Ok(())
        }

        fn terminate(&self) -> crate::Result<()> {
            self.note("terminate");
            Ok(())
        }

        fn any(&self) -> bool {
            true
        }
    }

    /// What `end` and a put beside it do, in that order.
    fn events_of(end: fn(&ManagerState<u8, u8>, &Slow)) -> Vec<&'static str> {
        let ((begun, is_begun), (tell, told)) = (channel(), channel());
        let slow: &'static Slow = Box::leak(Box::new(Slow {
            begun: Mutex::new(begun),
            told: Mutex::new(told),
            events: Mutex::default(),
        }));
        let state = ManagerState::new(Box::new(slow), 4, false);
        state.advance(Stage::Started);
        thread::scope(|scope| {
            scope.spawn(|| state.put(1, None).unwrap_err());
            is_begun.recv().unwrap();
            let ending = scope.spawn(|| end(&state, slow));
            while state.stage() == Stage::Started {
                thread::yield_now();
            }
            (0..100).for_each(|_| thread::yield_now());
            tell.send(()).unwrap();
            ending.join().unwrap();
        });
        slow.events.lock().unwrap().clone()
    }

    #[test]
    fn an_end_comes_behind_items_that_are_being_handed_over() {
        let closed = events_of(|state, slow| {
            state.close();
            slow.note("closed");
        });
        assert_eq!(closed, ["submit", "closed"]);
        let terminated = events_of(|state, _| state.terminate().unwrap());
        assert_eq!(terminated.last(), Some(&"terminate"), "{terminated:?}");
        assert!(terminated.contains(&"submit"));
    }
}
