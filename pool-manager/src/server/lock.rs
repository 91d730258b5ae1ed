//! A lock, and a reentrant one.
//!
//! Invariant: the holder's session is alive; at the end of a session its lock is free, and the next
//! holder is told.

use std::sync::Mutex;

use super::{
    call::{Answer, Arguments, Caller},
    shared::Object,
    wait::{Waiters, locked, wait_until},
};
use crate::protocol::{Fault, SessionId, lock};

pub(super) struct Lock {
    state: std::sync::Arc<Mutex<State>>,
    is_reentrant: bool,
}

#[derive(Default)]
struct State {
    holder: Option<Holder>,
    /// The last holder ended without giving the lock back, and no holder was told since.
    holder_died: bool,
    last_ticket: u64,
    waiters: Waiters,
}

struct Holder {
    session: SessionId,
    /// Which thread of the process.
    thread: u64,
    /// What the guards of this time have.
    ticket: u64,
    count: u64,
}

impl Lock {
    pub(super) fn new(is_reentrant: bool) -> Self {
        Self { state: Default::default(), is_reentrant }
    }
}

impl State {
    fn free(&mut self) {
        self.holder = None;
        self.waiters.notify_one();
    }

    fn release(&mut self, session: SessionId, ticket: u64) -> Result<(), Fault> {
        let is_holder = |holder: &&mut Holder| holder.session == session && holder.ticket == ticket;
        let holder = self.holder.as_mut().filter(is_holder).ok_or(Fault::NotHeld)?;
        holder.count -= 1;
        if holder.count == 0 {
            self.free();
        }
        Ok(())
    }
}

impl Object for Lock {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        let session = caller.session;
        match method {
            lock::ACQUIRE => {
                let (nanos, thread) = (arguments.number()?, arguments.number()?);
                if let Some(holder) = &mut locked(&self.state).holder
                    && (holder.session, holder.thread) == (session, thread)
                    && (self.is_reentrant || nanos != 0)
                {
                    if !self.is_reentrant {
                        return Err(Fault::WouldDeadlock);
                    }
                    holder.count = holder.count.checked_add(1).ok_or(Fault::Overflow)?;
                    let numbers = vec![holder.ticket, 0];
                    return Ok(Answer { numbers, ..Answer::default() });
                }
                caller.note_holding();
                let (ticket, died) = wait_until(
                    &self.state,
                    caller,
                    nanos,
                    |state| &mut state.waiters,
                    |state| {
                        if state.holder.is_some() {
                            return Ok(None);
                        }
                        state.last_ticket += 1;
                        let ticket = state.last_ticket;
                        state.holder = Some(Holder { session, thread, ticket, count: 1 });
                        Ok(Some((ticket, std::mem::take(&mut state.holder_died))))
                    },
                )?;
                let state = self.state.clone();
                let undo = move || {
                    let mut state = locked(&state);
                    if state.release(session, ticket).is_ok() {
                        state.holder_died |= died;
                    }
                };
                let numbers = vec![ticket, u64::from(died)];
                Ok(Answer { numbers, undo: Some(Box::new(undo)), ..Answer::default() })
            }
            lock::RELEASE => {
                locked(&self.state).release(session, arguments.number()?)?;
                Ok(Answer::default())
            }
            lock::IS_LOCKED => Ok(Answer::number(u64::from(locked(&self.state).holder.is_some()))),
            _ => Err(Fault::Malformed),
        }
    }

    fn session_ended(&self, session: SessionId) {
        let mut state = locked(&self.state);
        if state.holder.as_ref().is_some_and(|holder| holder.session == session) {
            state.holder_died = true;
            state.free();
        }
    }
}
