//! Ends a process without destructors.

/// Ends this process at once: no handlers run, nothing buffered is written twice.
pub(crate) fn end_quietly() -> ! {
    exit(0)
}

/// Ends this process at once, with `code`: no handler and no destructor runs.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` ends the process without running any handler or destructor.
    unsafe { libc::_exit(code) }
}
