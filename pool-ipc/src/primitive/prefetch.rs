//! Asking for cache lines before they are needed.
//!
//! A line that another CPU wrote last takes about 100 ns to come over; several that are asked for
//! at once come together. Only speed depends on this: nothing is read or written.

/// Asks for the line at `at`, to be written soon: takes it from the CPU that has it.
#[inline(always)]
pub(crate) fn prefetch_for_writing<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
    // SAFETY: a prefetch touches no memory that the program can see, whatever the address. CPUs
    // without the instruction take it for a no-op (Intel SDM, PREFETCHW; on AMD's it has been there
    // since the first of 64 bits).
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
    // SAFETY: as above; PRFM is a hint of the base instruction set.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    let _ = at;
}

/// Asks for the line at `at`, to be read soon. Touches no memory, whatever the address.
#[inline(always)]
pub fn prefetch_for_reading<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
    // SAFETY: a prefetch touches no memory that the program can see, whatever the address; SSE is
    // in the base set.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
    // SAFETY: as above; PRFM is a hint of the base instruction set.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    let _ = at;
}
