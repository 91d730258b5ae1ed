//! The queue for futures of a set of processes.
//!
//! Each thread that waits for a future works here: it takes what has arrived, completes futures,
//! and sends calls that wait. The in-flight table is locked before the session, and neither is
//! locked while the user's code runs.
//!
//! Invariant: each thread handles one answer at a time, so the user's code in it holds up no other
//! future.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    in_flight::{Answer, InFlight},
    queue::{AsyncQueue, Budget, QueueShared},
};
use crate::{
    driver::{Driven, Leave, Work},
    engine::JobId,
    error::Error,
    job::ItemAllocator,
    mutex::lock,
    panic::drop_quietly,
    reentrancy::{InCall, Inside, is_inside},
    session::{Buffers, Message, Session},
};

/// The slots of results that were read are given back in groups of this many, or when there is
/// nothing more to read.
const RELEASED_AT_ONCE: usize = 16;

/// Time between two tries to send a call for which there was no room, while others are under way.
const STARVES_FOR: Duration = Duration::from_millis(50);

/// The queue for futures of a set of processes.
pub(crate) struct ProcessQueue {
    pub(super) allocator: ItemAllocator,
    pub(super) queue_shared: Arc<QueueShared>,
    pub(super) in_flight: Mutex<InFlight>,
    /// Whether any call has had a limit.
    pub(super) limited: AtomicBool,
    /// The session's count of failed calls when this queue last polled.
    failures: AtomicU64,
    /// Counts passes of work, and calls that left. SeqCst: a thread that waits for a change counts
    /// itself in `waiting` before it looks.
    passes: AtomicU64,
    /// Whether there are answers that no thread has in hand. SeqCst: a thread that leaves some
    /// stores this first, then looks for threads that wait.
    backlog: AtomicBool,
}

impl fmt::Debug for ProcessQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessQueue").field("allocator", &self.allocator).finish_non_exhaustive()
    }
}

impl ProcessQueue {
    /// A queue of the session for `workers` workers; `None` while the pool is being stopped.
    ///
    /// # Errors
    ///
    /// [`Error::PoolBroken`].
    pub(crate) fn open(
        session: Arc<Session>,
        workers: usize,
        budget: Arc<Budget>,
    ) -> Result<Option<Arc<Self>>, Error> {
        let Some((job, buffers)) = session.open_queue()? else { return Ok(None) };
        let (items_limit, failures) = (session.items_limit(), session.failures());
        let mut in_flight = InFlight::new(workers);
        in_flight.put_buffers(buffers);
        let backend = Arc::as_ptr(&session).addr();
        Ok(Some(Arc::new_cyclic(|this: &Weak<Self>| Self {
            allocator: ItemAllocator { session, job, limit: items_limit, waits: true },
            queue_shared: QueueShared::new(budget, (backend, Some(job)), this.clone()),
            in_flight: Mutex::new(in_flight),
            limited: AtomicBool::new(false),
            failures: AtomicU64::new(failures),
            passes: AtomicU64::new(0),
            backlog: AtomicBool::new(false),
        })))
    }

    /// Works, or waits for others who do.
    pub(super) fn work_while(&self, condition: impl Fn(&InFlight) -> bool) {
        loop {
            let seen = self.passes.load(Ordering::SeqCst);
            if !condition(&lock(&self.in_flight)) {
                return;
            }
            self.queue_shared.waiting.fetch_add(1, Ordering::SeqCst);
            let passed = || self.passes.load(Ordering::SeqCst) != seen || self.has_backlog();
            self.allocator.session.wait_for_messages(self.allocator.job, self.due(), &passed);
            self.queue_shared.waiting.fetch_sub(1, Ordering::SeqCst);
            self.work(false, true);
        }
    }

    /// Completes what has arrived and sends what may be sent. `poll`: checks for arrivals first;
    /// `idle`: may wait for room.
    pub(super) fn work(&self, poll: bool, idle: bool) {
        self.answer(poll, idle);
        if !self.queue_shared.background.is_empty() && !self.allocator.session.is_foreign() {
            let news = self.allocator.session.take_news(self.allocator.job);
            let news = news.into_iter().map(|job| job.0);
            let ended = self.queue_shared.background.go_on(news, &|| self.wake_waiting());
            self.passes.fetch_add(1, Ordering::SeqCst);
            if ended > 0 {
                self.wake_waiting();
                self.queue_shared.jobs_ended(ended);
            }
        }
    }

