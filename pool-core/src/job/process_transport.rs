//! The way to worker processes: encodes into the parent's arena, decodes from the workers'.

use std::{iter, num::NonZeroU64, sync::Arc, time::Duration};

use pool_ipc::{
    AlignedBytes, Decoder, Wire, WireFault,
    batch::{BatchReader, head_len},
};

use super::{
    item_allocator::{EncodedItems, ItemAllocator},
    leaked::{Borrows, LeakFlag},
    options::{JobOptions, Opening},
    target::Target,
    transfer::{Cut, Load, Sent},
};
use crate::{
    calls::UnderWay,
    compact::Compact,
    engine::{Awaited, Chunk, JobId, MeasureResults},
    error::Error,
    ids::ItemIndex,
    session::{Buffers, Message, NewJob, ResultBatch, Session},
    task::Call,
};

/// A batch up to this size is copied as a whole before its values are checked, a larger one value
/// by value.
const COPIED_AT_ONCE: usize = 1 << 20;
/// Bytes for items of unknown size in the first chunk, and for a context.
const FIRST_GUESS: usize = 2048;

/// The way for items that are an `A`.
pub(crate) struct ProcessTransport<A> {
    pub(super) raw: RawTransport,
    /// An item that was pulled but did not fit into the last chunk.
    pending: Option<Compact<A>>,
}

/// The part that has no types of the user.
pub(super) struct RawTransport {
    allocator: ItemAllocator,
    call: Call,
    /// Measures the results of a chunk whose worker died.
    measure: MeasureResults,
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
    bytes_per_item: usize,
    /// Position in the input of the next item.
    next_index: ItemIndex,
    target: Target,
    /// Set if tasks borrow from the caller, who then waits for every one of them.
    leaked: Option<LeakFlag>,
    /// Results cannot be opened any more, because the zygote is gone.
    cut_off: bool,
}

impl<A: Wire> ProcessTransport<A> {
    /// One on which no item was sent yet.
    #[inline]
    pub(super) fn new(raw: RawTransport) -> Self {
        Self { raw, pending: None }
    }

    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = A>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        let packed = self.pack(items, cut)?;
        Ok(self.raw.submit(packed))
    }

    /// Sends the one item of the job and waits for its result.
    pub(super) fn exchange(&mut self, item: A, awaited: Awaited) -> Result<(), Error> {
        let cut = Cut { most: 1, timed: false, idle: true, until: None };
        let packed = self.pack(&mut iter::once(item), cut)?;
        let (chunk, _) = packed.expect("an idle job waits for room");
        let buffers = buffers(&mut self.raw.buffers);
        self.raw.allocator.session.exchange(chunk, awaited, &mut buffers.taken)
    }

    /// Encodes items for the next chunk; if there is no chunk, returns the reason.
    #[inline]
    fn pack(
        &mut self,
        items: &mut impl Iterator<Item = A>,
        cut: Cut,
    ) -> Result<Result<(Chunk, Load), Sent>, Error> {
        let first = match self.pending.take() {
            Some(pending) => pending.into_inner(),
            None => match items.next() {
                Some(first) => first,
                None => return Ok(Err(Sent::Exhausted)),
            },
        };
        let raw = &mut self.raw;
        let (most, guess) = raw.sizes(cut.most, head_len::<A>(1));
        let encoded = raw.allocator.encode::<A, _>(
            buffers(&mut raw.buffers),
            (first, items),
            &mut self.pending,
            (most, guess),
            (cut.idle, cut.until),
            Some(raw.next_index),
        )?;
        Ok(raw.chunk(encoded, cut.timed, most, head_len::<A>(most)))
    }

    /// How many items were pulled.
    pub(super) fn pulled(&self) -> u64 {
        self.raw.next_index.number() + u64::from(self.pending.is_some())
    }
}

#[inline]
fn buffers(buffers: &mut Option<Box<Buffers>>) -> &mut Buffers {
    buffers.as_mut().expect("it goes with the job")
}

impl RawTransport {
    /// The number by which insights know the call, and what looks at what workers have in hand.
    pub(super) fn look(&self) -> (u64, Box<dyn Fn() -> UnderWay + Send>) {
        let (session, job) = (Arc::downgrade(&self.allocator.session), self.allocator.job);
        let look = move || session.upgrade().map(|s| s.under_way(job)).unwrap_or_default();
        let number = self.allocator.session.call_number(job);
        (number.unwrap_or(u64::MAX), Box::new(look))
    }

