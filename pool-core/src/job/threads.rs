//! The way to worker threads: items and results move by value.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    in_call::Within,
    lane::{Arrival, Cut, Load, Sent},
    run::JobOptions,
    turn::Turn,
};
use crate::{
    error::{Error, TaskError},
    session::{Message, Want},
    shared::SharedValue,
    task::{Form, Portable},
    threads::{Given, Part, ThreadCrew, ThreadJob},
};

pub(crate) struct ThreadLane<F: Form> {
    crew: Arc<ThreadCrew>,
    job: Arc<ThreadJob<F>>,
    function: F::Function,
    given: Given<F>,
    next_index: u64,
    turn: Turn,
    arrived: VecDeque<Arrival<F::Output>>,
    /// Whether the function borrows from the caller, who then waits for every item.
    borrows: bool,
    /// Whether items have a limit.
    limited: bool,
    /// Whether the crew may end with the job, where each call has its own.
    lets_go: bool,
}

impl<F: Form> ThreadLane<F> {
    pub(crate) fn open(
        crew: Arc<ThreadCrew>,
        function: F::Function,
        context: Arc<F::Context>,
        shared: Option<SharedValue>,
        options: &JobOptions,
        lazy: bool,
    ) -> Result<Self, Error>
    where
        F: Portable,
    {
        // SAFETY: a portable form is `'static`, its function too.
        unsafe { Self::open_any(crew, function, context, shared, options, lazy, false) }
    }

    /// A lane for a function that borrows.
    ///
    /// # Safety
    ///
    /// The lane is dropped before anything that the function borrows.
    pub(crate) unsafe fn open_scoped(
        crew: Arc<ThreadCrew>,
        function: F::Function,
        context: F::Context,
        shared: Option<SharedValue>,
        options: &JobOptions,
    ) -> Result<Self, Error> {
        // SAFETY: as promised to this function.
        unsafe { Self::open_any(crew, function, Arc::new(context), shared, options, false, true) }
    }

    /// # Safety
    ///
    /// Without `borrows` the form is `'static`; with it, as for [`ThreadLane::open_scoped`].
    unsafe fn open_any(
        crew: Arc<ThreadCrew>,
        function: F::Function,
        context: Arc<F::Context>,
        shared: Option<SharedValue>,
        options: &JobOptions,
        lazy: bool,
        borrows: bool,
    ) -> Result<Self, Error> {
        if crew.is_mine() {
            return Err(Error::NestedUse);
        }
        let job = ThreadJob::open(&crew, options.cancel.clone(), options.task_timeout, lazy)?;
        // A closure with captures sees nothing of its worker.
        let given = Given { context, shared, begins: !borrows, within: Within::here() };
        let arrived = VecDeque::new();
        let limited = options.task_timeout.is_some();
        Ok(Self {
            crew,
            job,
            function,
            given,
            next_index: 0,
            turn: Turn::Anybody,
            arrived,
            borrows,
            limited,
            lets_go: true,
        })
    }

    pub(super) fn set_turn(&mut self, turn: Turn) {
        self.turn = turn;
    }

    /// Has workers make their state before their first item, as for a portable function.
    pub(crate) fn begins_lives(mut self) -> Self {
        self.given.begins = true;
        self
    }

    /// From now on nobody waits for this job alone: `heard` is told this number when something arrives. The crew serves others, too.
    pub(super) fn go_aside(&mut self, heard: impl Fn(u64) + Send + Sync + 'static) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.job.go_aside(Box::new(move || heard(number)));
        self.lets_go = false;
        number
    }

    /// When somebody has to look at the job although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.job.due()
    }

    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        let first = self.next_index;
        let mut parcels = Vec::new();
        while parcels.len() < cut.most
            && let Some(item) = items.next()
        {
            let index = first + parcels.len() as u64;
            parcels.push(F::pack(item).map_err(|_| Error::Encode { index })?);
        }
        if parcels.is_empty() {
            return Ok(Sent::Exhausted);
        }
        let items = parcels.len();
        self.next_index += items as u64;
        let home = self.turn.home();
        self.turn.pass();
        if !self.limited {
            self.send_chunk(home, first, parcels)?;
            return Ok(Sent::Load(Load { chunks: 1, items, bytes: 0, room: 0 }));
        }
        // What lies behind an item that is overdue goes to other threads, if it may.
        for (index, parcel) in (first..).zip(parcels) {
            self.send_chunk(home, index, vec![parcel])?;
        }
        Ok(Sent::Load(Load { chunks: items, items, bytes: 0, room: 0 }))
    }

    fn send_chunk(
        &self,
        home: Option<u32>,
        first: u64,
        parcels: Vec<F::Parcel>,
    ) -> Result<(), Error> {
        // SAFETY: a function that borrows nothing is `'static` (`open`); for one that does, this
        // lane is dropped in time (`open_scoped`), and its drop waits until nothing of it is left.
        unsafe { self.job.send((&self.crew, home), self.function, &self.given, first, parcels) }
    }

    pub(super) fn finish(&self) -> Result<(), Error> {
        self.job.complete();
        self.crew.finish()
    }

    pub(super) fn crew(&self) -> usize {
        Arc::as_ptr(&self.crew).addr()
    }

    pub(super) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty() || self.job.has_arrived()
    }

    pub(super) fn next_arrival(&mut self) -> Option<Arrival<F::Output>> {
        self.arrived.pop_front()
    }

    pub(super) fn receive(&mut self, want: Want) -> Result<(), Error> {
        let parts = self.job.next(want)?;
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

    /// How many items were pulled.
    pub(super) fn pulled(&self) -> u64 {
        self.next_index
    }

    fn unpack(&mut self, parts: Vec<Part<F::Output>>) {
        for part in parts {
            let failed = part.first + part.values.len() as u64;
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

impl<F: Form> Drop for ThreadLane<F> {
    fn drop(&mut self) {
        self.job.close(self.borrows);
        if self.lets_go {
            self.crew.let_go();
        }
    }
}