    /// Completes and sends calls of one item, without the jobs in the background.
    fn answer(&self, poll: bool, idle: bool) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let mut in_flight = lock(&self.in_flight);
        if in_flight.outstanding() == 0 && !poll && self.queue_shared.background.is_empty() {
            return;
        }
        let mut buffers = in_flight.buffers(session);
        let gone = session.take_messages(*job, poll, &mut buffers.taken).err();
        while let Some(message) = buffers.taken.pop_front() {
            let (key, answer) = match message {
                Message::Ended { .. } => continue,
                Message::Results(batch) => {
                    in_flight.ran(batch.nanos);
                    (batch.first, Answer::Batch(batch))
                }
                Message::Failed(mut error) => {
                    let key = std::mem::take(&mut error.index);
                    (key, Answer::Failed(error.into()))
                }
            };
            let receiver = in_flight.end(key);
            in_flight.answered.push_back((receiver, answer));
        }
        let (some, in_flight) = self.hand_out(in_flight, &mut buffers);
        // A thread that drains the queue has waited for this thread, too.
        let over = in_flight.closed && in_flight.outstanding() == 0;
        // Another thread has found the end and reports why: this one may only see that the job is
        // gone.
        let reported = in_flight.over;
        self.put_away(in_flight, buffers);
        match gone {
            Some(_) if reported => return,
            Some(error) => return self.give_up(&error),
            None => {}
        }
        let (failed, left) = self.send_waiting(idle);
        self.passes.fetch_add(1, Ordering::SeqCst);
        if some || failed || over {
            self.wake_waiting();
        }
        self.left_line(left);
    }

    /// Hands answers over, one after the other, until there are none; whether there were any.
    fn hand_out<'d>(
        &'d self,
        mut in_flight: MutexGuard<'d, InFlight>,
        buffers: &mut Buffers,
    ) -> (bool, MutexGuard<'d, InFlight>) {
        in_flight.busy += 1;
        let (mut some, mut shared) = (false, false);
        while let Some((receiver, answer)) = in_flight.answered.pop_front() {
            let more = !in_flight.answered.is_empty();
            // Relaxed: written with the table locked only.
            if more != self.backlog.load(Ordering::Relaxed) {
                self.backlog.store(more, Ordering::SeqCst);
            }
            drop(in_flight);
            if more && !shared {
                self.wake_waiting();
            }
            (some, shared) = (true, shared || more);
            if let Some(receiver) = receiver {
                let inside = receiver.hand_over();
                match answer {
                    Answer::Batch(batch) => {
                        receiver.receive(&batch, &self.allocator, buffers);
                        buffers.released.extend(batch.slot());
                    }
                    Answer::Failed(error) => receiver.fail(error),
                }
                drop_quietly(receiver);
                drop(inside);
            } else if let Answer::Batch(batch) = answer {
                buffers.released.extend(batch.slot());
            }
            let enough = if more { RELEASED_AT_ONCE } else { 1 };
            if buffers.released.len() >= enough {
                self.allocator.session.submit(&mut buffers.released, None);
            }
            in_flight = lock(&self.in_flight);
        }
        in_flight.busy -= 1;
        // Another thread may have taken the last one.
        if !buffers.released.is_empty() {
            self.allocator.session.submit(&mut buffers.released, None);
        }
        (some, in_flight)
    }

    /// When there is work although nothing arrives: a call or a job had no room.
    fn due(&self) -> Option<Instant> {
        let in_flight = lock(&self.in_flight);
        let starves = in_flight.admits_first();
        let wait = if in_flight.under_way() == 0 { Duration::ZERO } else { STARVES_FOR };
        drop(in_flight);
        let due = starves.then(|| Instant::now() + wait);
        due.into_iter().chain(self.queue_shared.background.due()).min()
    }

    /// Has the driver thread sleep in `sleep` until something happens for this queue, or `leave`
    /// returns true. `sleep` gets the latest time at which to return, and a function that tells
    /// whether to return now.
    fn while_away<R>(
        &self,
        leave: &Leave<'_>,
        sleep: impl FnOnce(Option<Instant>, &dyn Fn() -> bool) -> R,
    ) -> R {
        let before = self.passes.load(Ordering::SeqCst);
        self.queue_shared.waiting.fetch_add(1, Ordering::SeqCst);
        let over = || leave() || self.has_backlog() || self.passes.load(Ordering::SeqCst) != before;
        let slept = sleep(self.due(), &over);
        self.queue_shared.waiting.fetch_sub(1, Ordering::SeqCst);
        slept
    }

    /// Returns the buffers, and closes the session's job if all is over.
    fn put_away(&self, mut in_flight: MutexGuard<'_, InFlight>, buffers: Box<Buffers>) {
        in_flight.put_buffers(buffers);
        self.close_job_if_over(in_flight);
    }

    /// Whether there are answers or jobs that no thread has in hand.
    fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) || self.queue_shared.background.has_backlog()
    }

    /// Wakes other threads that wait for a future: some futures are complete, or can be completed.
    fn wake_waiting(&self) {
        if self.queue_shared.waiting.load(Ordering::SeqCst) > 0 {
            self.allocator.session.notify();
        }
    }

    /// Closes the queue, and answers every open call with this error.
    fn give_up(&self, why: &Error) {
        let mut in_flight = lock(&self.in_flight);
        in_flight.closed = true;
        let unsent = in_flight.give_up(why);
        in_flight.over = true;
        let foreign = self.allocator.session.is_foreign();
        if !foreign {
            self.allocator.session.queue_leaves(self.allocator.job);
        }
        if foreign {
            let answered = std::mem::take(&mut in_flight.answered);
            drop(in_flight);
            answered
                .into_iter()
                .filter_map(|(receiver, _)| receiver)
                .for_each(|r| r.fail(why.clone()));
        } else {
            let mut buffers = in_flight.buffers(&self.allocator.session);
            let (_, in_flight) = self.hand_out(in_flight, &mut buffers);
            self.put_away(in_flight, buffers);
        }
        let inside = InCall::enter(self.queue_shared.backend, Inside::Delivery);
        drop_quietly(unsent);
        drop(inside);
        self.queue_shared.background.end(why);
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.queue_shared.driver.unpark();
        if !foreign {
            self.allocator.session.notify();
            let _inside = InCall::enter(self.queue_shared.backend, Inside::Delivery);
            self.queue_shared.budget.wake_submitters();
        }
    }

    /// Closes the session's job once no thread reads results of it.
    fn close_job_if_over(&self, mut in_flight: MutexGuard<'_, InFlight>) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        if !in_flight.over
            || in_flight.busy > 0
            || !in_flight.answered.is_empty()
            || session.is_foreign()
        {
            return;
        }
        let buffers = in_flight.last_buffers();
        drop(in_flight);
        session.close_job(*job, buffers.unwrap_or_else(|| session.take_buffers()));
    }
}

