//! Calculating with elements in place.
//!
//! Invariant: reading and writing are one step, so nothing that several processes add at once is
//! lost.

use super::{Bitwise, Number, SharedArray, SharedValue};

/// Overflowing integers wrap around; floats are added and so on as always. All return the value
/// from before.
impl<T: Number> SharedArray<T> {
    /// Adds `value` to the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn fetch_add(&self, index: usize, value: T) -> T {
        T::fetch_add(self.cell(index), value)
    }

    /// Subtracts `value` from the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn fetch_sub(&self, index: usize, value: T) -> T {
        T::fetch_sub(self.cell(index), value)
    }

    /// Writes the smaller one of `value` and the element at `index`, and returns the value from
    /// before. A NaN is neither.
    #[inline]
    #[track_caller]
    pub fn fetch_min(&self, index: usize, value: T) -> T {
        self.cell(index).update(|now| now.smaller(value))
    }

    /// Writes the larger one of `value` and the element at `index`, and returns the value from
    /// before. A NaN is neither.
    #[inline]
    #[track_caller]
    pub fn fetch_max(&self, index: usize, value: T) -> T {
        self.cell(index).update(|now| now.larger(value))
    }
}

impl<T: Bitwise> SharedArray<T> {
    /// Writes `value & element` to the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn fetch_and(&self, index: usize, value: T) -> T {
        self.cell(index).update(|now| now.and(value))
    }

    /// Writes `value | element` to the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn fetch_or(&self, index: usize, value: T) -> T {
        self.cell(index).update(|now| now.or(value))
    }

    /// Writes `value ^ element` to the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn fetch_xor(&self, index: usize, value: T) -> T {
        self.cell(index).update(|now| now.xor(value))
    }
}

/// Overflowing integers wrap around; floats are added and so on as always. All return the value
/// from before.
impl<T: Number> SharedValue<T> {
    /// Adds `value` and returns the value from before.
    #[inline]
    pub fn fetch_add(&self, value: T) -> T {
        T::fetch_add(self.cell(), value)
    }

    /// Subtracts `value` and returns the value from before.
    #[inline]
    pub fn fetch_sub(&self, value: T) -> T {
        T::fetch_sub(self.cell(), value)
    }

    /// Writes the smaller one of `value` and the number, and returns the value from before. A NaN
    /// is neither.
    #[inline]
    pub fn fetch_min(&self, value: T) -> T {
        self.cell().update(|now| now.smaller(value))
    }

    /// Writes the larger one of `value` and the number, and returns the value from before. A NaN is
    /// neither.
    #[inline]
    pub fn fetch_max(&self, value: T) -> T {
        self.cell().update(|now| now.larger(value))
    }
}

impl<T: Bitwise> SharedValue<T> {
    /// Writes `value & number` and returns the value from before.
    #[inline]
    pub fn fetch_and(&self, value: T) -> T {
        self.cell().update(|now| now.and(value))
    }

    /// Writes `value | number` and returns the value from before.
    #[inline]
    pub fn fetch_or(&self, value: T) -> T {
        self.cell().update(|now| now.or(value))
    }

    /// Writes `value ^ number` and returns the value from before.
    #[inline]
    pub fn fetch_xor(&self, value: T) -> T {
        self.cell().update(|now| now.xor(value))
    }
}
