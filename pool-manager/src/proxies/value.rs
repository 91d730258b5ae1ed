//! One value at a server.

use pool_ipc::Wire;

use super::proxy_type;
use crate::{
    Error, Proxy,
    protocol::{names, value},
};

proxy_type! {
    /// One value at a server.
    ///
    /// ```
    /// use pool_manager::{Error, Manager};
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::in_thread()?;
    ///     let best = manager.value(0.5f64)?;
    ///     best.set(0.25)?;
    ///     assert_eq!(best.fetch_update(|value| value / 2.0)?, 0.25);
    ///     assert_eq!(best.get()?, 0.125);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A number that processes of one host share needs no server: that is a `SharedValue`.
    ValueProxy<T>, names::VALUE
}

impl<T: Wire> ValueProxy<T> {
    /// The value.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Decode`].
    pub fn get(&self) -> Result<T, Error> {
        let value = self.ask(value::GET, self.arguments())?.value()?;
        value.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`].
    pub fn set(&self, value: T) -> Result<(), Error> {
        self.ask(value::SET, self.arguments().value(&value)?).map(drop)
    }

    /// Sets the value and returns the old one.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`]; [`Error::Decode`].
    pub fn swap(&self, value: T) -> Result<T, Error> {
        let old = self.ask(value::SWAP, self.arguments().value(&value)?)?.value()?;
        old.ok_or(Error::Malformed("a reply without its value"))
    }

    /// Sets the value to `new` if it is `current` now, as far as their archives tell. Returns the
    /// value that it had, in `Err` if that was another one.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`]; [`Error::Decode`].
    pub fn compare_exchange(&self, current: &T, new: &T) -> Result<Result<T, T>, Error> {
        let arguments = self.arguments().value(current)?.value(new)?;
        let mut reply = self.ask(value::COMPARE_EXCHANGE, arguments)?;
        let is_changed = reply.number()? == 1;
        let found = reply.value()?.ok_or(Error::Malformed("a reply without its value"))?;
        Ok(if is_changed { Ok(found) } else { Err(found) })
    }

    /// Changes the value by a function, which runs here, and again if another client was faster.
    /// Returns the old value.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`]; [`Error::Decode`].
    pub fn fetch_update(&self, mut change: impl FnMut(&T) -> T) -> Result<T, Error> {
        let mut current = self.get()?;
        loop {
            let new = change(&current);
            match self.compare_exchange(&current, &new)? {
                Ok(old) => return Ok(old),
                Err(found) => current = found,
            }
        }
    }
}
