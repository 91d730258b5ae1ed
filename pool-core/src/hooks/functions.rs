//! The user's functions for the life of a worker, without their types.
//!
//! Invariant: a hook's `run` was made together with its function's address, for that function's
//! type; so what interprets the address is right about it.

use std::{any::Any, fmt, num::NonZeroU64};

use pool_ipc::{AlignedBytes, Encoder, Wire, WireFault};

use crate::{
    error::Error,
    ids::WorkerId,
    task::{SharedType, Starting, Worker},
};

/// What a worker keeps from task to task, whatever its type. It never leaves the thread that it was
/// made in.
pub(crate) type State = Box<dyn Any>;

/// What a pool calls in every worker, and what each keeps from task to task. Tasks of the form
/// [`OnWorker`](crate::OnWorker) see it.
#[derive(Clone, Copy)]
pub struct WorkerLife {
    /// What the functions take for shared; `None`: they look at nothing.
    shared: Option<SharedType>,
    state: SharedType,
    pub(crate) init: Option<Init>,
    pub(crate) exit: Option<Exit>,
    /// Of what the exit returns.
    result: SharedType,
    /// Tasks after which a worker's life ends.
    pub(crate) span: Option<NonZeroU64>,
}

/// What a hook sees of the worker that calls it.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) worker: WorkerId,
    pub(crate) shared: &'a (dyn Any + Send + Sync),
    /// Whether it takes too long.
    pub(crate) overdue: &'a dyn Fn() -> bool,
}

/// Makes the state.
#[derive(Clone, Copy)]
pub(crate) struct Init {
    pub(crate) run: RunInit,
    pub(crate) function: usize,
}

pub(crate) type RunInit = fn(usize, Around<'_>) -> State;

/// Makes the exit result from the state.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    pub(crate) run: RunExit,
    pub(crate) function: usize,
}

pub(crate) type RunExit =
    fn(usize, Around<'_>, &mut dyn Any, &mut Encoder) -> Result<AlignedBytes, WireFault>;

impl WorkerLife {
    /// Nothing is called, and the state is a `()`.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            shared: None,
            state: SharedType::of::<()>(),
            init: None,
            exit: None,
            result: SharedType::of::<()>(),
            span: None,
        }
    }

    /// Every worker calls `function` before its first chunk; what it returns is its state.
    #[must_use]
    pub fn init<S: Send + Sync + 'static, W: 'static>(function: fn(&Starting<'_, S>) -> W) -> Self {
        Self {
            shared: Some(SharedType::of::<S>()),
            state: SharedType::of::<W>(),
            init: Some(Init { run: run_init::<S, W>, function: address(function as *const ()) }),
            ..Self::plain()
        }
    }

    /// Every worker that had a task calls `function` at its end; what that returns is an exit
    /// result.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] when the state is not a `W`, or `worker_init` takes something else
    /// for shared.
    pub fn exit<S: Send + Sync + 'static, W: 'static, E: Wire>(
        self,
        function: fn(&mut Worker<'_, S, W>) -> E,
    ) -> Result<Self, Error> {
        self.check_shared(SharedType::of::<S>())?;
        self.check_state(Some(SharedType::of::<W>()))?;
        Ok(Self {
            shared: Some(SharedType::of::<S>()),
            exit: Some(Exit { run: run_exit::<S, W, E>, function: address(function as *const ()) }),
            result: SharedType::of::<E>(),
            ..self
        })
    }

    /// A worker's life ends after the chunk in which it has run its task number `tasks`; the next
    /// one has its place.
    #[must_use]
    pub fn span(self, tasks: Option<NonZeroU64>) -> Self {
        Self { span: tasks, ..self }
    }

    /// Tasks after which a worker's life ends.
    #[must_use]
    pub fn lifespan(&self) -> Option<NonZeroU64> {
        self.span
    }

    /// Whether there is a function for the end.
    #[must_use]
    pub fn has_exit(&self) -> bool {
        self.exit.is_some()
    }

    /// Refuses to have its results read as something else.
    pub(crate) fn check_result(&self, wanted: SharedType) -> Result<(), Error> {
        if wanted.id == self.result.id {
            return Ok(());
        }
        Err(Error::InvalidInput(format!(
            "exit results of this pool are `{}`, not `{}`",
            self.result.name, wanted.name
        )))
    }

    /// Refuses a function that takes another state.
    pub(crate) fn check_state(&self, wanted: Option<SharedType>) -> Result<(), Error> {
        match wanted {
            Some(wanted) if wanted.id != self.state.id => Err(Error::InvalidInput(format!(
                "the function takes a worker whose state is `{}`, but in this pool it is `{}`",
                wanted.name, self.state.name
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses to be called by workers that share something else.
    pub(crate) fn check_shared(&self, shared: SharedType) -> Result<(), Error> {
        match self.shared {
            Some(wanted) if wanted.id != shared.id => Err(Error::InvalidInput(format!(
                "worker_init (or worker_exit) takes a worker that shares `{}`, but this pool shares `{}`",
                wanted.name, shared.name
            ))),
            _ => Ok(()),
        }
    }
}

fn address(function: *const ()) -> usize {
    function.expose_provenance()
}

/// The other way round.
fn at(address: usize) -> *const () {
    std::ptr::with_exposed_provenance(address)
}

impl Init {
    /// Calls it. A panic is the user's.
    pub(crate) fn call(&self, around: Around<'_>) -> State {
        (self.run)(self.function, around)
    }
}

fn run_init<S: Send + Sync + 'static, W: 'static>(function: usize, around: Around<'_>) -> State {
    // SAFETY: see the module: the address is that of a `fn(&Starting<S>) -> W`.
    let function =
        unsafe { std::mem::transmute::<*const (), fn(&Starting<'_, S>) -> W>(at(function)) };
    let shared = around.shared.downcast_ref::<S>();
    let shared = shared.expect("the pool shares what its hooks take: it was checked");
    Box::new(function(&Starting::new(shared, around.worker.number(), around.overdue)))
}

impl Exit {
    /// Calls it, and encodes what it returns. A panic is the user's.
    pub(crate) fn call(
        &self,
        around: Around<'_>,
        state: &mut dyn Any,
        encoder: &mut Encoder,
    ) -> Result<AlignedBytes, WireFault> {
        (self.run)(self.function, around, state, encoder)
    }
}

fn run_exit<S: Send + Sync + 'static, W: 'static, E: Wire>(
    function: usize,
    around: Around<'_>,
    state: &mut dyn Any,
    encoder: &mut Encoder,
) -> Result<AlignedBytes, WireFault> {
    // SAFETY: see the module: the address is that of a `fn(&mut Worker<S, W>) -> E`.
    let function =
        unsafe { std::mem::transmute::<*const (), fn(&mut Worker<'_, S, W>) -> E>(at(function)) };
    let shared = around.shared.downcast_ref::<S>();
    let shared = shared.expect("the pool shares what its hooks take: it was checked");
    let state = state.downcast_mut::<W>().expect("the state is what the hooks agree on");
    let told: (_, &dyn Fn(u64, u64)) = (around.overdue, &|_, _| ());
    let result = function(&mut Worker::new(shared, state, around.worker.number(), told));
    encoder.to_bytes(&result)
}

impl Default for WorkerLife {
    fn default() -> Self {
        Self::plain()
    }
}

impl fmt::Debug for WorkerLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLife")
            .field("state", &self.state.name)
            .field("init", &self.init.is_some())
            .field("exit", &self.exit.map(|_| self.result.name))
            .field("span", &self.span)
            .finish()
    }
}
