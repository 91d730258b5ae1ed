//! Cutting an input into chunks, as an iterator of its own.

use pool_core::{Chunks, JobOptions};

use crate::{ChunkSize, Result};

/// Cuts an input into chunks by the rules of [`Call::chunk_size`](crate::Call::chunk_size) and
/// [`Call::n_splits`](crate::Call::n_splits), of which one has to be set: for tasks that take
/// many items at once.
///
/// ```
/// use pool_api::chunk_tasks;
///
/// let chunks: Vec<_> = chunk_tasks(0..10).n_splits(3).chunks()?.collect();
/// assert_eq!(chunks, [vec![0, 1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]]);
///
/// // One task for each chunk.
/// let pool = pool_api::WorkerPool::new(2)?;
/// let sums = pool.map(chunk_tasks(0..10u64).chunk_size(4).chunks()?, |chunk| chunk.iter().sum::<u64>())?;
/// assert_eq!(sums, [6, 22, 17]);
/// # Ok::<(), pool_api::Error>(())
/// ```
pub fn chunk_tasks<I: IntoIterator>(items: I) -> ChunkTasks<I::IntoIter> {
    ChunkTasks { items: items.into_iter(), options: JobOptions::default() }
}

/// How an input is to be cut, see [`chunk_tasks`].
#[derive(Debug, Clone)]
#[must_use = "nothing is cut before `chunks`"]
pub struct ChunkTasks<I> {
    items: I,
    options: JobOptions,
}

impl<I: Iterator> ChunkTasks<I> {
    /// Items per chunk, at least 1; fractions are carried over: 2.5 gives 3, 2, 3, 2 (MPIRE's
    /// formula). Wins over `n_splits`.
    pub fn chunk_size(mut self, items: impl ChunkSize) -> Self {
        self.options.chunk_size = Some(items.items());
        self
    }

    /// Chunks for the whole input, each of a length that differs by at most 1; chunks of 4 items if
    /// the input's length is not known, or is more than any memory holds.
    pub fn n_splits(mut self, chunks: usize) -> Self {
        self.options.n_splits = Some(chunks);
        self
    }

    /// How many items of the input are used. A shorter input just ends.
    pub fn iterable_len(mut self, items: usize) -> Self {
        self.options.iterable_len = Some(items);
        self
    }

    /// The chunks, none of them empty; the input is read as the caller asks for them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) when neither `chunk_size` nor `n_splits`
    /// is set, or one is below 1.
    pub fn chunks(self) -> Result<Chunks<I>> {
        Chunks::new(self.items, &self.options)
    }
}
