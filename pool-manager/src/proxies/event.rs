//! An event at a server.

use std::time::Duration;

use super::{nanos, proxy_type};
use crate::{
    Error, Proxy,
    protocol::{event, names},
};

proxy_type! {
    /// A flag at a server that clients set, clear and wait for.
    ///
    /// ```
    /// let manager = pool_manager::Manager::in_thread()?;
    /// let ready = manager.event()?;
    /// assert!(!ready.wait_timeout(std::time::Duration::from_millis(1))?);
    /// ready.set()?;
    /// ready.wait()?;
    /// # Ok::<(), pool_manager::Error>(())
    /// ```
    EventProxy<>, names::EVENT
}

impl EventProxy {
    /// Sets the event, and ends all waits for it.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn set(&self) -> Result<(), Error> {
        self.ask(event::SET, self.arguments()).map(drop)
    }

    /// Clears the event.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn clear(&self) -> Result<(), Error> {
        self.ask(event::CLEAR, self.arguments()).map(drop)
    }

    /// Whether the event is set.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn is_set(&self) -> Result<bool, Error> {
        Ok(self.ask(event::IS_SET, self.arguments())?.number()? == 1)
    }

    /// Waits until the event is set.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::ShutDown`].
    pub fn wait(&self) -> Result<(), Error> {
        self.ask(event::WAIT, self.arguments().number(nanos(None))).map(drop)
    }

    /// Waits until the event is set or the time is over; says whether it was set.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Error> {
        match self.ask(event::WAIT, self.arguments().number(nanos(Some(limit)))) {
            Ok(_) => Ok(true),
            Err(Error::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
