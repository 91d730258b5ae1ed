//! A map whose values are waited for later: a job that any thread working at the queue takes
//! further.
//!
//! Invariant: one thread at a time has the job; news that come meanwhile are handled by that thread
//! before it puts the job back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
    vec,
};

use super::{
    background::Task,
    handle::AsyncResult,
    queue::{AsyncQueue, Room, Unaccepted},
    shared_state::Entry,
};
use crate::{
    cancel::CancelToken,
    compact::Compact,
    error::{Cause, Error, TaskError},
    ids::{ItemIndex, WorkerId},
    job::{BackgroundJob, Counted, Job},
    mutex::lock,
    panic::{drop_quietly, take_panic},
    reentrancy::{Brought, InCall},
    task::Portable,
};

type Items<F> = vec::IntoIter<<F as crate::task::Form>::Item>;

/// A map under way, and the future of what is made of its values.
struct AsyncMap<F: Portable, T> {
    entry: Arc<Entry<T>>,
    made_of: fn(Vec<F::Output>) -> T,
    state: Mutex<MapState<BackgroundJob<F, Items<F>>>>,
    /// Whether a token may end it.
    has_token: bool,
}

/// How soon a map that a token may end is looked at again while a thread has it in hand.
const TOKEN_SLEEP: Duration = Duration::from_millis(10);

enum MapState<J> {
    Idle(Box<J>),
    /// A thread has the job; `again`: it has to look once more before it puts the job back.
    Running {
        again: bool,
    },
    Over,
}

impl dyn AsyncQueue {
    /// Takes a map in, and sends what can be sent of it now; waits while too many others have not
    /// ended.
    ///
    /// # Errors
    ///
    /// The items, when the queue takes nothing in any more.
    pub(crate) fn submit_map<F: Portable>(
        &self,
        job: Job<F, Items<F>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, Vec<F::Item>> {
        let queue_shared = self.queue_shared();
        queue_shared.wait(self, None, &|| !queue_shared.background.is_full());
        self.take_in(job, Entry::of_map(queue_shared.clone()), |values| values)
    }

    /// Takes in a job of one item, and sends it now if there is room; waits while too many maps
    /// have not ended, if `room` says so.
    ///
    /// # Errors
    ///
    /// The item, when the queue takes nothing in any more, or there is no room.
    pub(crate) fn submit_one<F: Portable>(
        &self,
        job: Job<F, Items<F>>,
        room: Room,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        let queue_shared = self.queue_shared();
        match room {
            Room::Wait => queue_shared.wait(self, None, &|| !queue_shared.background.is_full()),
            Room::Refuse if queue_shared.background.is_full() => {
                return Err(Unaccepted::Full(the_one(job.into_items())));
            }
            Room::Refuse | Room::LetIn => {}
        }
        let last =
            |mut values: Vec<F::Output>| values.pop().expect("a job of one item has a value");
        let taken = self.take_in(job, Entry::new(queue_shared.clone()), last);
        taken.map_err(|items| Unaccepted::Closed(the_one(items)))
    }

    fn take_in<F: Portable, T: Send + 'static>(
        &self,
        mut job: Job<F, Items<F>>,
        entry: Arc<Entry<T>>,
        made_of: fn(Vec<F::Output>) -> T,
    ) -> Result<AsyncResult<T>, Vec<F::Item>> {
        let queue_shared = self.queue_shared();
        let number = job.go_to_background(queue_shared.job, queue_shared.progress_notifier());
        let job = Box::new(BackgroundJob::new(job, queue_shared.budget.is_exact()));
        let has_token = job.token().is_some();
        let state = Mutex::new(MapState::Idle(job));
        let map = Arc::new(AsyncMap { entry: entry.clone(), made_of, state, has_token });
        if !queue_shared.background.add(number, map.clone()) {
            let state = std::mem::replace(&mut *lock(&map.state), MapState::Over);
            let unused = match state {
                MapState::Idle(job) => job.into_items().collect(),
                MapState::Running { .. } | MapState::Over => {
                    unreachable!("no other thread has seen it")
                }
            };
            return Err(unused);
        }
        let ended = queue_shared.background.advance([number].into_iter(), &|| ());
        // A job that needs room is due soon, and a sleeping driver thread does not know the new
        // token.
        if ended > 0 || map.due().is_some() || has_token {
            self.recount();
        }
        queue_shared.driver.unpark();
        Ok(AsyncResult::new(entry))
    }
}

