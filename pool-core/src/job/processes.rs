//! The way to worker processes: encodes into the parent's arena, decodes from the workers'.

use std::{iter, num::NonZeroU64, sync::Arc, time::Duration};

use pool_ipc::{
    Wire, WireFault,
    batch::{BatchReader, head_len},
};

use super::{
    item_allocator::{EncodedItems, ItemAllocator},
    leaked::LeakFlag,
    options::{JobOptions, Opening},
    target::Target,
    transfer::{Arrival, Cut, Load, Sent},
};
use crate::{
    compact::Compact,
    engine::{Awaited, Chunk, JobId, MeasureResults, measure_results},
    error::Error,
    ids::ItemIndex,
    session::{Buffers, NewJob, ResultBatch, Session},
    task::{Call, Form},
};

/// A batch up to this size is copied as a whole before its values are checked, a larger one value
/// by value.
const COPIED_AT_ONCE: usize = 1 << 20;
/// Bytes for items of unknown size in the first chunk, and for a context.
const FIRST_GUESS: usize = 2048;

pub(crate) struct ProcessTransport<F: Form> {
    allocator: ItemAllocator,
    call: Call,
    /// The context's number and its offset in the arena.
    context: (u64, u64),
    /// How long one item may take.
    limit: Option<Duration>,
    /// How long an overdue item may go on before its worker is killed.
    grace: Duration,
    /// How often an item may be tried again after its worker died.
    retries: u32,
    /// `None` once the job is closed.
    buffers: Option<Box<Buffers>>,
    /// An item that was pulled but did not fit into the last chunk.
    pending: Option<Compact<F::Item>>,
    bytes_per_item: usize,
    /// Position in the input of the next item.
    next_index: ItemIndex,
    target: Target,
    /// Set if tasks borrow from the caller, who then waits for every one of them.
    leaked: Option<LeakFlag>,
    /// Results cannot be opened any more, because the zygote is gone.
    cut_off: bool,
}

impl<F: Form> ProcessTransport<F> {
    pub(crate) fn open(
        session: Arc<Session>,
        call: Call,
        options: &JobOptions,
        opening: Opening,
    ) -> Result<Self, Error> {
        let (job, buffers) = session.open_job(&NewJob {
            token: options.cancel.clone(),
            kill: options.kill_running,
            lazy: opening == Opening::Lazy,
            at_once: opening == Opening::AtOnce,
            limited: options.task_timeout.is_some(),
        })?;
        let limit = session.items_limit();
        Ok(Self {
            allocator: ItemAllocator { session, job, limit, waits: true },
            call,
            limit: options.task_timeout,
            grace: options.timeout_grace.unwrap_or_default(),
            retries: options.retries,
            context: (0, 0),
            pending: None,
            bytes_per_item: 0,
            next_index: ItemIndex::FIRST,
            target: Target::Any,
            leaked: None,
            cut_off: false,
            buffers: Some(buffers),
        })
    }

    /// Tasks after which a worker's life ends.
    pub(super) fn lifespan(&self) -> Option<NonZeroU64> {
        self.allocator.session.lifespan()
    }

    pub(super) fn set_target(&mut self, target: Target) {
        self.target = target;
    }

    /// Makes the end of the job wait until no task of it runs any more.
    pub(super) fn set_leak_flag(&mut self, leaked: LeakFlag) {
        self.leaked = Some(leaked);
    }

    /// Makes it a background job: from now on its arrivals are announced to the queue that
    /// has the job `queue`, under the returned number.
    pub(super) fn go_to_background(&mut self, queue: JobId) -> u64 {
        self.allocator.session.share_inbox(self.allocator.job, queue);
        self.allocator.waits = false;
        self.allocator.job.0
    }

    fn buffers(buffers: &mut Option<Box<Buffers>>) -> &mut Buffers {
        buffers.as_mut().expect("it goes with the job")
    }

