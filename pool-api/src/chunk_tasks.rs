//! Cutting an input into chunks, as an iterator of its own.

use pool_core::{Chunks, JobOptions};

use crate::{Result, cutting::cutting_options};

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
    cutting_options! {
        chunk_size;
        n_splits;
        iterable_len;
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
