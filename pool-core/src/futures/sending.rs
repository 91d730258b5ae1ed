//! How calls go from the queue to the workers: at once, or in line for room.
//!
//! Invariant: until it is answered, a call either is in the books under a key, from before it is
//! sent, or waits in line.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    vec,
};

use super::{
    MOST_MAPS, MOST_WAITING,
    handle::AsyncResult,
    processes::ProcessQueue,
    queue::{AsyncQueue, Terms, Unaccepted},
    queued_call::{Encoded, QueuedCall, Unsent},
    refused::Refused,
    shared_state::Entry,
    stream::AsyncResults,
};
use crate::{
    compact::Compact,
    engine::Chunk,
    error::Error,
    job::{Job, ResultStream},
    mutex::lock,
    panic::{drop_quietly, take_panic},
    reentrancy::{InCall, Inside},
    session::Buffers,
    task::{Call, Form, Portable},
};

impl ProcessQueue {
    /// Takes a call in; waits while too many others wait to be sent.
    pub(crate) fn submit<F: Portable>(
        &self,
        item: Compact<F::Item>,
        function: F::Function,
        terms: Terms,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        let refuse = |item, error| Err(Unaccepted::Refused(Refused { item, error }));
        let call = match self.admit().and_then(|()| Call::portable::<F>(function)) {
            Ok(call) => call,
            Err(error) => return refuse(item, error),
        };
        if terms.limit.is_some() && !self.limited.swap(true, Ordering::Relaxed) {
            self.stock.session.limit_job(self.stock.job);
        }
        let entry = Entry::new(self.home.clone());
        let queued = QueuedCall { item, entry: entry.clone(), call, terms };
        let mut books = lock(&self.books);
        if books.closed {
            return Err(Unaccepted::Closed(queued.item));
        }
        if !(books.waiting.is_empty() && books.admits()) {
            books.waiting.push_back(Box::new(queued));
            let waiting = books.waiting.len();
            drop(books);
            self.driver.unpark_if_parked();
            self.make_room(waiting);
            return Ok(AsyncResult::new(entry));
        }
        let (key, timed) = books.begin(entry.clone());
        let buffers = books.buffers(&self.stock.session);
        drop(books);
        match self.send(&queued, key, timed, buffers, false) {
            Ok(true) => {}
            Ok(false) => {
                self.wait_in_line(key, Box::new(queued));
                self.recount();
            }
            Err(error) => {
                lock(&self.books).end(key);
                self.recount();
                return refuse(queued.item, error);
            }
        }
        self.driver.unpark_if_parked();
        Ok(AsyncResult::new(entry))
    }

    pub(crate) fn admit(&self) -> Result<(), Error> {
        self.check()?;
        self.home.budget.check()?;
        self.driver.start()
    }

    /// Takes a map in; waits while too many others have not ended.
    ///
    /// # Errors
    ///
    /// The items, when the queue is closed.
    pub(crate) fn submit_map<F: Portable>(
        &self,
        job: Job<F, vec::IntoIter<F::Item>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, Vec<F::Item>> {
        self.work_while(|_| self.home.background.maps() >= MOST_MAPS);
        self.home.submit_map(self, job)
    }

    /// A stream over the job's results, as `take` yields them.
    ///
    /// # Errors
    ///
    /// The input, when the queue is closed.
    pub(crate) fn stream<F: Form, I: Iterator<Item = F::Item>, V>(
        &self,
        job: Job<F, I>,
        take: fn(Job<F, I>) -> ResultStream<F, I, V>,
    ) -> Result<AsyncResults<F, I, V>, I> {
        self.home.stream(job, take)
    }

    /// Works while too many calls wait to be sent.
    fn make_room(&self, waiting: usize) {
        if waiting.is_multiple_of(16) {
            self.work(true, false);
        }
        self.work_while(|books| books.waiting.len() >= MOST_WAITING);
    }

    /// Puts a call for which there is no room first in line.
    fn wait_in_line(&self, key: u64, unsent: Box<dyn Unsent>) {
        let mut books = lock(&self.books);
        // A queue that was closed meanwhile has already answered the call.
        if books.end(key).is_some() {
            books.waiting.push_front(unsent);
        } else {
            drop(books);
            drop_quietly(unsent);
        }
    }

    /// Sends the call that has `key` in the books; `false`: there is no room for it now.
    fn send(
        &self,
        unsent: &dyn Unsent,
        key: u64,
        timed: bool,
        mut buffers: Box<Buffers>,
        idle: bool,
    ) -> Result<bool, Error> {
        let session = &self.stock.session;
        let inside = InCall::enter(self.backend(), Inside::Call);
        let encoded =
            catch_unwind(AssertUnwindSafe(|| unsent.encode(&self.stock, &mut buffers, idle)));
        let encoded = encoded.unwrap_or_else(|payload| {
            take_panic(payload);
            Err(Error::Encode { index: 0 })
        });
        drop(inside);
        let sent = encoded.map(|encoded| {
            encoded.map(|encoded| {
                let Encoded { block: items, carried, bytes, call, terms, measure } = encoded;
                lock(&self.books).took(bytes);
                let what = (self.stock.job, call, measure);
                let (Terms { limit, grace, retries }, one) =
                    (terms, Chunk::new(what, items, key, (1, 1)));
                let chunk = Chunk { timed, bytes, limit, grace, retries, ..one };
                if let Some(carried) = carried {
                    session.keep_segments(items, carried);
                }
                session.submit(&mut buffers.released, Some(chunk));
            })
        });
        lock(&self.books).put_buffers(buffers);
        sent.map(|sent| sent.is_some())
    }

    /// Sends the calls that may be sent now; whether that failed a future.
    pub(super) fn send_waiting(&self, idle: bool) -> bool {
        let mut failed = false;
        loop {
            let mut books = lock(&self.books);
            if !books.admits() {
                return failed;
            }
            let Some(unsent) = books.waiting.pop_front() else { return failed };
            let receiver = unsent.receiver();
            let idle = idle && books.under_way() == 0;
            let (key, timed) = books.begin(receiver.clone());
            let buffers = books.buffers(&self.stock.session);
            drop(books);
            match self.send(&*unsent, key, timed, buffers, idle) {
                Ok(true) => drop_quietly(unsent),
                Ok(false) => {
                    self.wait_in_line(key, unsent);
                    return failed;
                }
                Err(error) => {
                    failed = true;
                    lock(&self.books).end(key);
                    receiver.fail(error);
                    drop_quietly(unsent);
                }
            }
        }
    }
}
