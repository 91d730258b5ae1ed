//! Arrays of the `ndarray` crate: in shared memory, in parts for tasks, and as values that cross.
//!
//! * `shared_nd_array.rs`: an array in shared memory, with its shape; `handle.rs`: its handle as a
//!   part of a message.
//! * `rows.rs`: its parts along axis 0.
//! * `wire_array.rs`: an array as a value.
//! * `shape.rs`: shapes, checked; `error.rs`: what is wrong with one.

mod error;
mod handle;
mod rows;
mod shape;
mod shared_nd_array;
mod wire_array;

pub use error::ArrayError;
pub use handle::ArchivedNdArray;
pub use rows::Rows;
pub use shared_nd_array::{SharedNdArray, SharedView};
pub use wire_array::{ArchivedWireArray, WireArray};
