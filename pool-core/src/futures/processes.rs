//! The queue for futures of a set of processes.
//!
//! Each thread that waits for a future works here: it takes what has arrived, completes futures,
//! and sends calls that wait. The books are locked before the session, and neither is locked while
//! the user's code runs.
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
    in_flight::{Answer, Books},
    queue::{AsyncQueue, Budget, Home},
};
use crate::{
    driver::{Driven, Leave, Work},
    engine::JobId,
    error::Error,
    job::Stock,
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
    pub(super) stock: Stock,
    pub(super) home: Arc<Home>,
    pub(super) books: Mutex<Books>,
    /// Whether any call has had a limit.
    pub(super) limited: AtomicBool,
    /// The session's count of failed calls when this queue last looked.
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
        f.debug_struct("ProcessQueue").field("stock", &self.stock).finish_non_exhaustive()
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
        let mut books = Books::new(workers);
        books.put_buffers(buffers);
        let backend = Arc::as_ptr(&session).addr();
        Ok(Some(Arc::new_cyclic(|this: &Weak<Self>| Self {
            stock: Stock { session, job, limit: items_limit, waits: true },
            home: Home::new(budget, (backend, Some(job)), this.clone()),
            books: Mutex::new(books),
            limited: AtomicBool::new(false),
            failures: AtomicU64::new(failures),
            passes: AtomicU64::new(0),
            backlog: AtomicBool::new(false),
        })))
    }

    /// Works, or waits for others who do.
    pub(super) fn work_while(&self, condition: impl Fn(&Books) -> bool) {
        loop {
            let seen = self.passes.load(Ordering::SeqCst);
            if !condition(&lock(&self.books)) {
                return;
            }
            self.home.waiting.fetch_add(1, Ordering::SeqCst);
            let passed = || self.passes.load(Ordering::SeqCst) != seen || self.has_backlog();
            self.stock.session.wait_for_messages(self.stock.job, self.due(), &passed);
            self.home.waiting.fetch_sub(1, Ordering::SeqCst);
            self.work(false, true);
        }
    }

    /// Completes what has arrived and sends what may be sent. `look`: checks for arrivals first;
    /// `idle`: may wait for room.
    pub(super) fn work(&self, look: bool, idle: bool) {
        self.answer(look, idle);
        if !self.home.background.is_empty() && !self.stock.session.is_foreign() {
            let news = self.stock.session.take_news(self.stock.job);
            let news = news.into_iter().map(|job| job.0);
            let ended = self.home.background.go_on(news, &|| self.tell());
            self.passes.fetch_add(1, Ordering::SeqCst);
            if ended {
                self.tell();
            }
        }
    }

    /// Completes and sends calls of one item, without the jobs in the background.
    fn answer(&self, look: bool, idle: bool) {
        let Stock { session, job, .. } = &self.stock;
        let mut books = lock(&self.books);
        if books.outstanding() == 0 && !look && self.home.background.is_empty() {
            return;
        }
        let mut buffers = books.buffers(session);
        let gone = session.take_messages(*job, look, &mut buffers.taken).err();
        while let Some(message) = buffers.taken.pop_front() {
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
            let receiver = books.end(key);
            books.answered.push_back((receiver, answer));
        }
        let (some, books) = self.hand_out(books, &mut buffers);
        // A thread that drains the queue has waited for this thread, too.
        let over = books.closed && books.outstanding() == 0;
        // Another thread has found the end and reports why: this one may only see that the job is
        // gone.
        let told = books.over;
        self.put_away(books, buffers);
        match gone {
            Some(_) if told => return,
            Some(fatal) => return self.give_up(&fatal),
            None => {}
        }
        let (failed, left) = self.send_waiting(idle);
        self.passes.fetch_add(1, Ordering::SeqCst);
        if some || failed || over {
            self.tell();
        }
        self.left_line(left);
    }

    /// Hands answers over, one after the other, until there are none; whether there were any.
    fn hand_out<'d>(
        &'d self,
        mut books: MutexGuard<'d, Books>,
        buffers: &mut Buffers,
    ) -> (bool, MutexGuard<'d, Books>) {
        books.busy += 1;
        let (mut some, mut shared) = (false, false);
        while let Some((receiver, answer)) = books.answered.pop_front() {
            let more = !books.answered.is_empty();
            // Relaxed: written with the books locked only.
            if more != self.backlog.load(Ordering::Relaxed) {
                self.backlog.store(more, Ordering::SeqCst);
            }
            drop(books);
            if more && !shared {
                self.tell();
            }
            (some, shared) = (true, shared || more);
            if let Some(receiver) = receiver {
                let inside = receiver.hand_over();
                match answer {
                    Answer::Batch(batch) => {
                        receiver.receive(&batch, &self.stock, buffers);
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
                self.stock.session.submit(&mut buffers.released, None);
            }
            books = lock(&self.books);
        }
        books.busy -= 1;
        // Another thread may have taken the last one.
        if !buffers.released.is_empty() {
            self.stock.session.submit(&mut buffers.released, None);
        }
        (some, books)
    }

    /// When there is work although nothing arrives: a call or a job had no room.
    fn due(&self) -> Option<Instant> {
        let books = lock(&self.books);
        let starves = !books.waiting.is_empty() && books.admits();
        let wait = if books.under_way() == 0 { Duration::ZERO } else { STARVES_FOR };
        drop(books);
        let due = starves.then(|| Instant::now() + wait);
        due.into_iter().chain(self.home.background.due()).min()
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
        self.home.waiting.fetch_add(1, Ordering::SeqCst);
        let over = || leave() || self.has_backlog() || self.passes.load(Ordering::SeqCst) != before;
        let slept = sleep(self.due(), &over);
        self.home.waiting.fetch_sub(1, Ordering::SeqCst);
        slept
    }

    /// Returns the buffers, and closes the session's job if all is over.
    fn put_away(&self, mut books: MutexGuard<'_, Books>, buffers: Box<Buffers>) {
        books.put_buffers(buffers);
        self.close_job_if_over(books);
    }

    /// Whether there are answers or jobs that no thread has in hand.
    fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) || self.home.background.has_backlog()
    }

    /// Wakes other threads that wait for a future: some futures are complete, or can be completed.
    fn tell(&self) {
        if self.home.waiting.load(Ordering::SeqCst) > 0 {
            self.stock.session.notify();
        }
    }

    /// Closes the queue, and answers every open call with this error.
    fn give_up(&self, why: &Error) {
        let mut books = lock(&self.books);
        books.closed = true;
        let unsent = books.give_up(why);
        books.over = true;
        let foreign = self.stock.session.is_foreign();
        if !foreign {
            self.stock.session.queue_leaves(self.stock.job);
        }
        if foreign {
            let answered = std::mem::take(&mut books.answered);
            drop(books);
            answered
                .into_iter()
                .filter_map(|(receiver, _)| receiver)
                .for_each(|r| r.fail(why.clone()));
        } else {
            let mut buffers = books.buffers(&self.stock.session);
            let (_, books) = self.hand_out(books, &mut buffers);
            self.put_away(books, buffers);
        }
        let inside = InCall::enter(self.home.backend, Inside::Delivery);
        drop_quietly(unsent);
        drop(inside);
        self.home.background.end(why);
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.home.driver.unpark();
        if !foreign {
            self.stock.session.notify();
            let _inside = InCall::enter(self.home.backend, Inside::Delivery);
            self.home.budget.submitters().wake_all();
        }
    }

    /// Closes the session's job once no thread reads results of it.
    fn close_job_if_over(&self, mut books: MutexGuard<'_, Books>) {
        let Stock { session, job, .. } = &self.stock;
        if !books.over || books.busy > 0 || !books.answered.is_empty() || session.is_foreign() {
            return;
        }
        let buffers = books.last_buffers();
        drop(books);
        session.close_job(*job, buffers.unwrap_or_else(|| session.take_buffers()));
    }
}

