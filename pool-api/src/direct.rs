//! The calls that name the worker for each item.

use std::{iter::repeat_n, marker::PhantomData, time::Duration};

use pool_core::{
    CancelToken, Job, JobOptions, OnEvery, OnWorker, Plain, Pool, TaskError, Worker, move_with_room,
};
use pool_ipc::Wire;

use crate::{Result, WorkerPool};

type OnEach<S, W, R> = fn(&mut Worker<'_, S, W>) -> R;
type OnOne<S, W, A, R> = fn(&mut Worker<'_, S, W>, A) -> R;

/// The workers of a pool, to be called by their ids; see [`WorkerPool::direct`].
#[derive(Debug)]
#[must_use = "nothing runs before the function is given"]
pub struct Direct<'p, S = (), W = ()> {
    pool: &'p Pool,
    options: JobOptions,
    types: PhantomData<fn() -> (S, W)>,
}

impl<S, W> Direct<'_, S, W> {
    /// How often an item whose worker died with it is tried again, on the same id; see
    /// [`Tasks::retry`](crate::Tasks::retry).
    pub fn retry(mut self, times: u32) -> Self {
        self.options.retries = times;
        self
    }

    /// How long each worker may take, from when it begins; see
    /// [`Tasks::task_timeout`](crate::Tasks::task_timeout).
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.options.task_timeout = Some(limit);
        self
    }

    /// Kills items that still run `grace` after the call ended early; see
    /// [`Tasks::kill_running`](crate::Tasks::kill_running).
    pub fn kill_running(mut self, grace: Duration) -> Self {
        self.options.kill_running = Some(grace);
        self
    }

    /// How long a worker may go on beyond its limit before it is killed; see
    /// [`Tasks::timeout_grace`](crate::Tasks::timeout_grace).
    pub fn timeout_grace(mut self, grace: Duration) -> Self {
        self.options.timeout_grace = Some(grace);
        self
    }

    /// Lets other threads end the call, also while it waits for a busy worker; see
    /// [`Tasks::cancel_token`](crate::Tasks::cancel_token).
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.options.cancel = Some(token.clone());
        self
    }
}

impl<S: Send + Sync + 'static, W: 'static> Direct<'_, S, W> {
    /// Runs `f` once on every worker, like [`WorkerPool::broadcast`]; the values by worker id.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::broadcast`].
    pub fn broadcast<R: Wire>(self, f: OnEach<S, W, R>) -> Result<Vec<R>> {
        self.on_every(f)?.values(true)
    }

    /// Runs `f` once on every worker; one result per worker, by worker id.
    ///
    /// # Errors
    ///
    /// Failures of the pool; those of workers are among the results.
    pub fn broadcast_results<R: Wire>(
        self,
        f: OnEach<S, W, R>,
    ) -> Result<Vec<Result<R, TaskError>>> {
        self.on_every(f)?.outcomes()
    }

    /// Runs `f` once on every worker, with its part of `items`, like [`WorkerPool::scatter`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::scatter`].
    pub fn scatter<A: Clone, R: Wire>(
        mut self,
        items: &[A],
        f: OnOne<S, W, Vec<A>, R>,
    ) -> Result<Vec<R>>
    where
        Vec<A>: Wire,
    {
        let workers = self.one_each();
        let parts = (0..workers).map(|worker| part_of(items, workers, worker).to_vec());
        self.pool
            .job::<OnWorker<S, W, Vec<A>, R>, _>(f, (), parts, &self.options, false)?
            .values(true)
    }

    /// Runs `f` once on every worker and puts their values behind each other, like
    /// [`WorkerPool::gather`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::gather`].
    pub fn gather<R>(self, f: OnEach<S, W, Vec<R>>) -> Result<Vec<R>>
    where
        Vec<R>: Wire,
    {
        Ok(self.broadcast(f)?.into_iter().flatten().collect())
    }

    /// Runs `f` on one item, on the worker with this id, like [`WorkerPool::apply_on`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::apply_on`].
    pub fn apply_on<A: Wire, R: Wire>(mut self, worker: u32, item: A, f: fn(A) -> R) -> Result<R> {
        self.options.worker = Some(worker);
        move_with_room!(<A, R>(item => item) => {
            self.pool.value::<Plain<A, R>>(f, item, &self.options)
        })
    }

    /// Runs `f` on one item, with the worker of this id, like [`WorkerPool::apply_on_with`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::apply_on`].
    pub fn apply_on_with<A: Wire, R: Wire>(
        mut self,
        worker: u32,
        item: A,
        f: OnOne<S, W, A, R>,
    ) -> Result<R> {
        self.options.worker = Some(worker);
        move_with_room!(<A, R>(item => item) => {
            self.pool.value::<OnWorker<S, W, A, R>>(f, item, &self.options)
        })
    }

    fn on_every<R: Wire>(
        mut self,
        f: OnEach<S, W, R>,
    ) -> Result<Job<OnEvery<S, W, R>, impl Iterator<Item = ()>>> {
        let workers = self.one_each();
        self.pool.job(f, (), repeat_n((), workers), &self.options, false)
    }

    /// Makes item k the only one of worker k, which waits for no other; returns how many workers
    /// there are.
    fn one_each(&mut self) -> usize {
        let workers = self.pool.n_jobs();
        self.options.order_tasks = Some(true);
        self.options.chunk_size = Some(1.0);
        self.options.max_tasks_active = Some(workers);
        workers
    }
}

