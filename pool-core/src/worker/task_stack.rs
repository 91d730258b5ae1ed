//! The stack that the tasks of a worker process run on.
//!
//! A worker stays on the stack that it was started on if that is a program's first stack and grows
//! as far as `RLIMIT_STACK` says. It gets a stack of its own if the user sets a size, and if it was
//! started on that of a thread, like a fork of a thread. That needs no second thread, and changes
//! no limit, which programs that a task starts would inherit.
//!
//! Invariant: below a worker's own stack lies memory that cannot be accessed, so an overflow ends
//! the process.

use std::{arch::asm, io, mem::ManuallyDrop, ptr};

use crate::stack::{self, MappedStack, StackRange};

/// Most bytes of the first stack that may be in use already.
const USED_AT_MOST: usize = 512 << 10;

/// Runs `life` on a stack as large as `wish`, whose range it gets, and never comes back.
///
/// # Errors
///
/// The error of the system if it has no room for the stack.
pub(crate) fn run_on_stack<F: FnOnce(StackRange)>(
    wish: Option<usize>,
    life: F,
) -> io::Result<std::convert::Infallible> {
    let size = stack::size(wish);
    if wish.is_none()
        && let Some(range) = first_stack(size)
    {
        stack::runs_on(range);
        life(range);
        crate::panic::end_quietly();
    }
    let range = MappedStack::new(size)?.leak();
    let mut entry = Entry { life: ManuallyDrop::new(life), range };
    // SAFETY: the stack was mapped above and is never unmapped; `entry` lies in a frame that is
    // never left.
    unsafe { switch(range.top, enter::<F>, (&raw mut entry).cast()) }
}

struct Entry<F> {
    life: ManuallyDrop<F>,
    range: StackRange,
}

extern "C" fn enter<F: FnOnce(StackRange)>(entry: *mut ()) -> ! {
    // SAFETY: `run_on_stack` gave a pointer to an entry of this type, in a frame that is never
    // left, and this is called once.
    let (life, range) = unsafe {
        let entry = &mut *entry.cast::<Entry<F>>();
        (ManuallyDrop::take(&mut entry.life), entry.range)
    };
    stack::runs_on(range);
    // A panic must not unwind further: there is no frame above.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life(range)));
    crate::panic::end_quietly()
}

/// The first stack of a program, if this process runs at its top and it may grow to `size`.
fn first_stack(size: usize) -> Option<StackRange> {
    let limit = stack::soft_limit();
    let here = ptr::from_ref(&limit).addr();
    // SAFETY: `getauxval` only reads what the kernel has put at the top of the first stack.
    let top = usize::try_from(unsafe { libc::getauxval(libc::AT_RANDOM) }).ok()?;
    let used = top.checked_sub(here)?;
    let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    (used < USED_AT_MOST && most >= size).then_some(StackRange { top, bytes: most })
}

/// Goes on in `function` with the stack pointer at `top`. The return address there is 0, at which
/// backtraces end.
///
/// # Safety
///
/// Below `top`, which is aligned to a page, lies a stack that no other code uses. The frame of the
/// caller is never left.
unsafe fn switch(top: usize, function: extern "C" fn(*mut ()) -> !, argument: *mut ()) -> ! {
    // SAFETY: promised by the caller. Control never comes back, so no register needs to be kept.
    // The operands lie in named registers, none of which is cleared before it is read.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov rsp, rax",
            "xor ebp, ebp",
            "push 0",
            "jmp rcx",
            in("rax") top,
            in("rcx") function,
            in("rdi") argument,
            options(noreturn),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mov sp, x1",
            "mov x29, xzr",
            "mov x30, xzr",
            "br x2",
            in("x1") top,
            in("x2") function,
            in("x0") argument,
            options(noreturn),
        );
    }
}
