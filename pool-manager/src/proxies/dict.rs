//! A dictionary at a server.

use std::hash::Hash;

use pool_ipc::Wire;

use super::proxy_type;
use crate::{
    Error, Proxy,
    protocol::{dict, names},
};

proxy_type! {
    /// A dictionary at a server, which keeps the order in which its keys came.
    ///
    /// Each call is one step: no other client sees half of an [`update`](Self::update). Several
    /// calls are several steps; where they belong together, use one of the calls below, take a
    /// [`LockProxy`](crate::LockProxy), or make an own type by [`manager!`](crate::manager).
    ///
    /// [`get`](Self::get) gives a copy: changing it changes nothing at the server until it is
    /// inserted again. A dictionary of proxies is nested in place.
    ///
    /// Keys are equal if their archives are. A key type whose `Eq` finds more values equal, such as
    /// one that ignores case, has to be brought into one form first.
    ///
    /// ```
    /// use pool_manager::{Error, Manager};
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::in_thread()?;
    ///     let ages = manager.dict::<String, u32>()?;
    ///     ages.insert("Ada".into(), 36)?;
    ///     ages.update([("Alan".into(), 41), ("Ada".into(), 37)])?;
    ///     assert_eq!(ages.get(&"Ada".into())?, Some(37));
    ///     assert_eq!(ages.keys()?, ["Ada", "Alan"]);
    ///     assert_eq!(ages.remove(&"Alan".into())?, Some(41));
    ///     assert_eq!(ages.len()?, 1);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Every method fails with [`Error::NoSuchObject`] if the server does not have the dictionary
    /// any more, [`Error::Disconnected`] and [`Error::Connect`] if the server is gone,
    /// [`Error::Encode`] and [`Error::Decode`] for values that cannot cross.
    DictProxy<K, V>, names::DICT
}

impl<K: Wire + Eq + Hash, V: Wire> DictProxy<K, V> {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        self.ask(dict::GET, self.arguments().value(key)?)?.value()
    }

    /// Sets the value of a key, and returns its old one.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, Error> {
        self.ask(dict::INSERT, self.arguments().value(&key)?.value(&value)?)?.value()
    }

    /// The value of a key, which is set to `value` if it has none (`setdefault`).
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn get_or_insert(&self, key: K, value: V) -> Result<V, Error> {
        let arguments = self.arguments().value(&key)?.value(&value)?;
        let found = self.ask(dict::INSERT_ABSENT, arguments)?.value()?;
        found.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Removes a key and returns its value (`pop`).
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn remove(&self, key: &K) -> Result<Option<V>, Error> {
        self.ask(dict::REMOVE, self.arguments().value(key)?)?.value()
    }

    /// Removes the key that came last (`popitem`).
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn pop_last(&self) -> Result<Option<(K, V)>, Error> {
        let mut reply = self.ask(dict::POP_LAST, self.arguments())?;
        Ok(reply.value()?.zip(reply.value()?))
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn len(&self) -> Result<usize, Error> {
        Ok(self.ask(dict::LEN, self.arguments())?.number()? as usize)
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.len().map(|len| len == 0)
    }

    /// Whether there is a value for the key.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn contains_key(&self, key: &K) -> Result<bool, Error> {
        Ok(self.ask(dict::CONTAINS, self.arguments().value(key)?)?.number()? == 1)
    }

    /// All keys, in the order in which they came.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn keys(&self) -> Result<Vec<K>, Error> {
        self.ask(dict::KEYS, self.arguments())?.values()
    }

    /// All values, in the order of their keys.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn values(&self) -> Result<Vec<V>, Error> {
        self.ask(dict::VALUES, self.arguments())?.values()
    }

    /// All keys with their values: a copy of the dictionary as it is at one moment.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn items(&self) -> Result<Vec<(K, V)>, Error> {
        let mut reply = self.ask(dict::ITEMS, self.arguments())?;
        let mut items = Vec::new();
        while let Some(key) = reply.value()? {
            let value = reply.value()?.ok_or(Error::Malformed("a key without its value"))?;
            items.push((key, value));
        }
        Ok(items)
    }

    /// Removes all keys.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn clear(&self) -> Result<(), Error> {
        self.ask(dict::CLEAR, self.arguments()).map(drop)
    }

    /// Sets the values of many keys in one step.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn update(&self, items: impl IntoIterator<Item = (K, V)>) -> Result<(), Error> {
        let mut arguments = self.arguments();
        for (key, value) in items {
            arguments = arguments.value(&key)?.value(&value)?;
        }
        self.ask(dict::UPDATE, arguments).map(drop)
    }

    /// Sets the value of a key to `new` if it is `current` now, as far as their archives tell.
    /// Returns the value that it had, in `Err` if that was another one or none.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    #[allow(clippy::type_complexity)]
    pub fn compare_exchange(
        &self,
        key: &K,
        current: &V,
        new: &V,
    ) -> Result<Result<V, Option<V>>, Error> {
        let arguments = self.arguments().value(key)?.value(current)?.value(new)?;
        let mut reply = self.ask(dict::COMPARE_EXCHANGE, arguments)?;
        let is_changed = reply.number()? == 1;
        let found = reply.value()?;
        match found {
            Some(found) if is_changed => Ok(Ok(found)),
            found => Ok(Err(found)),
        }
    }
}
