//! What a task is: a function of some form, the record that proves its type, and the loop that runs
//! a chunk of items through it.

mod chunk;
mod desk;
mod failure;
mod form;
mod record;
mod results;
mod scoped;
mod slices;
mod time_slice;
mod worker_handle;

pub(crate) use chunk::ChunkRun;
pub(crate) use desk::Desk;
pub(crate) use failure::{Failure, FailureKind};
pub(crate) use form::{ContextCell, Surroundings};
pub use form::{Form, OnEvery, OnWorker, Plain, Portable, Viewing, WithContext};
pub(crate) use record::{Call, RunChunk};
pub(crate) use scoped::Scoped;
pub(crate) use slices::{Parts, Slices, SlicesMut};
pub(crate) use time_slice::TimeSlice;
pub use worker_handle::{Starting, Worker};
