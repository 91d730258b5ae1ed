//! What a task is: a function of some form, and what it has access to while it runs.
//!
//! * `form.rs`: the interface to a task's function.
//! * `shapes.rs`: what functions may take; `shaped.rs`: the form of functions of an item;
//!   `carried.rs`: that of calls which are queued one by one, with a context; `scoped.rs`: closures
//!   with captures; `slices.rs`: functions for parts of a shared array.
//! * `context.rs`: the context of a job, in a worker.
//! * `worker_handle.rs`: a task's access to its worker.
//! * `call.rs`: the function of a chunk.
//! * `shared_type.rs`: the type of the value that a pool shares.
//! * `time_slice.rs`: how long a worker goes on with one chunk while other calls wait.

mod call;
mod carried;
mod context;
mod form;
mod scoped;
mod shaped;
mod shapes;
mod shared_type;
mod slices;
mod time_slice;
mod worker_handle;

pub(crate) use call::Call;
pub use carried::{Carried, FromPair, ShapeOfOne};
pub(crate) use context::ContextCell;
pub use form::{Form, Portable};
pub(crate) use form::{ItemAt, Surroundings};
pub(crate) use scoped::Scoped;
pub use shaped::{FromItem, PlainForm, Shaped};
pub use shapes::{
    Argument, InPlace, NoItem, OnWorker, Owned, Part, PartMut, Plain, Shape, With, WithOnWorker,
};
pub(crate) use shared_type::SharedType;
pub use slices::FromPart;
pub(crate) use slices::{ArrayBorrow, Parts, Sliced};
pub(crate) use time_slice::TimeSlice;
pub use worker_handle::{Starting, Worker};
