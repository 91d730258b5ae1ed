//! A process as other crates name it in shared memory.
//!
//! Invariant: the word of a process is never 0, and a process that has ended is never taken for a
//! later one of the same id.

use super::{
    lock_layout::maker,
    owner::{Me, Owner},
    stat::{Life, is_dead},
};
use crate::Error;

/// A process by its id and start time, as one word that other processes can look up.
///
/// It is for code that keeps records in shared memory: who signed by its word can be found dead,
/// also when another process has its id by then.
///
/// ```
/// use pool_shm::ProcessIdentity;
///
/// let me = ProcessIdentity::current()?;
/// let signed = me.word(); // in shared memory, for example
/// assert!(!ProcessIdentity::from_word(signed).has_ended());
/// # Ok::<(), pool_shm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity(Owner);

impl ProcessIdentity {
    /// The calling process.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] where there is no `/proc`, or not the one of this process.
    pub fn current() -> Result<Self, Error> {
        maker().map(|me: Me| Self(me.process))
    }

    /// The namespaces in which words of processes mean something: those of this process. Words from
    /// elsewhere say nothing here.
    ///
    /// # Errors
    ///
    /// The errors of [`current`](Self::current).
    pub fn namespace() -> Result<u64, Error> {
        maker().map(|me: Me| me.namespace)
    }

    /// The process that this word names.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        Self(Owner::of(word))
    }

    /// The word, never 0.
    #[must_use]
    pub fn word(self) -> u64 {
        self.0.word()
    }

    /// Whether the process has run its last instruction; `false` in doubt, and for one that is
    /// stopped. Costs about 6 µs.
    #[must_use]
    pub fn has_ended(self) -> bool {
        is_dead(self.0, Life::Process)
    }
}
