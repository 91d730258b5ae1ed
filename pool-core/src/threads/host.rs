//! What a thread of a crew has of its own: its id, and what the user keeps in it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::drop_quietly;
use crate::{
    life::{Around, Init, State, WorkerLife},
    task::FailureKind,
    worker::{in_task, take_panic},
};

/// See the module.
pub(crate) struct Host {
    pub(crate) id: u32,
    init: Option<Init>,
    /// Made by the first chunk that needs it.
    state: Option<State>,
    /// What stands for the state of a worker without one.
    nothing: (),
}

impl Host {
    pub(super) fn new(id: u32, life: &WorkerLife) -> Self {
        Self { id, init: life.init, state: None, nothing: () }
    }

    /// Whether there is a state to be made.
    pub(super) fn is_to_begin(&self) -> bool {
        self.init.is_some() && self.state.is_none()
    }

    /// Makes the state if there is none yet.
    pub(crate) fn begin(&mut self, shared: &(dyn Any + Send + Sync)) -> Result<(), FailureKind> {
        let (Some(init), None) = (self.init, &self.state) else { return Ok(()) };
        let around = Around { worker: self.id, shared };
        let made = in_task(|| catch_unwind(AssertUnwindSafe(|| init.call(around))));
        self.state = Some(made.map_err(take_panic)?);
        Ok(())
    }

    pub(crate) fn state(&mut self) -> &mut dyn Any {
        match &mut self.state {
            Some(state) => &mut **state,
            None => &mut self.nothing,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop_quietly(self.state.take());
    }
}
