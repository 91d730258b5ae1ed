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
    engine::Awaited,
    error::{Error, TaskError},
    ids::{ItemIndex, WorkerId},
    reentrancy::Within,
    session::Message,
    shared::SharedValue,
    task::Form,
    threads::{CallValues, Lends, Part, ThreadBackend, ThreadJob},
};

pub(crate) struct ThreadTransport<F: Form> {
    backend: Arc<ThreadBackend>,
    job: Arc<ThreadJob<F>>,
    function: F::Function,
    call_values: CallValues<F>,
    next_index: ItemIndex,
    target: Target,
    arrived: VecDeque<Arrival<F::Output>>,
    /// Whether items have a time limit.
    limited: bool,
    /// Whether a backend that is made for one call may end with this job.
    lets_go: bool,
}

impl<F: Form> ThreadTransport<F> {
    /// # Safety
    ///
    /// Those of [`Transport::open`](super::Transport::open).
    pub(super) unsafe fn open(
        backend: Arc<ThreadBackend>,
        function: F::Function,
        context: Arc<F::Context>,
        shared: Option<SharedValue>,
        borrows: &Borrows,
        options: &JobOptions,
        opening: Opening,
    ) -> Result<Self, Error> {
        if backend.is_mine() {
            return Err(Error::NestedUse);
        }
        let (token, lazy) = (options.cancel.clone(), opening == Opening::Lazy);
        let lends = match borrows {
            Borrows::Nothing => Lends::Nothing,
            Borrows::Parts(_) => Lends::ToItems,
            Borrows::Captures => Lends::ToChunks,
        };
        let job = ThreadJob::open(&backend, token, options.task_timeout, lazy, lends)?;
        let begins = lends != Lends::ToChunks;
        let call_values = CallValues { context, shared, begins, within: Within::here() };
        let arrived = VecDeque::new();
        let limited = options.task_timeout.is_some();
        Ok(Self {
            backend,
            job,
            function,
            call_values,
            next_index: ItemIndex::FIRST,
            target: Target::Any,
            arrived,
            limited,
            lets_go: true,
        })
    }

    pub(super) fn set_target(&mut self, target: Target) {
        self.target = target;
    }

    /// Makes it a background job: from now on `on_progress` is called with the returned number when
    /// something arrives. The backend serves other jobs, too.
    pub(super) fn go_to_background(
        &mut self,
        on_progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.job.go_to_background(Box::new(move || on_progress(number)));
        self.lets_go = false;
        number
    }

    /// Tasks of this job after which a worker's life ends.
    pub(super) fn lifespan(&self) -> Option<NonZeroU64> {
        self.backend.lifespan.filter(|_| self.call_values.begins)
    }

    /// When a thread has to look at the job although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.job.due()
    }

    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        let first = self.next_index;
        let mut thread_items = Vec::new();
        while thread_items.len() < cut.most
            && let Some(item) = items.next()
        {
            let index = first.after(thread_items.len());
            thread_items.push(F::pack(item).map_err(|_| Error::Encode { index: index.number() })?);
        }
        if thread_items.is_empty() {
            return Ok(Sent::Exhausted);
        }
        let items = thread_items.len();
        self.next_index = first.after(items);
        let worker = self.target.worker();
        self.target.advance();
        if !self.limited {
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
            self.job.send(
                (&self.backend, worker),
                self.function,
                &self.call_values,
                first,
                thread_items,
            )
        }
    }

    pub(super) fn finish(&self) -> Result<(), Error> {
        self.job.complete();
        self.backend.finish()
    }

    pub(super) fn backend(&self) -> usize {
        Arc::as_ptr(&self.backend).addr()
    }

    pub(super) fn next_arrival(&mut self) -> Option<Arrival<F::Output>> {
        self.arrived.pop_front()
    }

    pub(super) fn receive(&mut self, awaited: Awaited) -> Result<(), Error> {
        let parts = self.job.next(awaited)?;
        self.unpack(parts);
        Ok(())
    }

    /// Takes what has arrived, without waiting.
    pub(super) fn take(&mut self) -> Result<(), Error> {
        let parts = self.job.take()?;
        self.unpack(parts);
        Ok(())
    }

    /// Takes what had arrived when the call was cancelled.
    pub(super) fn take_rest(&mut self) {
        let parts = self.job.take_rest();
        self.unpack(parts);
    }

    /// How many items were pulled from the input.
    pub(super) fn pulled(&self) -> u64 {
        self.next_index.number()
    }

    fn unpack(&mut self, parts: Vec<Part<F::Output>>) {
        for part in parts {
            let failed = part.first.after(part.values.len());
            self.arrived.push_back(Arrival::Values {
                first: part.first,
                nanos: part.nanos,
                values: part.values,
            });
            if let Some((cause, worker)) = part.failure {
                let error = TaskError::new(failed, worker, cause, 1);
                self.arrived.push_back(Arrival::Message(Message::Failed(error)));
            }
            if part.ends {
                self.arrived.push_back(Arrival::Message(Message::Ended { bytes: 0 }));
            }
        }
    }
}

impl<F: Form> Drop for ThreadTransport<F> {
    fn drop(&mut self) {
        self.job.close();
        if self.lets_go {
            self.backend.end_without_waiting();
        }
    }
}
