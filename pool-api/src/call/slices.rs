//! Calls over the parts of a shared array.

use std::{fmt, panic::Location};

use pool_core::{FromPart, Part, PartMut, Plain, Shape, TaskError};
use pool_ipc::Wire;
use pool_shm::{Element, SharedArray};

use super::Call;
use crate::{Result, WorkerPool};

/// The input of a call over the parts of an array, see
/// [`WorkerPool::slices`](crate::WorkerPool::slices).
pub struct Parts<'a, K: FromPart, T: Element> {
    pub(super) array: K::Array<'a, T>,
    pub(super) len: usize,
}

impl<K: FromPart, T: Element> fmt::Debug for Parts<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<S, W, E> WorkerPool<S, W, E> {
    /// Prepares a call over consecutive parts of `chunk_len` elements, as `chunks_mut` cuts a
    /// slice: the last one may be shorter. The function gets the part's number, from 0, and its
    /// elements, to read and to write. Values in the order of the parts.
    ///
    /// ```
    /// use pool_api::{SharedArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let mut array = SharedArray::<f64>::new(10)?;
    /// let sums = pool.slices_mut(&mut array, 4).map(|part, slice| {
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
    /// pool.slices_mut(&mut array, 4).map(|_, slice| slice.fill(1))?;
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
    /// and the call waits for threads that work on one, but not for a `worker_init` or
    /// `worker_exit` in a thread. Writes made by then stay.
    ///
    /// A killed worker that has not ended 2 s later, because it is in a system call that no signal
    /// interrupts (a dead network disk), ends the pool:
    /// [`Error::PoolBroken`](crate::Error::PoolBroken). If 2 s more do not help the call returns
    /// without it, and the array counts as seen by others for ever.
    ///
    /// Inside `f`, pools with start method Fork and `map_scoped` under it are
    /// [`Error::ForkWhileBorrowed`](crate::Error::ForkWhileBorrowed).
    ///
    /// # Tried again
    ///
    /// With [`retry`](Call::retry) a worker that dies changes nothing twice: the call first copies
    /// all elements (and takes as much memory again, until it returns), and each task works on a
    /// copy of its part as it was then, which is written back when the task ends. Under Threads
    /// nothing dies, and nothing is copied for it.
    #[track_caller]
    pub fn slices_mut<'a, T: Element>(
        &'a self,
        array: &'a mut SharedArray<T>,
        chunk_len: usize,
    ) -> Call<'a, Parts<'a, PartMut, T>, S, W, PartMut, Plain> {
        Call::new(&self.pool, Parts { array, len: chunk_len }, Plain, Location::caller())
    }

    /// Prepares a call over consecutive parts of `chunk_len` elements like
    /// [`WorkerPool::slices_mut`], which the function only reads. Others may write to the array
    /// meanwhile, so each task reads a copy of its part, made when it begins.
    ///
    /// ```
    /// use pool_api::{SharedArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let array = SharedArray::from_slice(&[3u8, 1, 4, 1, 5])?;
    /// let largest = pool.slices(&array, 2).map(|_, slice| slice.iter().copied().max())?;
    /// assert_eq!(largest, [Some(3), Some(4), Some(5)]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[track_caller]
    pub fn slices<'a, T: Element>(
        &'a self,
        array: &'a SharedArray<T>,
        chunk_len: usize,
    ) -> Call<'a, Parts<'a, Part, T>, S, W, Part, Plain> {
        Call::new(&self.pool, Parts { array, len: chunk_len }, Plain, Location::caller())
    }
}

impl<'a, S, W, K: FromPart, T: Element + Wire, H> Call<'a, Parts<'a, K, T>, S, W, K, H> {
    /// Runs `f` on every part; values in the order of the parts.
    ///
    /// ```
    /// use pool_api::{SharedArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let mut pixels = SharedArray::from_slice(&[1.0f64, 4.0, 9.0])?;
    /// let gamma = 0.5;
    /// pool.slices_mut(&mut pixels, 2).with(gamma).map(|gamma, _, slice| {
    ///     slice.iter_mut().for_each(|pixel| *pixel = pixel.powf(*gamma));
    /// })?;
    /// assert_eq!(pixels.to_vec(), [1.0, 2.0, 3.0]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool;
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a `chunk_len` of 0. Bytes of a
    /// `SharedArray<bool>` that are no `bool`, which no safe code writes, are a panic of the task.
    ///
    /// # The function
    ///
    #[doc = include_str!("part_shapes.md")]
    pub fn map<R: Wire /* no captures in `f`: `slices(&array, n).with(data)` */>(
        self,
        f: H::Fn<T, R>,
    ) -> Result<Vec<R>>
    where
        H: Shape<K>,
    {
        let Self { pool, input, shape, options, .. } = self;
        let context = shape.into_context();
        pool.map_slices::<K, H, T, R>((input.array, input.len), f, context, &options)
    }

    /// Runs `f` on every part; one result per part, in order.
    ///
    /// # Errors
    ///
    /// Failures of the pool; those of tasks are among the results.
    ///
    /// # The function
    ///
    #[doc = include_str!("part_shapes.md")]
    pub fn map_results<R: Wire /* no captures in `f`: `slices(&array, n).with(data)` */>(
        self,
        f: H::Fn<T, R>,
    ) -> Result<Vec<Result<R, TaskError>>>
    where
        H: Shape<K>,
    {
        let Self { pool, input, shape, options, .. } = self;
        let context = shape.into_context();
        pool.map_slices_results::<K, H, T, R>((input.array, input.len), f, context, &options)
    }
}
