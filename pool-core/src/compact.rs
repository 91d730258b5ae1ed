//! A value that is cheap to move, however large its type is.
//!
//! Calls hand items and results through many frames. Without optimisations each of them has a copy,
//! so that an array of half a megabyte uses up the stack of a thread; with optimisations each move
//! is still a copy. (`stack/ample.rs` is about the frames that cannot do without copies.)
//!
//! Invariant: a type of no more than a few words is stored in place, so that small values cost no
//! allocation; any other is stored in a box.

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::{self, ManuallyDrop, MaybeUninit},
    ops::Deref,
    ptr,
};

/// Memory for values that are stored in place.
type Words = [u64; 4];

/// A value that is stored in place if it is small, otherwise in a box.
pub struct Compact<T> {
    /// The value, or the pointer of its box. In a cell, since a shared value that is stored in
    /// place may have cells of its own, which change.
    words: UnsafeCell<MaybeUninit<Words>>,
    value: PhantomData<T>,
}

// SAFETY: a shared reference to it gives no more than a shared reference to the value (`deref`).
unsafe impl<T: Sync> Sync for Compact<T> {}

impl<T> Compact<T> {
    const IS_BOXED: bool =
        size_of::<T>() > size_of::<Words>() || align_of::<T>() > align_of::<Words>();

    /// Stores the value.
    #[inline]
    pub fn new(value: T) -> Self {
        let mut words = MaybeUninit::<Words>::uninit();
        let from = &raw const value;
        // SAFETY: the value fits into the words, whose alignment is at least its own, or the words
        // have room for the pointer of a box that does. It is copied bit by bit and then forgotten,
        // which is a move without frames between.
        unsafe {
            if Self::IS_BOXED {
                let mut place = Box::<T>::new_uninit();
                ptr::copy_nonoverlapping(from, place.as_mut_ptr(), 1);
                words.as_mut_ptr().cast::<*mut T>().write(Box::into_raw(place).cast());
            } else {
                ptr::copy_nonoverlapping(from, words.as_mut_ptr().cast::<T>(), 1);
            }
        }
        mem::forget(value);
        Self { words: UnsafeCell::new(words), value: PhantomData }
    }

    /// The pointer to the boxed value.
    ///
    /// # Safety
    ///
    /// `T` is a type that is boxed.
    unsafe fn in_box(&self) -> *mut T {
        // SAFETY: `new` has written it.
        unsafe { self.words.get().cast::<*mut T>().read() }
    }

    /// The value.
    #[inline]
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        if Self::IS_BOXED {
            // SAFETY: the pointer is that of a box, which is given up here.
            *unsafe { Box::from_raw(this.in_box()) }
        } else {
            // SAFETY: the value is stored in place, and is not used again.
            unsafe { this.words.get().cast::<T>().read() }
        }
    }
}

impl<T> From<T> for Compact<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Compact<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is in the box, or in place, as long as this lives.
        unsafe { if Self::IS_BOXED { &*self.in_box() } else { &*self.words.get().cast::<T>() } }
    }
}

impl<T> Drop for Compact<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value is dropped once, here.
        unsafe {
            if Self::IS_BOXED {
                drop(Box::from_raw(self.in_box()));
            } else if mem::needs_drop::<T>() {
                ptr::drop_in_place(self.words.get().cast::<T>());
            }
        }
    }
}

impl<T> std::fmt::Debug for Compact<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compact")
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    struct Counts<const N: usize>(Rc<Cell<u32>>, [u8; N]);

    impl<const N: usize> Drop for Counts<N> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn comes_back<const N: usize>(boxed: bool) {
        let drops = Rc::new(Cell::new(0));
        let make = || Compact::new(Counts(drops.clone(), [7; N]));
        assert_eq!(Compact::<Counts<N>>::IS_BOXED, boxed);
        drop(make());
        assert_eq!(drops.get(), 1);
        let value = make();
        assert_eq!(value.1, [7; N]);
        let value = value.into_inner();
        assert_eq!((value.1, drops.get()), ([7; N], 1));
        drop(value);
        assert_eq!((drops.get(), Rc::strong_count(&drops)), (2, 1));
    }

    #[test]
    fn a_value_comes_back_and_is_dropped_once() {
        comes_back::<1>(false);
        comes_back::<24>(false);
        comes_back::<25>(true);
        comes_back::<5000>(true);
        Compact::new(()).into_inner();
    }

    /// Optimised code may read the target of a shared reference only once, if its type has no
    /// cells.
    #[test]
    fn a_shared_value_may_change_its_own_cells() {
        #[inline(never)]
        fn count(value: &Compact<Cell<u64>>) {
            value.set(value.get() + 1);
        }
        let value = Compact::new(Cell::new(1));
        assert_eq!(value.get(), 1);
        count(&value);
        assert_eq!(value.get(), 2);
        count(&value);
        assert_eq!(value.into_inner().get(), 3);
    }

    #[test]
    fn the_alignment_of_a_value_is_kept() {
        #[repr(align(64))]
        struct Aligned(u8);
        const { assert!(Compact::<Aligned>::IS_BOXED && !Compact::<u64>::IS_BOXED) };
        let value = Compact::new(Aligned(3));
        assert!(ptr::from_ref(&*value).is_aligned());
        assert_eq!(value.into_inner().0, 3);
    }
}