impl AsyncQueue for ProcessQueue {
    fn queue_shared(&self) -> &Arc<QueueShared> {
        &self.queue_shared
    }

    fn check(&self) -> Result<(), Error> {
        if self.allocator.session.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        // A worker's results are being read in place, and that worker waits for the reader.
        if is_inside(self.queue_shared.backend, Some(Inside::View)) {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        while !done() && until.is_none_or(|until| Instant::now() < until) {
            let more = || done() || self.has_backlog();
            let until = until.into_iter().chain(self.due()).min();
            self.allocator.session.wait_for_messages(self.allocator.job, until, &more);
            self.work(false, true);
        }
    }

    fn poll(&self) {
        self.work(true, false);
    }

    fn withdraw(&self, entry: *const ()) -> bool {
        if self.queue_shared.background.withdraw(entry) {
            return true;
        }
        let mut in_flight = lock(&self.in_flight);
        let mut waiting = in_flight.waiting.iter();
        if let Some(at) = waiting.position(|unsent| unsent.receiver().address() == entry) {
            let unsent = in_flight.waiting.remove(at);
            drop(in_flight);
            drop_quietly(unsent);
            return true;
        }
        let Some(key) = in_flight.key_of(entry) else { return false };
        let withdrawn = self.allocator.session.withdraw(self.allocator.job, key);
        if withdrawn {
            in_flight.end(key);
        }
        withdrawn
    }

    fn kill(&self, entry: *const (), grace: Duration) {
        if let Some(number) = self.queue_shared.background.number_of(entry) {
            self.kill_at_end(number, grace);
        }
        if !self.withdraw(entry) {
            // A call keeps its key until it has ended, and its end is noted under this lock.
            let in_flight = lock(&self.in_flight);
            if let Some(key) = in_flight.key_of(entry) {
                self.allocator.session.kill_chunk(self.allocator.job, key, grace);
            }
        }
    }

    fn kill_at_end(&self, number: u64, grace: Duration) {
        self.allocator.session.kill_at_end(JobId(number), grace);
    }

    fn recount(&self) {
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.wake_waiting();
        self.left_line(1);
        self.queue_shared.jobs_ended(1);
    }

    fn close_if_failed(&self) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let failures = session.failures();
        if failures != self.failures.load(Ordering::Relaxed) {
            if session.has_failed(*job) {
                self.close();
            }
            self.failures.store(failures, Ordering::Relaxed);
        }
    }

