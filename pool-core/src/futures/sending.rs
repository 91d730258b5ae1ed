//! How calls go from the queue to the workers: at once, or in line for room.
//!
//! Invariant: until it is answered, a call either is in the in-flight table under an index, from
//! before it is sent, or waits in line. The table is locked while a call goes from one to the
//! other, unless that runs the user's code: then the call is taken out of the line first.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use pool_ipc::Block;

use super::{
    MOST_WAITING,
    in_flight::InFlight,
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

/// When so many more calls wait, the thread that hands the last of them in sends what may be sent.
const SENT_AT_ONCE: usize = 16;

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
        if waiting.is_multiple_of(SENT_AT_ONCE) {
            self.work(true, false);
        }
        if waiting > MOST_WAITING {
            self.work_while(|in_flight| in_flight.waiting.len() > MOST_WAITING);
        }
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
            let chunk = self.chunk(unsent, (index, timed), (block, bytes));
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

    /// The chunk of a call with this index, whose item is encoded in the block.
    #[inline]
    fn chunk(
        &self,
        unsent: &dyn Unsent,
        (index, timed): (ItemIndex, bool),
        (block, bytes): (Block, u64),
    ) -> Chunk {
        let (call, terms, measure) = unsent.call();
        let &Terms { limit, grace, retries, worker } = terms;
        let what = (self.allocator.job, call, measure);
        let one = Chunk::new(what, block, index, (1, 1));
        Chunk { timed, bytes, limit, grace, retries, worker, ..one }
    }

    /// Sends calls from the line together, as long as that runs none of the user's code and waits
    /// for nothing, so that the table stays locked; how many.
    fn send_plain(&self, in_flight: &mut InFlight) -> usize {
        let session = &self.allocator.session;
        let Some(mut next) = in_flight.take_plain() else { return 0 };
        let mut buffers = in_flight.buffers(session);
        let mut chunks = Vec::with_capacity(SENT_AT_ONCE);
        loop {
            let encoded = next.encode(&self.allocator, &mut buffers, false);
            let Ok(Some(EncodedItems { block, bytes, .. })) = encoded else {
                // There is no room, or it fails: the calls that follow this one wait for it.
                in_flight.waiting.push_front(next);
                break;
            };
            let worker = next.worker();
            let mut chunk = self.chunk(&*next, (ItemIndex::FIRST, false), (block, bytes));
            (chunk.first, chunk.timed) = in_flight.begin(next.into_receiver(), worker);
            in_flight.hand_over(chunk.first, bytes);
            chunks.push(chunk);
            next = match in_flight.take_plain() {
                Some(next) => next,
                None => break,
            };
        }
        let sent = chunks.len();
        session.submit(&mut buffers.released, chunks);
        in_flight.put_buffers(buffers);
        sent
    }

    /// Sends the calls that may be sent now; whether that failed a future, and how many calls have
    /// left the line.
    pub(super) fn send_waiting(&self, idle: bool) -> (bool, usize) {
        let (mut failed, mut left) = (false, 0);
        let mut in_flight = lock(&self.in_flight);
        loop {
            left += self.send_plain(&mut in_flight);
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
