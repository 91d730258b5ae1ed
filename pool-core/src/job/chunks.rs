//! Cuts an input into the chunks that a job with fixed sizes would make of it, without any worker.

use std::iter::FusedIterator;

use super::{input::Input, options::JobOptions};
use crate::{engine::Sizer, error::Error};

/// More items than an input can have if its chunks are to lie in memory.
const MOST_ITEMS: u64 = 1 << 48;
/// The most items that a chunk reserves memory for in advance.
const MOST_RESERVED: usize = 1 << 10;

/// An iterator over consecutive chunks of another one; none is empty.
#[derive(Debug, Clone)]
pub struct Chunks<I> {
    items: Input<I>,
    sizer: Sizer,
    /// Items that may still be taken.
    left: usize,
}

impl<I: Iterator> Chunks<I> {
    /// Cuts `items` by `chunk_size`, or else `n_splits`, and `iterable_len`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] when neither size nor number is set, or an option is invalid.
    pub fn new(items: I, options: &JobOptions) -> Result<Self, Error> {
        options.check()?;
        // A length of which no vector could hold a part counts as none: the iterator only claims
        // it, or never ends.
        let len = options.len_of(&items).filter(|len| *len < MOST_ITEMS);
        let sizer = Sizer::new(options.sizing(), 1, len, usize::MAX);
        if sizer.is_adaptive() {
            let text = "chunks need a chunk_size or a number of them, n_splits";
            return Err(Error::InvalidInput(text.to_string()));
        }
        Ok(Self {
            items: Input::new(items),
            sizer,
            left: options.iterable_len.unwrap_or(usize::MAX),
        })
    }
}

impl<I: Iterator> Iterator for Chunks<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let most = self.sizer.next().min(self.left);
        // `collect` would reserve memory for as many items as the input claims to have.
        let mut chunk = Vec::with_capacity(most.min(MOST_RESERVED));
        chunk.extend(Counted { items: &mut self.items, left: most });
        self.sizer.took(chunk.len(), 0);
        self.left -= chunk.len();
        if chunk.is_empty() { None } else { Some(chunk) }
    }
}

impl<I: Iterator> FusedIterator for Chunks<I> {}

/// The next `left` items of an input, with no hint of their number.
struct Counted<'i, I> {
    items: &'i mut Input<I>,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.checked_sub(1)?;
        self.items.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(set: impl FnOnce(&mut JobOptions)) -> JobOptions {
        let mut options = JobOptions::default();
        set(&mut options);
        options
    }

    fn lengths(items: impl Iterator, options: &JobOptions) -> Vec<usize> {
        Chunks::new(items, options).unwrap().map(|chunk| chunk.len()).collect()
    }

    #[test]
    fn an_input_is_cut_as_mpire_cuts_it() {
        assert_eq!(lengths(0..10, &options(|o| o.n_splits = Some(3))), [4, 3, 3]);
        assert_eq!(lengths(0..10, &options(|o| o.chunk_size = Some(2.5))), [3, 2, 3, 2]);
        assert_eq!(lengths(0..3, &options(|o| o.n_splits = Some(8))), [1, 1, 1]);
        // The size wins over the number; chunks of 4 where the length is not known.
        let both = options(|o| (o.chunk_size, o.n_splits) = (Some(5.0), Some(10)));
        assert_eq!(lengths(0..10, &both), [5, 5]);
        let splits = options(|o| o.n_splits = Some(3));
        assert_eq!(lengths((0..10).filter(|_| true), &splits), [4, 4, 2]);
    }

    #[test]
    fn iterable_len_cuts_and_a_shorter_input_just_ends() {
        let cut = |len| options(|o| (o.n_splits, o.iterable_len) = (Some(3), Some(len)));
        assert_eq!(lengths(0.., &cut(10)), [4, 3, 3]);
        assert_eq!(lengths(0..5, &cut(10)), [4, 1]);
        assert!(lengths(0..5, &cut(0)).is_empty());
        let mut unread = 0..10;
        assert_eq!(lengths(unread.by_ref(), &cut(6)), [2, 2, 2]);
        assert_eq!(unread, 6..10);
    }

    #[test]
    fn an_input_at_its_end_is_not_asked_again() {
        let mut asked = 0;
        let items = std::iter::from_fn(|| {
            asked += 1;
            (asked <= 5).then_some(asked)
        });
        assert_eq!(lengths(items, &options(|o| o.chunk_size = Some(2.0))), [2, 2, 1]);
        assert_eq!(asked, 6);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refused = |options| Chunks::new(0..1, &options).unwrap_err().to_string();
        assert!(refused(JobOptions::default()).contains("need a chunk_size"));
        assert!(refused(options(|o| o.chunk_size = Some(0.5))).contains("at least 1, got 0.5"));
        assert!(refused(options(|o| o.n_splits = Some(0))).contains("n_splits"));
    }
}
