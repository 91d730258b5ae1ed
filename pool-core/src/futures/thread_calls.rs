//! How the queue for threads takes calls, maps and streams in.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
    vec,
};

use super::{
    MOST_MAPS, MOST_WAITING,
    handle::AsyncResult,
    queue::{AsyncQueue, Unaccepted},
    refused::Refused,
    shared_state::Entry,
    stream::AsyncValues,
    thread_work::ThreadCall,
    threads::{Flow, ThreadQueue},
};
use crate::{
    compact::Compact,
    error::Error,
    job::Job,
    mutex::lock,
    shared::SharedValue,
    task::{Form, Portable},
    threads::ThreadBackend,
};

impl ThreadQueue {
    /// Takes a call in; waits while too many others wait for a worker.
    pub(crate) fn submit<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        backend: &ThreadBackend,
        shared: Option<SharedValue>,
        item: Compact<F::Item>,
        function: F::Function,
        limit: Option<Duration>,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        let admitted = self.check().and_then(|()| self.queue_shared.budget.check());
        // The driver thread watches time limits while no thread waits.
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
            self.backend.busy().begin();
        }
        flow.limited += usize::from(limit.is_some());
        let shortest = flow.shortest.into_iter().chain(limit).min();
        let sooner = shortest != std::mem::replace(&mut flow.shortest, shortest);
        drop(flow);
        if sooner {
            self.tell();
        }
        if limit.is_some() {
            self.driver.unpark_if_parked();
        }
        let entry = Entry::new(self.queue_shared.clone());
        let mut item = Some(item);
        let sent = backend.send_unless_over(none_waits, || {
            let item = item.take().expect("made once");
            let thread_call = ThreadCall::<F>::new(self, &entry, (function, item), shared, limit);
            Box::new(move |thread_worker| thread_call.run(thread_worker))
        });
        if let (false, Some(item)) = (sent, item) {
            // Without `keep_alive` the threads end with a call.
            self.close();
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
        self.queue_shared.budget.check()?;
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
        self.work_until(None, &|flow| {
            self.queue_shared.background.maps() < MOST_MAPS || flow.closed
        });
        self.queue_shared.submit_map(self, job)
    }

    /// A stream over the job's values.
    ///
    /// # Errors
    ///
    /// The input, when the queue is closed.
    pub(crate) fn stream<F: Form, I: Iterator<Item = F::Item>>(
        &self,
        job: Job<F, I>,
        ordered: bool,
    ) -> Result<AsyncValues<F, I>, I> {
        self.queue_shared.stream(job, ordered)
    }
}
