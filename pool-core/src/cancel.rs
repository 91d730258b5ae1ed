//! Ends a call from outside: from another thread, or from a signal handler.
//!
//! Invariant: the word is stored before the wake counter is incremented, and that of a token is
//! never reset; so a thread that polls the counter after a look at the word misses nothing. A
//! forked child increments no counter of its parent.

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
    error::{Error, OrResources},
    os::{self, KeptFd, list, nanos, unlist},
};

/// Ends the calls that it was given to. Clones are the same token.
///
/// A token is pulled once and for all; each call that is to be cancelled by itself takes a new one.
/// It belongs to the process that made it: in a task, a copy that was inherited by a fork ends
/// nothing.
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
    /// Whether the program has closed the wake counter, as far as a sleeping thread has seen.
    lost: AtomicBool,
    /// [`UNTOUCHED`], [`PULLED`], or 1 plus the grace in nanoseconds after which running items are
    /// killed. After its first change it only decreases.
    word: AtomicU64,
    wake_counter: WakeCounter,
}

const UNTOUCHED: u64 = 0;
/// Running items see the cancellation, and are not killed.
const PULLED: u64 = u64::MAX;

impl CancelToken {
    /// A token that has not been pulled.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when the system has no descriptor or page of memory for it.
    pub fn new() -> Result<Self, Error> {
        let signal = Signal {
            word: AtomicU64::new(UNTOUCHED),
            wake_counter: WakeCounter::new()?,
            lost: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(signal)))
    }

    /// Ends the calls that have the token with [`Error::Cancelled`]: items that were not begun are
    /// taken back, running items see the cancellation.
    ///
    /// May be called in a signal handler: it stores one word and makes one system call.
    pub fn cancel(&self) {
        self.pull(PULLED);
    }

    /// Ends the calls like [`CancelToken::cancel`], and kills the workers of items that still run
    /// after `grace`; zero: at once.
    ///
    /// The workers are replaced, and nothing else is lost: items of other calls go on, results that
    /// were stored stay. A token that was pulled before can still be made to kill, and one that
    /// kills can be made to do so sooner. The items left by a call that has returned are killed as
    /// soon as a thread waits in any call of the pool. Threads cannot be killed: they only see the
    /// cancellation.
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
        // may do this.
        let _ = self.0.word.fetch_update(Ordering::Release, Ordering::Relaxed, sooner);
        self.0.wake_counter.wake();
    }

    /// The time after which running items are to be killed; `None`: they are not to be.
    pub(crate) fn kill_grace(&self) -> Option<Duration> {
        match self.0.word.load(Ordering::Acquire) {
            UNTOUCHED | PULLED => None,
            word => Some(Duration::from_nanos(word - 1)),
        }
    }

    /// The token's identity, which clones share.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether it was pulled.
    #[must_use]
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.word.load(Ordering::Acquire) != UNTOUCHED
    }

    /// Whether the program has closed its wake counter: then only a look at the token shows that it
    /// was pulled.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Notes if the counter is lost, for a thread whose sleep it has ended: the program may have
    /// closed the wake counter and reused its descriptor number, which would end every sleep.
    pub(crate) fn check_if_lost(&self) {
        if !self.is_cancelled() && !self.0.wake_counter.is_intact() {
            self.0.lost.store(true, Ordering::Relaxed);
        }
    }

    /// The descriptor that becomes readable when the token is pulled.
    pub(crate) fn wake_counter(&self) -> BorrowedFd<'_> {
        self.0.wake_counter.as_fd()
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

/// An event counter that a sleeping thread polls, listed as one of the pools' descriptors.
pub(crate) struct WakeCounter {
    fd: ManuallyDrop<KeptFd>,
    mark: ForkMark,
}

impl WakeCounter {
    pub(crate) fn new() -> Result<Self, Error> {
        let what = "opening a descriptor for a cancel token";
        let fd = os::new_counter().and_then(KeptFd::new).or_resources(what)?;
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("mapping a page of memory")?;
        list(fd.as_fd());
        Ok(Self { fd: ManuallyDrop::new(fd), mark })
    }

    pub(crate) fn wake(&self) {
        // In a forked child the number may be that of a counter of the child's own.
        if self.mark.get() != 0 {
            let before = Errno::last_raw();
            self.fd.increment();
            // The code that a signal handler interrupts may be about to read `errno`.
            Errno::set_raw(before);
        }
    }

    /// Resets the counter; whether the wake counter is still there.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    pub(crate) fn reset(&self) -> bool {
        self.fd.reset()
    }

    /// Whether the descriptor number is still that of the counter.
    pub(crate) fn is_intact(&self) -> bool {
        self.fd.is_intact()
    }
}

/// How long a thread sleeps that waits for a wake counter which the program has closed.
#[cfg_attr(not(feature = "threads"), allow(dead_code))]
const SLEEP_WITHOUT_COUNTER: Duration = Duration::from_millis(1);

/// Sleeps until the counter is incremented, one of the tokens is pulled, or for `limit`. The caller
/// then checks everything again, whatever ended the sleep; the counter is 0 then.
#[cfg_attr(not(feature = "threads"), allow(dead_code))]
pub(crate) fn sleep_for(wake_counter: &WakeCounter, tokens: &[CancelToken], limit: Duration) {
    let counters =
        iter::once(wake_counter.as_fd()).chain(tokens.iter().map(CancelToken::wake_counter));
    let mut watched: Vec<_> =
        counters.map(|wake_counter| PollFd::new(wake_counter, PollFlags::POLLIN)).collect();
    // The kernel refuses more descriptors than the process may have open now.
    let refused = os::poll(&mut watched, Some(limit)) == Err(Errno::EINVAL);
    let is_foreign = |(token, polled): (&CancelToken, &PollFd<'_>)| {
        polled.any() == Some(true) && !token.is_cancelled()
    };
    if !wake_counter.reset() || refused || tokens.iter().zip(&watched[1..]).any(is_foreign) {
        // A descriptor that has taken the number of a wake counter would end every sleep.
        thread::sleep(limit.min(SLEEP_WITHOUT_COUNTER));
    }
}

impl AsFd for WakeCounter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for WakeCounter {
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
    fn a_wake_counter_changes_no_later_one_that_has_its_number() {
        let old = WakeCounter::new().unwrap();
        let counter = os::new_counter().unwrap();
        // SAFETY: the number is that of `old`, which is only used by `is_intact` and dropped.
        let later = unsafe { dup2_raw(counter, old.fd.as_raw_fd()) }.unwrap();
        let later = KeptFd::new(later).unwrap();
        old.wake();
        assert!(!old.is_intact());
        assert_eq!(read(&later, &mut [0; 8]), Err(Errno::EAGAIN), "it was not incremented");
        drop(old);
        assert!(later.is_intact());
    }
}
