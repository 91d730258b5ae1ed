//! What may cross a process boundary, and how it becomes bytes and a value again.

mod alignment;
mod decoder;
mod encoder;
mod fault;
mod macros;
mod numbers;
mod recursive;
mod scratch;
mod segments;
mod whole;
mod wire_trait;

pub(crate) use decoder::view_fixed;
pub use decoder::{Decoder, WireCheck, WireDecode};
pub use encoder::{Encoder, Encoding, WireEncode};
pub use fault::WireFault;
pub(crate) use numbers::{decode_numbers, is_number};
pub use recursive::Recursive;
pub use segments::SegmentBroker;
pub use whole::{from_bytes, to_bytes, view_bytes};
pub use wire_trait::{Encodable, FieldType, Wire};
