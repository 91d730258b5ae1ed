//! Writes the line that std has buffered for standard output before this process ends by a signal
//! of its own making: an `abort`, or a fault.
//!
//! Invariant: where another thread may have the stream, or this process was forked by a task, the
//! handler writes nothing; it never waits for a lock. The process ends as it would without it.

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI32, Ordering::Relaxed},
};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::{os, panic::silently};

/// The process whose standard output is captured. Relaxed: it is set before the first task, in the
/// thread that runs the handlers.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Has the line written before an end by a signal. (A worker's handler of SIGSEGV, which looks for
/// overflows of the stack, calls [`flush_last_line`] itself.)
pub(super) fn keep_last_line() -> nix::Result<()> {
    OWNER.store(os::process_id(), Relaxed);
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::SigAction(flush_and_end), flags, SigSet::empty());
    for signal in [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL] {
        // SAFETY: the handler may be called wherever the program aborts, see `flush_last_line`.
        let before = unsafe { sigaction(signal, &action) }?;
        if !matches!(before.handler(), SigHandler::SigDfl) {
            // SAFETY: the very action that was in force: the user's own, or that it is ignored.
            unsafe { sigaction(signal, &before) }?;
        }
    }
    Ok(())
}

/// The handler of signals that end this process. It was reset when it was called, so the process
/// ends by the signal that is raised again, which is blocked here and comes when the handler
/// returns, if the fault does not come first.
extern "C" fn flush_and_end(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes it to a handler of this kind.
    flush_last_line(unsafe { &*info });
    // SAFETY: a plain call. (Not only `abort` sends SIGABRT, and only it would raise it again.)
    unsafe { libc::raise(signal) };
}

/// Writes out what std has buffered, in the handler of a signal by which this process ends.
///
/// That is done only for a fault, and for a signal that this thread has sent itself: one of another
/// process may come at any instruction.
///
/// An `abort` runs its handler as any function calls another one, so std's stream is in a state
/// that safe code may find it in: its lock is this thread's if it is taken, and a `RefCell` says
/// whether it is in use, which is a panic that is caught here. That is so behind a fault as well,
/// also one inside of std's own copy into the stream. The panic hook is told to do nothing, since
/// it is the user's code, and this stack is small.
pub(crate) fn flush_last_line(info: &libc::siginfo_t) {
    let own = os::process_id();
    // SAFETY: a signal of a process has its sender's id.
    let sent_here = || unsafe { info.si_pid() } == own;
    let from_here = match info.si_code {
        libc::SI_USER | libc::SI_TKILL => sent_here(),
        code => code > 0,
    };
    if !from_here || OWNER.load(Relaxed) != own || os::has_one_thread() != Some(true) {
        return;
    }
    silently(|| {
        let _ = catch_unwind(AssertUnwindSafe(|| io::stdout().flush()));
    });
}
