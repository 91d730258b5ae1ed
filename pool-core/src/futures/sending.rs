//! How calls go from the queue to the workers: at once, or in line for room.
//!
//! Invariant: until it is answered, a call either is in the in-flight table under an index, from
//! before it is sent, or waits in line.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use super::{
    MOST_WAITING,
    processes::ProcessQueue,
    queue::{AsyncQueue, Terms, Unaccepted},
    queued_call::{QueuedCall, Unsent},
    refused::Refused,
    submit::{NewCall, Placement},
};
use crate::{
    compact::Compact,
    engine::Chunk,
    error::Error,
    ids::ItemIndex,
    job::EncodedItems,
    mutex::lock,
    panic::{drop_quietly, take_panic},
    reentrancy::{InCall, Inside},
    session::Buffers,
    task::{Call, Portable},
};

impl Placement for ProcessQueue {
    type Target<F: Portable> = Call;

    #[inline]
    fn target<F: Portable<Context = ()>>(
        &self,
        _: &F::Item,
        function: F::Function,
        _: &Terms,
    ) -> Result<Call, Error> {
        Call::portable::<F>(function)
    }

    #[inline]
    fn is_driven(_: &Terms) -> bool {
        true
    }

    #[inline]
    fn is_full(&self) -> bool {
        lock(&self.in_flight).is_full()
    }

    fn place<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        call: NewCall<'_, F, Call>,
    ) -> Result<usize, Unaccepted<Compact<F::Item>>> {
        let NewCall { item, entry, target: call, terms, .. } = call;
        if terms.limit.is_some() && !self.limited.swap(true, Ordering::Relaxed) {
            self.allocator.session.limit_job(self.allocator.job);
        }
        let queued = QueuedCall { item, entry: entry.clone(), call, terms };
        let mut in_flight = lock(&self.in_flight);
        if in_flight.closed {
            return Err(Unaccepted::Closed(queued.item));
        }
        let goes_first = in_flight.waiting.is_empty() && !in_flight.is_line_held();
        if !(goes_first && in_flight.admits(terms.worker)) {
            in_flight.waiting.push_back(Box::new(queued));
            return Ok(in_flight.waiting.len());
        }
        let (index, timed) = in_flight.begin(entry.clone(), terms.worker);
        let buffers = in_flight.buffers(&self.allocator.session);
        drop(in_flight);
        match self.send(&queued, index, timed, buffers, false) {
            Ok(true) => {}
            Ok(false) => {
                self.wait_in_line(index, Box::new(queued));
                self.recount();
            }
            Err(error) => {
                lock(&self.in_flight).end(index);
                self.recount();
                return Err(Unaccepted::Refused(Refused { item: queued.item, error }));
            }
        }
        Ok(0)
    }

    fn make_room(&self, waiting: usize) {
        if waiting == 0 {
            return;
        }
        if waiting.is_multiple_of(16) {
            self.work(true, false);
        }
        self.work_while(|in_flight| in_flight.waiting.len() > MOST_WAITING);
    }
}

impl ProcessQueue {
    /// Puts a call for which there is no room first in line.
    fn wait_in_line(&self, index: ItemIndex, unsent: Box<dyn Unsent>) {
        let mut in_flight = lock(&self.in_flight);
        // A queue that was closed meanwhile has already answered the call.
        if in_flight.stays(index) {
            in_flight.waiting.push_front(unsent);
        } else {
            drop(in_flight);
            drop_quietly(unsent);
        }
    }

    /// Sends the call at `index` of the in-flight table; `false`: there is no room for it now.
    #[inline]
    fn send(
        &self,
        unsent: &dyn Unsent,
        index: ItemIndex,
        timed: bool,
        mut buffers: Box<Buffers>,
        idle: bool,
    ) -> Result<bool, Error> {
        let session = &self.allocator.session;
        let inside = InCall::enter(self.queue_shared.backend, Inside::Call);
        let encoded =
            catch_unwind(AssertUnwindSafe(|| unsent.encode(&self.allocator, &mut buffers, idle)));
        let encoded = encoded.unwrap_or_else(|payload| {
            take_panic(payload);
            Err(Error::Encode { index: 0 })
        });
        drop(inside);
        // Locked until the call is with the session: `withdraw` finds it here or there.
        let mut in_flight = lock(&self.in_flight);
        let mut taken_back = None; // dropped without the lock
        let sent = encoded.map(|encoded| {
            let Some(EncodedItems { block, carried, bytes, .. }) = encoded else { return false };
            if !in_flight.hand_over(index, bytes) {
                session.free_items(block);
                taken_back = Some(carried);
                return true;
            }
            let (call, terms, measure) = unsent.call();
            let what = (self.allocator.job, call, measure);
            let (&Terms { limit, grace, retries, worker }, one) =
                (terms, Chunk::new(what, block, index, (1, 1)));
            let chunk = Chunk { timed, bytes, limit, grace, retries, worker, ..one };
            if let Some(carried) = carried {
                session.keep_segments(block, carried);
            }
            session.submit(&mut buffers.released, Some(chunk));
            true
        });
        in_flight.put_buffers(buffers);
        drop(in_flight);
        if taken_back.is_some() {
            self.recount();
        }
        sent
    }

    /// Sends the calls that may be sent now; whether that failed a future, and how many calls have
    /// left the line.
    pub(super) fn send_waiting(&self, idle: bool) -> (bool, usize) {
        let (mut failed, mut left) = (false, 0);
        let mut in_flight = lock(&self.in_flight);
        loop {
            let Some(unsent) = in_flight.hold_line() else { return (failed, left) };
            let receiver = unsent.receiver();
            let idle = idle && in_flight.under_way() == 0;
            let (index, timed) = in_flight.begin(receiver.clone(), unsent.worker());
            let buffers = in_flight.buffers(&self.allocator.session);
            drop(in_flight);
            let sent = self.send(&*unsent, index, timed, buffers, idle);
            if let Ok(false) = sent {
                self.wait_in_line(index, unsent);
                lock(&self.in_flight).let_go_of_line();
                return (failed, left);
            }
            left += 1;
            if let Err(error) = sent {
                failed = true;
                lock(&self.in_flight).end(index);
                receiver.fail(error);
            }
            drop_quietly(unsent);
            in_flight = lock(&self.in_flight);
            in_flight.let_go_of_line();
        }
    }

    /// Lets submitters in, since so many calls have left the line.
    pub(super) fn left_line(&self, calls: usize) {
        self.queue_shared.left(calls, || lock(&self.in_flight).waiting.len());
    }
}
