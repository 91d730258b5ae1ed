//! Pairs of general registers.
//!
//! The architecture promises for no vector access, but for `ldp` and `stp` of 64-bit registers,
//! that each of the two aligned halves is single-copy atomic (Arm Architecture Reference Manual,
//! B2.2.1).

use std::arch::asm;

pub(in super::super) const ARE_THERE: bool = true;

/// # Safety
///
/// Copies `bytes` bytes from the shared side, which is aligned, to the private one, under the
/// conditions of `copy`.
pub(in super::super) unsafe fn read(shared: *const u8, private: *mut u8, bytes: usize) {
    // SAFETY: as promised.
    unsafe { copy(shared, private, bytes) }
}

/// # Safety
///
/// Copies `bytes` bytes from the private side to the shared one, which is aligned, under the
/// conditions of `copy`.
pub(in super::super) unsafe fn write(private: *const u8, shared: *mut u8, bytes: usize) {
    // SAFETY: as promised.
    unsafe { copy(private, shared, bytes) }
}

/// # Safety
///
/// `bytes` is a multiple of 16, and both sides have as many.
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: reads `bytes` bytes of one side and writes those of the other, as promised; no stack.
    unsafe {
        asm!(
            "subs {bytes}, {bytes}, #64",
            "b.lo 3f",
            "2:",
            "ldp {a}, {b}, [{from}]",
            "ldp {c}, {d}, [{from}, #16]",
            "ldp {e}, {f}, [{from}, #32]",
            "ldp {g}, {h}, [{from}, #48]",
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, #16]",
            "stp {e}, {f}, [{to}, #32]",
            "stp {g}, {h}, [{to}, #48]",
            "add {from}, {from}, #64",
            "add {to}, {to}, #64",
            "subs {bytes}, {bytes}, #64",
            "b.hs 2b",
            "3:",
            "adds {bytes}, {bytes}, #64",
            "b.eq 5f",
            "4:",
            "ldp {a}, {b}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "subs {bytes}, {bytes}, #16",
            "b.ne 4b",
            "5:",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            bytes = inout(reg) bytes => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            e = out(reg) _,
            f = out(reg) _,
            g = out(reg) _,
            h = out(reg) _,
            options(nostack),
        );
    }
}

/// # Safety
///
/// `bytes` is a multiple of 16, and `shared`, aligned to 16, has as many.
pub(in super::super) unsafe fn fill(shared: *mut u8, pattern: u128, bytes: usize) {
    if bytes == 0 {
        return;
    }
    // SAFETY: writes `bytes` bytes, at least 16, as promised; no stack.
    unsafe {
        asm!(
            "2:",
            "stp {low}, {high}, [{to}], #16",
            "subs {bytes}, {bytes}, #16",
            "b.ne 2b",
            to = inout(reg) shared => _,
            bytes = inout(reg) bytes => _,
            low = in(reg) pattern as u64,
            high = in(reg) (pattern >> 64) as u64,
            options(nostack),
        );
    }
}