/// The item of a job of one item that was not sent.
fn the_one<A>(items: impl IntoIterator<Item = A>) -> Compact<A> {
    Compact::new(items.into_iter().next().expect("it was not sent"))
}

impl<F: Portable, T: Send + 'static> AsyncMap<F, T> {
    fn complete(&self, outcome: Result<Counted<F::Output>, Error>) {
        match outcome {
            Ok((values, bytes)) => {
                self.entry.complete(Ok(Compact::new((self.made_of)(values))), bytes);
            }
            Err(error) => self.entry.complete(Err(error), 0),
        }
    }
}

impl<F: Portable, T: Send + 'static> Task for AsyncMap<F, T> {
    fn advance(&self) -> bool {
        let mut job = match &mut *lock(&self.state) {
            MapState::Over => return true,
            MapState::Running { again } => {
                *again = true;
                return false;
            }
            state => match std::mem::replace(state, MapState::Running { again: false }) {
                MapState::Idle(job) => job,
                MapState::Running { .. } | MapState::Over => unreachable!("looked at just now"),
            },
        };
        loop {
            let outcome = catch_unwind(AssertUnwindSafe(|| job.advance()));
            let outcome = outcome.unwrap_or_else(|payload| {
                // A type's own code panicked: encoding, decoding or drop.
                take_panic(payload);
                let cause = Cause::BadResult;
                Err(TaskError::new(ItemIndex::FIRST, WorkerId::FIRST, cause, 1).into())
            });
            let outcome = outcome.transpose();
            let mut state = lock(&self.state);
            match (&outcome, &mut *state) {
                (None, MapState::Running { again: again @ true }) => {
                    *again = false;
                    continue;
                }
                (None, state @ MapState::Running { .. }) => {
                    *state = MapState::Idle(job);
                    return false;
                }
                _ => {}
            }
            let before = std::mem::replace(&mut *state, MapState::Over);
            drop(state);
            // The job's memory is free before its future is notified.
            drop_quietly(job);
            match (before, outcome) {
                (MapState::Running { .. }, Some(outcome)) => self.complete(outcome),
                // The map was ended meanwhile.
                (_, outcome) => drop_quietly(outcome),
            }
            return true;
        }
    }

    fn due(&self) -> Option<Instant> {
        match &*lock(&self.state) {
            MapState::Idle(job) => job.due(),
            MapState::Running { .. } if self.has_token => Some(Instant::now() + TOKEN_SLEEP),
            MapState::Running { .. } | MapState::Over => None,
        }
    }

    fn token(&self) -> Option<CancelToken> {
        match &*lock(&self.state) {
            MapState::Idle(job) => job.token().cloned(),
            MapState::Running { .. } | MapState::Over => None,
        }
    }

    fn stop(&self) -> bool {
        // (Not in the `match`: the lock would be held while items are dropped.)
        let before = std::mem::replace(&mut *lock(&self.state), MapState::Over);
        match before {
            MapState::Over => false,
            MapState::Idle(job) => {
                drop_quietly(job);
                true
            }
            MapState::Running { .. } => true,
        }
    }

    fn end(&self, why: Error) {
        if self.stop() {
            self.complete(Err(why));
        }
    }

    fn address(&self) -> *const () {
        self.entry.address()
    }

    fn enter_delivery(&self) -> (Brought, InCall) {
        self.entry.enter_delivery()
    }

    fn is_map(&self) -> bool {
        true
    }
}
