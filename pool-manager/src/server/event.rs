//! An event: a flag that threads wait for.

use std::sync::Mutex;

use super::{
    call::{Answer, Arguments, Caller},
    shared::Object,
    wait::{Waiters, locked, wait_until},
};
use crate::protocol::{Fault, event};

#[derive(Default)]
pub(super) struct Event(Mutex<State>);

#[derive(Default)]
struct State {
    is_set: bool,
    /// How often it was set.
    times: u64,
    waiters: Waiters,
}

impl Object for Event {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        match method {
            event::SET => {
                let mut state = locked(&self.0);
                state.is_set = true;
                state.times += 1;
                state.waiters.notify_all();
                Ok(Answer::default())
            }
            event::CLEAR => {
                locked(&self.0).is_set = false;
                Ok(Answer::default())
            }
            event::IS_SET => Ok(Answer::number(u64::from(locked(&self.0).is_set))),
            event::WAIT => {
                let nanos = arguments.number()?;
                // One that was set and cleared again meanwhile has happened.
                let before = locked(&self.0).times;
                wait_until(
                    &self.0,
                    caller,
                    nanos,
                    |state| &mut state.waiters,
                    |state| {
                        let has_happened = state.is_set || state.times > before;
                        if has_happened {
                            state.waiters.notify_all();
                        }
                        Ok(has_happened.then_some(()))
                    },
                )?;
                Ok(Answer::default())
            }
            _ => Err(Fault::Malformed),
        }
    }
}
