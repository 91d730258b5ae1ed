//! The signals that end a program, and the mask of signals.

use nix::sys::signal::Signal;

use super::sys;

/// The signals that end a program unless it handles them, and that are sent to all its processes at
/// once: those that ask it to end, and the two whose meaning the program defines.
pub(crate) const ENDING: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Unblocks all signals of the calling thread.
pub(crate) fn unblock_signals() {
    sys::unblock_signals();
}
