//! One call of the map family, in the thread that made the call: pulls items, sends chunks, takes
//! results.
//!
//! * `options.rs`: the options of a call.
//! * `run.rs`: the loop; `progress.rs`: how far a job is, without its types.
//! * `input.rs`: the user's iterator, up to its first end; `chunks.rs`: cuts an input without a
//!   pool.
//! * `transport.rs`: the way to workers of either kind; `transfer.rs`: what goes along it.
//! * `process_transport.rs`: the way to processes: sends items, decodes results;
//!   `item_allocator.rs`: allocates in the parent's arena, and encodes items there.
//! * `thread_transport.rs`: the way to threads.
//! * `target.rs`: which worker a chunk is for.
//! * `collector.rs`: takes outcomes out of what arrives; `reorder.rs`: puts them into the order
//!   that the consumer wants.
//! * `collect.rs`, `try_collect.rs`, `stream.rs`, `single.rs`: the ways for a caller to take
//!   results.
//! * `background.rs`: a job without a caller.
//! * `watch.rs`: counts what a call that is recorded does.
//! * `leaked.rs`: what tasks borrow, and whether a killed worker may still have it.
//! * `knots.rs`: refuses waits that would close a circle.

mod background;
mod chunks;
mod collect;
mod collector;
mod input;
mod item_allocator;
mod knots;
mod leaked;
mod options;
mod process_transport;
mod progress;
mod reorder;
mod run;
mod single;
mod stream;
mod target;
#[cfg(feature = "threads")]
mod thread_transport;
mod transfer;
mod transport;
mod try_collect;
mod watch;

pub(crate) use background::{BackgroundJob, Counted, weight_of};
pub use chunks::Chunks;
pub(crate) use collector::bad_result;
pub(crate) use item_allocator::{EncodedItems, ItemAllocator};
pub(crate) use knots::{Awaits, Waiting};
pub(crate) use leaked::{Borrows, LeakFlag};
pub use options::JobOptions;
pub(crate) use options::Opening;
pub(crate) use options::check_limit;
pub use run::Job;
pub use stream::ResultStream;
pub(crate) use transport::Transport;
pub use try_collect::TryError;
