//! A queue, bounded or not, which counts the tasks that its items are.
//!
//! Invariant: an item that was taken for a client that is gone by then is put back to the front.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::{
    call::{Answer, Arguments, Caller},
    item::Item,
    shared::Object,
    wait::{Waiters, locked, wait_until},
};
use crate::protocol::{Fault, queue};

pub(super) struct Queue {
    state: Arc<Mutex<State>>,
    /// The most items; 0 for no limit.
    capacity: u64,
}

#[derive(Default)]
struct State {
    items: VecDeque<Arc<Item>>,
    /// Items that were put in and whose work is not done.
    unfinished: u64,
    getters: Waiters,
    putters: Waiters,
    joiners: Waiters,
}

impl Queue {
    pub(super) fn new(capacity: u64) -> Self {
        Self { state: Arc::default(), capacity }
    }
}

impl Object for Queue {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        match method {
            queue::PUT => {
                let (item, nanos) = (arguments.item()?, arguments.number()?);
                let has_room = |len: usize| self.capacity == 0 || (len as u64) < self.capacity;
                wait_until(
                    &self.state,
                    caller,
                    nanos,
                    |state| &mut state.putters,
                    |state| {
                        if !has_room(state.items.len()) {
                            return Ok(None);
                        }
                        state.items.push_back(item.clone());
                        state.unfinished += 1;
                        state.getters.notify_one();
                        Ok(Some(()))
                    },
                )?;
                Ok(Answer::default())
            }
            queue::GET => {
                let nanos = arguments.number()?;
                let item = wait_until(
                    &self.state,
                    caller,
                    nanos,
                    |state| &mut state.getters,
                    |state| {
                        let item = state.items.pop_front();
                        if item.is_some() {
                            state.putters.notify_one();
                        }
                        Ok(item)
                    },
                )?;
                let (state, returned) = (self.state.clone(), item.clone());
                let undo = move || {
                    let mut state = locked(&state);
                    state.items.push_front(returned);
                    state.getters.notify_one();
                };
                Ok(Answer { items: vec![item], undo: Some(Box::new(undo)), ..Answer::default() })
            }
            queue::LEN => Ok(Answer::number(locked(&self.state).items.len() as u64)),
            queue::CAPACITY => Ok(Answer::number(self.capacity)),
            queue::TASK_DONE => {
                let mut state = locked(&self.state);
                state.unfinished = state.unfinished.checked_sub(1).ok_or(Fault::NotHeld)?;
                if state.unfinished == 0 {
                    state.joiners.notify_all();
                }
                Ok(Answer::default())
            }
            queue::JOIN => {
                let nanos = arguments.number()?;
                wait_until(
                    &self.state,
                    caller,
                    nanos,
                    |state| &mut state.joiners,
                    |state| {
                        if state.unfinished > 0 {
                            return Ok(None);
                        }
                        // Those that came later wait for the same.
                        state.joiners.notify_all();
                        Ok(Some(()))
                    },
                )?;
                Ok(Answer::default())
            }
            _ => Err(Fault::Malformed),
        }
    }
}
