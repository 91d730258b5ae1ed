//! Sleeping on a word of shared memory, across processes.
//!
//! Invariant: a wake after a change of the word is not missed: the kernel compares the word and
//! puts the thread to sleep in one step. Every wait may end early, so callers look at the word
//! again whatever [`wait`] returns.

use std::{io::Error, sync::atomic::AtomicU32, time::Duration};

use crate::sys;

/// Why [`wait`] came back. In each case look at the word again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A thread called [`wake`] (or, rarely, none did).
    Woken,
    /// The word did not hold the expected value, so the call did not wait.
    Changed,
    /// The time is over.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Sleeps until another thread or process wakes `word`, if it still holds `expected`.
///
/// Without `timeout` it waits for ever; one too long to express counts as none. Time is monotonic
/// and stands still while the machine is suspended.
///
/// ```
/// use std::{sync::atomic::AtomicU32, time::Duration};
/// use pool_shm::futex::{self, Waited};
///
/// let word = AtomicU32::new(1);
/// assert_eq!(futex::wait(&word, 0, None), Waited::Changed);
/// assert_eq!(futex::wait(&word, 1, Some(Duration::from_millis(1))), Waited::TimedOut);
/// ```
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Waited {
    let timeout = timeout.and_then(|limit| {
        let tv_sec = limit.as_secs().try_into().ok()?;
        Some(libc::timespec { tv_sec, tv_nsec: limit.subsec_nanos() as _ })
    });
    match sys::futex_wait(word, expected, timeout.as_ref()) {
        Ok(()) => Waited::Woken,
        Err(error) => reason(&error),
    }
}

/// Wakes at most `count` threads that sleep on `word`, in any process; returns how many it woke.
///
/// Change the word first, or a sleeper that is just arriving misses the call.
pub fn wake(word: &AtomicU32, count: u32) -> u32 {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    sys::futex_wake(word, count).unwrap_or_else(|error| {
        debug_assert!(false, "the kernel refused to wake: {error}");
        0
    })
}

fn reason(error: &Error) -> Waited {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Waited::Changed,
        Some(libc::ETIMEDOUT) => Waited::TimedOut,
        Some(libc::EINTR) => Waited::Interrupted,
        other => {
            debug_assert!(false, "futex_wait: unexpected errno {other:?}");
            Waited::Interrupted
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, thread};

    use super::*;

    #[test]
    fn a_sleeper_is_woken() {
        let word = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::SeqCst) == 0 {
                    wait(&word, 0, None);
                }
            });
            word.store(1, Ordering::SeqCst);
            wake(&word, u32::MAX);
        });
    }

    #[test]
    fn without_sleepers_no_thread_is_woken() {
        assert_eq!(wake(&AtomicU32::new(0), 1), 0);
    }

    #[test]
    fn no_timeout_is_too_long() {
        let word = AtomicU32::new(1);
        assert_eq!(wait(&word, 0, Some(Duration::MAX)), Waited::Changed);
    }

    #[test]
    fn a_timeout_of_zero_ends_at_once() {
        assert_eq!(wait(&AtomicU32::new(0), 0, Some(Duration::ZERO)), Waited::TimedOut);
    }
}
