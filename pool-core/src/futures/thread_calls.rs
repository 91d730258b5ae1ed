//! How calls of one item go from the queue for threads to the workers.

use std::sync::{Arc, PoisonError};

use super::{
    MOST_WAITING,
    queue::{AsyncQueue, Terms, Unaccepted},
    submit::{NewCall, Placement},
    thread_work::ThreadCall,
    threads::{Flow, ThreadQueue},
};
use crate::{compact::Compact, error::Error, mutex::lock, task::Portable, threads::ThreadBackend};

/// How a call gets to a thread: its function, and the backend unless that has ended.
pub(super) struct ThreadTarget<F: Portable> {
    function: F::Function,
    backend: Option<Arc<ThreadBackend>>,
}

impl Placement for ThreadQueue {
    type Target<F: Portable> = ThreadTarget<F>;

    fn target<F: Portable<Context = ()>>(
        &self,
        item: &F::Item,
        function: F::Function,
        terms: &Terms,
    ) -> Result<ThreadTarget<F>, Error> {
        F::check(item).map_err(|_| Error::Encode { index: 0 })?;
        let backend = self.backend.upgrade();
        if let Some(backend) = &backend {
            backend.check_worker(terms.worker)?;
        }
        Ok(ThreadTarget { function, backend })
    }

    /// The driver thread watches time limits.
    fn is_driven(terms: &Terms) -> bool {
        terms.limit.is_some()
    }

    fn is_full(&self) -> bool {
        let flow = lock(&self.flow);
        flow.waiting >= MOST_WAITING && !flow.closed
    }

    fn place<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        call: NewCall<'_, F, ThreadTarget<F>>,
    ) -> Result<usize, Unaccepted<Compact<F::Item>>> {
        let NewCall { item, entry, target, shared, terms: Terms { limit, worker, .. } } = call;
        let ThreadTarget { function, backend } = target;
        let mut flow = lock(&self.flow);
        if flow.closed {
            return Err(Unaccepted::Closed(item));
        }
        flow.waiting += 1;
        let waiting = flow.waiting;
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
        let mut item = Some(item);
        let sent = backend.is_some_and(|backend| {
            backend.send_unless_over(worker, waiting == 1, || {
                let item = item.take().expect("made once");
                let thread_call =
                    ThreadCall::<F>::new(self, entry, (function, item), shared, limit);
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
        Ok(waiting)
    }

    fn make_room(&self, waiting: usize) {
        if waiting > MOST_WAITING {
            let full = |flow: &mut Flow| flow.waiting > MOST_WAITING && !flow.closed;
            let waited = self.changed.wait_while(lock(&self.flow), full);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
