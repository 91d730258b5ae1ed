//! Many elements at once, between shared and private memory.
//!
//! Single atomic accesses are never joined by the compiler: `u8`s one by one are copied at half the
//! speed of `memcpy`. A plain `memcpy` is undefined behaviour on memory that another process may
//! write. So the bulk of a copy is one block of assembly: the compiler takes it for an access to
//! memory that others may access too, like one relaxed atomic per element.
//!
//! Invariant: an element in shared memory never tears. Vectors of 16 bytes are moved only where the
//! shared side is aligned to 16, hold whole elements, and are moved by instructions that access at
//! least each aligned 8 bytes as a whole (`vectors`). The private side may lie anywhere.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    cell::Bits,
    vectors::{self, VECTOR},
};

/// Copies `len` elements from shared to private memory.
///
/// # Safety
///
/// Both sides have `len` elements and are aligned for them. No other thread accesses the private
/// side, and others access the shared one only by atomics of the same size or by these functions.
pub(crate) unsafe fn read<B: Bits>(shared: *mut B, private: *mut B, len: usize) {
    let parts = Parts::of(shared, len);
    // SAFETY: the parts are within the `len` elements; single ones are accessed atomically, vectors
    // are whole.
    unsafe {
        let one = |index| private.add(index).write(B::load(shared.add(index), Relaxed));
        (0..parts.head).for_each(one);
        let (from, to) = (shared.add(parts.head), private.add(parts.head));
        vectors::read(from.cast(), to.cast(), parts.body * size_of::<B>());
        (parts.head + parts.body..len).for_each(one);
    }
}

/// Copies `len` elements from private to shared memory.
///
/// # Safety
///
/// What [`read`] demands; and the private side does not change meanwhile.
pub(crate) unsafe fn write<B: Bits>(shared: *mut B, private: *const B, len: usize) {
    let parts = Parts::of(shared, len);
    // SAFETY: as in `read`.
    unsafe {
        let one = |index| B::store(shared.add(index), private.add(index).read(), Relaxed);
        (0..parts.head).for_each(one);
        let (from, to) = (private.add(parts.head), shared.add(parts.head));
        vectors::write(from.cast(), to.cast(), parts.body * size_of::<B>());
        (parts.head + parts.body..len).for_each(one);
    }
}

/// Writes the same bits to `len` elements of shared memory.
///
/// # Safety
///
/// What [`read`] demands of the shared side.
pub(super) unsafe fn fill<B: Bits>(shared: *mut B, bits: B, len: usize) {
    let parts = Parts::of(shared, len);
    // SAFETY: as in `read`.
    unsafe {
        let one = |index| B::store(shared.add(index), bits, Relaxed);
        (0..parts.head).for_each(one);
        let bytes = parts.body * size_of::<B>();
        vectors::fill(shared.add(parts.head).cast(), bits.repeated(), bytes);
        (parts.head + parts.body..len).for_each(one);
    }
}

/// How a range of elements is accessed: some one by one until an address is aligned, then whole
/// vectors, then the rest.
struct Parts {
    head: usize,
    body: usize,
}

impl Parts {
    fn of<B>(shared: *mut B, len: usize) -> Self {
        if !vectors::ARE_THERE {
            return Self { head: len, body: 0 };
        }
        let misaligned = shared.addr().wrapping_neg() % VECTOR;
        let head = (misaligned / size_of::<B>()).min(len);
        let per_vector = VECTOR / size_of::<B>();
        Self { head, body: (len - head) / per_vector * per_vector }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every offset from an aligned address, and every length around those at which another part of
    /// a loop runs.
    fn cases<B: Bits + From<u8> + std::fmt::Debug>() {
        let number = |index: usize| B::from((index % 251) as u8);
        let source: Vec<B> = (0..300).map(number).collect();
        let lens: &[usize] = if cfg!(miri) {
            &[0, 1, 17]
        } else {
            &[0, 1, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 200]
        };
        for &len in lens {
            for (shared_at, private_at) in
                (0..if cfg!(miri) { 3 } else { 20 }).flat_map(|at| [(at, 0), (at, 5), (at, at)])
            {
                let mut shared = vec![B::from(255); 300];
                let place = shared.as_mut_ptr();
                // SAFETY: the ranges are within the vectors, which only this test has.
                unsafe { write(place.add(shared_at), source.as_ptr().add(private_at), len) };
                assert_eq!(shared[shared_at..][..len], source[private_at..][..len]);
                let rest = shared[..shared_at].iter().chain(&shared[shared_at + len..]);
                assert!(rest.copied().all(|bits| bits == B::from(255)));

                let mut private = vec![B::from(255); 300];
                let (place, target) = (shared.as_mut_ptr(), private.as_mut_ptr());
                // SAFETY: as above.
                unsafe { read(place.add(shared_at), target.add(private_at), len) };
                assert_eq!(private[private_at..][..len], source[private_at..][..len]);
                let rest = private[..private_at].iter().chain(&private[private_at + len..]);
                assert!(rest.copied().all(|bits| bits == B::from(255)));

                // SAFETY: as above.
                unsafe { fill(place.add(shared_at), B::from(9), len) };
                assert!(shared[shared_at..][..len].iter().all(|bits| *bits == B::from(9)));
                let rest = shared[..shared_at].iter().chain(&shared[shared_at + len..]);
                assert!(rest.copied().all(|bits| bits == B::from(255)));
            }
        }
    }

    #[test]
    fn just_the_range_is_copied_and_filled() {
        cases::<u8>();
        cases::<u16>();
        cases::<u32>();
        cases::<u64>();
    }

    #[test]
    fn a_pattern_fills_sixteen_bytes() {
        assert_eq!(0xabu8.repeated(), u128::from_ne_bytes([0xab; 16]));
        assert_eq!(0x1234u16.repeated(), 0x1234_1234_1234_1234_1234_1234_1234_1234);
        assert_eq!(7u64.repeated(), 7 << 64 | 7);
    }
}
