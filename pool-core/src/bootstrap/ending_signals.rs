//! What a process of a pool does on a signal that asks a whole program to end, or to do something.
//!
//! Invariant: such a signal ends no process that got it together with the whole program, for the
//! parent decides. A worker that alone was meant ends by it, and so does a program that a task has
//! forked. A worker cannot tell the two cases apart, so it tells its zygote, which ends the worker
//! unless the zygote gets the signal, too (`zygote/ending_signals.rs`). The handler calls only
//! functions that may interrupt any code.

use std::{
    os::fd::{AsRawFd, BorrowedFd},
    sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering},
};

use libc::{c_int, c_void, siginfo_t};
use pool_ipc::board::Incarnation;

use crate::{
    os::{ENDING, FileId, KeptFd, sys},
    protocol,
};

/// The process id of the worker that this process is, or that it was forked from; 0 in a guard, a
/// zygote and a template.
static WORKER: AtomicI32 = AtomicI32::new(0);
static INCARNATION: AtomicU32 = AtomicU32::new(0);
/// The socket through which the worker tells its zygote.
static HANDSHAKE_SOCKET: AtomicI32 = AtomicI32::new(-1);
/// Device and inode of that socket: a task may have closed it, and have opened another one.
static HANDSHAKE_FILE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Notes that this process is the worker `incarnation`, which may be told to end alone.
/// `handshake_socket` stays open as long as the worker lives.
pub(crate) fn may_end_alone(incarnation: Incarnation, handshake_socket: &KeptFd) {
    INCARNATION.store(incarnation.number(), Ordering::Relaxed);
    HANDSHAKE_SOCKET.store(handshake_socket.as_raw_fd(), Ordering::Relaxed);
    let FileId { device, inode, .. } = handshake_socket.file();
    HANDSHAKE_FILE[0].store(device, Ordering::Relaxed);
    HANDSHAKE_FILE[1].store(inode, Ordering::Relaxed);
    // Release: pairs with the Acquire in the handler, which may run in any thread.
    WORKER.store(std::process::id().cast_signed(), Ordering::Release);
}

/// Whether this process is a worker of a pool.
pub(crate) fn is_worker() -> bool {
    // Acquire: pairs with the Release in `may_end_alone`.
    WORKER.load(Ordering::Acquire) == std::process::id().cast_signed()
}

/// Notes that this process is no worker any more, but a child of one in which another pool begins.
pub(crate) fn is_no_worker() {
    WORKER.store(0, Ordering::Relaxed);
}

/// The handler of all signals in [`ENDING`] that the program does not ignore.
pub(crate) extern "C" fn on_ending_signal(
    signal: c_int,
    info: *mut siginfo_t,
    _context: *mut c_void,
) {
    let worker = WORKER.load(Ordering::Acquire);
    if worker == 0 {
        return;
    }
    sys::keep_errno(|| {
        // SAFETY: the kernel passes a valid `info` to a handler that was set with SA_SIGINFO.
        let to_this_thread = unsafe { (*info).si_code } == libc::SI_TKILL;
        if to_this_thread || sys::process_id() != worker {
            // `raise` in a task, or a process that the task has forked: only this process is meant.
            sys::end_by(signal);
        } else if let Some(at) = ENDING.iter().position(|ending| *ending as c_int == signal) {
            let incarnation = Incarnation::new(INCARNATION.load(Ordering::Relaxed));
            let packet = protocol::ending_signal(incarnation, at as u32);
            let handshake_socket = HANDSHAKE_SOCKET.load(Ordering::Relaxed);
            if is_handshake_socket(handshake_socket) {
                sys::send_now(handshake_socket, &packet);
            }
        }
    });
}

/// Whether the number leads to the socket that it led to when this worker began.
fn is_handshake_socket(number: c_int) -> bool {
    // SAFETY: the number of a descriptor that was open once, and whose file is only looked at.
    let file = FileId::of(unsafe { BorrowedFd::borrow_raw(number) });
    let handshake_socket = HANDSHAKE_FILE.each_ref().map(|word| word.load(Ordering::Relaxed));
    file.is_some_and(|file| [file.device, file.inode] == handshake_socket)
}
