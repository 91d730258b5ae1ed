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
                        // Results that are not taken are too large: there is no room until some
                        // are.
                        if !matches!(error, Error::ResultsUnread { .. }) {
                            return Err(ManagerError::Refused { item: back, error });
                        }
                        item = back;
                        drop(order);
                        self.wait_for_a_take(takes, until);
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

    /// Takes the answer for one item; waits for it until `until`.
    pub(super) fn get(&self, until: Option<Instant>) -> Result<Result<R, Error>, ManagerError> {
        loop {
            match self.stage() {
                Stage::New => return Err(ManagerError::NotStarted(())),
                Stage::Terminated => return Err(ManagerError::WorkersGone),
                _ => {}
            }
            let feeds = self.feeders.load(SeqCst) > 0;
            if let Some(handle) = self.unread.take(self.ordered) {
                let answer = handle.get();
                self.takes.fetch_add(1, SeqCst);
                self.unread.wake();
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
                        && self.feeders.load(SeqCst) == 0)
            };
            self.unread.wait_until(until, &goes_on).map_err(ManagerError::Failed)?;
        }
    }

    fn lock_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no further items.
    pub(super) fn close(&self) {
        self.advance(Stage::Closed);
        self.unread.wake();
    }

    /// Kills the workers, and drops what was not taken.
    pub(super) fn terminate(&self) -> Result<(), ManagerError> {
        self.advance(Stage::Terminated);
        self.unread.wake();
        let terminated = self.workers.terminate();
        self.unread.clear();
        terminated.map_err(ManagerError::Failed)
    }
}
