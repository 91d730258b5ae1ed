//! A worker process: from its birth to its last chunk.

mod awakening;
mod backtrace;
mod life;
mod living;
mod memory;
mod overflow;
mod panic;
mod papers;
mod segments;
mod task_stack;

pub(crate) use life::{end_quietly, live, name_at, stillbirth};
pub(crate) use memory::Growth;
pub(crate) use panic::{drop_quietly, in_task, learn_locations, quietly, take_panic};
pub(crate) use papers::{Ground, WorkerFds, WorkerPapers, arena_from, from_descriptors};
pub(crate) use segments::Keeper;
