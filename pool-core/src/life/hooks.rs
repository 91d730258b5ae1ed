//! The user's functions for the life of a worker, without their types.
//!
//! Invariant: a hook's `run` was made together with its function's address, for that function's type; so what interprets the
//! address is right about it.

use std::{any::Any, fmt};

use crate::{error::Error, shared::SharedType, task::Starting};

/// What a worker keeps from task to task, whatever its type. It never leaves the thread that it was made in.
pub(crate) type State = Box<dyn Any>;

/// What a pool calls in every worker, and what each keeps from task to task. Tasks of the form
/// [`OnWorker`](crate::OnWorker) see it.
#[derive(Clone, Copy)]
pub struct WorkerLife {
    /// What the functions take for shared; `None`: nobody asks.
    shared: Option<SharedType>,
    state: SharedType,
    pub(crate) init: Option<Init>,
}

/// What a hook sees of the worker that calls it.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) worker: u32,
    pub(crate) shared: &'a (dyn Any + Send + Sync),
}

/// Makes the state.
#[derive(Clone, Copy)]
pub(crate) struct Init {
    pub(super) run: RunInit,
    pub(super) function: usize,
}

pub(super) type RunInit = fn(usize, Around<'_>) -> State;

impl WorkerLife {
    /// Nothing is called, and the state is a `()`.
    #[must_use]
    pub fn plain() -> Self {
        Self { shared: None, state: SharedType::of::<()>(), init: None }
    }

    /// Every worker calls `function` before its first chunk; what it returns is its state.
    #[must_use]
    pub fn init<S: Send + Sync + 'static, W: 'static>(function: fn(&Starting<'_, S>) -> W) -> Self {
        Self {
            shared: Some(SharedType::of::<S>()),
            state: SharedType::of::<W>(),
            init: Some(Init { run: run_init::<S, W>, function: function as usize }),
        }
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
                "worker_init takes a worker that shares `{}`, but this pool shares `{}`",
                wanted.name, shared.name
            ))),
            _ => Ok(()),
        }
    }
}

impl Init {
    /// Calls it. A panic is the user's.
    pub(crate) fn call(&self, around: Around<'_>) -> State {
        (self.run)(self.function, around)
    }
}

fn run_init<S: Send + Sync + 'static, W: 'static>(function: usize, around: Around<'_>) -> State {
    // SAFETY: see the module: the address is that of a `fn(&Starting<S>) -> W`.
    let function = unsafe { std::mem::transmute::<usize, fn(&Starting<'_, S>) -> W>(function) };
    let shared = around.shared.downcast_ref::<S>();
    let shared = shared.expect("the pool shares what its hooks take: it was checked");
    Box::new(function(&Starting::new(shared, around.worker)))
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
            .finish()
    }
}
