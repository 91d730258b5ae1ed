//! One call of a single item, set up before it runs.

use std::{marker::PhantomData, time::Duration};

use pool_core::{AsyncResult, JobOptions, OnWorker, Plain, Pool, Refused, Worker, move_with_room};
use pool_ipc::Wire;

use crate::Result;

/// One call of a single item: options first, then the function.
#[derive(Debug)]
#[must_use = "nothing runs before the function is given"]
pub struct Task<'p, A, S = (), W = ()> {
    pub(crate) pool: &'p Pool,
    pub(crate) item: A,
    pub(crate) options: JobOptions,
    pub(crate) types: PhantomData<fn() -> (S, W)>,
}

impl<'p, A, S, W> Task<'p, A, S, W> {
    /// How long the task may take, see [`Tasks::task_timeout`](crate::Tasks::task_timeout). With a
    /// handle the clock runs whether or not a thread waits.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.options.task_timeout = Some(limit);
        self
    }

    /// How long the task may go on beyond its limit before its worker is killed, see
    /// [`Tasks::timeout_grace`](crate::Tasks::timeout_grace).
    pub fn timeout_grace(mut self, grace: Duration) -> Self {
        self.options.timeout_grace = Some(grace);
        self
    }

    /// How often the task is tried again if its worker dies, see
    /// [`Tasks::retry`](crate::Tasks::retry).
    ///
    /// ```no_run
    /// use pool_api::{Error, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let handle = pool.task(7u32).retry(2).apply_async(|_| std::process::abort())?;
    /// let died: Result<(), Error> = handle.get();
    /// assert!(matches!(died, Err(Error::Task(task)) if task.tries() == 3));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn retry(mut self, times: u32) -> Self {
        self.options.retries = times;
        self
    }

    /// Kills the task, with its worker, if it has not ended `grace` after its handle was dropped or
    /// cancelled, see [`Tasks::kill_running`](crate::Tasks::kill_running). So keep the handle, even
    /// where a callback gets the value.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let pool = pool_api::WorkerPool::new(2)?;
    /// let handle = pool.task(()).kill_running(Duration::ZERO).apply_async(|()| loop {
    ///     std::hint::spin_loop();
    /// })?;
    /// assert!(!handle.wait_timeout(Duration::from_millis(50))?);
    /// drop::<pool_api::AsyncResult<()>>(handle); // the worker is killed
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill_running(mut self, grace: Duration) -> Self {
        self.options.kill_running = Some(grace);
        self
    }

    /// Runs `f` on the item and waits for the value.
    ///
    /// # Errors
    ///
    /// The failure of the task or of the pool.
    pub fn apply<R: Wire /* no captures in `f`: put them into the item */>(
        self,
        f: fn(A) -> R,
    ) -> Result<R>
    where
        A: Wire,
    {
        move_with_room!(<A, R>(self => task) => {
            task.pool.value::<Plain<A, R>>(f, task.item, &task.options)
        })
    }

    /// Hands the item to the workers and returns, see
    /// [`WorkerPool::apply_async`](crate::WorkerPool::apply_async).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::apply_async`](crate::WorkerPool::apply_async), and invalid
    /// options.
    pub fn apply_async<R: Wire /* no captures in `f`: put them into the item */>(
        self,
        f: fn(A) -> R,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        A: Wire,
    {
        move_with_room!(<A, ()>(self => task) => {
            task.pool.apply_async::<Plain<A, R>>(task.item, f, &task.options)
        })
    }

    /// Hands the item to the workers like [`Task::apply_async`] if there is room for it, and
    /// returns at once.
    ///
    /// # Errors
    ///
    /// The errors of [`Task::apply_async`]; [`Error::QueueFull`](crate::Error::QueueFull) while
    /// 4 096 calls wait to be begun, and while another thread stops the pool.
    pub fn try_apply_async<R: Wire /* no captures in `f`: put them into the item */>(
        self,
        f: fn(A) -> R,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        A: Wire,
    {
        move_with_room!(<A, ()>(self => task) => {
            task.pool.try_apply_async::<Plain<A, R>>(task.item, f, &task.options)
        })
    }

    /// Hands the item to the workers when there is room for it, without blocking the thread that
    /// polls the future; the errors are those of [`Task::apply_async`].
    ///
    /// Nothing is handed in before the first poll, nor when the future is dropped before it is
    /// ready. While another thread stops the pool the future waits for the end of that.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    /// # runtime.block_on(async {
    /// let handle = pool.task(7u64).submit(|x| x * x).await?; // waits for room
    /// assert_eq!(handle.await?, 49);
    /// # Ok::<(), pool_api::Error>(())
    /// # })
    /// ```
    pub fn submit<R: Wire /* no captures in `f`: put them into the item */>(
        self,
        f: fn(A) -> R,
    ) -> impl Future<Output = Result<AsyncResult<R>, Box<Refused<A>>>> + use<'p, A, R, S, W>
    where
        A: Wire,
    {
        move_with_room!(<A, ()>(self => task) => {
            task.pool.submit::<Plain<A, R>>(task.item, f, &task.options)
        })
    }
}

impl<A, S: Send + Sync + 'static, W: 'static> Task<'_, A, S, W> {
    /// Runs `f` on the item, with the worker, and waits for the value.
    ///
    /// # Errors
    ///
    /// The failure of the task or of the pool.
    pub fn apply_with<R: Wire>(self, f: fn(&mut Worker<'_, S, W>, A) -> R) -> Result<R>
    where
        A: Wire,
    {
        move_with_room!(<A, R>(self => task) => {
            task.pool.value::<OnWorker<S, W, A, R>>(f, task.item, &task.options)
        })
    }

    /// Hands the item to the workers and returns; `f` takes the worker beside the item. See
    /// [`Task::apply_async`].
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::builder().n_jobs(2).shared(10u32).build()?;
    /// let handle = pool.task(4u32).apply_async_with(|w, x| w.shared + x)?;
    /// assert_eq!(handle.get()?, 14);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Task::apply_async`].
    pub fn apply_async_with<R: Wire>(
        self,
        f: fn(&mut Worker<'_, S, W>, A) -> R,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>>
    where
        A: Wire,
    {
        move_with_room!(<A, ()>(self => task) => {
            task.pool.apply_async::<OnWorker<S, W, A, R>>(task.item, f, &task.options)
        })
    }
}
