//! The desk for futures of a crew of processes.
//!
//! Whoever waits for a future works here: takes what has arrived, completes it, sends what waits. Books are locked before the
//! session is, and neither while the user's code runs.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    books::Books,
    desk::{Budget, Desk, Home},
    driver::{Driven, Driver, Leave, Work},
    drop_quietly, lock,
};
use crate::{
    engine::JobId,
    error::Error,
    job::{InCall, Inside, Stock, is_inside},
    session::{Message, ResultBatch, Session},
};

/// See the module.
pub(crate) struct ProcessDesk {
    pub(super) stock: Stock,
    pub(super) home: Arc<Home>,
    pub(super) books: Mutex<Books>,
    /// Whether any call has had a limit.
    pub(super) limited: AtomicBool,
    /// How often calls of the session had failed when that was looked at last.
    failures: AtomicU64,
    /// How often somebody has worked here, or something has left. SeqCst: whoever waits for that says so before it looks.
    passes: AtomicU64,
    pub(super) driver: Driver,
}

/// What has come back for a call.
enum Answer {
    Batch(ResultBatch),
    Failed(Error),
}

impl fmt::Debug for ProcessDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessDesk").field("stock", &self.stock).finish_non_exhaustive()
    }
}

impl ProcessDesk {
    /// A desk of the session for `workers` workers; `None` while the pool is being stopped.
    ///
    /// # Errors
    ///
    /// [`Error::PoolBroken`].
    pub(crate) fn open(
        session: Arc<Session>,
        workers: usize,
        budget: Arc<Budget>,
    ) -> Result<Option<Arc<Self>>, Error> {
        let Some((job, kit)) = session.open_desk()? else { return Ok(None) };
        let (items_limit, failures) = (session.items_limit(), session.failures());
        let mut books = Books::new(workers);
        books.put_kit(kit);
        let (crew, stack) = (Arc::as_ptr(&session).addr(), budget.stack);
        Ok(Some(Arc::new_cyclic(|this: &Weak<Self>| Self {
            stock: Stock { session, job, limit: items_limit, waits: true },
            home: Home::new(budget, (crew, Some(job)), this.clone()),
            books: Mutex::new(books),
            limited: AtomicBool::new(false),
            failures: AtomicU64::new(failures),
            passes: AtomicU64::new(0),
            driver: Driver::new(this.clone(), stack),
        })))
    }

    /// Whether this desk is one of the session.
    pub(crate) fn is_of(&self, session: &Arc<Session>) -> bool {
        Arc::ptr_eq(&self.stock.session, session)
    }

    /// Whether every call that it took in has ended.
    pub(crate) fn is_over(&self) -> bool {
        let books = lock(&self.books);
        books.closed && books.outstanding() == 0 && self.home.background.is_empty()
    }

    /// Whether its job is one that the session knows and that has not failed.
    pub(crate) fn has_job(&self) -> bool {
        !self.stock.session.has_failed(self.stock.job)
    }

    /// Whether it takes calls in: it does not any more when its job has failed while nobody waited.
    pub(crate) fn is_open(&self) -> bool {
        let Stock { session, job, .. } = &self.stock;
        let failures = session.failures();
        if failures != self.failures.load(Ordering::Relaxed) {
            if session.has_failed(*job) {
                self.close();
            }
            self.failures.store(failures, Ordering::Relaxed);
        }
        !lock(&self.books).closed
    }

    /// Whether a future that is made now is the only call.
    pub(crate) fn begins_alone(&self) -> bool {
        self.stock.session.begins_alone(self.stock.job)
    }

    /// What tells the crew from all others.
    pub(super) fn crew(&self) -> usize {
        Arc::as_ptr(&self.stock.session).addr()
    }

    /// Works, or waits for others who do.
    pub(super) fn work_while(&self, condition: impl Fn(&Books) -> bool) {
        loop {
            let seen = self.passes.load(Ordering::SeqCst);
            if !condition(&lock(&self.books)) {
                return;
            }
            self.home.waiting.fetch_add(1, Ordering::SeqCst);
            let passed = || self.passes.load(Ordering::SeqCst) != seen;
            self.stock.session.wait_for_messages(self.stock.job, None, &passed);
            self.home.waiting.fetch_sub(1, Ordering::SeqCst);
            self.work(false, true);
        }
    }

