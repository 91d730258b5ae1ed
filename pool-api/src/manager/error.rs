//! Why a call of a manager failed.

use std::{error, fmt};

use crate::Error;

/// Why a call of a [`PoolManager`](super::PoolManager) failed.
///
/// `A` is the type of the items; where no item comes back it is `()`.
#[derive(Clone)]
#[non_exhaustive]
pub enum ManagerError<A = ()> {
    /// There is no room for the item now, or was none in time. It comes back.
    Full(A),
    /// The manager was not started yet. The item comes back.
    NotStarted(A),
    /// The manager was closed, joined or terminated, and takes no items any more. The item comes
    /// back.
    Closed(A),
    /// The pool did not take the item, which comes back: it cannot be encoded, say.
    Refused {
        /// The item.
        item: A,
        /// Why it was not taken.
        error: Error,
    },
    /// There is no result now, or was none in time.
    Empty,
    /// There is no result, and no item was put that one could come from.
    NothingOutstanding,
    /// The manager was terminated: there are no workers, and no results any more.
    WorkersGone,
    /// The manager was started before.
    AlreadyStarted,
    /// No logger of this name was added.
    UnknownLogger(String),
    /// [`join_async`](super::PoolManager::join_async) has not returned since the last
    /// [`put_async`](super::PoolManager::put_async).
    FeederRunning,
    /// The task failed, or the pool did: the error says how. Of an item that was put, this is the
    /// answer.
    Failed(Error),
}

impl<A> ManagerError<A> {
    /// The item that was not taken, if there is one.
    pub fn into_item(self) -> Option<A> {
        match self {
            Self::Full(item)
            | Self::NotStarted(item)
            | Self::Closed(item)
            | Self::Refused { item, .. } => Some(item),
            _ => None,
        }
    }

    /// This error without its item, for a function whose error has none.
    ///
    /// ```
    /// use pool_api::{ManagerError, PoolManager};
    ///
    /// fn put_all(manager: &PoolManager<u64, u64>) -> Result<(), ManagerError> {
    ///     (0..10).try_for_each(|x| manager.put(x)).map_err(ManagerError::without_item)
    /// }
    /// ```
    #[must_use]
    pub fn without_item(self) -> ManagerError {
        match self {
            Self::Full(_) => ManagerError::Full(()),
            Self::NotStarted(_) => ManagerError::NotStarted(()),
            Self::Closed(_) => ManagerError::Closed(()),
            Self::Refused { error, .. } => ManagerError::Refused { item: (), error },
            Self::Empty => ManagerError::Empty,
            Self::NothingOutstanding => ManagerError::NothingOutstanding,
            Self::WorkersGone => ManagerError::WorkersGone,
            Self::AlreadyStarted => ManagerError::AlreadyStarted,
            Self::UnknownLogger(name) => ManagerError::UnknownLogger(name),
            Self::FeederRunning => ManagerError::FeederRunning,
            Self::Failed(error) => ManagerError::Failed(error),
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::Full(_) => "the manager has no room for the item",
            Self::NotStarted(_) => "the manager was not started",
            Self::Closed(_) => "the manager is closed and takes no items",
            Self::Refused { .. } => "the item was refused",
            Self::Empty => "there is no result yet",
            Self::NothingOutstanding => "no result is outstanding: put an item first",
            Self::WorkersGone => "the manager was terminated and has no workers",
            Self::AlreadyStarted => "the manager was started before",
            Self::UnknownLogger(_) => "no logger of this name was added",
            Self::FeederRunning => {
                "join_async was not called since the last put_async: call it first"
            }
            Self::Failed(_) => "an item failed",
        }
    }
}

impl<A> fmt::Display for ManagerError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What failed is told by the error itself, whose source is this one's.
            Self::Failed(error) => fmt::Display::fmt(error, f),
            Self::UnknownLogger(name) => write!(f, "{}: {name:?}", self.text()),
            other => f.write_str(other.text()),
        }
    }
}

impl<A> fmt::Debug for ManagerError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, error) = match self {
            Self::Full(_) => ("Full", None),
            Self::NotStarted(_) => ("NotStarted", None),
            Self::Closed(_) => ("Closed", None),
            Self::Refused { error, .. } => ("Refused", Some(error)),
            Self::Empty => ("Empty", None),
            Self::NothingOutstanding => ("NothingOutstanding", None),
            Self::WorkersGone => ("WorkersGone", None),
            Self::AlreadyStarted => ("AlreadyStarted", None),
            Self::UnknownLogger(name) => {
                return f.debug_tuple("UnknownLogger").field(name).finish();
            }
            Self::FeederRunning => ("FeederRunning", None),
            Self::Failed(error) => ("Failed", Some(error)),
        };
        match error {
            Some(error) => f.debug_tuple(name).field(error).finish(),
            None => f.write_str(name),
        }
    }
}

impl<A> error::Error for ManagerError<A> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::Failed(error) => error::Error::source(error),
            _ => None,
        }
    }
}
