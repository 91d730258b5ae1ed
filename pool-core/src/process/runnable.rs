//! A value that runs in a process of its own.

use pool_ipc::Wire;

/// A value that runs in a process of its own: the form of a class in Python's `multiprocessing`,
/// whose `__init__` makes the value and whose `run` is the process.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::{Process, Runnable};
///
/// pool_ipc::wire! {
///     struct Square { of: u64 }
/// }
///
/// impl Runnable for Square {
///     type Output = u64;
///
///     fn run(self) -> u64 {
///         self.of * self.of
///     }
/// }
///
/// assert_eq!(Process::builder().spawn_runnable(Square { of: 12 })?.join()?, 144);
/// # Ok::<(), pool_core::Error>(())
/// ```
pub trait Runnable: Wire {
    /// What the process returns.
    type Output: Wire;

    /// What the process does.
    fn run(self) -> Self::Output;
}