    /// Completes what has arrived and sends what may be sent. `look`: sees first whether anything has; `idle`: may wait for room.
    pub(super) fn work(&self, look: bool, idle: bool) {
        self.answer(look, idle);
        if !self.home.background.is_empty() && !self.stock.session.is_foreign() {
            let news = self.stock.session.take_news(self.stock.job);
            let news: Vec<_> = news.into_iter().map(|job| job.0).collect();
            let ended = self.home.background.go_on(&news);
            self.passes.fetch_add(1, Ordering::SeqCst);
            if ended {
                self.tell();
            }
        }
    }

    /// The same for calls of one item.
    fn answer(&self, look: bool, idle: bool) {
        let Stock { session, job, .. } = &self.stock;
        let mut books = lock(&self.books);
        if books.outstanding() == 0 && !look && self.home.background.is_empty() {
            return;
        }
        let mut kit = books.kit(session);
        books.busy += 1;
        let gone = session.take_messages(*job, look, &mut kit.taken).err();
        let mut answers = Vec::with_capacity(kit.taken.len() / 2);
        while let Some(message) = kit.taken.pop_front() {
            let (key, answer) = match message {
                Message::Ended { bytes } => {
                    books.ended(bytes);
                    continue;
                }
                Message::Results(batch) => {
                    books.ran(batch.nanos);
                    (batch.first, Answer::Batch(batch))
                }
                Message::Failed(mut error) => {
                    let key = std::mem::take(&mut error.index);
                    (key, Answer::Failed(error.into()))
                }
            };
            answers.push((books.end(key), answer));
        }
        drop(books);
        let some = !answers.is_empty();
        let inside = InCall::enter(self.crew(), Inside::Call);
        for (receiver, answer) in answers {
            match answer {
                Answer::Batch(batch) => {
                    if let Some(receiver) = &receiver {
                        receiver.receive(&batch, &self.stock, &mut kit);
                    }
                    kit.released.extend(batch.slot());
                }
                Answer::Failed(error) => {
                    if let Some(receiver) = &receiver {
                        receiver.fail(error);
                    }
                }
            }
            drop_quietly(receiver);
        }
        drop(inside);
        if !kit.released.is_empty() {
            session.submit(&mut kit.released, None);
        }
        let mut books = lock(&self.books);
        books.busy -= 1;
        // Whoever drains the desk has waited for this thread, too.
        let over = books.closed && books.outstanding() == 0;
        // Another thread has found the end, and says why: to this one the job may just be gone.
        let told = books.over;
        books.put_kit(kit);
        self.close_job_if_over(books);
        match gone {
            Some(_) if told => return,
            Some(fatal) => return self.give_up(|| fatal.clone().into()),
            None => {}
        }
        let failed = self.send_waiting(idle);
        self.passes.fetch_add(1, Ordering::SeqCst);
        if some || failed || over {
            self.tell();
        }
    }

    /// Tells other threads that wait for a future that some are complete.
    fn tell(&self) {
        if self.home.waiting.load(Ordering::SeqCst) > 0 {
            self.stock.session.nudge();
        }
    }

    /// Nothing is taken in any more, and what has no answer gets this one.
    fn give_up(&self, why: impl Fn() -> Error) {
        let mut books = lock(&self.books);
        books.closed = true;
        let (sent, waiting) = books.give_up();
        books.over = true;
        if !self.stock.session.is_foreign() {
            self.stock.session.desk_leaves(self.stock.job);
        }
        self.close_job_if_over(books);
        for receiver in sent.into_iter().chain(waiting.iter().map(|unsent| unsent.receiver())) {
            receiver.fail(why());
        }
        drop_quietly(waiting);
        self.home.background.end(&why);
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.driver.poke();
        if !self.stock.session.is_foreign() {
            self.stock.session.nudge();
        }
    }

    /// Closes the session's job once nobody reads results of it.
    fn close_job_if_over(&self, mut books: MutexGuard<'_, Books>) {
        let Stock { session, job, .. } = &self.stock;
        if !books.over || books.busy > 0 || session.is_foreign() {
            return;
        }
        let kit = books.last_kit();
        drop(books);
        session.close_job(*job, kit.unwrap_or_else(|| session.take_kit()));
    }

