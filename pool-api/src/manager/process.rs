//! The trait of the class form.

use pool_ipc::Wire;

/// A worker of a [`PoolManager`](super::PoolManager) that has a state of its own.
///
/// ```
/// use pool_api::{PoolManager, PoolProcess};
///
/// struct Scaler { factor: u64, seen: u64 }
///
/// impl PoolProcess for Scaler {
///     type Args = u64;
///     type Item = u64;
///     type Output = u64;
///
///     fn init(factor: &u64) -> Self {
///         Scaler { factor: *factor, seen: 0 }
///     }
///
///     fn run(&mut self, item: u64) -> u64 {
///         self.seen += 1;
///         item * self.factor
///     }
/// }
///
/// let results = PoolManager::process::<Scaler>(10).size(2).ordered(true).scope(|manager| {
///     (1..4).try_for_each(|item| manager.put(item).map_err(drop))?;
///     Ok::<_, ()>(manager.get_all())
/// })?;
/// let results: Vec<u64> = results.unwrap().into_iter().collect::<Result<_, _>>()?;
/// assert_eq!(results, [10, 20, 30]);
/// # Ok::<(), pool_api::ManagerError>(())
/// ```
pub trait PoolProcess: Sized + 'static {
    /// What every worker is made from; it crosses once.
    type Args: Wire + Sync;
    /// What is put.
    type Item: Wire;
    /// What comes back.
    type Output: Wire;

    /// Makes the worker, in its process, before its first item. A worker that replaces another one
    /// is made anew.
    fn init(args: &Self::Args) -> Self;

    /// Runs one item. A panic, or the death of the process, is the answer of this item alone.
    fn run(&mut self, item: Self::Item) -> Self::Output;
}
