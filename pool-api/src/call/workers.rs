//! Calls of every worker.

use std::{iter::repeat_n, panic::Location};

use pool_core::{Job, JobOptions, NoItem, OnWorker, Owned, Shape, Shaped, TaskError, Worker};
use pool_ipc::Wire;

use super::Call;
use crate::{Result, WorkerPool};

/// The input of a call of every worker, see [`WorkerPool::workers`](crate::WorkerPool::workers).
#[derive(Debug)]
pub struct EveryWorker(());

/// Calls of every worker. They wait for the workers, each of which runs its part as soon as it is
/// free, and hold up no other call; a worker that is replaced meanwhile keeps its id.
impl<S, W, H> Call<'_, EveryWorker, S, W, NoItem, H> {
    /// Runs `f` once on every worker; the values by worker id.
    ///
    /// # Errors
    ///
    /// The first failure, of a worker (its id is also the index of the [`TaskError`]) or of the
    /// pool.
    ///
    /// # The function
    ///
    #[doc = include_str!("worker_shapes.md")]
    pub fn broadcast<R: Wire /* no captures in `f`: `workers().with(data)` */>(
        self,
        f: H::Fn<(), R>,
    ) -> Result<Vec<R>>
    where
        H: Shape<NoItem>,
    {
        self.on_every(f)?.values(true)
    }

    /// Runs `f` once on every worker; one result per worker, by worker id.
    ///
    /// # Errors
    ///
    /// Failures of the pool; those of workers are among the results.
    ///
    /// # The function
    ///
    #[doc = include_str!("worker_shapes.md")]
    pub fn broadcast_results<R: Wire /* no captures in `f`: `workers().with(data)` */>(
        self,
        f: H::Fn<(), R>,
    ) -> Result<Vec<Result<R, TaskError>>>
    where
        H: Shape<NoItem>,
    {
        self.on_every(f)?.outcomes()
    }

    /// Runs `f` once on every worker, with its part of `items`, see
    /// [`WorkerPool::scatter`](crate::WorkerPool::scatter). `f` takes the part last, as a
    /// `Vec<A>`.
    ///
    /// # Errors
    ///
    /// The errors of [`broadcast`](Call::broadcast).
    pub fn scatter<A: Clone, R: Wire /* no captures in `f`: `workers().with(data)` */>(
        self,
        items: &[A],
        f: H::Fn<Vec<A>, R>,
    ) -> Result<Vec<R>>
    where
        H: Shape<Owned>,
        Vec<A>: Wire,
    {
        let workers = self.pool.n_jobs();
        let parts = (0..workers).map(|worker| part_of(items, workers, worker).to_vec());
        let options = one_each(self.options, workers, "scatter");
        let context = self.shape.into_context();
        let job =
            self.pool.job::<Shaped<Owned, H, Vec<A>, R>, _>(f, context, parts, &options, false);
        job?.values(true)
    }

    /// Runs `f` once on every worker and puts their values behind each other, by worker id, see
    /// [`WorkerPool::gather`](crate::WorkerPool::gather).
    ///
    /// # Errors
    ///
    /// The errors of [`broadcast`](Call::broadcast).
    ///
    /// # The function
    ///
    #[doc = include_str!("worker_shapes.md")]
    pub fn gather<R /* no captures in `f`: `workers().with(data)` */>(
        self,
        f: H::Fn<(), Vec<R>>,
    ) -> Result<Vec<R>>
    where
        H: Shape<NoItem>,
        Vec<R>: Wire,
    {
        Ok(self.broadcast(f)?.into_iter().flatten().collect())
    }

    fn on_every<R: Wire>(
        self,
        f: H::Fn<(), R>,
    ) -> Result<Job<Shaped<NoItem, H, (), R>, impl Iterator<Item = ()>>>
    where
        H: Shape<NoItem>,
    {
        let workers = self.pool.n_jobs();
        let options = one_each(self.options, workers, "broadcast");
        self.pool.job(f, self.shape.into_context(), repeat_n((), workers), &options, false)
    }
}

/// Makes item k the only one of worker k, which waits for no other.
fn one_each(options: JobOptions, workers: usize, form: &'static str) -> JobOptions {
    let mut options = options;
    options.form = form;
    options.order_tasks = Some(true);
    options.chunk_size = Some(1.0);
    options.max_tasks_active = Some(workers);
    options
}

/// The part of `items` that the worker gets: as long as the others', or one longer for the first
/// ones.
fn part_of<A>(items: &[A], workers: usize, worker: usize) -> &[A] {
    let (len, longer) = (items.len() / workers, items.len() % workers);
    let begin = worker * len + worker.min(longer);
    &items[begin..begin + len + usize::from(worker < longer)]
}

impl<S: Send + Sync + 'static, W: 'static, E> WorkerPool<S, W, E> {
    /// Prepares a call of every worker, to be set up further.
    ///
    /// ```no_run
    /// # let pool = pool_api::WorkerPool::new(4)?;
    /// let pids = pool.workers().retry(3).broadcast(|_| std::process::id())?;
    /// let ids = pool.workers().with(10).broadcast(|w, more| w.id() + more)?;
    /// assert_eq!(ids, [10, 11, 12, 13]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[track_caller]
    pub fn workers(&self) -> Call<'_, EveryWorker, S, W, NoItem, OnWorker<S, W>> {
        Call::new(&self.pool, EveryWorker(()), OnWorker::default(), Location::caller())
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
    /// The first failure, of a worker (its id is also the index of the
    /// [`TaskError`](crate::TaskError)) or of the pool.
    #[track_caller]
    pub fn broadcast<R: Wire>(&self, f: fn(&mut Worker<'_, S, W>) -> R) -> Result<Vec<R>> {
        self.workers().broadcast(f)
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
    /// The errors of [`WorkerPool::broadcast`](crate::WorkerPool::broadcast).
    #[track_caller]
    pub fn scatter<A: Clone, R: Wire>(
        &self,
        items: &[A],
        f: fn(&mut Worker<'_, S, W>, Vec<A>) -> R,
    ) -> Result<Vec<R>>
    where
        Vec<A>: Wire,
    {
        self.workers().scatter(items, f)
    }

    /// Runs `f` once on every worker, and puts their values behind each other, by worker id; see
    /// [`WorkerPool::scatter`].
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::broadcast`](crate::WorkerPool::broadcast).
    #[track_caller]
    pub fn gather<R>(&self, f: fn(&mut Worker<'_, S, W>) -> Vec<R>) -> Result<Vec<R>>
    where
        Vec<R>: Wire,
    {
        self.workers().gather(f)
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
