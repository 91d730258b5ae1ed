//! The functions that work on all elements of an array at once.
//!
//! Invariant: shared memory is read and written by `bulk` alone, which tears no element; private
//! memory, by plain loads and stores.

use super::{Element, SharedArray, bulk};

impl<T: Element> SharedArray<T> {
    /// A copy of all elements.
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        let mut copy = Vec::with_capacity(self.len);
        // SAFETY: there is room for as many.
        unsafe {
            self.read(copy.as_mut_ptr());
            copy.set_len(self.len);
        }
        copy
    }

    /// Writes all elements.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    #[track_caller]
    pub fn copy_from_slice(&self, source: &[T]) {
        self.must_have(source.len());
        // SAFETY: both have `len` elements; `source` is borrowed, so it is private or does not
        // change.
        unsafe {
            bulk::write(self.base.as_ptr().cast::<T::Bits>(), source.as_ptr().cast(), self.len)
        }
    }

    /// Reads all elements.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    #[track_caller]
    pub fn copy_to_slice(&self, target: &mut [T]) {
        self.must_have(target.len());
        // SAFETY: `target` has `len` elements.
        unsafe { self.read(target.as_mut_ptr()) }
    }

    /// Writes the same value to all elements.
    pub fn fill(&self, value: T) {
        // SAFETY: there are `len` elements.
        unsafe { bulk::fill(self.base.as_ptr().cast::<T::Bits>(), value.to_bits(), self.len) }
    }

    /// Writes `value(index)` to every element, in order. That is a loop with `set`, but the values
    /// are computed side by side in private memory first, where the compiler can use vectors for
    /// it.
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// let squares = pool_api::SharedArray::new(5)?;
    /// squares.fill_with(|index| (index * index) as f64);
    /// assert_eq!(squares.to_vec(), [0.0, 1.0, 4.0, 9.0, 16.0]);
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    pub fn fill_with(&self, mut value: impl FnMut(usize) -> T) {
        /// Elements that are computed before they are copied: so few that they stay in the nearest
        /// cache.
        const AT_ONCE: usize = 256;
        let mut computed = [T::ZERO; AT_ONCE];
        for first in (0..self.len).step_by(AT_ONCE) {
            let part = &mut computed[..AT_ONCE.min(self.len - first)];
            for (offset, element) in part.iter_mut().enumerate() {
                *element = value(first + offset);
            }
            // SAFETY: the array has as many elements from `first` on.
            unsafe {
                let shared = self.base.add(first).as_ptr().cast::<T::Bits>();
                bulk::write(shared, part.as_ptr().cast(), part.len());
            }
        }
    }

    #[track_caller]
    fn must_have(&self, len: usize) {
        assert!(
            len == self.len,
            "a slice of {len} elements cannot be copied from or to an array of {}",
            self.len
        );
    }

    /// # Safety
    ///
    /// `target` has room for all elements.
    unsafe fn read(&self, target: *mut T) {
        let bits = target.cast::<T::Bits>();
        // SAFETY: both have `len` elements, and `target` is the caller's.
        unsafe { bulk::read(self.base.as_ptr().cast(), bits, self.len) };
        // SAFETY: written just now.
        T::make_plain(unsafe { std::slice::from_raw_parts_mut(bits, self.len) });
    }
}
