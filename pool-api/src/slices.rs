//! Working on a shared array part by part.

use pool_ipc::Wire;
use pool_shm::{Element, SharedArray};

use crate::{Result, WorkerPool};

impl<S, W, E> WorkerPool<S, W, E> {
    /// Runs `f` on consecutive parts of `chunk_len` elements, as `chunks_mut` cuts a slice: the
    /// last one may be shorter. `f` gets the part's number, from 0, and its elements, to read and
    /// to write. Values in the order of the parts.
    ///
    /// ```
    /// use pool_api::{SharedArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let mut array = SharedArray::<f64>::new(10).expect("shared memory");
    /// let sums = pool.map_slices_mut(&mut array, 4, |part, slice| {
    ///     slice.fill(part as f64);
    ///     slice.iter().sum::<f64>()
    /// })?;
    /// assert_eq!(sums, [0.0, 4.0, 4.0]);
    /// assert_eq!(array.to_vec(), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// The array is borrowed until the call returns:
    ///
    /// ```compile_fail,E0502
    /// # use pool_api::{SharedArray, WorkerPool};
    /// # let pool = WorkerPool::new(2)?;
    /// # let mut array = SharedArray::<u8>::new(10).unwrap();
    /// let element = array.iter();
    /// pool.map_slices_mut(&mut array, 4, |_, slice| slice.fill(1))?;
    /// drop(element);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # In place or not
    ///
    /// Tasks work on the elements themselves when no other code can see them: this process has made
    /// the array, was not forked since (by building a pool with start method Fork, by `map_scoped`
    /// under it), has never sent the array to another process, and no clone of this handle, also of
    /// a part, lives.
    ///
    /// Otherwise each task works on a copy of its part, which is written back when the task ends,
    /// even by a panic. The result is the same; concurrent writes of others to the part are lost; a
    /// part whose worker dies stays as it was. It costs a copy there and one back in the workers,
    /// and as much memory as the parts that are being worked on.
    ///
    /// # When it returns
    ///
    /// The call returns, even with an error, when no task of it runs any more. Parts that were not
    /// begun then stay untouched; worker processes that still work on one 100 ms later are killed,
    /// and the call waits for threads. Writes made by then stay.
    ///
    /// A killed worker that has not ended 2 s later, because it is in a system call that no signal
    /// interrupts (a dead network disk), ends the pool:
    /// [`Error::PoolBroken`](crate::Error::PoolBroken). If 2 s more do not help the call returns
    /// without it, and the array counts as seen by others for ever.
    ///
    /// Inside `f`, pools with start method Fork and `map_scoped` under it are
    /// [`Error::ForkWhileBorrowed`](crate::Error::ForkWhileBorrowed).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::map`]; [`Error::InvalidInput`](crate::Error::InvalidInput) for a
    /// `chunk_len` of 0. Bytes of a `SharedArray<bool>` that are no `bool`, which no safe code
    /// writes, are a panic of the task.
    pub fn map_slices_mut<T: Element, R: Wire>(
        &self,
        array: &mut SharedArray<T>,
        chunk_len: usize,
        f: fn(usize, &mut [T]) -> R,
    ) -> Result<Vec<R>> {
        self.pool.map_slices_mut(array, chunk_len, f)
    }

    /// Runs `f`, which only reads, on consecutive parts of `chunk_len` elements, like
    /// [`WorkerPool::map_slices_mut`]. Others may write to the array meanwhile, so each task reads
    /// a copy of its part, made when it begins.
    ///
    /// ```
    /// use pool_api::{SharedArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let array = SharedArray::from_slice(&[3u8, 1, 4, 1, 5]).expect("shared memory");
    /// let largest = pool.map_slices(&array, 2, |_, slice| slice.iter().copied().max())?;
    /// assert_eq!(largest, [Some(3), Some(4), Some(5)]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::map_slices_mut`].
    pub fn map_slices<T: Element, R: Wire>(
        &self,
        array: &SharedArray<T>,
        chunk_len: usize,
        f: fn(usize, &[T]) -> R,
    ) -> Result<Vec<R>> {
        self.pool.map_slices(array, chunk_len, f)
    }
}