    #[inline]
    pub(crate) fn open(
        session: Arc<Session>,
        (call, measure): (Call, MeasureResults),
        borrows: Borrows,
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
        let leaked = match borrows {
            Borrows::Parts(leaked) => Some(leaked),
            Borrows::Nothing | Borrows::Captures => None,
        };
        Ok(Self {
            allocator: ItemAllocator { session, job, limit, waits: true },
            call,
            measure,
            limit: options.task_timeout,
            grace: options.timeout_grace.unwrap_or_default(),
            retries: options.retries,
            context: (0, 0),
            bytes_per_item: 0,
            next_index: ItemIndex::FIRST,
            target: Target::Any,
            leaked,
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

    /// Makes it a background job: from now on its arrivals are announced to the queue that
    /// has the job `queue`, under the returned number.
    pub(super) fn go_to_background(&mut self, queue: JobId) -> u64 {
        self.allocator.session.share_inbox(self.allocator.job, queue);
        self.allocator.waits = false;
        self.allocator.job.0
    }

    /// Encodes the context that all tasks of the job get.
    pub(crate) fn set_context<C: Wire>(&mut self, context: &C) -> Result<(), Error> {
        let (allocator, buffers) = (&self.allocator, buffers(&mut self.buffers));
        let (one, sizes) = ((context, &mut iter::empty()), (1, FIRST_GUESS));
        let encoded =
            allocator.encode::<C, _>(buffers, one, &mut None, sizes, (true, None), None)?;
        let EncodedItems { block, carried, .. } = encoded.expect("an idle job waits for room");
        let number = allocator.session.keep_context(allocator.job, block, carried);
        self.context = (number, block.offset);
        Ok(())
    }

    /// The most items of the next chunk, whose head takes no more than an eighth of the arena, and
    /// the bytes that they may need. `head`: the bytes of the head for one item.
    #[inline]
    fn sizes(&self, most: usize, head: usize) -> (usize, usize) {
        let by_room = usize::try_from(self.allocator.limit / 8 / head.max(1) as u64)
            .unwrap_or(usize::MAX)
            .min(u32::MAX as usize / 2);
        let most = most.min(by_room).max(1);
        let per_item = self.bytes_per_item + self.bytes_per_item / 4;
        // A guess beyond the arena would refuse items that fit one at a time.
        let enough = usize::try_from(self.allocator.limit / 4).unwrap_or(usize::MAX);
        (most, per_item.saturating_mul(most).max(FIRST_GUESS).min(enough))
    }

    /// The chunk of items that were encoded; `head`: the bytes of their head.
    #[inline]
    fn chunk(
        &mut self,
        encoded: Option<EncodedItems>,
        timed: bool,
        most: usize,
        head: usize,
    ) -> Result<(Chunk, Load), Sent> {
        let Some(EncodedItems { block, carried, count, used, bytes }) = encoded else {
            return Err(Sent::NoRoom);
        };
        self.bytes_per_item = used.saturating_sub(head) / count;
        let exclusive = (bytes - block.len) as usize;
        let allocator = &self.allocator;
        if let Some(carried) = carried {
            allocator.session.keep_segments(block, carried);
        }
        let what = (allocator.job, self.call, self.measure);
        let chunk = Chunk {
            timed,
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
        Ok((chunk, load))
    }

    #[inline]
    fn submit(&mut self, packed: Result<(Chunk, Load), Sent>) -> Sent {
        match packed {
            Ok((chunk, load)) => {
                let buffers = buffers(&mut self.buffers);
                self.allocator.session.submit(&mut buffers.released, Some(chunk));
                Sent::Load(load)
            }
            Err(sent) => sent,
        }
    }

    pub(super) fn backend(&self) -> usize {
        Arc::as_ptr(&self.allocator.session).addr()
    }

    /// Fails if the last batch could not be decoded completely, because the zygote is gone.
    #[inline]
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cut_off { Err(self.allocator.session.end_error()) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if !self.allocator.session.workers_end_with_call() {
            return Ok(());
        }
        self.flush();
        self.allocator.session.finish_job(self.allocator.job)
    }

    /// Releases what was read since the last time.
    #[inline]
    pub(super) fn flush(&mut self) {
        let buffers = buffers(&mut self.buffers);
        if !buffers.released.is_empty() {
            self.allocator.session.submit(&mut buffers.released, None);
        }
    }

    #[inline]
    pub(super) fn receive(&mut self, awaited: Awaited) -> Result<(), Error> {
        self.flush();
        let ItemAllocator { session, job, .. } = &self.allocator;
        session.next(*job, awaited, &mut buffers(&mut self.buffers).taken)
    }

    /// Takes what has arrived, without waiting. `poll`: first reads the messages of workers and
    /// zygote.
    pub(super) fn take(&mut self, poll: bool) -> Result<(), Error> {
        self.allocator.refuse_if_foreign()?;
        self.flush();
        let ItemAllocator { session, job, .. } = &self.allocator;
        session.take_messages(*job, poll, &mut buffers(&mut self.buffers).taken)
    }

    /// Takes what had finished when the call was cancelled, also what no thread has collected.
    pub(super) fn take_rest(&mut self) {
        // The call already ends with an error.
        let _ = self.take(true);
    }

    #[inline]
    pub(super) fn next_message(&mut self) -> Option<Message> {
        buffers(&mut self.buffers).taken.pop_front()
    }

    #[inline]
    pub(super) fn release(&mut self, batch: ResultBatch) {
        buffers(&mut self.buffers).released.extend(batch.slot());
    }

    #[inline]
    pub(super) fn decode<R: Wire, T>(
        &mut self,
        batch: &ResultBatch,
        out: &mut Vec<T>,
        mut made: impl FnMut(ItemIndex, Result<R, WireFault>) -> Option<T>,
    ) {
        let (allocator, cut_off) = (&self.allocator, &mut self.cut_off);
        let Buffers { scratch, decoder, .. } = buffers(&mut self.buffers);
        if batch.has_segments() {
            let ids = batch.segments();
            allocator.session.note_results_with(&ids);
            decoder.set_segments(&ids);
        } else {
            decoder.clear_segments();
        }
        let (mut reader, mut private) = batch.reader::<R>();
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
        let mut is_end = |why: &WireFault| {
            let is_end = allocator.check_for_end(why);
            *cut_off |= is_end;
            is_end
        };
        let at = |index: usize| batch.first.after(index);
        let source = (&reader, private, batch.count);
        if size_of::<R>() <= TAKEN_OUT {
            decode_each(source, (scratch, decoder), out, |index, value| match value {
                Ok(value) => made(at(index), Ok(value)),
                Err(why) if is_end(&why) => None,
                Err(why) => made(at(index), Err(why)),
            });
        } else {
            decode_each(source, (scratch, decoder), out, |index, value| match value {
                Err(why) if is_end(&why) => None,
                value => made(at(index), value),
            });
        }
    }
}

/// Values up to this size are taken out of their `Result` before they are handed on, since moving
/// that as a whole is slow; of larger ones that would be another copy on the stack.
const TAKEN_OUT: usize = 256;

/// Decodes the values of a batch, and appends what is made of them.
#[inline]
fn decode_each<R: Wire, T>(
    (reader, private, count): (&BatchReader<R>, bool, usize),
    (scratch, decoder): (&mut AlignedBytes, &mut Decoder),
    out: &mut Vec<T>,
    mut made_of: impl FnMut(usize, Result<R, WireFault>) -> Option<T>,
) {
    if private {
        reader.decode_all(count, decoder, out, made_of);
    } else {
        let value = |index| made_of(index, reader.decode_copied(index, scratch, decoder));
        out.extend((0..count).filter_map(value));
    }
}

impl Drop for RawTransport {
    fn drop(&mut self) {
        if !self.allocator.session.is_foreign()
            && let Some(buffers) = self.buffers.take()
        {
            let ItemAllocator { session, job, .. } = &self.allocator;
            session.close_job(*job, buffers);
            session.watch_while_idle();
            if let Some(leaked) = &self.leaked
                && !session.wait_for_tasks(*job)
            {
                leaked.keep();
            }
        }
    }
}
