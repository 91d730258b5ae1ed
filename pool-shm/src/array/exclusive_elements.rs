//! The elements of an array that has one handle only, as a slice.
//!
//! Invariant: while an [`ExclusiveElements`] lives, its [`Alone`] keeps every other handle away,
//! and the handle that it came from is borrowed mutably, so no other code reaches the elements.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use super::{Alone, Element, SharedArray};

/// All elements of a [`SharedArray`] as a slice, for as long as there is no other handle to them.
///
/// It counts among the [`exclusive_borrows`](crate::exclusive_borrows) of its thread.
pub struct ExclusiveElements<'a, T: Element> {
    elements: &'a mut [T],
    _alone: Alone,
}

impl<T: Element> SharedArray<T> {
    /// The elements as a slice, if this is the only handle to them, as [`alone`](Self::alone) says.
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// let mut array = pool_api::SharedArray::from_slice(&[3, 1, 2])?;
    /// array.exclusive().expect("there is no other handle").sort();
    /// assert_eq!(array.to_vec(), [1, 2, 3]);
    /// let other = array.clone();
    /// assert!(array.exclusive().is_none());
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// For `bool`, if another process wrote bytes that are neither 0 nor 1.
    pub fn exclusive(&mut self) -> Option<ExclusiveElements<'_, T>> {
        let alone = self.alone()?;
        // SAFETY: `Alone`, kept beside the slice, says that no other handle leads to the elements,
        // and counts as an `Exclusive`; this handle stays borrowed mutably meanwhile.
        let elements = unsafe { self.as_mut_slice() };
        Some(ExclusiveElements { elements, _alone: alone })
    }
}

impl<T: Element> Deref for ExclusiveElements<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.elements
    }
}

impl<T: Element> DerefMut for ExclusiveElements<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.elements
    }
}

impl<T: Element> fmt::Debug for ExclusiveElements<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.elements.fmt(f)
    }
}
