//! A worker process: from its birth to its last chunk.

mod awakening;
mod life;
mod living;
mod memory;
mod panic;
mod papers;
mod segments;

pub(crate) use life::{end_quietly, live, name_at, stillbirth};
pub(crate) use panic::{in_task, learn_locations, take_panic};
pub(crate) use papers::{WorkerFds, WorkerPapers};
pub(crate) use segments::Keeper;
