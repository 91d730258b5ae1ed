//! The value that all workers of a pool share.

use std::marker::PhantomData;

use pool_core::Shared;
use pool_ipc::Wire;

use super::Builder;
use crate::View;

/// The shared value is set before all options that see it.
impl Builder {
    /// Shares a value with all workers: tasks of [`Call::with_worker`](crate::Call::with_worker)
    /// see it as `w.shared`. Several objects are a tuple.
    ///
    /// Under ForkServer it is encoded once, decoded once in a template process, and workers are
    /// forked from that one: they have it without a copy. Under Spawn each worker decodes it for
    /// itself. Under Fork workers inherit the caller's value as it is, under Threads they share it.
    /// Workers see the value as it was then, but handles of shared arrays, values and locks lead to
    /// the same objects everywhere.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let table = vec![String::from("zero"), String::from("one")];
    /// let pool = WorkerPool::builder().n_jobs(2).shared((table, 10usize)).build()?;
    /// let lens = pool.tasks(0..2usize).with_worker().map(|w, i| w.shared.0[i].len() * w.shared.1)?;
    /// assert_eq!(lens, [40, 30]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// Threads use it at the same time, so it has to be `Sync`:
    ///
    /// ```compile_fail,E0277
    /// pool_api::WorkerPool::builder().shared(std::cell::Cell::new(1u64));
    /// ```
    pub fn shared<S: Wire + Sync>(self, value: S) -> Builder<S> {
        self.sharing(Shared::value(value))
    }

    /// Shares the archive of a value, which lies once in shared memory and is read in place by all
    /// workers, under every start method: for data that is large, or that each worker reads only a
    /// little of. The value itself is dropped here.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let rows = vec![vec![1.0f64, 2.0], vec![3.0]];
    /// let pool = WorkerPool::builder().n_jobs(2).shared_view(rows).build()?;
    /// let lens = pool.tasks(0..2usize).with_worker().map(|w, i| w.shared[i].len())?;
    /// assert_eq!(lens, [2, 1]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn shared_view<S: Wire<Archived: Sync>>(self, value: S) -> Builder<View<S>> {
        self.sharing(Shared::view(value))
    }

    /// Shares the value that `build` returns, of any type: `build` is called where workers start.
    /// Under ForkServer and Fork that is once, in a template process that the workers are forked
    /// from; under Spawn once in each worker; under Threads once, at the first use.
    ///
    /// It runs in a thread of its own. Threads that it leaves behind in a template are
    /// [`Error::SharedLeftThreads`](crate::Error::SharedLeftThreads): a process with threads cannot
    /// be forked. Nor can one that has exclusive access to shared memory, by a leaked guard:
    /// [`Error::ForkWhileBorrowed`](crate::Error::ForkWhileBorrowed).
    ///
    /// Where workers are forked from a template, the value must name nothing that a fork does not
    /// copy: no `JoinHandle` of a thread, not even of one that has ended (in a worker it may name
    /// another thread, and to join that is undefined behaviour), no ring or queue that the kernel
    /// shares with a descriptor, no foreign memory that is mapped `MAP_SHARED`. The pool cannot see
    /// this.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(2)
    ///     .shared_built(|| HashMap::from([("one", 1), ("two", 2)]))
    ///     .build()?;
    /// let known = pool.tasks(["two".to_owned()]).with_worker().map(|w, word| w.shared.get(&*word).copied())?;
    /// assert_eq!(known, [Some(2)]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn shared_built<S: Send + Sync + 'static>(self, build: fn() -> S) -> Builder<S> {
        self.sharing(Shared::built(build))
    }

    fn sharing<S>(mut self, shared: Shared) -> Builder<S> {
        self.options.shared = shared;
        Builder { options: self.options, refused: self.refused, types: PhantomData }
    }
}
