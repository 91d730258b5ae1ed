//! A list.

use std::sync::{Arc, Mutex};

use super::{
    call::{Answer, Arguments, Caller},
    item::Item,
    shared::Object,
    wait::locked,
};
use crate::protocol::{Fault, list};

pub(super) struct List(Mutex<Vec<Arc<Item>>>);

impl List {
    pub(super) fn new(items: impl Iterator<Item = Arc<Item>>) -> Self {
        Self(Mutex::new(items.collect()))
    }
}

/// The index of an element, or with `beyond` the one behind the last.
fn index(arguments: &mut Arguments, len: usize, beyond: bool) -> Result<usize, Fault> {
    let index = arguments.number()?;
    let end = len as u64 + u64::from(beyond);
    if index < end { Ok(index as usize) } else { Err(Fault::OutOfRange(index, len as u64)) }
}

impl Object for List {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        _caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        // What leaves the list is dropped after its lock is given back.
        let mut dropped = Vec::new();
        let mut items = locked(&self.0);
        let len = items.len();
        let answer = match method {
            list::APPEND => {
                items.push(arguments.item()?);
                Answer::default()
            }
            list::EXTEND => {
                items.extend(arguments.items);
                Answer::default()
            }
            list::GET => Answer::items([items[index(&mut arguments, len, false)?].clone()]),
            list::SET => {
                let at = index(&mut arguments, len, false)?;
                let old = std::mem::replace(&mut items[at], arguments.item()?);
                Answer::items([old])
            }
            list::INSERT => {
                let at = index(&mut arguments, len, true)?;
                items.insert(at, arguments.item()?);
                Answer::default()
            }
            list::POP => Answer::items(items.pop()),
            list::REMOVE => Answer::items([items.remove(index(&mut arguments, len, false)?)]),
            list::SLICE => {
                let (from, to) = (arguments.number()?, arguments.number()?);
                let to = to.min(len as u64) as usize;
                let from = from.min(to as u64) as usize;
                Answer::items(items[from..to].iter().cloned())
            }
            list::LEN => Answer::number(len as u64),
            list::CLEAR => {
                dropped = std::mem::take(&mut *items);
                Answer::default()
            }
            list::POSITION => {
                let wanted = arguments.item()?;
                let at = items.iter().position(|item| item.bytes() == wanted.bytes());
                Answer {
                    numbers: at.map(|at| at as u64).into_iter().collect(),
                    ..Answer::default()
                }
            }
            list::COUNT => {
                let wanted = arguments.item()?;
                let is_wanted = |item: &&Arc<Item>| item.bytes() == wanted.bytes();
                Answer::number(items.iter().filter(is_wanted).count() as u64)
            }
            list::REVERSE => {
                items.reverse();
                Answer::default()
            }
            list::TRUNCATE => {
                let keep = arguments.number()?.min(len as u64) as usize;
                dropped = items.split_off(keep);
                Answer::default()
            }
            list::REPLACE => {
                dropped = std::mem::replace(&mut *items, arguments.items.collect());
                Answer::default()
            }
            _ => return Err(Fault::Malformed),
        };
        drop(items);
        drop(dropped);
        Ok(answer)
    }
}
