//! Calls of one item.

use pool_core::{
    AsyncResult, Compact, FromItem, Refused, Shape, ShapeOfOne, Shaped, move_with_room,
};
use pool_ipc::Wire;

use super::Call;
use crate::Result;

/// The input of a call of one item, see [`WorkerPool::task`](crate::WorkerPool::task).
#[derive(Debug)]
pub struct OneItem<A>(Compact<A>);

impl<A> OneItem<A> {
    pub(crate) fn new(item: A) -> Self {
        Self(Compact::new(item))
    }
}

impl<A, S, W, K: FromItem, H> Call<'_, OneItem<A>, S, W, K, H> {
    /// Runs `f` on the item and waits for the value.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(4)?;
    /// assert_eq!(pool.task(7u64).on_worker(2).apply(|x| x * x)?, 49);
    /// let refused = pool.task(7u64).on_worker(7).apply(|x| x * x).unwrap_err();
    /// assert_eq!(refused.to_string(), "on_worker: worker id must be below 4, got 7");
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The failure of the task or of the pool;
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for invalid options.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn apply<R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        self,
        f: H::Fn<A, R>,
    ) -> Result<R>
    where
        H: Shape<K>,
        A: Wire,
    {
        move_with_room!(<A, R>(self => call) => {
            let Self { pool, input, shape, options, .. } = call;
            pool.value::<Shaped<K, H, A, R>>(f, shape.into_context(), input.0.into_inner(), &options)
        })
    }

    /// Hands the item to the workers and returns; the caller waits for the value with the handle,
    /// anywhere and at any time. See [`WorkerPool::apply_async`](crate::WorkerPool::apply_async).
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::builder().n_jobs(2).shared(10u32).build()?;
    /// let handle = pool.task(4u32).with_worker().apply_async(|w, x| w.shared + x)?;
    /// assert_eq!(handle.get()?, 14);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with the item, as for
    /// [`WorkerPool::apply_async`](crate::WorkerPool::apply_async), also for invalid options.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn apply_async<R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        self,
        f: H::Fn<A, R>,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        H: ShapeOfOne<K>,
        A: Wire,
    {
        move_with_room!(<A, ()>(self => call) => {
            let Self { pool, input, shape, options, .. } = call;
            pool.hand_in::<H::Single<A, R>>(shape.join(input.0), f, &options).map_err(|refused| {
                Box::new(Refused { item: H::split(refused.item), error: refused.error })
            })
        })
    }
}
