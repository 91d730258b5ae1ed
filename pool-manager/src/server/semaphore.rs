//! A semaphore.
//!
//! Invariant: the permits that sessions hold and those that are free are as many as were made and
//! added; the end of a session gives its permits back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{
    call::{Answer, Arguments, Caller},
    shared::Object,
    wait::{Waiters, locked, wait_until},
};
use crate::protocol::{Fault, SessionId, semaphore};

pub(super) struct Semaphore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    free: u64,
    held: HashMap<SessionId, u64>,
    waiters: Waiters,
}

impl Semaphore {
    pub(super) fn new(permits: u64) -> Self {
        Self(Arc::new(Mutex::new(State { free: permits, ..State::default() })))
    }
}

impl State {
    fn add(&mut self, permits: u64) -> Result<(), Fault> {
        self.free = self.free.checked_add(permits).ok_or(Fault::Overflow)?;
        if permits == 1 {
            self.waiters.notify_one();
        } else {
            self.waiters.notify_all();
        }
        Ok(())
    }

    fn release(&mut self, session: SessionId) -> Result<(), Fault> {
        let held = self.held.get_mut(&session).ok_or(Fault::NotHeld)?;
        *held -= 1;
        if *held == 0 {
            self.held.remove(&session);
        }
        self.add(1)
    }
}

impl Object for Semaphore {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        let session = caller.session;
        match method {
            semaphore::ACQUIRE => {
                let nanos = arguments.number()?;
                caller.note_holding();
                wait_until(
                    &self.0,
                    caller,
                    nanos,
                    |state| &mut state.waiters,
                    |state| {
                        let Some(free) = state.free.checked_sub(1) else { return Ok(None) };
                        state.free = free;
                        *state.held.entry(session).or_default() += 1;
                        Ok(Some(()))
                    },
                )?;
                let state = self.0.clone();
                let undo = move || {
                    let _ = locked(&state).release(session);
                };
                Ok(Answer { undo: Some(Box::new(undo)), ..Answer::default() })
            }
            semaphore::RELEASE => {
                locked(&self.0).release(session)?;
                Ok(Answer::default())
            }
            semaphore::ADD => {
                locked(&self.0).add(arguments.number()?)?;
                Ok(Answer::default())
            }
            semaphore::AVAILABLE => Ok(Answer::number(locked(&self.0).free)),
            _ => Err(Fault::Malformed),
        }
    }

    fn session_ended(&self, session: SessionId) {
        let mut state = locked(&self.0);
        if let Some(permits) = state.held.remove(&session) {
            let _ = state.add(permits);
        }
    }
}
