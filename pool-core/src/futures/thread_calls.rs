//! How the queue for threads takes calls of one item in.

use std::sync::{Arc, PoisonError};

use super::{
    MOST_WAITING,
    handle::AsyncResult,
    queue::{AsyncQueue, Room, Terms, Unaccepted},
    refused::Refused,
    shared_state::Entry,
    thread_work::ThreadCall,
    threads::{Flow, ThreadQueue},
};
use crate::{compact::Compact, error::Error, mutex::lock, shared::SharedValue, task::Portable};

impl ThreadQueue {
    /// Takes a call in. With [`Room::Wait`] this waits while too many others wait for a worker.
    pub(crate) fn submit<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        item: Compact<F::Item>,
        function: F::Function,
        shared: Option<SharedValue>,
        Terms { limit, worker, .. }: Terms,
        room: Room,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        let admitted = self.check().and_then(|()| self.queue_shared.budget.check());
        // The driver thread watches time limits while no thread waits.
        let admitted =
            admitted.and_then(|()| limit.map_or(Ok(()), |_| self.queue_shared.driver.start()));
        let encodes = || F::check(&item).map_err(|_| Error::Encode { index: 0 });
        let admitted = admitted.and_then(|()| encodes());
        let backend = self.backend.upgrade();
        let is_there = || backend.as_ref().map_or(Ok(()), |backend| backend.check_worker(worker));
        let admitted = admitted.and_then(|()| is_there());
        if let Err(error) = admitted {
            return Err(Unaccepted::Refused(Refused { item, error }));
        }
        let full = |flow: &mut Flow| flow.waiting >= MOST_WAITING && !flow.closed;
        let mut flow = lock(&self.flow);
        match room {
            Room::Wait => {
                let waited = self.changed.wait_while(flow, full);
                flow = waited.unwrap_or_else(PoisonError::into_inner);
            }
            Room::Refuse if full(&mut flow) => return Err(Unaccepted::Full(item)),
            Room::Refuse | Room::LetIn => {}
        }
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
            self.wake_waiting();
        }
        if limit.is_some() {
            self.queue_shared.driver.unpark_if_parked();
        }
        let entry = Entry::new(self.queue_shared.clone());
        let mut item = Some(item);
        let sent = backend.is_some_and(|backend| {
            backend.send_unless_over(worker, none_waits, || {
                let item = item.take().expect("made once");
                let thread_call =
                    ThreadCall::<F>::new(self, &entry, (function, item), shared, limit);
                Box::new(move |thread_worker| thread_call.run(thread_worker))
            })
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
}
