//! One value.

use std::sync::{Arc, Mutex};

use super::{
    call::{Answer, Arguments, Caller},
    item::Item,
    shared::Object,
    wait::locked,
};
use crate::protocol::{Fault, value};

pub(super) struct Value(Mutex<Arc<Item>>);

impl Value {
    pub(super) fn new(item: Arc<Item>) -> Self {
        Self(Mutex::new(item))
    }
}

impl Object for Value {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        _caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        match method {
            value::GET => Ok(Answer::items([locked(&self.0).clone()])),
            value::SET => {
                let new = arguments.item()?;
                let old = std::mem::replace(&mut *locked(&self.0), new);
                drop(old);
                Ok(Answer::default())
            }
            value::SWAP => {
                let new = arguments.item()?;
                Ok(Answer::items([std::mem::replace(&mut *locked(&self.0), new)]))
            }
            value::COMPARE_EXCHANGE => {
                let (current, new) = (arguments.item()?, arguments.item()?);
                let mut value = locked(&self.0);
                let is_equal = value.bytes() == current.bytes();
                let found =
                    if is_equal { std::mem::replace(&mut *value, new) } else { value.clone() };
                drop(value);
                let numbers = vec![u64::from(is_equal)];
                Ok(Answer { numbers, items: vec![found], ..Answer::default() })
            }
            _ => Err(Fault::Malformed),
        }
    }
}
