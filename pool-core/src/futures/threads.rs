//! The desk for futures of a crew of threads: the workers complete calls of one item themselves (`errand.rs`).

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
    vec,
};

use super::{
    AsyncResult, AsyncValues, MOST_MAPS, MOST_WAITING, Refused,
    desk::{Budget, Desk, Home, Unaccepted},
    driver::{Driven, Driver, Leave, Work},
    drop_quietly,
    entry::Entry,
    errand::{Errand, Limited},
    lock,
};
use crate::{
    cancel::{Bell, sleep_for},
    compact::Compact,
    error::Error,
    job::Job,
    shared::SharedValue,
    sys,
    task::{Form, Portable},
    threads::{SHORTEST_SLEEP, ThreadCrew, ThreadMark},
};

/// How long the driver thread sleeps at most while there is something to do: it does not keep a
/// desk that has lost all its calls.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
/// How long a thread sleeps at most that cannot listen to the tokens of its jobs.
const TOKEN_SLEEP: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct ThreadDesk {
    pub(super) crew: ThreadMark,
    pub(super) home: Arc<Home>,
    pub(super) flow: Mutex<Flow>,
    changed: Condvar,
    /// Ends a sleep of the driver thread in which it listens to tokens, too; made when it first
    /// does.
    bell: OnceLock<Bell>,
    /// Nobody wants results any more: what runs is told, what was not begun does not run.
    pub(super) terminated: AtomicBool,
    /// Works for maps, streams and clocks while nobody waits.
    driver: Driver,
}

#[derive(Default)]
pub(super) struct Flow {
    /// Calls that no worker has begun.
    pub(super) waiting: usize,
    /// Calls that have not ended.
    pub(super) outstanding: usize,
    closed: bool,
    /// How often threads that wait were told to look again.
    told: u64,
    /// Whether the driver thread sleeps on the bell.
    polls: bool,
    /// Calls that run and have a limit.
    pub(super) running: Vec<Running>,
    /// Calls that have not ended and have a limit, and the shortest one since there are such.
    limited: usize,
    shortest: Option<Duration>,
    /// Jobs in the background for which something has arrived.
    news: Vec<u64>,
}

/// A call whose clock runs.
pub(super) struct Running {
    pub(super) entry: Arc<dyn Limited>,
    pub(super) worker: u32,
    pub(super) limit: Duration,
    pub(super) deadline: Instant,
}

impl fmt::Debug for ThreadDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadDesk").field("driver", &self.driver).finish_non_exhaustive()
    }
}

