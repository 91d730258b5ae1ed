//! Why serde made no bytes of a value, or no value of bytes.
//!
//! It is here without the feature `serde`, too, so that errors of the crates above have the same
//! variants in every build.

use std::fmt;

crate::wire! {
    /// Why a value in a `Serde` or a `SerdeDyn` did not become bytes, or bytes no value. What the
    /// type itself says of it is in the text of `Serde::check`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum SerdeFault {
        /// A list or map whose length is not known before it is written, as that of a struct with
        /// `#[serde(flatten)]`: take `SerdeDyn`.
        UnknownLength,
        /// A field was left out (`#[serde(skip_serializing_if)]`), and the bytes of a `Serde` do
        /// not say which: take `SerdeDyn`.
        FieldLeftOut,
        /// The type asks the bytes what they hold, as untagged enums and `serde_json::Value` do,
        /// and those of a `Serde` do not say: take `SerdeDyn`.
        NotSelfDescribing,
        /// `Some` of something that is written like `None` (`Some(None)`, `Some(())`), which in the
        /// bytes of a `SerdeDyn` could not be told from it: take `Serde`.
        NestedOption,
        /// The value is nested deeper than [`SerdeFault::MAX_DEPTH`].
        TooDeep,
        /// Lists and maps in the value have more elements than it has bytes, and more than
        /// [`SerdeFault::FREE_ELEMENTS`].
        TooManyElements,
        /// A text, a list or a map in a `SerdeDyn` has more than `u32::MAX` bytes or elements.
        TooLong,
        /// The type's own `Serialize` or `Deserialize` refused.
        Refused,
        /// The bytes are no valid value of the type.
        Invalid,
    }
}

impl SerdeFault {
    /// How deep lists, maps, structs, enums with content, newtypes and `Some` may be nested in one
    /// another. What writes and reads them is recursive, and neither a deep value nor damaged bytes
    /// may end in a stack overflow.
    pub const MAX_DEPTH: usize = 256;

    /// How many elements that take no bytes (as those of a `Vec<()>` do) a value may always have:
    /// damaged bytes could claim any number of them.
    pub const FREE_ELEMENTS: usize = 1 << 20;
}

impl fmt::Display for SerdeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLength => f.write_str(
                "a list or map, such as a struct with a flattened field, does not say its length before its elements: take SerdeDyn",
            ),
            Self::FieldLeftOut => {
                f.write_str("a field is left out when it is written: take SerdeDyn")
            }
            Self::NotSelfDescribing => f.write_str(
                "the type, such as an untagged enum, needs bytes that say what they hold: take SerdeDyn",
            ),
            Self::NestedOption => f.write_str(
                "Some of something that is written like None cannot be told from None: take Serde",
            ),
            Self::TooDeep => write!(f, "the value is nested more than {} deep", Self::MAX_DEPTH),
            Self::TooManyElements => {
                f.write_str("the value has too many elements that take no bytes")
            }
            Self::TooLong => {
                f.write_str("something in the value has more than 2^32 - 1 bytes or elements")
            }
            Self::Refused => f.write_str("the type's own Serialize or Deserialize refused"),
            Self::Invalid => f.write_str("the bytes are no valid value of the type"),
        }
    }
}

impl std::error::Error for SerdeFault {}
