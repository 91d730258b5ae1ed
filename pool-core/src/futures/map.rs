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
    queue::{AsyncQueue, QueueShared},
    shared_state::Entry,
};
use crate::{
    cancel::CancelToken,
    compact::Compact,
    error::{Cause, Error, TaskError},
    job::{BackgroundJob, Counted, Job},
    mutex::lock,
    panic::{drop_quietly, take_panic},
    reentrancy::{Brought, InCall},
    task::Portable,
};

type Items<F> = vec::IntoIter<<F as crate::task::Form>::Item>;

/// A map under way, and the future of its values.
struct AsyncMap<F: Portable> {
    entry: Arc<Entry<Vec<F::Output>>>,
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

impl QueueShared {
    /// Takes a map in, and sends what can be sent of it now.
    ///
    /// # Errors
    ///
    /// The items, when the queue takes nothing in any more.
    pub(super) fn submit_map<F: Portable>(
        self: &Arc<Self>,
        queue: &dyn AsyncQueue,
        mut job: Job<F, Items<F>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, Vec<F::Item>> {
        let number = job.go_to_background(self.job, self.listener());
        let entry = Entry::of_map(self.clone());
        let job = Box::new(BackgroundJob::new(job, self.budget.is_exact()));
        let has_token = job.token().is_some();
        let state = Mutex::new(MapState::Idle(job));
        let map = Arc::new(AsyncMap { entry: entry.clone(), state, has_token });
        if !self.background.add(number, map.clone()) {
            let state = std::mem::replace(&mut *lock(&map.state), MapState::Over);
            let unused = match state {
                MapState::Idle(job) => job.into_items().collect(),
                MapState::Running { .. } | MapState::Over => {
                    unreachable!("no other thread has seen it")
                }
            };
            return Err(unused);
        }
        let ended = self.background.go_on([number].into_iter(), &|| ());
        // A job that needs room is due soon, and a sleeping driver thread does not know the new
        // token.
        if ended || map.due().is_some() || has_token {
            queue.recount();
        }
        queue.attend();
        Ok(AsyncResult::new(entry))
    }
}

impl<F: Portable> AsyncMap<F> {
    fn complete(&self, outcome: Result<Counted<F::Output>, Error>) {
        match outcome {
            Ok((values, bytes)) => self.entry.complete(Ok(Compact::new(values)), bytes),
            Err(error) => self.entry.complete(Err(error), 0),
        }
    }
}

impl<F: Portable> Task for AsyncMap<F> {
    fn go_on(&self) -> bool {
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
            let outcome = catch_unwind(AssertUnwindSafe(|| job.go_on()));
            let outcome = outcome.unwrap_or_else(|payload| {
                // A type's own code panicked: encoding, decoding or drop.
                take_panic(payload);
                let cause = Cause::BadResult;
                Err(TaskError::new(0, 0, cause, 1).into())
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

    fn inside(&self) -> (Brought, InCall) {
        self.entry.hand_over()
    }

    fn is_map(&self) -> bool {
        true
    }
}