impl AsyncQueue for ProcessQueue {
    fn home(&self) -> &Arc<Home> {
        &self.home
    }

    fn check(&self) -> Result<(), Error> {
        if self.stock.session.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        // A worker's results are being read in place, and that worker waits for the reader.
        if is_inside(self.home.backend, Some(Inside::View)) {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        while !done() && until.is_none_or(|until| Instant::now() < until) {
            let more = || done() || self.has_backlog();
            let until = until.into_iter().chain(self.due()).min();
            self.stock.session.wait_for_messages(self.stock.job, until, &more);
            self.work(false, true);
        }
    }

    fn look(&self) {
        self.work(true, false);
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
            // A call keeps its key until it has ended, and its end is noted under this lock.
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
        self.left_line(1);
    }

    /// Closes the queue first if its job has failed while no thread waited.
    fn is_open(&self) -> bool {
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

    fn is_over(&self) -> bool {
        let books = lock(&self.books);
        books.closed && books.outstanding() == 0 && self.home.background.is_empty()
    }

    fn begins_alone(&self) -> bool {
        self.stock.session.begins_alone(self.stock.job)
    }

    fn holds_up(&self) -> bool {
        !self.stock.session.has_failed(self.stock.job)
    }

    fn close(&self) {
        lock(&self.books).closed = true;
        self.home.background.close();
        self.home.driver.unpark();
    }

    fn wait_for_calls(&self) {
        self.work_while(|books| books.outstanding() + self.home.background.maps() > 0);
    }

    fn resign(&self) {
        self.home.callbacks.resign();
    }

    fn terminate(&self) {
        self.give_up(&Error::Terminated);
    }
}

impl Driven for ProcessQueue {
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
        let Stock { session, job, .. } = &self.stock;
        let drove = self.while_away(leave, |due, over| session.drive_if_vacant(*job, due, over));
        if drove {
            self.work(false, true);
        }
        drove
    }

    fn stand_by(&self, leave: &Leave<'_>) {
        let Stock { session, job, .. } = &self.stock;
        self.while_away(leave, |due, over| session.stand_by(*job, due, over));
    }

    fn pass(&self) {
        self.work(true, true);
    }

    fn interrupt(&self) {
        self.stock.session.notify();
    }

    fn unattended(&self, why: Error) {
        if self.home.watched.load(Ordering::SeqCst) > 0 {
            self.give_up(&why);
        }
        self.home.budget.submitters().wake_all();
    }
}

impl Drop for ProcessQueue {
    fn drop(&mut self) {
        // In a forked child another thread may have been changing the books.
        if !self.stock.session.is_foreign() {
            // (After `end` there is nothing left to do.)
            self.give_up(&Error::Terminated);
        }
    }
}
