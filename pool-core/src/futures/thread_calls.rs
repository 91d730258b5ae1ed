//! How calls of one item go from the queue for threads to the workers.

use std::{sync::Arc, time::Duration};

use super::{
    MOST_WAITING,
    call_counts::Counts,
    queue::{AsyncQueue, Terms, Unaccepted},
    submit::{NewCall, Placement},
    thread_work::ThreadCall,
    threads::ThreadQueue,
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
        F::check(item).map_err(|fault| Error::unencodable(0, fault))?;
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
        let counts = self.calls.get();
        counts.waiting >= MOST_WAITING && !counts.closed
    }

    fn place<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        call: NewCall<'_, F, ThreadTarget<F>>,
    ) -> Result<usize, Unaccepted<Compact<F::Item>>> {
        let NewCall { item, entry, target, shared, terms: Terms { limit, worker, .. } } = call;
        let ThreadTarget { function, backend } = target;
        let Some(counts) = self.calls.enter() else { return Err(Unaccepted::Closed(item)) };
        if counts.outstanding == 1 {
            self.backend.busy().begin();
        }
        if let Some(limit) = limit {
            self.add_limited(limit);
        }
        let mut item = Some(item);
        let sent = backend.is_some_and(|backend| {
            backend.send_unless_over(worker, counts.waiting == 1, || {
                let item = item.take().expect("made once");
                let thread_call =
                    ThreadCall::<F>::new(self, entry, (function, item), shared, limit);
                Box::new(move |thread_worker| thread_call.run(thread_worker))
            })
        });
        if let (false, Some(item)) = (sent, item) {
            // Without `keep_alive` the threads end with a call.
            self.close();
            if limit.is_some() {
                lock(&self.flow).end_limited();
            }
            self.end_call(false);
            return Err(Unaccepted::Closed(item));
        }
        Ok(counts.waiting)
    }

    fn make_room(&self, waiting: usize) {
        if waiting > MOST_WAITING {
            let mut flow = lock(&self.flow);
            let is_over_full = |counts: Counts| counts.waiting > MOST_WAITING && !counts.closed;
            while is_over_full(self.calls.get()) {
                flow = self.sleep(flow, None);
            }
        }
    }
}

impl ThreadQueue {
    /// Notes that a call with this limit is under way.
    fn add_limited(&self, limit: Duration) {
        let mut flow = lock(&self.flow);
        flow.limited += 1;
        let shortest = flow.shortest.into_iter().chain([limit]).min();
        let sooner = shortest != std::mem::replace(&mut flow.shortest, shortest);
        drop(flow);
        if sooner {
            self.wake_waiting();
        }
    }
}