    /// Encodes the context that all tasks of the job get.
    pub(crate) fn set_context<C: Wire>(&mut self, context: &C) -> Result<(), Error> {
        let (allocator, buffers) = (&self.allocator, Self::buffers(&mut self.buffers));
        let (one, sizes) = ((context, &mut iter::empty()), (1, FIRST_GUESS));
        let encoded =
            allocator.encode::<C, _>(buffers, one, &mut None, sizes, (true, None), None)?;
        let EncodedItems { block, carried, .. } = encoded.expect("an idle job waits for room");
        let number = allocator.session.keep_context(allocator.job, block, carried);
        self.context = (number, block.offset);
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        Ok(match self.pack(items, cut)? {
            Ok((chunk, load)) => {
                let buffers = Self::buffers(&mut self.buffers);
                self.allocator.session.submit(&mut buffers.released, Some(chunk));
                Sent::Load(load)
            }
            Err(sent) => sent,
        })
    }

    /// Sends the one item of the job and waits for its result.
    pub(super) fn exchange(&mut self, item: F::Item, awaited: Awaited) -> Result<(), Error> {
        let cut = Cut { most: 1, timed: false, idle: true, until: None };
        let packed = self.pack(&mut iter::once(item), cut)?;
        let (chunk, _) = packed.expect("an idle job waits for room");
        let buffers = Self::buffers(&mut self.buffers);
        self.allocator.session.exchange(chunk, awaited, &mut buffers.taken)
    }

