//! A call, set up step by step before it runs.
//!
//! * `mod.rs`: the call, and the steps that say what its function takes.
//! * `options.rs`: its options.
//! * `items.rs`: the calls over many items that wait or iterate; `async_items.rs`: those whose
//!   results are taken later, all together; `streams.rs`: those for executors.
//! * `item.rs`: calls of one item.
//! * `slices.rs`: calls over the parts of a shared array; `rows.rs`: of one with a shape.
//! * `workers.rs`: calls of every worker.
//! * `shapes.md`, `part_shapes.md`, `worker_shapes.md`: what the functions may take.

mod async_items;
mod item;
mod items;
mod options;
#[cfg(feature = "ndarray")]
mod rows;
mod slices;
#[cfg(feature = "async")]
mod streams;
mod workers;

use std::{marker::PhantomData, panic::Location};

use pool_core::{InPlace, JobOptions, OnWorker, Owned, Plain, Pool, With, WithOnWorker};
use pool_ipc::Wire;

pub use item::OneItem;
#[doc(hidden)]
pub use options::{Chunked, Iterated, Located};
pub use slices::Parts;
#[cfg(feature = "async")]
pub use streams::ImapStream;
pub use workers::EveryWorker;

/// One call: its input, what its function takes, its options, in any order; the function comes
/// last, with the method that runs it.
///
/// | begun by | input `I` | methods that run it |
/// | --- | --- | --- |
/// | [`WorkerPool::tasks`](crate::WorkerPool::tasks) | an iterator | [`map`](#method.map), [`imap`](Call::imap), [`map_async`](Call::map_async) … |
/// | [`WorkerPool::task`](crate::WorkerPool::task) | [`OneItem`] | [`apply`](Call::apply), [`apply_async`](Call::apply_async) |
/// | [`WorkerPool::slices`](crate::WorkerPool::slices), [`slices_mut`](crate::WorkerPool::slices_mut) | [`Parts`] | `map`, `map_results` |
/// | [`WorkerPool::workers`](crate::WorkerPool::workers) | [`EveryWorker`] | [`broadcast`](Call::broadcast), [`scatter`](Call::scatter), [`gather`](Call::gather) |
///
/// What the function takes is said by two types, of which the steps [`view`](Call::view),
/// [`with`](Call::with) and [`with_worker`](Call::with_worker) make others: `K`, how its argument
/// arrives ([`Owned`], [`InPlace`], [`Part`](crate::Part), [`PartMut`](crate::PartMut),
/// [`NoItem`](crate::NoItem)), and `H`, what stands before it ([`Plain`], [`With`], [`OnWorker`],
/// [`WithOnWorker`]). `S` and `W` are what the pool shares and its workers' state.
#[derive(Debug)]
#[must_use = "nothing runs before the function is given"]
pub struct Call<'p, I, S = (), W = (), K = Owned, H = Plain> {
    pool: &'p Pool,
    input: I,
    shape: H,
    options: JobOptions,
    types: Types<S, W, K>,
}

/// Types that a call names without having values of them.
type Types<S, W, K> = PhantomData<fn() -> (S, W, K)>;

impl<'p, I, S, W, K, H> Call<'p, I, S, W, K, H> {
    /// A call that was made at `caller`.
    pub(crate) fn new(
        pool: &'p Pool,
        input: I,
        shape: H,
        caller: &'static Location<'static>,
    ) -> Self {
        let mut options = JobOptions::default();
        options.caller = Some(caller);
        Self { pool, input, shape, options, types: PhantomData }
    }

    fn change<L, G>(self, change: impl FnOnce(H) -> G) -> Call<'p, I, S, W, L, G> {
        let Self { pool, input, shape, options, .. } = self;
        Call { pool, input, shape: change(shape), options, types: PhantomData }
    }
}

impl<'p, I, S, W, H> Call<'p, I, S, W, Owned, H> {
    /// The function reads its item in place, `&A::Archived` instead of `A`: nothing is decoded.
    ///
    /// Inside the function, pools with start method Fork are
    /// [`Error::ForkWhileBorrowed`](crate::Error::ForkWhileBorrowed).
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let words = vec![String::from("a"), String::from("word")];
    /// assert_eq!(pool.tasks(words).view().map(|word| word.len())?, [1, 4]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn view(self) -> Call<'p, I, S, W, InPlace, H> {
        self.change(|shape| shape)
    }
}

impl<'p, I, S, W, K> Call<'p, I, S, W, K, Plain> {
    /// The function takes a reference to `context` before its argument. It takes the place of a
    /// closure's captures: encoded once, decoded once per worker.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let scaled = pool.tasks(0..4u64).with(10u64).map(|factor, x| factor * x)?;
    /// assert_eq!(scaled, [0, 10, 20, 30]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn with<C: Wire + Sync>(self, context: C) -> Call<'p, I, S, W, K, With<C>> {
        self.change(|Plain| With(context))
    }

    /// The function takes the [`Worker`](crate::Worker) first: it has the worker's id, the value
    /// that the pool shares (`w.shared`), the worker's state (`w.state`, see
    /// [`Builder::worker_init`](crate::Builder::worker_init)), and whether the result is still
    /// wanted.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::builder().n_jobs(2).shared(10u32).build()?;
    /// let seen = pool.tasks(0..4u32).with_worker().map(|w, x| (w.shared + x, w.id() < 2))?;
    /// assert_eq!(seen[3], (13, true));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn with_worker(self) -> Call<'p, I, S, W, K, OnWorker<S, W>> {
        self.change(|Plain| OnWorker::default())
    }
}

impl<'p, I, S, W, K, C> Call<'p, I, S, W, K, With<C>> {
    /// The function takes the [`Worker`](crate::Worker) first, then the context.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::builder().n_jobs(2).shared(10u32).build()?;
    /// let sums = pool.tasks(0..3u32).with(5).with_worker().map(|w, more, x| w.shared + more + x)?;
    /// assert_eq!(sums, [15, 16, 17]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn with_worker(self) -> Call<'p, I, S, W, K, WithOnWorker<C, S, W>> {
        self.change(|With(context)| WithOnWorker(context, OnWorker::default()))
    }
}

impl<'p, I, S, W, K> Call<'p, I, S, W, K, OnWorker<S, W>> {
    /// The function takes the worker, then a reference to `context`: see
    /// [`with`](Call::with).
    pub fn with<C: Wire + Sync>(self, context: C) -> Call<'p, I, S, W, K, WithOnWorker<C, S, W>> {
        self.change(|worker| WithOnWorker(context, worker))
    }
}
