//! Calls of one item.

use pool_core::{
    AsyncResult, Compact, FromItem, FromPair, Refused, Shape, ShapeOfOne, Shaped, move_with_room,
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

impl<'p, A, S, W, K: FromItem, H> Call<'p, OneItem<A>, S, W, K, H> {
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
    /// [`WorkerPool::apply_async`](crate::WorkerPool::apply_async), also for invalid options. With
    /// a [`cancel_token`](Call::cancel_token) the handle reports an item that cannot be encoded.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn apply_async<R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        self,
        f: H::Fn<A, R>,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        K: FromPair,
        H: ShapeOfOne<K>,
        A: Wire,
    {
        move_with_room!(<A, ()>(self => call) => {
            let Self { pool, input, shape, options, .. } = call;
            pool.apply_async::<H::Single<A, R>>(shape.join(input.0), f, &options)
                .map_err(give_back::<K, H, A>)
        })
    }

    /// Hands the item to the workers like [`apply_async`](Call::apply_async) if there is room for
    /// it, and returns at once.
    ///
    /// ```
    /// use pool_api::{Error, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// match pool.task(7u64).try_apply_async(|x| x * x) {
    ///     Ok(handle) => assert_eq!(handle.get()?, 49),
    ///     Err(refused) if matches!(refused.error, Error::QueueFull) => assert_eq!(refused.item, 7),
    ///     Err(refused) => return Err(refused.error),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`apply_async`](Call::apply_async);
    /// [`Error::QueueFull`](crate::Error::QueueFull) while 4 096 calls wait to be begun (with a
    /// [`cancel_token`](Call::cancel_token): while 1 024 such calls and maps have not ended), and
    /// while another thread stops the pool.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn try_apply_async<R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        self,
        f: H::Fn<A, R>,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        K: FromPair,
        H: ShapeOfOne<K>,
        A: Wire,
    {
        move_with_room!(<A, ()>(self => call) => {
            let Self { pool, input, shape, options, .. } = call;
            pool.try_apply_async::<H::Single<A, R>>(shape.join(input.0), f, &options)
                .map_err(give_back::<K, H, A>)
        })
    }

    /// Hands the item to the workers when there is room for it, without blocking the thread that
    /// polls the future; the errors are those of [`apply_async`](Call::apply_async).
    ///
    /// Nothing is handed in before the first poll, nor when the future is dropped before it is
    /// ready. While another thread stops the pool the future waits for the end of that. There is
    /// room for 4 096 calls, however large their items are: where these are large,
    /// `imap_stream` with [`max_tasks_active`](Call::max_tasks_active), or a semaphore of the
    /// executor, limits their memory. A token ([`cancel_token`](Call::cancel_token)) that is pulled
    /// before the call is handed in refuses it at the next poll, and does not wake the future.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    /// # runtime.block_on(async {
    /// let handle = pool.task(7u64).submit(|x| x * x).await?; // waits for room
    /// assert_eq!(handle.await?, 49);
    /// # Ok::<(), pool_api::Error>(())
    /// # })?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn submit<R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        self,
        f: H::Fn<A, R>,
    ) -> impl Future<Output = Result<AsyncResult<R>, Box<Refused<A>>>> + use<'p, A, S, W, K, H, R>
    where
        K: FromPair,
        H: ShapeOfOne<K>,
        A: Wire,
    {
        let submitted = move_with_room!(<A, ()>(self => call) => {
            let Self { pool, input, shape, options, .. } = call;
            pool.submit::<H::Single<A, R>>(shape.join(input.0), f, &options)
        });
        async { submitted.await.map_err(|refused| give_back::<K, H, A>(refused)) }
    }
}

/// The item alone of a call that was refused.
#[cold]
fn give_back<K: FromPair, H: ShapeOfOne<K>, A: Wire>(
    refused: Box<Refused<H::Joined<A>>>,
) -> Box<Refused<A>> {
    move_with_room!(<A, ()>(refused => refused) => {
        let Refused { item, error } = *refused;
        Box::new(Refused { item: H::split(item), error })
    })
}
