//! Handles whose results are not taken yet, to which more are added while threads wait.
//!
//! Invariant: each handle is taken once, by the thread that finds its call ended first; a handle's
//! drop, which may run the user's code, does not happen under the lock.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{handle::AsyncResult, notices::Notices, queue::QueueShared, wait::pending};
use crate::{
    error::Error,
    job::{Awaits, Waiting},
    mutex::lock,
    panic::drop_quietly,
};

/// How long a thread waits at most at the queue that it found: a pool that was stopped has another
/// queue for later calls.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Handles of one pool whose results are not taken yet, in the order in which they were added.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unread<R> {
    state: Mutex<State<R>>,
    notices: Arc<Notices>,
}

#[derive(Debug)]
struct State<R> {
    next: u64,
    handles: BTreeMap<u64, AsyncResult<R>>,
    /// Those whose calls have ended, in that order; behind the first one also some that were taken
    /// since.
    ended: VecDeque<u64>,
    /// Those whose calls have not ended.
    unfinished: usize,
    /// The queue of the last one.
    queue_shared: Option<Arc<QueueShared>>,
}

/// How many handles there are.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadCounts {
    /// Those whose calls have not ended.
    pub unfinished: usize,
    /// Those whose calls have ended.
    pub finished: usize,
    /// How many calls have ended since the beginning, those of handles that were taken among them.
    pub ended: u64,
}

impl UnreadCounts {
    /// How many handles there are, in all.
    #[must_use]
    pub fn all(self) -> usize {
        self.unfinished + self.finished
    }
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self {
            next: 0,
            handles: BTreeMap::new(),
            ended: VecDeque::new(),
            unfinished: 0,
            queue_shared: None,
        }
    }
}

impl<R> Default for Unread<R> {
    fn default() -> Self {
        Self { state: Mutex::default(), notices: Notices::new(Vec::new()) }
    }
}

impl<R> State<R> {
    /// Notes which calls have ended.
    fn note(&mut self, notices: &Notices) {
        for (index, _) in lock(&notices.ended).drain(..) {
            self.unfinished -= 1;
            self.ended.push_back(index as u64);
        }
        while self.ended.front().is_some_and(|key| !self.handles.contains_key(key)) {
            self.ended.pop_front();
        }
    }

    fn counts(&self) -> UnreadCounts {
        let finished = self.handles.len().saturating_sub(self.unfinished);
        let ended = self.next - self.unfinished as u64;
        UnreadCounts { unfinished: self.unfinished, finished, ended }
    }

    /// The handle that [`Unread::take`] takes.
    fn next_key(&mut self, notices: &Notices, in_order: bool) -> Option<u64> {
        self.note(notices);
        if in_order {
            let (key, handle) = self.handles.first_key_value()?;
            (!handle.is_pending()).then_some(*key)
        } else {
            self.ended.front().copied()
        }
    }
}

impl<R> Unread<R> {
    /// Adds a handle, behind those that are there.
    pub fn add(&self, handle: AsyncResult<R>) {
        let mut state = lock(&self.state);
        let key = state.next;
        state.next += 1;
        state.unfinished += 1;
        let queue_shared = handle.queue_shared();
        if !state.queue_shared.as_ref().is_some_and(|last| Arc::ptr_eq(last, queue_shared)) {
            state.queue_shared = Some(queue_shared.clone());
            self.notices.wake(); // for threads that found no queue, or another one
        }
        // A call that has ended already sends its notice here.
        handle.notice(self.notices.notice(key as usize));
        state.handles.insert(key, handle);
    }

    /// Refuses in a forked child: another thread may have held the locks at the fork.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn check(&self) -> Result<(), Error> {
        if self.notices.is_foreign() { Err(Error::ForeignProcess) } else { Ok(()) }
    }

    /// How many handles there are.
    pub fn counts(&self) -> UnreadCounts {
        let mut state = lock(&self.state);
        state.note(&self.notices);
        state.counts()
    }

    /// Takes the handle whose call ended first; `in_order`: the first handle, if its call has
    /// ended. Does not wait.
    pub fn take(&self, in_order: bool) -> Option<AsyncResult<R>> {
        let mut state = lock(&self.state);
        let key = state.next_key(&self.notices, in_order)?;
        state.handles.remove(&key)
    }

    /// Whether [`Unread::take`] finds a handle.
    pub fn has_next(&self, in_order: bool) -> bool {
        lock(&self.state).next_key(&self.notices, in_order).is_some()
    }

    /// Waits until `done` returns true, or until `until`. The calling thread works for the pool
    /// meanwhile. `done` is called with locks of the pool held: it takes no lock that a thread
    /// holds while it calls the pool.
    ///
    /// # Errors
    ///
    /// Those of [`AsyncResult::wait`].
    pub fn wait_until(
        &self,
        until: Option<Instant>,
        done: &dyn Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        self.check()?;
        loop {
            if done(self) || until.is_some_and(|until| until <= Instant::now()) {
                return Ok(());
            }
            let longest = Instant::now() + LONGEST_WAIT;
            let until = Some(until.map_or(longest, |until| until.min(longest)));
            let state = lock(&self.state);
            if let Some(handle) = state.handles.values().find(|handle| handle.is_pending()) {
                handle.check()?;
            }
            let _waiting = Waiting::begin(Awaits::Any, pending(state.handles.values()))?;
            let queue_shared = state.queue_shared.clone();
            drop(state);
            let queue = queue_shared.as_ref().and_then(|shared| shared.queue());
            match (&queue_shared, queue) {
                (Some(queue_shared), Some(queue)) => {
                    queue_shared.wait(&*queue, until, &|| done(self));
                }
                _ => self.notices.sleep_until(until),
            }
        }
    }

    /// Has the threads that wait check again.
    pub fn wake(&self) {
        let queue_shared = lock(&self.state).queue_shared.clone();
        if let Some(queue) = queue_shared.and_then(|queue_shared| queue_shared.queue()) {
            queue.recount();
        }
        self.notices.wake();
    }

    /// Takes back the calls that no worker has begun, and drops their handles; returns how many
    /// there were.
    pub fn cancel(&self) -> usize {
        let mut cancelled = 0;
        let shared = |(key, handle): (&u64, &AsyncResult<R>)| (*key, handle.share());
        let handles: Vec<_> = lock(&self.state).handles.iter().map(shared).collect();
        for (key, handle) in handles {
            if handle.cancel() {
                cancelled += 1;
                let removed = lock(&self.state).handles.remove(&key);
                drop(removed); // without the lock
            }
        }
        self.wake();
        cancelled
    }

    /// Drops all handles.
    pub fn clear(&self) {
        let mut state = lock(&self.state);
        state.note(&self.notices);
        state.ended.clear();
        let handles = mem::take(&mut state.handles);
        drop(state);
        handles.into_values().for_each(drop_quietly);
        self.wake();
    }
}

impl<R> Drop for Unread<R> {
    fn drop(&mut self) {
        if self.notices.is_foreign() {
            // Another thread may have been changing it at the fork.
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            mem::forget((mem::take(state), self.notices.clone()));
        }
    }
}
