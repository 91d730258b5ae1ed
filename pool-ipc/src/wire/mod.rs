//! What may cross a process boundary, and how it becomes bytes and a value again.
//!
//! * `wire_trait.rs`: the trait that says what may cross; `macros.rs`: makes an own type `Wire`;
//!   `recursive.rs`: the guard of fields that lead back to their own type.
//! * `encoder.rs`: writes an archive into a block; `scratch.rs`: its scratch room.
//! * `decoder.rs`: checks an archive and makes the value from it.
//! * `numbers.rs`: lists of numbers, checked and copied as a whole.
//! * `alignment.rs`: archives that hold something aligned to more than rkyv can pad for.
//! * `segments.rs`: the table of segments that travel with a message.
//! * `whole.rs`: one whole value as bytes, without a pool.
//! * `fault.rs`: why a value did not become bytes, or bytes no value; `serde_fault.rs`: of values
//!   that cross by serde (`codec/`).

mod alignment;
mod decoder;
mod encoder;
mod fault;
mod macros;
mod numbers;
mod recursive;
mod scratch;
mod segments;
mod serde_fault;
mod whole;
mod wire_trait;

pub(crate) use decoder::view_fixed;
pub use decoder::{Decoder, WireCheck, WireDecode};
pub use encoder::{Encoder, Encoding, WireEncode};
pub use fault::WireFault;
pub(crate) use numbers::decode_numbers;
pub use numbers::is_scalar;
pub use recursive::Recursive;
pub use segments::SegmentBroker;
pub use serde_fault::SerdeFault;
pub use whole::{from_bytes, to_bytes, view_bytes};
pub use wire_trait::{Encodable, FieldType, Wire};
