//! The parent's side of a crew of worker processes.
//!
//! `hub.rs` is what the lock guards: engine, arena, inboxes. `jobs.rs` opens, feeds and closes what
//! runs, `room.rs` finds room for items. `act.rs` carries out what the engine wants, `collect.rs`
//! tells it what happened, `departure.rs` is what follows from a worker's end, `rests.rs` when the
//! next one is started, `wait.rs` is who waits how. `open.rs` and `end.rs` are the beginning and
//! the end, `batch.rs` is how results lie until their job reads them, `kit.rs` the buffers that
//! jobs leave to each other, `futures.rs` what calls need whose results are waited for elsewhere,
//! `standby.rs` who drives only while nobody else does,
//! `cancel.rs` who listens to cancel tokens, `kill.rs` what follows from them for running items,
//! `watch.rs` an eye on the zygote, `segments.rs` what handles in items and results keep alive.

mod act;
mod batch;
mod cancel;
mod collect;
mod departure;
mod descriptors;
mod drain;
mod end;
mod futures;
mod hub;
mod jobs;
mod kill;
mod kit;
mod open;
mod rests;
mod room;
mod segments;
mod standby;
mod wait;
mod watch;

pub(crate) use batch::{MeasureResults, ResultBatch, measure_results};
pub(crate) use descriptors::{Listed, list, own_descriptors, unlist};
pub(crate) use hub::{Message, NoRoom, Session};
pub(crate) use jobs::NewJob;
pub(crate) use kit::Kit;
pub(crate) use open::{ZygoteMaker, reservation};
pub(crate) use segments::Carried;
pub(crate) use wait::Want;