    /// Encodes items for the next chunk; if there is no chunk, returns the reason.
    #[inline]
    fn pack(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Result<(Chunk, Load), Sent>, Error> {
        let first = match self.pending.take() {
            Some(pending) => pending.into_inner(),
            None => match items.next() {
                Some(first) => first,
                None => return Ok(Err(Sent::Exhausted)),
            },
        };
        let most = cut.most.min(self.most_by_room()).max(1);
        let per_item = self.bytes_per_item + self.bytes_per_item / 4;
        // A guess beyond the arena would refuse items that fit one at a time.
        let enough = usize::try_from(self.allocator.limit / 4).unwrap_or(usize::MAX);
        let guess = per_item.saturating_mul(most).max(FIRST_GUESS).min(enough);
        let encoded = self.allocator.encode::<F::Item, _>(
            Self::buffers(&mut self.buffers),
            (first, items),
            &mut self.pending,
            (most, guess),
            (cut.idle, cut.until),
            Some(self.next_index),
        )?;
        let Some(EncodedItems { block, carried, count, used, bytes }) = encoded else {
            return Ok(Err(Sent::NoRoom));
        };
        self.bytes_per_item = used.saturating_sub(head_len::<F::Item>(most)) / count;
        let exclusive = (bytes - block.len) as usize;
        let allocator = &self.allocator;
        if let Some(carried) = carried {
            allocator.session.keep_segments(block, carried);
        }
        let what = (allocator.job, self.call, measure_results::<F::Output> as MeasureResults);
        let chunk = Chunk {
            timed: cut.timed,
            context: self.context,
            bytes,
            limit: self.limit,
            grace: self.grace,
            retries: self.retries,
            worker: self.target.worker(),
            ..Chunk::new(what, block, self.next_index, (count as u32, most as u32))
        };
        self.next_index = self.next_index.after(count);
        self.target.advance();
        let load = Load { chunks: 1, items: count, bytes: used + exclusive, room: bytes as usize };
        Ok(Ok((chunk, load)))
    }

    /// The most items whose head takes no more than an eighth of the arena.
    fn most_by_room(&self) -> usize {
        let per_item = head_len::<F::Item>(1).max(1) as u64;
        usize::try_from(self.allocator.limit / 8 / per_item)
            .unwrap_or(usize::MAX)
            .min(u32::MAX as usize / 2)
    }

    pub(super) fn backend(&self) -> usize {
        Arc::as_ptr(&self.allocator.session).addr()
    }

    /// Fails if the last batch could not be decoded completely, because the zygote is gone.
    #[inline]
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cut_off { Err(self.allocator.session.end_error()) } else { Ok(()) }
    }

    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if !self.allocator.session.workers_end_with_call() {
            return Ok(());
        }
        self.flush();
        self.allocator.session.finish_job(self.allocator.job)
    }

    /// Releases what was read since the last time.
    pub(super) fn flush(&mut self) {
        let buffers = Self::buffers(&mut self.buffers);
        if !buffers.released.is_empty() {
            self.allocator.session.submit(&mut buffers.released, None);
        }
    }

    pub(super) fn receive(&mut self, awaited: Awaited) -> Result<(), Error> {
        self.flush();
        let ItemAllocator { session, job, .. } = &self.allocator;
        session.next(*job, awaited, &mut Self::buffers(&mut self.buffers).taken)
    }

    /// Takes what has arrived, without waiting. `poll`: first reads the messages of workers and
    /// zygote.
    pub(super) fn take(&mut self, poll: bool) -> Result<(), Error> {
        self.allocator.refuse_if_foreign()?;
        self.flush();
        let ItemAllocator { session, job, .. } = &self.allocator;
        session.take_messages(*job, poll, &mut Self::buffers(&mut self.buffers).taken)
    }

    /// Takes what had finished when the call was cancelled, also what no thread has collected.
    pub(super) fn take_rest(&mut self) {
        // The call already ends with an error.
        let _ = self.take(true);
    }

    /// How many items were pulled.
    pub(super) fn pulled(&self) -> u64 {
        self.next_index.number() + u64::from(self.pending.is_some())
    }

    #[inline]
    pub(super) fn next_arrival(&mut self) -> Option<Arrival<F::Output>> {
        Self::buffers(&mut self.buffers).taken.pop_front().map(Arrival::Message)
    }

    #[inline]
    pub(super) fn release(&mut self, batch: ResultBatch) {
        Self::buffers(&mut self.buffers).released.extend(batch.slot());
    }

    pub(super) fn decode<T>(
        &mut self,
        batch: &ResultBatch,
        out: &mut Vec<T>,
        mut made: impl FnMut(ItemIndex, Result<F::Output, WireFault>) -> Option<T>,
    ) {
        let (allocator, cut_off) = (&self.allocator, &mut self.cut_off);
        let Buffers { scratch, decoder, .. } = Self::buffers(&mut self.buffers);
        if batch.has_segments() {
            decoder.set_segments(&batch.segments());
        } else {
            decoder.clear_segments();
        }
        let (mut reader, mut private) = batch.reader::<F::Output>();
        let end = batch.count.checked_sub(1).and_then(|last| reader.extent(last).ok());
        if let Some((_, end)) = end
            && !private
            && end <= COPIED_AT_ONCE
        {
            // SAFETY: `extent` checked that the batch lies within its mapping up to `end`.
            unsafe { scratch.copy_from(reader.base(), end, 0) };
            // SAFETY: the scratch is aligned, holds `end` bytes, and is not touched while read.
            reader = unsafe { BatchReader::new(scratch.as_ptr(), end, reader.capacity()) };
            private = true;
        }
        let mut made_of = |index: usize, value: Result<F::Output, WireFault>| match value {
            Err(why) if allocator.check_for_end(&why) => {
                *cut_off = true;
                None
            }
            value => made(batch.first.after(index), value),
        };
        if private {
            reader.decode_all(batch.count, decoder, out, made_of);
        } else {
            let value = |index| made_of(index, reader.decode_copied(index, scratch, decoder));
            out.extend((0..batch.count).filter_map(value));
        }
    }
}

impl<F: Form> Drop for ProcessTransport<F> {
    fn drop(&mut self) {
        if !self.allocator.session.is_foreign()
            && let Some(buffers) = self.buffers.take()
        {
            let ItemAllocator { session, job, .. } = &self.allocator;
            session.close_job(*job, buffers);
            if let Some(leaked) = &self.leaked
                && !session.wait_for_tasks(*job)
            {
                leaked.keep();
            }
        }
    }
}
