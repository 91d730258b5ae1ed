//! The iterator over an array.

use std::iter::FusedIterator;

use super::{Element, SharedArray};

/// The elements of a [`SharedArray`], each read when it is asked for.
#[derive(Debug, Clone)]
pub struct Iter<'a, T: Element> {
    array: &'a SharedArray<T>,
    front: usize,
    back: usize,
}

impl<'a, T: Element> Iter<'a, T> {
    pub(super) fn new(array: &'a SharedArray<T>) -> Self {
        Self { array, front: 0, back: array.len() }
    }
}

impl<T: Element> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.front == self.back {
            return None;
        }
        self.front += 1;
        self.array.try_get(self.front - 1)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.back - self.front, Some(self.back - self.front))
    }

    #[inline]
    fn nth(&mut self, skipped: usize) -> Option<T> {
        self.front = self.front.saturating_add(skipped).min(self.back);
        self.next()
    }
}

impl<T: Element> DoubleEndedIterator for Iter<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        if self.front == self.back {
            return None;
        }
        self.back -= 1;
        self.array.try_get(self.back)
    }
}

impl<T: Element> ExactSizeIterator for Iter<'_, T> {}

impl<T: Element> FusedIterator for Iter<'_, T> {}

impl<'a, T: Element> IntoIterator for &'a SharedArray<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
