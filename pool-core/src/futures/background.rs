//! Jobs of a queue that go on without a caller: maps that were handed in, and streams that wait to
//! be polled.
//!
//! Invariant: no job runs under a lock, so the user's code in it may use this module; and a thread
//! has one job in hand at a time, so that a job that blocks holds up no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::MOST_MAPS;
use crate::{
    cancel::CancelToken,
    error::Error,
    mutex::lock,
    panic::drop_quietly,
    reentrancy::{Brought, InCall},
};

/// A job of any type.
pub(super) trait Task: Send + Sync {
    /// Goes as far as it can without waiting, since something has arrived for it. Whether it is
    /// over.
    fn advance(&self) -> bool;
    /// When a thread has to look at it although nothing arrives.
    fn due(&self) -> Option<Instant>;
    /// A token that may end it, while no thread has it in hand. Only a queue of threads asks for
    /// it: cancelling a token notifies no condition variable.
    fn token(&self) -> Option<CancelToken>;
    /// Ends it without a result; `false` when it was over before.
    fn stop(&self) -> bool;
    /// Ends it with this error as its result.
    fn end(&self, why: Error);
    /// The identity of its future.
    fn address(&self) -> *const ();
    /// While the returned value lives, the calling thread hands over the job's outcome.
    fn enter_delivery(&self) -> (Brought, InCall);
    /// Whether it runs to its end without being polled.
    fn is_map(&self) -> bool;
}

/// The jobs of one queue that go on without a caller.
#[derive(Default)]
pub(super) struct Background {
    tasks: Mutex<Tasks>,
    /// Length of `by_number`, readable without the lock. SeqCst: a thread that adds a job looks for
    /// a parked driver thread afterwards.
    count: AtomicUsize,
    maps: AtomicUsize,
    /// Whether something has arrived for jobs that no thread has in hand. SeqCst: a thread that
    /// leaves such jobs stores this first, then looks for threads that wait.
    backlog: AtomicBool,
    /// No job is taken in any more; written with the lock held only.
    closed: AtomicBool,
}

#[derive(Default)]
struct Tasks {
    by_number: BTreeMap<u64, Arc<dyn Task>>,
    /// Something has arrived for these jobs, and no thread has taken them in hand since.
    with_news: BTreeSet<u64>,
    /// All jobs are to end with this error.
    ends: Option<Error>,
}

impl Background {
    /// Adds a job under a number that no other job has; `false`: none is taken in any more.
    pub(super) fn add(&self, number: u64, task: Arc<dyn Task>) -> bool {
        let mut tasks = lock(&self.tasks);
        if self.closed.load(Ordering::SeqCst) {
            return false;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        self.maps.fetch_add(usize::from(task.is_map()), Ordering::SeqCst);
        tasks.by_number.insert(number, task);
        true
    }

    /// Takes a job out, if it is there.
    pub(super) fn remove(&self, number: u64) -> Option<Arc<dyn Task>> {
        let task = lock(&self.tasks).by_number.remove(&number)?;
        self.count_out(&*task);
        Some(task)
    }

    fn count_out(&self, task: &dyn Task) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.maps.fetch_sub(usize::from(task.is_map()), Ordering::SeqCst);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// How many jobs run to their end without being polled.
    pub(super) fn map_count(&self) -> usize {
        self.maps.load(Ordering::SeqCst)
    }

    /// Whether it has as many maps as it takes in.
    pub(super) fn is_full(&self) -> bool {
        self.map_count() >= MOST_MAPS && !self.closed.load(Ordering::SeqCst)
    }

    /// Whether something has arrived for jobs that no thread has in hand.
    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst)
    }

    /// Takes further the jobs with these numbers, and those that are due anyway; how many have
    /// ended. `share` is called when there is more than one: another thread may take the next.
    pub(super) fn advance(&self, news: impl Iterator<Item = u64>, share: &dyn Fn()) -> usize {
        let mut tasks = lock(&self.tasks);
        let Tasks { by_number, with_news, ends, .. } = &mut *tasks;
        with_news.extend(news);
        let due = |(number, task): (&u64, &Arc<dyn Task>)| {
            (ends.is_some() || task.due().is_some()).then_some(*number)
        };
        with_news.extend(by_number.iter().filter_map(due));
        let (mut ended, mut shared) = (0, false);
        while let Some(number) = tasks.with_news.pop_first() {
            self.note_backlog(&tasks);
            let Some(task) = tasks.by_number.get(&number).cloned() else { continue };
            let (more, ends) = (!tasks.with_news.is_empty(), tasks.ends.clone());
            drop(tasks);
            if more && !shared {
                share();
            }
            shared |= more;
            let inside = task.enter_delivery();
            let over = match ends {
                Some(why) => {
                    task.end(why);
                    true
                }
                None => task.advance(),
            };
            if over {
                drop_quietly(self.remove(number));
                ended += 1;
            }
            drop_quietly(task);
            drop(inside);
            tasks = lock(&self.tasks);
        }
        ended
    }

    fn note_backlog(&self, tasks: &Tasks) {
        let some = !tasks.with_news.is_empty();
        // Relaxed: written with the lock held only.
        if some != self.backlog.load(Ordering::Relaxed) {
            self.backlog.store(some, Ordering::SeqCst);
        }
    }

    /// When the first job is due although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        lock(&self.tasks).by_number.values().filter_map(|task| task.due()).min()
    }

    /// Whether a token may end any job.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    pub(super) fn has_tokens(&self) -> bool {
        lock(&self.tasks).by_number.values().any(|task| task.token().is_some())
    }

    /// The tokens that may end jobs, each once.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    pub(super) fn tokens(&self) -> Vec<CancelToken> {
        let tasks = lock(&self.tasks);
        let mut tokens: Vec<_> = tasks.by_number.values().filter_map(|task| task.token()).collect();
        drop(tasks);
        tokens.sort_unstable_by_key(CancelToken::address);
        tokens.dedup();
        tokens
    }

    /// Whether the future belongs to one of the jobs.
    pub(super) fn knows(&self, future: *const ()) -> bool {
        lock(&self.tasks).by_number.values().any(|task| task.address() == future)
    }

    /// The number of the job that the future belongs to.
    pub(super) fn number_of(&self, future: *const ()) -> Option<u64> {
        let tasks = lock(&self.tasks);
        let is_it = |(_, task): &(&u64, &Arc<dyn Task>)| task.address() == future;
        tasks.by_number.iter().find(is_it).map(|(number, _)| *number)
    }

    /// Ends the job that the future belongs to without a result; whether there was one that was not
    /// over.
    pub(super) fn withdraw(&self, future: *const ()) -> bool {
        let number = self.number_of(future);
        number.and_then(|number| self.remove(number)).is_some_and(|task| task.stop())
    }

    /// Takes no more jobs in.
    pub(super) fn close(&self) {
        let _tasks = lock(&self.tasks);
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Takes no more jobs in, and ends all.
    pub(super) fn end(&self, why: &Error) {
        let mut tasks = lock(&self.tasks);
        self.closed.store(true, Ordering::SeqCst);
        tasks.ends.get_or_insert_with(|| why.clone());
        drop(tasks);
        self.advance(std::iter::empty(), &|| ());
    }
}
