//! The options that say how an input is cut into chunks.
//!
//! Invariant: each of them, with its documentation, stands once, for calls and for
//! [`chunk_tasks`](crate::chunk_tasks).

/// Defines the named options on a type that has `options`. Documentation before a name is added to
/// the common one.
macro_rules! cutting_options {
    ($($(#[$more:meta])* $name:ident $(where $input:ident: $bound:path)?;)*) => {
        $($crate::cutting::cutting_option! {
            $name { $(#[$more])* } { $(where $input: $bound)? }
        })*
    };
}

macro_rules! cutting_option {
    (chunk_size { $(#[$more:meta])* } { $($bound:tt)* }) => {
        /// Items per chunk, at least 1, a `usize` or an `f64`: fractions are carried over, so 2.5
        /// gives 3, 2, 3, 2 (MPIRE's formula). Wins over `n_splits`.
        $(#[$more])*
        pub fn chunk_size(mut self, items: impl $crate::ChunkSize) -> Self $($bound)* {
            self.options.chunk_size = Some(items.items());
            self
        }
    };
    (n_splits { $(#[$more:meta])* } { $($bound:tt)* }) => {
        /// Chunks for the whole input, at least 1, each of a length that differs by at most 1;
        /// chunks of 4 items if the input's length is not known, or is more than any memory holds.
        $(#[$more])*
        pub fn n_splits(mut self, chunks: usize) -> Self $($bound)* {
            self.options.n_splits = Some(chunks);
            self
        }
    };
    (iterable_len { $(#[$more:meta])* } { $($bound:tt)* }) => {
        /// How many items of the input are used: a longer input is cut, a shorter one just ends.
        $(#[$more])*
        pub fn iterable_len(mut self, items: usize) -> Self $($bound)* {
            self.options.iterable_len = Some(items);
            self
        }
    };
}

pub(crate) use {cutting_option, cutting_options};
