//! Runs a function on another stack, and returns.
//!
//! Invariant: control comes back to the first stack when the function returns or panics, and a
//! panic goes on there. Unwinders of backtraces find the way from one stack to the other by the CFI
//! directives of the assembly.

use std::{
    any::Any,
    arch::naked_asm,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::mapped::MappedStack;

/// A function to be called, then its result or its panic.
enum Call<F, T> {
    Waiting(F),
    Begun,
    Ended(Result<T, Box<dyn Any + Send>>),
}

/// Calls `act` on `stack`, on which nothing else runs.
///
/// # Panics
///
/// If `act` panics, with the same payload.
pub(super) fn call_on<T, F: FnOnce() -> T>(stack: &mut MappedStack, act: F) -> T {
    let mut call = Call::Waiting(act);
    // SAFETY: the stack is borrowed for the time of the call, so that nothing else runs on it, and
    // its top is aligned to a page; `enter` takes a pointer to a call of this type and does not
    // unwind.
    unsafe { switch((&raw mut call).cast(), stack.range().top, enter::<T, F>) };
    match call {
        Call::Ended(Ok(value)) => value,
        Call::Ended(Err(payload)) => resume_unwind(payload),
        Call::Waiting(_) | Call::Begun => unreachable!("it comes back when the function has ended"),
    }
}

/// # Safety
///
/// `call` is a pointer to a `Call<F, T>` that is in use nowhere else.
unsafe extern "C" fn enter<T, F: FnOnce() -> T>(call: *mut ()) {
    // SAFETY: the caller's promise.
    let call = unsafe { &mut *call.cast::<Call<F, T>>() };
    if let Call::Waiting(act) = std::mem::replace(call, Call::Begun) {
        // State that a panic leaves broken is seen only by code that sees the panic, too.
        *call = Call::Ended(catch_unwind(AssertUnwindSafe(act)));
    }
}

/// Calls `function` with the stack pointer at `top` and comes back when it has returned.
///
/// The frame pointer keeps the way back, which the directives describe to unwinders; `function`
/// preserves all other registers that a function has to keep.
///
/// # Safety
///
/// Below `top`, which is aligned to 16 bytes, lies a stack that nothing else runs on. `function`
/// may be called with `argument`, and does not unwind.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn switch(
    argument: *mut (),
    top: usize,
    function: unsafe extern "C" fn(*mut ()),
) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rsi",
        "call rdx",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Calls `function` with the stack pointer at `top` and comes back when it has returned.
///
/// # Safety
///
/// Below `top`, which is aligned to 16 bytes, lies a stack that nothing else runs on. `function`
/// may be called with `argument`, and does not unwind.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn switch(
    argument: *mut (),
    top: usize,
    function: unsafe extern "C" fn(*mut ()),
) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        ".cfi_def_cfa x29, 16",
        "mov sp, x1",
        "blr x2",
        "mov sp, x29",
        ".cfi_def_cfa sp, 16",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}
