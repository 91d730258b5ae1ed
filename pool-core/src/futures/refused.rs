//! A call that was not accepted, with the item that it was made for.

use std::fmt;

use crate::error::Error;

/// The call was not accepted: its item comes back.
///
/// `?` converts it into an [`Error`], which drops the item.
pub struct Refused<A> {
    /// The item, unchanged.
    pub item: A,
    /// Why the call was not accepted.
    pub error: Error,
}

impl<A> fmt::Debug for Refused<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<A> fmt::Display for Refused<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<A> std::error::Error for Refused<A> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<A> From<Refused<A>> for Error {
    fn from(refused: Refused<A>) -> Self {
        refused.error
    }
}

impl<A> From<Box<Refused<A>>> for Error {
    fn from(refused: Box<Refused<A>>) -> Self {
        refused.error
    }
}
