//! A dictionary, in the order in which its keys came; also what a namespace is.
//!
//! Invariant: `order` has each key of `entries` once, under the number that is kept there. Keys are
//! equal if their archives are.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
};

use super::{
    call::{Answer, Arguments, Caller},
    item::Item,
    shared::Object,
    wait::locked,
};
use crate::protocol::{Fault, dict};

#[derive(Default)]
pub(super) struct Dict(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: HashMap<Key, (u64, Arc<Item>)>,
    order: BTreeMap<u64, Key>,
    last: u64,
}

#[derive(Clone)]
struct Key(Arc<Item>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}

impl Entries {
    fn get(&self, key: &Key) -> Option<Arc<Item>> {
        self.entries.get(key).map(|(_, value)| value.clone())
    }

    fn insert(&mut self, key: Key, value: Arc<Item>) -> Option<Arc<Item>> {
        if let Some((_, old)) = self.entries.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.last += 1;
        self.order.insert(self.last, key.clone());
        self.entries.insert(key, (self.last, value));
        None
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Item>> {
        let (at, value) = self.entries.remove(key)?;
        self.order.remove(&at);
        Some(value)
    }

    fn values(&self) -> impl Iterator<Item = (Arc<Item>, Arc<Item>)> {
        self.order.values().filter_map(|key| Some((key.0.clone(), self.get(key)?)))
    }
}

impl Object for Dict {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        _caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        // What leaves the dictionary is dropped after its lock is given back.
        let mut dropped = Vec::new();
        let mut entries = locked(&self.0);
        let answer = match method {
            dict::GET => Answer::items(entries.get(&Key(arguments.item()?))),
            dict::INSERT => {
                let key = Key(arguments.item()?);
                Answer::items(entries.insert(key, arguments.item()?))
            }
            dict::INSERT_ABSENT => {
                let (key, value) = (Key(arguments.item()?), arguments.item()?);
                match entries.get(&key) {
                    Some(found) => Answer::items([found]),
                    None => {
                        entries.insert(key, value.clone());
                        Answer::items([value])
                    }
                }
            }
            dict::REMOVE => Answer::items(entries.remove(&Key(arguments.item()?))),
            dict::LEN => Answer::number(entries.entries.len() as u64),
            dict::CONTAINS => {
                let key = Key(arguments.item()?);
                Answer::number(u64::from(entries.entries.contains_key(&key)))
            }
            dict::KEYS => Answer::items(entries.order.values().map(|key| key.0.clone())),
            dict::VALUES => Answer::items(entries.values().map(|(_, value)| value)),
            dict::ITEMS => Answer::items(entries.values().flat_map(|(key, value)| [key, value])),
            dict::CLEAR => {
                dropped.push(std::mem::take(&mut *entries));
                Answer::default()
            }
            dict::UPDATE => {
                let mut replaced = Entries::default();
                while let Some(key) = arguments.items.next() {
                    let key = Key(key);
                    if let Some(old) = entries.insert(key.clone(), arguments.item()?) {
                        replaced.insert(key, old);
                    }
                }
                dropped.push(replaced);
                Answer::default()
            }
            dict::POP_LAST => match entries.order.pop_last() {
                Some((_, key)) => {
                    let value = entries.entries.remove(&key).map(|(_, value)| value);
                    Answer::items([key.0].into_iter().chain(value))
                }
                None => Answer::default(),
            },
            dict::COMPARE_EXCHANGE => {
                let (key, current) = (Key(arguments.item()?), arguments.item()?);
                let new = arguments.item()?;
                let found = entries.get(&key);
                match found {
                    Some(found) if found.bytes() == current.bytes() => {
                        entries.insert(key, new);
                        Answer { numbers: vec![1], items: vec![found], ..Answer::default() }
                    }
                    found => Answer {
                        numbers: vec![0],
                        items: found.into_iter().collect(),
                        ..Answer::default()
                    },
                }
            }
            _ => return Err(Fault::Malformed),
        };
        drop(entries);
        drop(dropped);
        Ok(answer)
    }
}
