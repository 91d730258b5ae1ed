//! Numbers in shared memory that every process reads and writes without a lock.
//!
//! Invariant: memory that other processes may write meanwhile is accessed by atomics or, in bulk,
//! by [`bulk`], never by plain reads and writes, so that no write of another process can be
//! undefined behaviour here.
//!
//! * `shared_array.rs`: a slice of numbers; `shared_value.rs`: one number.
//! * `element.rs`: the types whose values may lie there: numbers, and `bool`.
//! * `cell.rs`: one element in shared memory; `fetch.rs`: calculates with elements in place.
//! * `bulk.rs`: many elements at once; `vectors/`: 16 bytes at a time.
//! * `whole.rs`: the functions that work on all elements of an array.
//! * `iter.rs`: the iterator over an array.
//! * `exclusive_elements.rs`: the elements of an array that has one handle, as a slice.
//! * `lent.rs`: arrays that are lent to tasks as slices.
//! * `wire.rs`: arrays and values as parts of a message.

pub(crate) mod bulk;
mod cell;
mod element;
mod exclusive_elements;
mod fetch;
mod iter;
mod lent;
mod shared_array;
mod shared_value;
mod vectors;
mod whole;
#[cfg(feature = "wire")]
mod wire;

pub use element::{Bitwise, Element, Number};
pub use exclusive_elements::ExclusiveElements;
pub use iter::Iter;
pub use lent::{Alone, LentArray};
pub use shared_array::SharedArray;
pub use shared_value::SharedValue;
#[cfg(feature = "wire")]
pub use wire::ArchivedArray;
