//! A list at a server.

use std::ops::Range;

use pool_ipc::Wire;

use super::proxy_type;
use crate::{
    Error, Proxy,
    protocol::{list, names},
};

proxy_type! {
    /// A list at a server.
    ///
    /// Each call is one step. [`get`](Self::get) gives a copy: changing it changes nothing at the
    /// server until it is [`set`](Self::set). A list of proxies is nested in place.
    ///
    /// ```
    /// use pool_manager::{Error, Manager};
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::in_thread()?;
    ///     let list = manager.list([1u64, 2])?;
    ///     list.append(3)?;
    ///     list.insert(0, 0)?;
    ///     assert_eq!(list.to_vec()?, [0, 1, 2, 3]);
    ///     assert_eq!(list.slice(1..3)?, [1, 2]);
    ///     assert_eq!(list.pop()?, Some(3));
    ///     assert!(matches!(list.get(3), Err(Error::OutOfRange { index: 3, len: 3 })));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Every method fails with [`Error::NoSuchObject`] if the server does not have the list any
    /// more, [`Error::Disconnected`] and [`Error::Connect`] if the server is gone,
    /// [`Error::Encode`] and [`Error::Decode`] for values that cannot cross.
    ListProxy<T>, names::LIST
}

impl<T: Wire> ListProxy<T> {
    /// Adds a value at the end.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn append(&self, value: T) -> Result<(), Error> {
        self.ask(list::APPEND, self.arguments().value(&value)?).map(drop)
    }

    /// Adds many values at the end, in one step.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn extend(&self, values: impl IntoIterator<Item = T>) -> Result<(), Error> {
        self.ask(list::EXTEND, self.all(values)?).map(drop)
    }

    /// The value at an index.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::OutOfRange`].
    pub fn get(&self, index: usize) -> Result<T, Error> {
        let reply = self.ask(list::GET, self.arguments().number(index as u64));
        reply?.value()?.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Replaces the value at an index, and returns the old one.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::OutOfRange`].
    pub fn set(&self, index: usize, value: T) -> Result<T, Error> {
        let arguments = self.arguments().number(index as u64).value(&value)?;
        let old = self.ask(list::SET, arguments)?.value()?;
        old.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Inserts a value before the one at an index, which may be that behind the last one.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::OutOfRange`].
    pub fn insert(&self, index: usize, value: T) -> Result<(), Error> {
        let arguments = self.arguments().number(index as u64).value(&value)?;
        self.ask(list::INSERT, arguments).map(drop)
    }

    /// Removes the last value.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn pop(&self) -> Result<Option<T>, Error> {
        self.ask(list::POP, self.arguments())?.value()
    }

    /// Removes the value at an index.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::OutOfRange`].
    pub fn remove(&self, index: usize) -> Result<T, Error> {
        let reply = self.ask(list::REMOVE, self.arguments().number(index as u64));
        reply?.value()?.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Copies of the values in a range; what lies beyond the end of the list is left out.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn slice(&self, range: Range<usize>) -> Result<Vec<T>, Error> {
        let arguments = self.arguments().number(range.start as u64).number(range.end as u64);
        self.ask(list::SLICE, arguments)?.values()
    }

    /// A copy of the list as it is at one moment.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        self.slice(0..usize::MAX)
    }

    /// Replaces all values.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self); [`Error::TooLarge`].
    pub fn replace(&self, values: impl IntoIterator<Item = T>) -> Result<(), Error> {
        self.ask(list::REPLACE, self.all(values)?).map(drop)
    }

    /// How many values there are.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn len(&self) -> Result<usize, Error> {
        Ok(self.ask(list::LEN, self.arguments())?.number()? as usize)
    }

    /// Whether there are no values.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.len().map(|len| len == 0)
    }

    /// Removes all values.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn clear(&self) -> Result<(), Error> {
        self.ask(list::CLEAR, self.arguments()).map(drop)
    }

    /// Removes all values behind the first `len`.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn truncate(&self, len: usize) -> Result<(), Error> {
        self.ask(list::TRUNCATE, self.arguments().number(len as u64)).map(drop)
    }

    /// The index of the first value whose archive is that of `value`.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn position(&self, value: &T) -> Result<Option<usize>, Error> {
        let found = self.ask(list::POSITION, self.arguments().value(value)?)?.found();
        Ok(found.map(|index| index as usize))
    }

    /// Whether there is a value whose archive is that of `value`.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn contains(&self, value: &T) -> Result<bool, Error> {
        self.position(value).map(|index| index.is_some())
    }

    /// How many values have the archive of `value`.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn count(&self, value: &T) -> Result<usize, Error> {
        Ok(self.ask(list::COUNT, self.arguments().value(value)?)?.number()? as usize)
    }

    /// Reverses the order.
    ///
    /// # Errors
    ///
    /// Those of the [type](Self).
    pub fn reverse(&self) -> Result<(), Error> {
        self.ask(list::REVERSE, self.arguments()).map(drop)
    }

    fn all(&self, values: impl IntoIterator<Item = T>) -> Result<crate::client::Ask, Error> {
        values.into_iter().try_fold(self.arguments(), |arguments, value| arguments.value(&value))
    }
}
