//! Ending a call from outside: from another thread, or from a signal handler.
//!
//! Invariant: the word is stored before the bell is rung, and the bell of a token is never silenced; so whoever listens to it after a
//! look at the word misses nothing. A forked child rings no bell of its parent's.

use std::{
    fmt, iter,
    mem::ManuallyDrop,
    num::NonZeroU64,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
};
use pool_shm::ForkMark;

use crate::{
    birth::{self, KeptFd},
    error::{Error, OrResources},
    life::nanos,
    session::{list, unlist},
    sys,
};

/// Ends the calls that it was given to. Clones are the same token.
///
/// A token is pulled once and for all; each call that shall be cancelled by itself takes a new one. It belongs to the process that
/// made it: a copy that a task inherited by a fork ends nothing there.
///
/// ```
/// # use pool_core as pool_api;
/// let token = pool_api::CancelToken::new()?;
/// let same = token.clone();
/// std::thread::spawn(move || same.cancel()).join().unwrap();
/// assert!(token.is_cancelled());
/// # Ok::<(), pool_core::Error>(())
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Signal>);

struct Signal {
    /// Whether the program has closed the bell, as far as a sleeper has seen.
    lost: AtomicBool,
    /// [`UNTOUCHED`], [`PULLED`], or the grace in nanoseconds after which running items are killed,
    /// plus 1. It only ever goes down, but for its first step.
    word: AtomicU64,
    bell: Bell,
}

const UNTOUCHED: u64 = 0;
/// Running items are told, and not killed.
const PULLED: u64 = u64::MAX;

impl CancelToken {
    /// A token that has not been pulled.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when there is no descriptor or page of memory for it.
    pub fn new() -> Result<Self, Error> {
        let signal = Signal {
            word: AtomicU64::new(UNTOUCHED),
            bell: Bell::new()?,
            lost: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(signal)))
    }

    /// Ends the calls that have the token with [`Error::Cancelled`]: what was not begun is taken back, running items are told.
    ///
    /// May be called in a signal handler: it stores one word and makes one system call.
    pub fn cancel(&self) {
        self.pull(PULLED);
    }

    /// As [`CancelToken::cancel`], and kills the workers of items that still run after `grace`;
    /// zero: at once.
    ///
    /// The workers are replaced, and nothing else is lost by that: items of other calls go on,
    /// results that were stored stay. A token that was pulled before can be told to kill, and one
    /// that kills to do so sooner. What is left of a call that has returned is seen to as soon as a
    /// thread waits in any call of the pool. Threads cannot be killed: they are told only.
    ///
    /// May be called in a signal handler.
    ///
    /// ```no_run
    /// # use pool_core as pool_api;
    /// use std::time::Duration;
    /// use pool_api::CancelToken;
    ///
    /// let token = CancelToken::new()?;
    /// // … calls that were given the token …
    /// token.kill(Duration::from_secs(1));
    /// # Ok::<(), pool_core::Error>(())
    /// ```
    pub fn kill(&self, grace: Duration) {
        self.pull(nanos(grace).min(PULLED - 2) + 1);
    }

    fn pull(&self, word: u64) {
        let sooner = |before| (before == UNTOUCHED || word < before).then_some(word);
        // Release: pairs with the Acquire in `is_cancelled`. Lock-free, so that a signal handler
        // may do it.
        let _ = self.0.word.fetch_update(Ordering::Release, Ordering::Relaxed, sooner);
        self.0.bell.ring();
    }

    /// After how long running items are to be killed, if they are.
    pub(crate) fn kill_grace(&self) -> Option<Duration> {
        match self.0.word.load(Ordering::Acquire) {
            UNTOUCHED | PULLED => None,
            word => Some(Duration::from_nanos(word - 1)),
        }
    }

    /// Where it lies: clones are at one place.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether it was pulled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.word.load(Ordering::Acquire) != UNTOUCHED
    }

    /// Whether its bell is none any more: then only a look at the token tells.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// For a sleeper whose sleep the bell has ended: it may be what the program has put at its
    /// number, which would end every sleep.
    pub(crate) fn look_if_lost(&self) {
        if !self.is_cancelled() && !self.0.bell.is_intact() {
            self.0.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Can be read once the token was pulled.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}

impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CancelToken {}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// An event counter that a sleeper polls, listed as a descriptor of pools.
pub(crate) struct Bell {
    fd: ManuallyDrop<KeptFd>,
    mark: ForkMark,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Error> {
        let what = "a descriptor for a cancel token";
        let fd = birth::new_counter().and_then(KeptFd::new).or_resources(what)?;
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("a page of memory")?;
        list(fd.as_fd());
        Ok(Self { fd: ManuallyDrop::new(fd), mark })
    }

    pub(crate) fn ring(&self) {
        // In a forked child the number may lead to a counter of the child's own.
        if self.mark.get() != 0 {
            let before = Errno::last_raw();
            self.fd.ring();
            // What a signal handler interrupts may be about to read it.
            Errno::set_raw(before);
        }
    }

    /// Whether it is still there.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    pub(crate) fn silence(&self) -> bool {
        self.fd.silence()
    }

    /// Whether the number still leads to the counter.
    pub(crate) fn is_intact(&self) -> bool {
        self.fd.is_intact()
    }
}

/// How long a thread sleeps that waits for a bell which the program has closed.
#[cfg_attr(not(feature = "threads"), allow(dead_code))]
const SLEEP_WITHOUT_BELL: Duration = Duration::from_millis(1);

/// Sleeps until the bell is rung, one of the tokens is pulled, or for `limit`. Whatever ended the
/// sleep, the caller looks at everything again; the bell is silent then.
#[cfg_attr(not(feature = "threads"), allow(dead_code))]
pub(crate) fn sleep_for(bell: &Bell, tokens: &[CancelToken], limit: Duration) {
    let bells = iter::once(bell.as_fd()).chain(tokens.iter().map(CancelToken::bell));
    let mut watched: Vec<_> = bells.map(|bell| PollFd::new(bell, PollFlags::POLLIN)).collect();
    // More than the process may have open now are refused.
    let refused = sys::poll(&mut watched, Some(limit)) == Err(Errno::EINVAL);
    let is_foreign = |(token, heard): (&CancelToken, &PollFd<'_>)| {
        heard.any() == Some(true) && !token.is_cancelled()
    };
    if !bell.silence() || refused || tokens.iter().zip(&watched[1..]).any(is_foreign) {
        // What the program has put at the number of a bell would end every sleep.
        thread::sleep(limit.min(SLEEP_WITHOUT_BELL));
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if self.mark.get() != 0 {
            unlist(self.fd.as_fd());
            // SAFETY: not used after this.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::unistd::{dup2_raw, read};

    use super::*;

    #[test]
    fn a_bell_rings_no_later_one_that_has_its_number() {
        let old = Bell::new().unwrap();
        let counter = birth::new_counter().unwrap();
        // SAFETY: the number is that of `old`, which is asked and dropped only.
        let later = unsafe { dup2_raw(counter, old.fd.as_raw_fd()) }.unwrap();
        let later = KeptFd::new(later).unwrap();
        old.ring();
        assert!(!old.is_intact());
        assert_eq!(read(&later, &mut [0; 8]), Err(Errno::EAGAIN), "nobody has rung it");
        drop(old);
        assert!(later.is_intact());
    }
}