impl ThreadDesk {
    /// A desk of the crew.
    pub(crate) fn open(crew: &ThreadCrew, budget: Arc<Budget>) -> Arc<Self> {
        let stack = budget.stack;
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            crew: crew.thread_mark(),
            home: Home::new(budget, (std::ptr::from_ref(crew).addr(), None), this.clone()),
            flow: Mutex::default(),
            changed: Condvar::new(),
            bell: OnceLock::new(),
            terminated: AtomicBool::new(false),
            driver: Driver::new(this.clone(), stack),
        })
    }

    /// Whether it takes calls in.
    pub(crate) fn is_open(&self) -> bool {
        !lock(&self.flow).closed
    }

    /// Whether this desk is one of the crew.
    pub(crate) fn is_of(&self, crew: &ThreadCrew) -> bool {
        self.crew.is_of(crew)
    }

    /// Takes a call in; waits while too many others wait for a worker.
    pub(crate) fn submit<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        crew: &ThreadCrew,
        shared: Option<SharedValue>,
        item: Compact<F::Item>,
        function: F::Function,
        limit: Option<Duration>,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        let admitted = self.check().and_then(|()| self.home.budget.check());
        // Clocks run although nobody waits.
        let admitted = admitted.and_then(|()| limit.map_or(Ok(()), |_| self.driver.start()));
        if let Err(error) = admitted {
            return Err(Unaccepted::Refused(Refused { item, error }));
        }
        let full = |flow: &mut Flow| flow.waiting >= MOST_WAITING && !flow.closed;
        let flow = self.changed.wait_while(lock(&self.flow), full);
        let mut flow = flow.unwrap_or_else(PoisonError::into_inner);
        if flow.closed {
            return Err(Unaccepted::Closed(item));
        }
        flow.waiting += 1;
        let none_waits = flow.waiting == 1;
        flow.outstanding += 1;
        if flow.outstanding == 1 {
            self.crew.busy().begin();
        }
        flow.limited += usize::from(limit.is_some());
        let shortest = flow.shortest.into_iter().chain(limit).min();
        let sooner = shortest != std::mem::replace(&mut flow.shortest, shortest);
        drop(flow);
        if sooner {
            self.tell();
        }
        if limit.is_some() {
            self.driver.poke_if_parked();
        }
        let entry = Entry::new(self.home.clone());
        let mut item = Some(item);
        let sent = crew.send_unless_over(none_waits, || {
            let item = item.take().expect("made once");
            let errand = Errand::<F>::new(self, &entry, (function, item), shared, limit);
            Box::new(move |host| errand.run(host))
        });
        if let (false, Some(item)) = (sent, item) {
            // Without `keep_alive` the threads have ended with a call.
            self.close();
            entry.give_number_back();
            self.count(|flow| {
                flow.waiting -= 1;
                flow.end(limit.is_some());
            });
            return Err(Unaccepted::Closed(item));
        }
        Ok(AsyncResult::new(entry))
    }

    /// Refuses a map or a stream where it cannot be taken in.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        self.check()?;
        self.home.budget.check()?;
        self.driver.start()
    }

    /// Takes a map in; waits while too many others have not ended.
    ///
    /// # Errors
    ///
    /// The items, when the desk is closed.
    pub(crate) fn undertake<F: Portable>(
        &self,
        job: Job<F, vec::IntoIter<F::Item>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, Vec<F::Item>> {
        self.work_until(None, &|flow| self.home.background.maps() < MOST_MAPS || flow.closed);
        self.home.undertake(self, job)
    }

    /// A stream over the job's values.
    ///
    /// # Errors
    ///
    /// The input, when the desk is closed.
    pub(crate) fn stream<F: Form, I: Iterator<Item = F::Item>>(
        &self,
        job: Job<F, I>,
        ordered: bool,
    ) -> Result<AsyncValues<F, I>, I> {
        self.home.stream(job, ordered)
    }

    /// Whether every call that it took in has ended.
    pub(crate) fn is_over(&self) -> bool {
        let flow = lock(&self.flow);
        flow.closed && flow.outstanding == 0 && self.home.background.is_empty()
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        let mut flow = lock(&self.flow);
        flow.closed = true;
        let polls = flow.polls;
        drop(flow);
        self.home.background.close();
        self.wake_all(polls);
        self.driver.poke();
    }

    /// Takes nothing in any more, and waits until all that was taken in has ended.
    pub(crate) fn drain(&self) {
        self.close();
        self.work_until(None, &|flow| flow.outstanding + self.home.background.maps() == 0);
        self.home.callbacks.wait();
    }

    /// Takes nothing in any more; what was not begun is [`Error::Terminated`], what runs is told.
    pub(crate) fn terminate(&self) {
        self.terminated.store(true, Ordering::Relaxed);
        self.close();
        self.home.background.end(|| Error::Terminated);
        self.tell();
    }

    /// Ends all calls, and the thread of the desk, which has ended when this returns, or `limit` is
    /// over: it may be in the user's code, so what that waits for has to end without the caller.
    pub(crate) fn end(&self, limit: Option<Duration>) {
        self.terminate();
        self.driver.stop_within(limit);
    }

    /// Lets all threads that wait look again.
    fn tell(&self) {
        // With the lock in hand, so that none of them is just about to sleep.
        let mut flow = lock(&self.flow);
        flow.told += 1;
        let polls = flow.polls;
        drop(flow);
        self.wake_all(polls);
    }

    /// Wakes all threads that wait; `polls`: as the flow said when it was changed.
    fn wake_all(&self, polls: bool) {
        self.changed.notify_all();
        if polls && let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// The bell, if there can be one. Asked for by the driver thread only.
    fn bell(&self) -> Option<&Bell> {
        if self.bell.get().is_none() {
            let _ = self.bell.set(Bell::new().ok()?);
        }
        self.bell.get()
    }

    /// Fails what is overdue, and lets jobs in the background go on.
    fn go_on(&self) {
        self.end_overdue();
        let news = std::mem::take(&mut lock(&self.flow).news);
        let Home { background, .. } = &*self.home;
        if !background.is_empty() && background.go_on(news.into_iter(), &|| self.tell()) {
            self.tell();
        }
    }

    /// Works, or waits for others who do, until `done` says so or it is `until`.
    fn work_until(&self, until: Option<Instant>, done: &dyn Fn(&Flow) -> bool) {
        loop {
            self.go_on();
            let flow = lock(&self.flow);
            if done(&flow) || until.is_some_and(|until| left(until).is_zero()) {
                return;
            }
            if !flow.news.is_empty() || self.home.background.has_backlog() {
                continue;
            }
            let background = &self.home.background;
            let due = until.into_iter().chain(background.due()).map(left);
            // Only a driver thread that sleeps on the bell listens to tokens.
            let token = !flow.polls && background.has_tokens();
            let due = due.chain(token.then_some(TOKEN_SLEEP));
            match due.chain(flow.sleep_at_most()).min() {
                None => drop(self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner)),
                Some(longest) => {
                    let woken = self.changed.wait_timeout(flow, longest);
                    drop(woken.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    /// A call has left the queue, or has ended.
    pub(super) fn count(&self, change: impl FnOnce(&mut Flow)) {
        let mut flow = lock(&self.flow);
        let full = flow.waiting >= MOST_WAITING;
        let busy = flow.outstanding > 0;
        change(&mut flow);
        if busy && flow.outstanding == 0 {
            self.crew.busy().end();
        }
        let wakes = full || (flow.closed && flow.outstanding == 0);
        let polls = flow.polls;
        drop(flow);
        // SeqCst: whoever waits says so before it looks at its future.
        if wakes || self.home.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_all(polls);
        }
    }

    /// Fails the calls that are overdue; their threads go on.
    pub(super) fn end_overdue(&self) {
        let mut flow = lock(&self.flow);
        if flow.running.is_empty() {
            return;
        }
        let now = Instant::now();
        let overdue = |running: &mut Running| running.deadline <= now;
        let overdue: Vec<_> = flow.running.extract_if(.., overdue).collect();
        drop(flow);
        let some = !overdue.is_empty();
        for Running { entry, worker, limit, .. } in overdue {
            entry.overrun(worker, limit);
            // This may be the last reference, and the outcome that lies in it is a user's value.
            drop_quietly(entry);
        }
        if some {
            self.tell();
        }
    }
}

impl Desk for ThreadDesk {
    fn check(&self) -> Result<(), Error> {
        if self.crew.is_foreign() {
            Err(Error::ForeignProcess)
        } else if self.crew.is_mine() {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        if !sys::spin_for(self.crew.spin(), done) {
            self.work_until(until, &|_| done());
        }
    }

    fn look(&self) {
        self.go_on();
    }

    fn attend(&self) {
        self.driver.poke();
    }

    fn withdraw(&self, entry: *const ()) -> bool {
        // A future of one call knows itself whether it was begun.
        !self.home.background.knows(entry) || self.home.background.withdraw(entry)
    }

    fn kill(&self, entry: *const (), _: Duration) {
        self.home.background.withdraw(entry);
    }

    fn kill_at_end(&self, _: u64, _: Duration) {}

    fn recount(&self) {
        self.tell();
    }

    fn heard(&self, number: u64) {
        let mut flow = lock(&self.flow);
        if !flow.news.contains(&number) {
            flow.news.push(number);
        }
        let polls = flow.polls;
        drop(flow);
        self.wake_all(polls);
    }
}

impl Driven for ThreadDesk {
    fn demand(&self) -> (Work, u64) {
        let flow = lock(&self.flow);
        let Home { background, watched, .. } = &*self.home;
        let jobs =
            background.maps() > 0 || (!background.is_empty() && watched.load(Ordering::SeqCst) > 0);
        let work = if flow.closed && flow.outstanding == 0 && background.is_empty() {
            Work::Over
        } else if jobs || flow.limited > 0 {
            Work::Now
        } else {
            Work::Nothing
        };
        (work, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let told = lock(&self.flow).told;
        let tokens = self.home.background.tokens();
        let bell = if tokens.is_empty() { None } else { self.bell() };
        let due = self.home.background.due().map(left);
        let unheard = (!tokens.is_empty() && bell.is_none()).then_some(TOKEN_SLEEP);
        let mut flow = lock(&self.flow);
        let longest = flow.sleep_at_most().into_iter().chain(due).chain(unheard).min();
        let backlog = || self.home.background.has_backlog();
        let idle =
            |flow: &mut Flow| flow.told == told && flow.news.is_empty() && !backlog() && !leave();
        let longest = longest.map_or(LONGEST_SLEEP, |longest| longest.min(LONGEST_SLEEP));
        match bell {
            None => {
                let woken = self.changed.wait_timeout_while(flow, longest, idle);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
            }
            Some(bell) if idle(&mut flow) => {
                flow.polls = true;
                drop(flow);
                sleep_for(bell, &tokens, longest);
                lock(&self.flow).polls = false;
                // The user's code may keep this thread from now on: those who wait have to look
                // at the tokens themselves.
                self.changed.notify_all();
            }
            Some(_) => drop(flow),
        }
        self.go_on();
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {
        self.go_on();
    }

    fn interrupt(&self) {
        self.tell();
    }

    fn unattended(&self, why: Error) {
        self.home.background.end(|| why.again());
        self.tell();
    }
}

impl Flow {
    /// A call has ended; `limited`: that had a limit.
    pub(super) fn end(&mut self, limited: bool) {
        self.outstanding -= 1;
        self.limited -= usize::from(limited);
        if self.limited == 0 {
            self.shortest = None;
        }
    }

    /// How long whoever looks after the clocks may sleep: a call that begins meanwhile is due later than in its limit.
    fn sleep_at_most(&self) -> Option<Duration> {
        let first = self.running.iter().map(|running| left(running.deadline)).min();
        first.into_iter().chain(self.shortest).min().map(|limit| limit.max(SHORTEST_SLEEP))
    }
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now())
}

impl Drop for ThreadDesk {
    fn drop(&mut self) {
        if !self.crew.is_foreign() {
            self.driver.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_after_tiny_limits_sleeps_in_between() {
        let mut flow = Flow::default();
        assert_eq!(flow.sleep_at_most(), None);
        flow.shortest = Some(Duration::from_nanos(1));
        assert_eq!(flow.sleep_at_most(), Some(SHORTEST_SLEEP));
    }
}
