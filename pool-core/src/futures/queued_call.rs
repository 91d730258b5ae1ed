//! A call on its way to a process, and its answer on the way back.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use pool_ipc::{AlignedBytes, Decoder, Wire, WireFault, batch::BatchReader, is_scalar};

use super::{queue::Terms, shared_state::Entry};
use crate::{
    compact::Compact,
    engine::{MeasureResults, measure_results},
    error::{Cause, Error, TaskError},
    ids::{ItemIndex, WorkerId},
    job::{EncodedItems, ItemAllocator, bad_result},
    panic::take_panic,
    reentrancy::{Brought, InCall},
    session::{Buffers, ResultBatch},
    stack::with_room,
    task::Call,
};

/// Bytes reserved for an item of unknown size.
const GUESS: usize = 512;

/// A call that has not been sent.
pub(super) struct QueuedCall<A, R> {
    pub(super) item: Compact<A>,
    pub(super) entry: Arc<Entry<R>>,
    pub(super) call: Call,
    pub(super) terms: Terms,
}

/// A [`QueuedCall`] of any type.
pub(super) trait Unsent: Send {
    fn receiver(&self) -> Arc<dyn Receiver>;

    /// Its receiver, when the call was sent: drops the item.
    fn into_receiver(self: Box<Self>) -> Arc<dyn Receiver>;

    /// Whether encoding and dropping the item runs none of the user's code, and waits for nothing.
    fn is_plain(&self) -> bool;

    /// The only worker to run it, if any.
    fn worker(&self) -> Option<WorkerId>;

    /// What is called, on which terms, and how the result's size is measured.
    fn call(&self) -> (Call, &Terms, MeasureResults);

    /// Encodes the item; `None`: there is no room now. `idle`: may wait for room.
    fn encode(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<EncodedItems>, Error>;
}

/// The receiver of an answer.
pub(super) trait Receiver: Send + Sync {
    /// Decodes the result. Panics of the user's code are a failure of the task.
    fn receive(&self, batch: &ResultBatch, allocator: &ItemAllocator, buffers: &mut Buffers);
    /// Decodes the result if none of the user's code runs then, and nothing is wrong with it;
    /// otherwise it is left for `receive`.
    fn receive_plain(&self, batch: &ResultBatch, buffers: &mut Buffers) -> bool;
    fn fail(&self, error: Error);
    /// Marks the calling thread while it hands the outcome over: see [`Entry::enter_delivery`].
    fn enter_delivery(&self) -> (Brought, InCall);
    /// The receiver's identity.
    fn address(&self) -> *const ();
}

impl<A: Wire, R: Wire> Unsent for QueuedCall<A, R> {
    fn receiver(&self) -> Arc<dyn Receiver> {
        self.entry.clone()
    }

    fn into_receiver(self: Box<Self>) -> Arc<dyn Receiver> {
        self.entry
    }

    fn is_plain(&self) -> bool {
        is_scalar::<A>()
    }

    fn worker(&self) -> Option<WorkerId> {
        self.terms.worker
    }

    fn call(&self) -> (Call, &Terms, MeasureResults) {
        (self.call, &self.terms, measure_results::<R>)
    }

    fn encode(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<EncodedItems>, Error> {
        with_room::<A, (), _>(|| self.encode_here(allocator, buffers, idle))
    }
}

impl<A: Wire, R: Wire> QueuedCall<A, R> {
    #[inline]
    fn encode_here(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<EncodedItems>, Error> {
        let (one, sizes) = ((&*self.item, &mut iter::empty()), (1, GUESS));
        allocator.encode::<A, _>(
            buffers,
            one,
            &mut None,
            sizes,
            (idle, None),
            Some(ItemIndex::FIRST),
        )
    }
}

/// Bytes of the one value of a batch.
fn result_bytes<R: Wire>(reader: &BatchReader<R>) -> u64 {
    reader.extent(0).map_or(0, |(start, end)| (end - start) as u64)
}

/// Decodes the one value of a batch.
fn decode<R: Wire>(
    reader: &BatchReader<R>,
    private: bool,
    scratch: &mut AlignedBytes,
    decoder: &mut Decoder,
) -> Result<Compact<R>, WireFault> {
    let value = if private {
        reader.decode_private(0, decoder)
    } else {
        reader.decode_copied(0, scratch, decoder)
    };
    match value {
        Ok(value) => Ok(Compact::new(value)),
        Err(fault) => Err(fault),
    }
}

impl<R: Wire> Receiver for Entry<R> {
    fn receive(&self, batch: &ResultBatch, allocator: &ItemAllocator, buffers: &mut Buffers) {
        with_room::<(), R, _>(|| receive_here(self, batch, allocator, buffers));
    }

    fn receive_plain(&self, batch: &ResultBatch, buffers: &mut Buffers) -> bool {
        if !is_scalar::<R>() {
            return false;
        }
        let (reader, private) = batch.reader::<R>();
        let bytes = result_bytes(&reader);
        decode(&reader, private, &mut buffers.scratch, &mut buffers.decoder)
            .is_ok_and(|value| self.complete_unwatched(value, bytes))
    }

    fn fail(&self, error: Error) {
        self.complete(Err(error), 0);
    }

    fn enter_delivery(&self) -> (Brought, InCall) {
        Entry::enter_delivery(self)
    }

    fn address(&self) -> *const () {
        Entry::address(self)
    }
}

/// Decodes the result on the present stack.
#[inline]
fn receive_here<R: Wire>(
    entry: &Entry<R>,
    batch: &ResultBatch,
    allocator: &ItemAllocator,
    buffers: &mut Buffers,
) {
    let Buffers { scratch, decoder, .. } = buffers;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let segments = if batch.has_segments() { batch.segments() } else { Vec::new() };
        if !segments.is_empty() {
            allocator.session.note_results_with(&segments);
        }
        decoder.set_segments(&segments);
        let (reader, private) = batch.reader::<R>();
        let bytes = result_bytes(&reader);
        (decode(&reader, private, scratch, decoder), bytes)
    }));
    match decoded {
        Ok((Ok(value), bytes)) => entry.complete(Ok(value), bytes),
        Ok((Err(fault), _)) if allocator.check_for_end(&fault) => {
            entry.complete(Err(allocator.session.end_error()), 0)
        }
        Ok((Err(fault), _)) => {
            entry.complete(Err(bad_result(batch.worker(), ItemIndex::FIRST, fault).into()), 0)
        }
        Err(payload) => {
            take_panic(payload);
            let task = TaskError::new(ItemIndex::FIRST, WorkerId::FIRST, Cause::BadResult, 1);
            entry.complete(Err(task.into()), 0);
        }
    }
}
