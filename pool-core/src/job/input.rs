//! The input of a job: the user's iterator, up to its first end.
//!
//! Invariant: an iterator that has returned `None` is not called again. An iterator over a terminal
//! or a channel would wait for more, and an unfused one may go on or panic.

/// An iterator that remembers its end. (`std::iter::Fuse` does not give the iterator back.)
#[derive(Debug, Clone)]
pub(super) struct Input<I> {
    items: I,
    ended: bool,
}

impl<I> Input<I> {
    pub(super) fn new(items: I) -> Self {
        Self { items, ended: false }
    }

    pub(super) fn into_inner(self) -> I {
        self.items
    }
}

impl<I: Iterator> Iterator for Input<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        if self.ended {
            return None;
        }
        let item = self.items.next();
        if item.is_none() {
            self.ended = true; // (a store for each item otherwise)
        }
        item
    }
}
