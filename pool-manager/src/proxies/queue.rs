//! A queue at a server.

use std::time::Duration;

use pool_ipc::Wire;

use super::{nanos, proxy_type};
use crate::{
    Error, Proxy,
    protocol::{names, queue},
};

proxy_type! {
    /// A queue at a server, for any number of clients at both of its ends.
    ///
    /// A client that ends while it waits takes no item with it; one that ends after it has got an
    /// item has it. [`task_done`](Self::task_done) and [`join`](Self::join) count the work.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pool_manager::{Error, Manager};
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::in_thread()?;
    ///     let queue = manager.queue::<u64>(1)?;
    ///     queue.put(&7)?;
    ///     assert!(matches!(queue.try_put(&8), Err(Error::TimedOut)));
    ///     assert_eq!(queue.get()?, 7);
    ///     let limit = Duration::from_millis(1);
    ///     assert!(matches!(queue.get_timeout(limit), Err(Error::TimedOut)));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Processes of one host that need nothing but a queue are served better by a channel.
    QueueProxy<T>, names::QUEUE
}

impl<T: Wire> QueueProxy<T> {
    /// Puts an item in, and waits while the queue is full.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`]; [`Error::ShutDown`].
    pub fn put(&self, item: &T) -> Result<(), Error> {
        self.put_within(item, None)
    }

    /// Puts an item in, if there is room within the time.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); [`Error::TimedOut`].
    pub fn put_timeout(&self, item: &T, limit: Duration) -> Result<(), Error> {
        self.put_within(item, Some(limit))
    }

    /// Puts an item in, if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); [`Error::TimedOut`] if the queue is full.
    pub fn try_put(&self, item: &T) -> Result<(), Error> {
        self.put_within(item, Some(Duration::ZERO))
    }

    fn put_within(&self, item: &T, limit: Option<Duration>) -> Result<(), Error> {
        self.ask(queue::PUT, self.arguments().value(item)?.number(nanos(limit))).map(drop)
    }

    /// Takes the next item, and waits for one.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Decode`]; [`Error::ShutDown`].
    pub fn get(&self) -> Result<T, Error> {
        self.get_within(None)
    }

    /// Takes the next item, if one comes within the time.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get); [`Error::TimedOut`].
    pub fn get_timeout(&self, limit: Duration) -> Result<T, Error> {
        self.get_within(Some(limit))
    }

    /// Takes the next item, if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get); [`Error::TimedOut`] if the queue is empty.
    pub fn try_get(&self) -> Result<T, Error> {
        self.get_within(Some(Duration::ZERO))
    }

    fn get_within(&self, limit: Option<Duration>) -> Result<T, Error> {
        let item = self.ask(queue::GET, self.arguments().number(nanos(limit)))?.value()?;
        item.ok_or(Error::Malformed("a reply without its value"))
    }

    /// How many items there are.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn len(&self) -> Result<usize, Error> {
        Ok(self.ask(queue::LEN, self.arguments())?.number()? as usize)
    }

    /// Whether there are no items.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.len().map(|len| len == 0)
    }

    /// How many items there is room for; `None` for any number.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn capacity(&self) -> Result<Option<u64>, Error> {
        let capacity = self.ask(queue::CAPACITY, self.arguments())?.number()?;
        Ok((capacity > 0).then_some(capacity))
    }

    /// Says that the work of an item that was taken is done.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if that was said of all items; those of a connection.
    pub fn task_done(&self) -> Result<(), Error> {
        self.ask(queue::TASK_DONE, self.arguments()).map(drop)
    }

    /// Waits until the work of all items is done.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::ShutDown`].
    pub fn join(&self) -> Result<(), Error> {
        self.ask(queue::JOIN, self.arguments().number(nanos(None))).map(drop)
    }

    /// Waits until the work of all items is done, or the time is over.
    ///
    /// # Errors
    ///
    /// Those of [`join`](Self::join); [`Error::TimedOut`].
    pub fn join_timeout(&self, limit: Duration) -> Result<(), Error> {
        self.ask(queue::JOIN, self.arguments().number(nanos(Some(limit)))).map(drop)
    }
}
