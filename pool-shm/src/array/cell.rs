//! One element in shared memory.
//!
//! Invariant: every access is atomic, so whatever others do to the element at the same time, a read
//! gives a value that was written as a whole.

use std::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicU8, AtomicU16, AtomicU32, AtomicU64,
        Ordering::{self, AcqRel, Acquire, Relaxed},
    },
};

use super::element::sealed::Element;

/// The element at an address. Its maker ensures that an element lies there as long as the cell is
/// used.
#[derive(Debug)]
pub struct Cell<T: Element> {
    place: *mut T::Bits,
    element: PhantomData<T>,
}

impl<T: Element> Clone for Cell<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for Cell<T> {}

/// Unsigned integers that a processor accesses as a whole.
pub trait Bits: Copy + Eq + Send + Sync + 'static {
    /// # Safety
    ///
    /// For this and the following functions: the place is aligned, mapped and writable, and every
    /// thread of every process accesses it atomically only.
    unsafe fn load(place: *mut Self, order: Ordering) -> Self;
    /// # Safety
    ///
    /// What `load` demands.
    unsafe fn store(place: *mut Self, bits: Self, order: Ordering);
    /// # Safety
    ///
    /// What `load` demands.
    unsafe fn swap(place: *mut Self, bits: Self) -> Self;
    /// # Safety
    ///
    /// What `load` demands.
    unsafe fn fetch_add(place: *mut Self, bits: Self) -> Self;
    /// # Safety
    ///
    /// What `load` demands.
    unsafe fn compare_exchange(place: *mut Self, current: Self, new: Self) -> Result<Self, Self>;
    /// Sixteen bytes full of the same bits.
    fn repeated(self) -> u128;
}

// AcqRel: an operation that reads and writes pairs with every other such operation on the element,
// and with loads and stores that ask for it.
macro_rules! bits {
    ($($bits:ident, $atomic:ident);* $(;)?) => { $(
        impl Bits for $bits {
            #[inline]
            unsafe fn load(place: *mut Self, order: Ordering) -> Self {
                // SAFETY: as the caller promised; so in all of the following.
                unsafe { $atomic::from_ptr(place) }.load(order)
            }

            #[inline]
            unsafe fn store(place: *mut Self, bits: Self, order: Ordering) {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(place) }.store(bits, order);
            }

            #[inline]
            unsafe fn swap(place: *mut Self, bits: Self) -> Self {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(place) }.swap(bits, AcqRel)
            }

            #[inline]
            unsafe fn fetch_add(place: *mut Self, bits: Self) -> Self {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(place) }.fetch_add(bits, AcqRel)
            }

            #[inline]
            unsafe fn compare_exchange(
                place: *mut Self,
                current: Self,
                new: Self,
            ) -> Result<Self, Self> {
                // SAFETY: as above.
                let atomic = unsafe { $atomic::from_ptr(place) };
                atomic.compare_exchange(current, new, AcqRel, Acquire)
            }

            #[inline]
            fn repeated(self) -> u128 {
                u128::MAX / u128::from($bits::MAX) * u128::from(self)
            }
        }
    )* };
}

bits! { u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64 }

impl<T: Element> Cell<T> {
    /// The element at `place`.
    ///
    /// # Safety
    ///
    /// While the cell is used, the place is aligned, mapped and writable, and all accesses to it
    /// are atomic or made as [`bulk`](super::bulk) does.
    #[inline]
    pub(crate) unsafe fn at(place: NonNull<T>) -> Self {
        Self { place: place.as_ptr().cast(), element: PhantomData }
    }

    #[inline]
    pub(crate) fn load(self, order: Ordering) -> T {
        // SAFETY: promised to `at`; so in all of the following.
        T::from_bits(unsafe { T::Bits::load(self.place, order) })
    }

    #[inline]
    pub(crate) fn store(self, value: T, order: Ordering) {
        // SAFETY: as above.
        unsafe { T::Bits::store(self.place, value.to_bits(), order) }
    }

    #[inline]
    pub(crate) fn swap(self, value: T) -> T {
        // SAFETY: as above.
        T::from_bits(unsafe { T::Bits::swap(self.place, value.to_bits()) })
    }

    #[inline]
    pub(crate) fn fetch_add(self, value: T) -> T {
        // SAFETY: as above.
        T::from_bits(unsafe { T::Bits::fetch_add(self.place, value.to_bits()) })
    }

    #[inline]
    pub(crate) fn compare_exchange(self, current: T, new: T) -> Result<T, T> {
        let (current, new) = (current.to_bits(), new.to_bits());
        let mut expected = current;
        loop {
            // SAFETY: as above.
            match unsafe { T::Bits::compare_exchange(self.place, expected, new) } {
                Ok(found) => return Ok(T::from_bits(found)),
                // The found bits are others for the same value, such as a foreign byte for `true`.
                Err(found) if T::from_bits(found).to_bits() == current => expected = found,
                Err(found) => return Err(T::from_bits(found)),
            }
        }
    }

    #[inline]
    pub(crate) fn fetch_update(self, mut change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        // SAFETY: as above. Relaxed: the exchange is what synchronises.
        let mut found = unsafe { T::Bits::load(self.place, Relaxed) };
        loop {
            let value = T::from_bits(found);
            let new = change(value).ok_or(value)?.to_bits();
            // SAFETY: as above.
            match unsafe { T::Bits::compare_exchange(self.place, found, new) } {
                Ok(_) => return Ok(value),
                Err(other) => found = other,
            }
        }
    }

    /// Changes the value and gives the one before.
    #[inline]
    pub(crate) fn update(self, mut change: impl FnMut(T) -> T) -> T {
        self.fetch_update(|now| Some(change(now))).unwrap_or_else(|now| now)
    }
}
