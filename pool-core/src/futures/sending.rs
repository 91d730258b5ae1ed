//! How calls go from the desk to the workers: at once, or in line for room.
//!
//! Invariant: a call is in the books under a key from before it is sent until it is answered, or waits in line.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    vec,
};

use super::{
    AsyncResult, AsyncValues, MOST_MAPS, MOST_WAITING, Refused,
    desk::{Desk, Terms, Unaccepted},
    drop_quietly,
    entry::Entry,
    lock,
    parcel::{Encoded, Parcel, Unsent},
    processes::ProcessDesk,
};
use crate::{
    compact::Compact,
    engine::Chunk,
    error::Error,
    job::{InCall, Inside, Job},
    session::Kit,
    task::{Call, Form, Portable},
    worker::take_panic,
};

impl ProcessDesk {
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
        let parcel = Parcel { item, entry: entry.clone(), call, terms };
        let mut books = lock(&self.books);
        if books.closed {
            entry.give_number_back();
            return Err(Unaccepted::Closed(parcel.item));
        }
        if !(books.waiting.is_empty() && books.admits()) {
            books.waiting.push_back(Box::new(parcel));
            let waiting = books.waiting.len();
            drop(books);
            self.driver.poke_if_parked();
            self.make_room(waiting);
            return Ok(AsyncResult::new(entry));
        }
        let (key, timed) = books.begin(entry.clone());
        let kit = books.kit(&self.stock.session);
        drop(books);
        match self.send(&parcel, key, timed, kit, false) {
            Ok(true) => {}
            Ok(false) => {
                self.wait_in_line(key, Box::new(parcel));
                self.recount();
            }
            Err(error) => {
                lock(&self.books).end(key);
                self.recount();
                entry.give_number_back();
                return refuse(parcel.item, error);
            }
        }
        self.driver.poke_if_parked();
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
    /// The items, when the desk is closed.
    pub(crate) fn undertake<F: Portable>(
        &self,
        job: Job<F, vec::IntoIter<F::Item>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, Vec<F::Item>> {
        self.work_while(|_| self.home.background.maps() >= MOST_MAPS);
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

    /// Works while too many calls wait to be sent.
    fn make_room(&self, waiting: usize) {
        if waiting.is_multiple_of(16) {
            self.work(true, false);
        }
        self.work_while(|books| books.waiting.len() >= MOST_WAITING);
    }

    /// There is no room for the call now: it is the first to be sent when there is.
    fn wait_in_line(&self, key: u64, unsent: Box<dyn Unsent>) {
        let mut books = lock(&self.books);
        // A desk that was closed meanwhile has answered it.
        if books.end(key).is_some() {
            books.waiting.push_front(unsent);
        } else {
            drop(books);
            drop_quietly(unsent);
        }
    }

    /// Sends a call that the books know under `key`; `false`: there is no room for it now.
    fn send(
        &self,
        unsent: &dyn Unsent,
        key: u64,
        timed: bool,
        mut kit: Box<Kit>,
        idle: bool,
    ) -> Result<bool, Error> {
        let session = &self.stock.session;
        let inside = InCall::enter(self.crew(), Inside::Call);
        let encoded = catch_unwind(AssertUnwindSafe(|| unsent.encode(&self.stock, &mut kit, idle)));
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
                session.submit(&mut kit.released, Some(chunk));
            })
        });
        lock(&self.books).put_kit(kit);
        sent.map(|sent| sent.is_some())
    }

    /// Sends what may be sent now; whether a future has failed of that.
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
            let kit = books.kit(&self.stock.session);
            drop(books);
            match self.send(&*unsent, key, timed, kit, idle) {
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