    /// Takes nothing in any more; what was taken in is answered.
    pub(crate) fn close(&self) {
        lock(&self.books).closed = true;
        self.home.background.close();
        self.driver.poke();
    }

    /// As [`ProcessDesk::close`], and waits until all is answered; then the desk is over.
    pub(crate) fn drain(&self) {
        self.close();
        self.work_while(|books| books.outstanding() + self.home.background.maps() > 0);
        self.home.callbacks.wait();
        self.end();
    }

    /// See [`Callbacks::resign`](super::callbacks::Callbacks::resign).
    pub(crate) fn resign(&self) {
        self.home.callbacks.resign();
    }

    /// Ends the desk: what has no answer is [`Error::Terminated`]. Its thread has ended when this returns.
    pub(crate) fn end(&self) {
        self.give_up(|| Error::Terminated);
        self.driver.stop();
    }
}

impl Desk for ProcessDesk {
    fn check(&self) -> Result<(), Error> {
        if self.stock.session.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        // The worker whose results are being read in place waits for that.
        if is_inside(self.crew(), Some(Inside::View)) { Err(Error::NestedUse) } else { Ok(()) }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        while !done() && until.is_none_or(|until| Instant::now() < until) {
            self.stock.session.wait_for_messages(self.stock.job, until, done);
            self.work(false, true);
        }
    }

    fn look(&self) {
        self.work(true, false);
    }

    fn attend(&self) {
        self.driver.poke();
    }

    fn withdraw(&self, entry: *const ()) -> bool {
        if self.home.background.withdraw(entry) {
            return true;
        }
        let mut books = lock(&self.books);
        let mut waiting = books.waiting.iter();
        if let Some(at) = waiting.position(|unsent| unsent.receiver().address() == entry) {
            let unsent = books.waiting.remove(at);
            drop(books);
            drop_quietly(unsent);
            return true;
        }
        let Some(key) = books.key_of(entry) else { return false };
        let withdrawn = self.stock.session.withdraw(self.stock.job, key);
        if withdrawn {
            books.end(key);
        }
        withdrawn
    }

    fn kill(&self, entry: *const (), grace: Duration) {
        if let Some(number) = self.home.background.number_of(entry) {
            self.kill_at_end(number, grace);
        }
        if !self.withdraw(entry) {
            // Its key stays its own until it has ended, and that is noted under this lock.
            let books = lock(&self.books);
            if let Some(key) = books.key_of(entry) {
                self.stock.session.kill_chunk(self.stock.job, key, grace);
            }
        }
    }

    fn kill_at_end(&self, number: u64, grace: Duration) {
        self.stock.session.kill_at_end(JobId(number), grace);
    }

    fn recount(&self) {
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.tell();
    }

    fn heard(&self, _: u64) {}
}

impl Driven for ProcessDesk {
    fn demand(&self) -> (Work, u64) {
        let books = lock(&self.books);
        let Home { background, watched, .. } = &*self.home;
        let (calls, maps) = (books.outstanding(), background.maps());
        let work = if calls == 0 && books.closed && background.is_empty() {
            Work::Over
        } else if !books.waiting.is_empty() || maps > 0 || watched.load(Ordering::SeqCst) > 0 {
            Work::Now
        } else if calls > 0 {
            Work::Later
        } else {
            Work::Nothing
        };
        (work, self.passes.load(Ordering::SeqCst))
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let due = self.home.background.due();
        let drove = self.stock.session.drive_aside(self.stock.job, due, &|| leave());
        if drove {
            self.work(false, true);
        }
        drove
    }

    fn pass(&self) {
        self.work(true, true);
    }

    fn interrupt(&self) {
        self.stock.session.nudge();
    }

    fn unattended(&self, why: Error) {
        if self.home.watched.load(Ordering::SeqCst) > 0 {
            self.give_up(|| why.again());
        }
    }
}

impl Drop for ProcessDesk {
    fn drop(&mut self) {
        // In a forked child another thread may have been at the books.
        if !self.stock.session.is_foreign() {
            // (Whoever ended it has left nothing to do.)
            self.give_up(|| Error::Terminated);
        }
    }
}
