//! The way to worker threads: items and results move by value.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    leaked::Borrows,
    options::{JobOptions, Opening},
    target::Target,
    transfer::{Arrival, Cut, Load, Sent},
};
use crate::{
    calls::UnderWay,
    engine::Awaited,
    error::{Error, TaskError},
    ids::{ItemIndex, WorkerId},
    mutex::lock,
    reentrancy::Within,
    session::Message,
    shared::SharedValue,
    task::Form,
    threads::{self, CallValues, Control, Lends, Part, ThreadBackend, ThreadJob},
};

pub(crate) struct ThreadTransport<F: Form> {
    job: Arc<ThreadJob<F::Output>>,
    function: F::Function,
    context: Arc<F::Context>,
    arrived: VecDeque<Arrival<F::Output>>,
    raw: RawTransport,
}

/// The part that has no types of the user.
pub(super) struct RawTransport {
    backend: Arc<ThreadBackend>,
    control: Arc<Control>,
    lends: Lends,
    call_values: CallValues,
    next_index: ItemIndex,
    target: Target,
    /// Whether items have a time limit.
    limited: bool,
    /// Whether a backend that is made for one call may end with this job.
    lets_go: bool,
}

impl RawTransport {
    #[inline]
    pub(super) fn open(
        backend: Arc<ThreadBackend>,
        shared: Option<SharedValue>,
        borrows: &Borrows,
        options: &JobOptions,
        opening: Opening,
    ) -> Result<Self, Error> {
        if backend.is_mine() {
            return Err(Error::NestedUse);
        }
        let lends = match borrows {
            Borrows::Nothing => Lends::Nothing,
            Borrows::Parts(_) => Lends::ToItems,
            Borrows::Captures => Lends::ToChunks,
        };
        let (token, limit) = (options.cancel.clone(), options.task_timeout);
        let control = backend.open_job(token, limit, opening == Opening::Lazy)?;
        let begins = lends != Lends::ToChunks;
        Ok(Self {
            backend,
            control,
            lends,
            call_values: CallValues { shared, begins, within: Within::here() },
            next_index: ItemIndex::FIRST,
            target: Target::Any,
            limited: limit.is_some(),
            lets_go: true,
        })
    }
}

impl<F: Form> ThreadTransport<F> {
    /// # Safety
    ///
    /// Those of [`Transport::open`](super::Transport::open).
    pub(super) unsafe fn new(
        raw: RawTransport,
        function: F::Function,
        context: Arc<F::Context>,
    ) -> Self {
        let job = ThreadJob::new(&raw.backend, raw.control.clone(), raw.lends);
        Self { job, function, context, arrived: VecDeque::new(), raw }
    }

    pub(super) fn set_target(&mut self, target: Target) {
        self.raw.target = target;
    }

    /// Makes it a background job: from now on `on_progress` is called with the returned number when
    /// something arrives. The backend serves other jobs, too.
    pub(super) fn go_to_background(
        &mut self,
        on_progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.raw.control.go_to_background(Box::new(move || on_progress(number)));
        self.raw.lets_go = false;
        number
    }

    /// Tasks of this job after which a worker's life ends.
    pub(super) fn lifespan(&self) -> Option<NonZeroU64> {
        self.raw.backend.lifespan.filter(|_| self.raw.call_values.begins)
    }

    /// When a thread has to look at the job although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.raw.control.due()
    }

    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        let first = self.raw.next_index;
        let mut thread_items = Vec::new();
        while thread_items.len() < cut.most
            && let Some(item) = items.next()
        {
            let index = first.after(thread_items.len());
            let packed = F::pack(item);
            thread_items.push(packed.map_err(|fault| Error::unencodable(index.number(), fault))?);
        }
        self.send_items(thread_items)
    }

    fn send_items(&mut self, thread_items: Vec<F::ThreadItem>) -> Result<Sent, Error> {
        if thread_items.is_empty() {
            return Ok(Sent::Exhausted);
        }
        let (first, items) = (self.raw.next_index, thread_items.len());
        self.raw.next_index = first.after(items);
        let worker = self.raw.target.worker();
        self.raw.target.advance();
        if !self.raw.limited {
            self.send_chunk(worker, first, thread_items)?;
            return Ok(Sent::Load(Load { chunks: 1, items, bytes: 0, room: 0 }));
        }
        // One chunk for each item, so that the items behind an overdue one can run in other
        // threads.
        for (index, thread_item) in first.onwards().zip(thread_items) {
            self.send_chunk(worker, index, vec![thread_item])?;
        }
        Ok(Sent::Load(Load { chunks: items, items, bytes: 0, room: 0 }))
    }

    fn send_chunk(
        &self,
        worker: Option<WorkerId>,
        first: ItemIndex,
        thread_items: Vec<F::ThreadItem>,
    ) -> Result<(), Error> {
        // SAFETY: a function that borrows nothing is `'static`; if it borrows, this transport is
        // dropped in time, both promised to `open`, and its drop waits until no chunk of it, or no
        // item (`Lends`), is left.
        unsafe {
            threads::send::<F>(
                &self.job,
                (&self.raw.backend, worker),
                (self.function, &self.context),
                &self.raw.call_values,
                first,
                thread_items,
            )
        }
    }

    pub(super) fn finish(&self) -> Result<(), Error> {
        self.raw.control.complete();
        self.raw.backend.finish()
    }

    pub(super) fn backend(&self) -> usize {
        Arc::as_ptr(&self.raw.backend).addr()
    }

    /// What was received and is not taken.
    pub(super) fn arrived(&mut self) -> &mut VecDeque<Arrival<F::Output>> {
        &mut self.arrived
    }

    pub(super) fn receive(&mut self, awaited: Awaited) -> Result<(), Error> {
        unpack(self.job.next(awaited)?, &mut self.arrived);
        Ok(())
    }

    /// Takes what has arrived, without waiting.
    pub(super) fn take(&mut self) -> Result<(), Error> {
        unpack(self.job.take()?, &mut self.arrived);
        Ok(())
    }

    /// Takes what had arrived when the call was cancelled.
    pub(super) fn take_rest(&mut self) {
        unpack(self.job.take_rest(), &mut self.arrived);
    }

    /// The number by which insights know the call, and what looks at what workers have in hand.
    pub(super) fn look(&self) -> (u64, Box<dyn Fn() -> UnderWay + Send>) {
        let board = self.raw.control.step_board();
        let look = move || UnderWay { finished: 0, steps: lock(&board).clone() };
        (self.raw.control.job_number(), Box::new(look))
    }

    /// How many items were pulled from the input.
    pub(super) fn pulled(&self) -> u64 {
        self.raw.next_index.number()
    }
}

fn unpack<R>(parts: Vec<Part<R>>, arrived: &mut VecDeque<Arrival<R>>) {
    for Part { first, nanos, values, failure, ends } in parts {
        let failed = first.after(values.len());
        arrived.push_back(Arrival::Values { first, nanos, values });
        if let Some((cause, worker)) = failure {
            let error = TaskError::new(failed, worker, cause, 1);
            arrived.push_back(Arrival::Message(Message::Failed(error)));
        }
        if ends {
            arrived.push_back(Arrival::Message(Message::Ended { bytes: 0 }));
        }
    }
}

impl<F: Form> Drop for ThreadTransport<F> {
    fn drop(&mut self) {
        self.job.close();
        if self.raw.lets_go {
            self.raw.backend.end_without_waiting();
        }
    }
}
