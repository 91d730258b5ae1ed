//! What a manager and its feeder share: the stage, room for items, and the results.
//!
//! Invariant: an item is handed to the pool and its handle is added under one lock, so handles lie
//! in the order of the puts.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use pool_core::{Refused, Unread, UnreadCounts};

use super::{error::ManagerError, workers::Workers};
use crate::Error;

/// The most results that wait to be taken: beyond them there is no room for further items.
pub(super) const MOST_UNREAD: usize = 65_536;

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
    /// How many threads put the items of an iterator.
    pub(super) feeders: AtomicUsize,
    /// How many results were taken.
    takes: AtomicU64,
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
            feeders: AtomicUsize::new(0),
            takes: AtomicU64::new(0),
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

    fn has_room(&self, UnreadCounts { unfinished, finished }: UnreadCounts) -> bool {
        unfinished < self.most_unfinished && unfinished + finished < MOST_UNREAD
    }

    /// Puts an item; waits for room until `until`.
    pub(super) fn put(&self, item: A, until: Option<Instant>) -> Result<(), ManagerError<A>> {
        let mut item = item;
        if let Err(error) = self.unread.check() {
            return Err(ManagerError::Refused { item, error });
        }
        loop {
            match self.stage() {
                Stage::New => return Err(ManagerError::NotStarted(item)),
                Stage::Started => {}
                _ => return Err(ManagerError::Closed(item)),
            }
            let goes_on = |unread: &Unread<R>| {
                self.has_room(unread.counts()) || self.stage() > Stage::Started
            };
            if let Err(error) = self.unread.wait_until(until, &goes_on) {
                return Err(ManagerError::Refused { item, error });
            }
            let order = self.lock_order();
            if self.stage() > Stage::Started {
                return Err(ManagerError::Closed(item));
            }
            if self.has_room(self.unread.counts()) {
                let takes = self.takes.load(SeqCst);
                match self.workers.submit(item) {
                    Ok(handle) => {
                        self.unread.add(handle);
                        drop(order);
                        // A thread may wait for results that there were none of.
                        self.unread.wake();
                        return Ok(());
                    }
                    Err(refused) => {
                        let Refused { item: back, error } = *refused;
                        drop(order);
                        match error {
                            // Results that are not taken are too large: there is no room until
                            // some are.
                            Error::ResultsUnread { .. } => self.wait_for_a_take(takes, until),
                            Error::QueueFull => self.wait_for_the_pool(until),
                            error => return Err(ManagerError::Refused { item: back, error }),
                        }
                        item = back;
                    }
                }
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(ManagerError::Full(item));
            }
        }
    }

    /// Waits until more than `takes` results were taken, or until `until`.
    fn wait_for_a_take(&self, takes: u64, until: Option<Instant>) {
        let taken =
            |_: &Unread<R>| self.takes.load(SeqCst) != takes || self.stage() > Stage::Started;
        // Where waiting is refused, the next look for room says so.
        let _ = self.unread.wait_until(until, &taken);
    }

    /// Waits until the pool has room, or until `until`.
    fn wait_for_the_pool(&self, until: Option<Instant>) {
        let has_room = |unread: &Unread<R>| !unread.is_pool_full() || self.stage() > Stage::Started;
        // Where waiting is refused, the next look for room says so.
        let _ = self.unread.wait_until(until, &has_room);
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
                self.unread.wake();
                if matches!(answer, Err(Error::Cancelled)) {
                    continue; // another thread has just taken the item back
                }
                return Ok(answer);
            }
            let UnreadCounts { unfinished, finished } = self.unread.counts();
            if unfinished + finished == 0 && !feeds {
                return Err(ManagerError::NothingOutstanding);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(ManagerError::Empty);
            }
            let first = |unread: &Unread<R>| match self.ordered {
                true => unread.is_first_finished(),
                false => unread.counts().finished > 0,
            };
            let goes_on = |unread: &Unread<R>| {
                first(unread)
                    || self.stage() == Stage::Terminated
                    || (unread.counts() == UnreadCounts { unfinished: 0, finished: 0 }
                        && !self.is_fed())
            };
            self.unread.wait_until(until, &goes_on).map_err(ManagerError::Failed)?;
        }
    }

    /// Whether the thread of an iterator may put another item; where not, what it has put is there.
    fn is_fed(&self) -> bool {
        if self.feeders.load(SeqCst) == 0 {
            return false;
        }
        let is_open = self.stage() == Stage::Started;
        if !is_open {
            drop(self.lock_order()); // behind the item that it was handing over
        }
        is_open
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

    use pool_core::AsyncResult;

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

        fn map(&self, _: &mut dyn Iterator<Item = u8>) -> crate::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn stop(&self) -> crate::Result<()> {
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
