//! Which calls of a pool go on, and which went on.
//!
//! A call is recorded when its pool is watched, when all pools of the program are watched, or when
//! the call shows its progress. Others are not: they pay for one look at a flag.
//!
//! Invariant: the thread that runs a call stores its counts and waits for no reader; what a reader
//! sees may be older than the call, never further.
//!
//! * `call.rs`: one call, counted while it goes on.
//! * `snapshot.rs`: what is known of a call at one moment, and how calls end.
//! * `list.rs`: the calls of one pool.
//! * `pools.rs`: the pools of this process that are watched.
//! * `function.rs`: the function of a call; `symbols.rs`: finds the name of a function.

mod call;
mod function;
mod list;
mod pools;
mod snapshot;
mod symbols;

pub(crate) use call::{CallParts, UnderWay, WatchedCall};
pub(crate) use function::Function;
pub(crate) use list::{CallList, PoolParts};
pub use pools::{WatchAll, WatchedPool, closed_pools, watch_all, watched_pools};
pub(crate) use pools::{close, is_watched, list_of};
pub use snapshot::{CallSnapshot, Outcome, WorkerSteps};