/// The part of `items` that the worker gets: as long as the others', or one longer for the first
/// ones.
fn part_of<A>(items: &[A], workers: usize, worker: usize) -> &[A] {
    let (len, longer) = (items.len() / workers, items.len() % workers);
    let begin = worker * len + worker.min(longer);
    &items[begin..begin + len + usize::from(worker < longer)]
}

/// The calls that name the worker for each item. They wait for the workers that they name, each of
/// which runs its part as soon as it is free, and hold up no other call; a worker that is replaced
/// meanwhile keeps its id.
impl<S: Send + Sync + 'static, W: 'static, E> WorkerPool<S, W, E> {
    /// The calls of this group, to be set up further.
    ///
    /// ```no_run
    /// # let pool = pool_api::WorkerPool::new(4)?;
    /// let pids = pool.direct().retry(3).broadcast(|_| std::process::id())?;
    /// let fourth = pool.direct().retry(3).apply_on(3, (), |()| std::process::id())?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn direct(&self) -> Direct<'_, S, W> {
        Direct { pool: &self.pool, options: JobOptions::default(), types: PhantomData }
    }

    /// Runs `f` once on every worker; the values by worker id.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().n_jobs(3).worker_init(|_| 0u64).build()?;
    /// pool.broadcast(|w| *w.state = 10 * u64::from(w.id()))?;
    /// assert_eq!(pool.broadcast(|w| *w.state)?, [0, 10, 20]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first failure, of a worker (its id is also the index of the [`TaskError`]) or of the
    /// pool.
    pub fn broadcast<R: Wire>(&self, f: fn(&mut Worker<'_, S, W>) -> R) -> Result<Vec<R>> {
        self.direct().broadcast(f)
    }

    /// Cuts `items` into as many consecutive parts as there are workers and runs `f` once on every
    /// worker, with its part; the values by worker id. The first parts are one item longer than the
    /// last ones if the items do not go round; a part may be empty.
    ///
    /// Data that are to stay with the workers belong in their state, which lives as long as its
    /// worker: a worker that died, or has come to the end of its life, begins anew with a state
    /// from `worker_init`.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().n_jobs(3).worker_init(|_| Vec::new()).build()?;
    /// let lens = pool.scatter(&[1u64, 2, 3, 4, 5], |w, part| {
    ///     *w.state = part;
    ///     w.state.len()
    /// })?;
    /// assert_eq!(lens, [2, 2, 1]);
    /// pool.broadcast(|w| w.state.iter_mut().for_each(|x| *x *= *x))?;
    /// assert_eq!(pool.gather(|w| w.state.clone())?, [1, 4, 9, 16, 25]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::broadcast`].
    pub fn scatter<A: Clone, R: Wire>(
        &self,
        items: &[A],
        f: fn(&mut Worker<'_, S, W>, Vec<A>) -> R,
    ) -> Result<Vec<R>>
    where
        Vec<A>: Wire,
    {
        self.direct().scatter(items, f)
    }

    /// Runs `f` once on every worker, and puts their values behind each other, by worker id; see
    /// [`WorkerPool::scatter`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::broadcast`].
    pub fn gather<R>(&self, f: fn(&mut Worker<'_, S, W>) -> Vec<R>) -> Result<Vec<R>>
    where
        Vec<R>: Wire,
    {
        self.direct().gather(f)
    }

    /// Runs `f` on one item, on the worker with this id and no other, and waits for the value.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::new(4)?;
    /// assert_eq!(pool.apply_on(2, 7u64, |x| x * x)?, 49);
    /// let refused = pool.apply_on(7, 7u64, |x| x * x).unwrap_err();
    /// assert_eq!(refused.to_string(), "apply_on: worker id must be below 4, got 7");
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::apply`]; [`Error::InvalidInput`](crate::Error::InvalidInput) for
    /// an id that the pool does not have.
    pub fn apply_on<A: Wire, R: Wire>(&self, worker: u32, item: A, f: fn(A) -> R) -> Result<R> {
        move_with_room!(<A, R>(item => item) => self.direct().apply_on(worker, item, f))
    }

    /// Runs `f` on one item, with the worker of this id and on no other, and waits for the value.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(4)?;
    /// assert_eq!(pool.apply_on_with(2, 7u32, |w, x| w.id() + x)?, 9);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::apply_on`].
    pub fn apply_on_with<A: Wire, R: Wire>(
        &self,
        worker: u32,
        item: A,
        f: fn(&mut Worker<'_, S, W>, A) -> R,
    ) -> Result<R> {
        move_with_room!(<A, R>(item => item) => self.direct().apply_on_with(worker, item, f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_consecutive_and_nearly_even() {
        let parts = |len: usize| {
            let items: Vec<usize> = (0..len).collect();
            (0..4).map(|worker| part_of(&items, 4, worker).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(parts(10), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7], vec![8, 9]]);
        assert_eq!(parts(2), [vec![0], vec![1], vec![], vec![]]);
        assert_eq!(parts(0), [[0; 0]; 4]);
    }
}
