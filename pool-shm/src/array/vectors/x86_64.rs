//! SSE, which every x86-64 has.
//!
//! On processors with AVX `movaps` moves its 16 aligned bytes as a whole (Intel SDM 3A, 9.1.1; AMD
//! APM 2, 7.3.2). Processors without AVX, and the streaming `movntps` on all, may split it into
//! several accesses; none is known to access less than 8 aligned bytes at a time.
//!
//! A copy larger than the caches is streamed past them, as `memcpy` does: ordinary stores would
//! read each line before they overwrite it.

use std::arch::{
    asm,
    x86_64::{__m128i, _mm_loadu_si128},
};

use super::VECTOR;

pub(in super::super) const ARE_THERE: bool = true;

/// From this length on the caches keep little of the copy.
const STREAMED: usize = 16 << 20;

/// Bytes that are streamed together.
const LINE: usize = 64;

/// Copies with the first instruction and ends with the second.
macro_rules! copy {
    ($load:literal, $store:literal, $ahead:literal, $end:literal, $from:expr, $to:expr, $bytes:expr) => {
        asm!(
            "sub {bytes}, 64",
            "jb 3f",
            "2:",
            $ahead,
            concat!($load, " {a}, [{from}]"),
            concat!($load, " {b}, [{from} + 16]"),
            concat!($load, " {c}, [{from} + 32]"),
            concat!($load, " {d}, [{from} + 48]"),
            concat!($store, " [{to}], {a}"),
            concat!($store, " [{to} + 16], {b}"),
            concat!($store, " [{to} + 32], {c}"),
            concat!($store, " [{to} + 48], {d}"),
            "add {from}, 64",
            "add {to}, 64",
            "sub {bytes}, 64",
            "jae 2b",
            "3:",
            "add {bytes}, 64",
            "jz 5f",
            "4:",
            concat!($load, " {a}, [{from}]"),
            concat!($store, " [{to}], {a}"),
            "add {from}, 16",
            "add {to}, 16",
            "sub {bytes}, 16",
            "jnz 4b",
            "5:",
            $end,
            from = inout(reg) $from => _,
            to = inout(reg) $to => _,
            bytes = inout(reg) $bytes => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        )
    };
}

/// # Safety
///
/// `bytes` is a multiple of 16, both sides have as many, and `shared` is aligned to 16.
pub(in super::super) unsafe fn read(shared: *const u8, private: *mut u8, bytes: usize) {
    debug_assert!(is_whole(shared, bytes));
    let plain = plain_part(private, bytes);
    // SAFETY: reads `bytes` bytes of one side and writes those of the other, as promised; no stack,
    // no direction flag.
    unsafe {
        copy!("movaps", "movups", "", "", shared, private, plain);
        if plain < bytes {
            let (from, to, rest) = (shared.add(plain), private.add(plain), bytes - plain);
            copy!("movaps", "movntps", "prefetcht0 [{from} + 512]", "sfence", from, to, rest);
        }
    }
}

/// # Safety
///
/// What [`read`] demands.
pub(in super::super) unsafe fn write(private: *const u8, shared: *mut u8, bytes: usize) {
    debug_assert!(is_whole(shared, bytes));
    let plain = plain_part(shared, bytes);
    // SAFETY: as in `read`. The fence orders streamed stores before whatever the caller publishes
    // them with.
    unsafe {
        copy!("movups", "movaps", "", "", private, shared, plain);
        if plain < bytes {
            let (from, to, rest) = (private.add(plain), shared.add(plain), bytes - plain);
            copy!("movups", "movntps", "prefetcht0 [{from} + 512]", "sfence", from, to, rest);
        }
    }
}

/// Whether the bytes are whole vectors.
fn is_whole(shared: *const u8, bytes: usize) -> bool {
    bytes == 0 || (shared.addr().is_multiple_of(VECTOR) && bytes.is_multiple_of(VECTOR))
}

/// How many of the bytes to write before the others can be streamed: those before the first whole
/// line, or all.
fn plain_part(to: *mut u8, bytes: usize) -> usize {
    if bytes >= STREAMED && to.addr().is_multiple_of(VECTOR) {
        to.addr().wrapping_neg() % LINE
    } else {
        bytes
    }
}

/// # Safety
///
/// `bytes` is a multiple of 16, and `shared`, aligned to 16, has as many.
pub(in super::super) unsafe fn fill(shared: *mut u8, pattern: u128, bytes: usize) {
    debug_assert!(is_whole(shared, bytes));
    // SAFETY: reads the 16 bytes of `pattern`.
    let vector: __m128i = unsafe { _mm_loadu_si128((&raw const pattern).cast()) };
    // SAFETY: writes `bytes` bytes, as promised; no stack, no direction flag.
    unsafe {
        asm!(
            "sub {bytes}, 64",
            "jb 3f",
            "2:",
            "movaps [{to}], {vector}",
            "movaps [{to} + 16], {vector}",
            "movaps [{to} + 32], {vector}",
            "movaps [{to} + 48], {vector}",
            "add {to}, 64",
            "sub {bytes}, 64",
            "jae 2b",
            "3:",
            "add {bytes}, 64",
            "jz 5f",
            "4:",
            "movaps [{to}], {vector}",
            "add {to}, 16",
            "sub {bytes}, 16",
            "jnz 4b",
            "5:",
            to = inout(reg) shared => _,
            bytes = inout(reg) bytes => _,
            vector = in(xmm_reg) vector,
            options(nostack),
        );
    }
}
