//! Rings of bytes through which workers hand records to their parent.
//!
//! A [`LogArea`] is a part of a mapping that all processes have: a header, a text that is fixed at
//! the start, and rings, each with one writing process at a time and one reader for all. The header
//! has words that the reader sets for the writers, and the reader's sleep.
//!
//! ```text
//! ring:   … read | read | FRAME FRAME FRAME | free …
//!                       ▲ tail (reader)     ▲ head (writer)
//! frame:  a word with length and check, the bytes, padding to 8
//! ```
//!
//! Invariant: the writer moves `head` past a frame only when all of its bytes are there, so a
//! writer that is killed at any instruction has handed over whole frames or nothing, and what it
//! has handed over stays for the reader. No writer waits for the reader beyond [`PATIENCE`], and
//! the reader believes nothing: it keeps the tail to itself, and checks every length.
//!
//! * `layout.rs`: where the parts lie.
//! * `area.rs`: the area, its words, and the reader's sleep.
//! * `writer.rs`, `reader.rs`: the two ends of a ring.

mod area;
mod layout;
mod reader;
mod writer;

pub use area::LogArea;
pub use layout::{LogShape, MAX_RING_BYTES, MIN_RING_BYTES};
pub use reader::{LogReader, Read};
pub use writer::{LogWriter, PATIENCE};
