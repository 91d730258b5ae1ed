//! Notes on the board that a worker ends because its stack has overflowed.
//!
//! An overflow is a memory fault like any other: it ends the process by SIGSEGV, and the exit
//! status does not tell it from a wild pointer. A handler on a stack of its own compares the
//! address with the stack's range and writes what it finds to the worker's row; then the fault ends
//! the process. std has such a handler, which a worker starts without.
//!
//! Invariant: the handler only loads and stores memory that is never freed, and makes system calls;
//! where no stack has overflowed it writes the last line of a captured output. The process ends as
//! it would without the handler.

use std::{
    cell::UnsafeCell,
    io,
    num::NonZeroU64,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{Acquire, Release},
    },
};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pool_ipc::board::Board;
use pool_shm::ForkMark;

use crate::{
    ids::WorkerId,
    output::flush_last_line,
    stack::{StackRange, switched},
};

/// Bytes below the end of a stack that an overflow may touch.
const BEYOND: usize = 2 << 20;
/// Bytes below the stack pointer that a function may touch: its red zone, or the page that it
/// probes.
const BELOW_POINTER: usize = 4096;

/// Whether a fault at `address` with the stack pointer at `pointer` means that this stack is used
/// up. In a stack that is not used up, all between the pointer and the top can be accessed.
fn overflows(stack: StackRange, address: usize, pointer: usize) -> bool {
    let lowest = stack.top.saturating_sub(stack.bytes).saturating_sub(BEYOND);
    address >= lowest && address < stack.top && address >= pointer.saturating_sub(BELOW_POINTER)
}

/// What the handler needs. A worker sets it once and never frees it; a process that was forked in a
/// task finds that of the worker and leaves it alone.
static WATCH: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());

struct Watch {
    range: StackRange,
    board: Board,
    worker: WorkerId,
    mark: ForkMark,
}

/// Bytes of the alternate stack: enough for the registers of any processor and a handler, also one
/// of a task's.
const ALTERNATE: usize = 64 << 10;

#[repr(align(16))]
struct Alternate(UnsafeCell<[u8; ALTERNATE]>);

// SAFETY: only the kernel and the handler touch it, in the one thread of which it is the alternate
// stack.
unsafe impl Sync for Alternate {}

static ALTERNATE_STACK: Alternate = Alternate(UnsafeCell::new([0; ALTERNATE]));

/// Has overflows of the stack noted in the row of the worker at `place` from now on.
pub(super) fn watch_stack(range: StackRange, board: &Board, worker: WorkerId) -> io::Result<()> {
    let mark = ForkMark::new(NonZeroU64::MIN).map_err(io::Error::other)?;
    let watch = Box::into_raw(Box::new(Watch { range, board: board.clone(), worker, mark }));
    // Release: pairs with the Acquire of the handler.
    WATCH.store(watch, Release);
    let stack =
        libc::stack_t { ss_sp: ALTERNATE_STACK.0.get().cast(), ss_flags: 0, ss_size: ALTERNATE };
    // SAFETY: the memory is static, and the alternate stack of this thread only.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(note_down), flags, SigSet::empty());
    // SAFETY: the handler may interrupt any code, see the head of this file.
    let before = unsafe { sigaction(Signal::SIGSEGV, &action) }?;
    if !matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
        // The user's code in a template has set a handler of its own, which stays in force.
        // SAFETY: the very action that was in force.
        unsafe { sigaction(Signal::SIGSEGV, &before) }?;
    }
    Ok(())
}

extern "C" fn note_down(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes both to a handler of this kind.
    let (info, context) = unsafe { (&*info, &*context.cast::<libc::ucontext_t>()) };
    // SAFETY: the pointer is null, or leads to a value that was complete when it was stored and is
    // never freed.
    let watch = unsafe { WATCH.load(Acquire).as_ref() };
    let sent = info.si_code <= 0;
    let mut overflowed = false;
    // SAFETY: a signal that the kernel sends for a fault has an address.
    let address = || unsafe { info.si_addr() }.addr();
    if let Some(watch) = watch
        // In a child that a task has forked the board is not mapped.
        && watch.mark.get() != 0
        && !sent
        // A call of a task with large values runs on another stack.
        && overflows(switched().unwrap_or(watch.range), address(), stack_pointer(context))
    {
        watch.board.note_overflow(watch.worker.index());
        overflowed = true;
    }
    if !overflowed {
        flush_last_line(info);
    }
    // SAFETY: plain system calls. The default action ends this process when it repeats the access,
    // or when the signal is raised again.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if sent {
            libc::raise(signal);
        }
    }
}

fn stack_pointer(context: &libc::ucontext_t) -> usize {
    #[cfg(target_arch = "x86_64")]
    return context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    return context.uc_mcontext.sp as usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_is_a_fault_of_what_the_stack_needs() {
        let range = StackRange { top: 1 << 30, bytes: 8 << 20 };
        let end = range.top - range.bytes;
        assert!(overflows(range, end - 8, end));
        assert!(overflows(range, end - 4096, end - 4096));
        assert!(overflows(range, end - 100, end - (1 << 20)), "a frame that is not probed");
        assert!(!overflows(range, 0, end), "a null pointer");
        assert!(!overflows(range, end - 8, range.top - 4096), "a wild pointer");
        assert!(!overflows(range, range.top + 8, range.top - 64), "beyond the first frame");
        assert!(!overflows(range, end - (3 << 20), end - (3 << 20)), "another stack");
        let endless = StackRange { top: 1 << 30, bytes: usize::MAX };
        assert!(overflows(endless, 4096, 4096));
    }
}
