//! A call on its way to a process, and its answer on the way back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use pool_ipc::{
    AlignedBytes, Block, Decoder, Wire, WireFault,
    batch::{BatchReader, BatchWriter, head_len, is_fixed, len_of_one},
};

use super::{queue::Terms, shared_state::Entry};
use crate::{
    compact::Compact,
    engine::{MeasureResults, measure_results},
    error::{Cause, Error, TaskError},
    ids::WorkerId,
    job::{ItemAllocator, bad_result, exclusive_segment_bytes},
    panic::take_panic,
    reentrancy::{Brought, InCall},
    session::{Buffers, Carried, ResultBatch},
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

/// An encoded item.
pub(super) struct Encoded {
    pub(super) block: Block,
    pub(super) carried: Option<Carried>,
    /// Bytes under way with it: the block, and segments that have no other handle.
    pub(super) bytes: u64,
    pub(super) call: Call,
    pub(super) terms: Terms,
    pub(super) measure: MeasureResults,
}

/// A [`QueuedCall`] of any type.
pub(super) trait Unsent: Send {
    fn receiver(&self) -> Arc<dyn Receiver>;

    /// Encodes the item; `None`: there is no room now. `idle`: may wait for room.
    fn encode(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<Encoded>, Error>;
}

/// The receiver of an answer.
pub(super) trait Receiver: Send + Sync {
    /// Decodes the result. Panics of the user's code are a failure of the task.
    fn receive(&self, batch: &ResultBatch, allocator: &ItemAllocator, buffers: &mut Buffers);
    fn fail(&self, error: Error);
    /// Marks the calling thread while it hands the outcome over: see [`Entry::hand_over`].
    fn hand_over(&self) -> (Brought, InCall);
    /// The receiver's identity.
    fn address(&self) -> *const ();
}

impl<A: Wire, R: Wire> Unsent for QueuedCall<A, R> {
    fn receiver(&self) -> Arc<dyn Receiver> {
        self.entry.clone()
    }

    fn encode(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<Encoded>, Error> {
        with_room::<A, (), _>(|| self.encode_here(allocator, buffers, idle))
    }
}

impl<A: Wire, R: Wire> QueuedCall<A, R> {
    fn encode_here(
        &self,
        allocator: &ItemAllocator,
        buffers: &mut Buffers,
        idle: bool,
    ) -> Result<Option<Encoded>, Error> {
        let mut room = head_len::<A>(1) + if is_fixed::<A>() { 0 } else { GUESS };
        for _ in 0..2 {
            let Some(reserved) =
                allocator.reserve(&mut buffers.released, room.max(1), idle, None)?
            else {
                return Ok(None);
            };
            // SAFETY: this thread owns the block until it is handed over; it is aligned, with room
            // for the head.
            let mut writer = unsafe { BatchWriter::new(reserved.base, reserved.room(), 1) };
            match writer.push(&*self.item, &mut buffers.encoder) {
                Ok(()) => {
                    let manifest = writer.manifest(reserved.block.offset);
                    let carried = manifest.map(|m| (m, buffers.encoder.take_segments()));
                    let bytes =
                        reserved.block.len + carried.as_ref().map_or(0, exclusive_segment_bytes);
                    let (block, call, terms) = (reserved.hand_over(), self.call, self.terms);
                    let measure = measure_results::<R>;
                    return Ok(Some(Encoded { block, carried, bytes, call, terms, measure }));
                }
                Err(pool_ipc::WireFault::Overflow) => {
                    drop(reserved);
                    let needed = len_of_one(&*self.item, &mut buffers.encoder);
                    room = needed.map_err(|fault| allocator.unsendable(Some(0), fault))?;
                }
                Err(fault) => return Err(allocator.unsendable(Some(0), fault)),
            }
        }
        // The item's own code encodes it differently each time.
        Err(Error::Encode { index: 0 })
    }
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

    fn fail(&self, error: Error) {
        self.complete(Err(error), 0);
    }

    fn hand_over(&self) -> (Brought, InCall) {
        Entry::hand_over(self)
    }

    fn address(&self) -> *const () {
        Entry::address(self)
    }
}

/// Decodes the result on the present stack.
fn receive_here<R: Wire>(
    entry: &Entry<R>,
    batch: &ResultBatch,
    allocator: &ItemAllocator,
    buffers: &mut Buffers,
) {
    let Buffers { scratch, decoder, .. } = buffers;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let segments = if batch.has_segments() { batch.segments() } else { Vec::new() };
        decoder.set_segments(&segments);
        let (reader, private) = batch.reader::<R>();
        let bytes = reader.extent(0).map_or(0, |(start, end)| end - start);
        (decode(&reader, private, scratch, decoder), bytes)
    }));
    match decoded {
        Ok((Ok(value), bytes)) => entry.complete(Ok(value), bytes as u64),
        Ok((Err(fault), _)) if allocator.is_end(&fault) => {
            entry.complete(Err(allocator.session.end_error()), 0)
        }
        Ok((Err(fault), _)) => entry.complete(Err(bad_result(batch.worker(), 0, fault).into()), 0),
        Err(payload) => {
            take_panic(payload);
            let task = TaskError::new(0, WorkerId::FIRST, Cause::BadResult, 1);
            entry.complete(Err(task.into()), 0);
        }
    }
}