    fn is_open(&self) -> bool {
        !lock(&self.in_flight).closed
    }

    fn is_over(&self) -> bool {
        let in_flight = lock(&self.in_flight);
        in_flight.closed && in_flight.outstanding() == 0 && self.queue_shared.background.is_empty()
    }

    fn begin_future(&self) -> bool {
        self.allocator.session.begin_future(self.allocator.job)
    }

    fn holds_up(&self) -> bool {
        !self.allocator.session.has_failed(self.allocator.job)
    }

    fn close(&self) {
        lock(&self.in_flight).closed = true;
        self.queue_shared.background.close();
        self.queue_shared.driver.unpark();
    }

    fn wait_for_calls(&self) {
        self.work_while(|in_flight| {
            in_flight.outstanding() + self.queue_shared.background.maps() > 0
        });
    }

    fn resign(&self) {
        self.queue_shared.callbacks.resign();
    }

    fn terminate(&self) {
        self.give_up(&Error::Terminated);
    }
}

impl Driven for ProcessQueue {
    fn demand(&self) -> (Work, u64) {
        let in_flight = lock(&self.in_flight);
        let QueueShared { background, watched, .. } = &*self.queue_shared;
        let (calls, maps) = (in_flight.outstanding(), background.maps());
        let work = if calls == 0 && in_flight.closed && background.is_empty() {
            Work::Over
        } else if !in_flight.waiting.is_empty() || maps > 0 || watched.load(Ordering::SeqCst) > 0 {
            Work::Now
        } else if calls > 0 {
            Work::Later
        } else {
            Work::Nothing
        };
        (work, self.passes.load(Ordering::SeqCst))
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let drove = self.while_away(leave, |due, over| session.drive_if_vacant(*job, due, over));
        if drove {
            self.work(false, true);
        }
        drove
    }

    fn stand_by(&self, leave: &Leave<'_>) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        self.while_away(leave, |due, over| session.stand_by(*job, due, over));
    }

    fn pass(&self) {
        self.work(true, true);
    }

    fn interrupt(&self) {
        self.allocator.session.notify();
    }

    fn no_driver(&self, why: Error) {
        if self.queue_shared.watched.load(Ordering::SeqCst) > 0 {
            self.give_up(&why);
        }
        self.queue_shared.budget.wake_submitters();
    }
}

impl Drop for ProcessQueue {
    fn drop(&mut self) {
        // In a forked child another thread may have been changing the table.
        if !self.allocator.session.is_foreign() {
            // (After `end` there is nothing left to do.)
            self.give_up(&Error::Terminated);
        }
    }
}
