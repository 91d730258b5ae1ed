//! Mapped stacks: their ranges, and the memory of one.
//!
//! Invariant: below a mapped stack lies memory that cannot be accessed, so an overflow is a fault
//! and touches nothing else.

use std::{io, ptr};

/// Bytes below a stack, so many that a frame that is not probed does not reach across them.
const GUARD: usize = 1 << 20;

/// The range of a stack: `bytes` below `top`, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StackRange {
    pub(crate) top: usize,
    pub(crate) bytes: usize,
}

impl StackRange {
    /// How much of the stack lies below `address`; `None`: the address is not in it.
    pub(crate) fn below(self, address: usize) -> Option<usize> {
        let end = self.top.saturating_sub(self.bytes);
        (address < self.top).then(|| address.checked_sub(end)).flatten()
    }
}

/// The memory of a stack; dropping it unmaps the memory.
#[derive(Debug)]
pub(crate) struct MappedStack {
    base: *mut libc::c_void,
    len: usize,
}

impl MappedStack {
    /// A new stack of `bytes`, rounded up to pages.
    ///
    /// # Errors
    ///
    /// The system's error if it has no room for the stack.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let len = bytes
            .checked_next_multiple_of(pool_shm::limits::page_size())
            .and_then(|bytes| bytes.checked_add(GUARD))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // `MAP_STACK` keeps huge pages away, whose first touch would clear 2 MiB; for older kernels
        // `madvise` does.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base, len };
        let low = base.wrapping_byte_add(GUARD);
        // SAFETY: within the new mapping, of which nothing is known elsewhere.
        let code = unsafe {
            libc::madvise(low, len - GUARD, libc::MADV_NOHUGEPAGE);
            // In a program that locks its mappings the whole stack would be populated otherwise.
            libc::munlock(base, len);
            libc::mprotect(low, len - GUARD, libc::PROT_READ | libc::PROT_WRITE)
        };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The range of the stack, without the guard below it.
    pub(crate) fn range(&self) -> StackRange {
        StackRange { top: self.base.addr() + self.len, bytes: self.len - GUARD }
    }

    /// Keeps the memory for the life of this process.
    pub(crate) fn leak(self) -> StackRange {
        let range = self.range();
        std::mem::forget(self);
        range
    }
}

impl Drop for MappedStack {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, on which nothing runs any more: code that runs on it keeps
        // this alive meanwhile.
        unsafe { libc::munmap(self.base, self.len) };
    }
}
