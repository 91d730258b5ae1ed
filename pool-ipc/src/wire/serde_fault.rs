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
        /// An `i128` or `u128` in what serde buffers (an enum with `untagged` or `tag`, a struct
        /// with `flatten`), or another extension type of MessagePack there: serde has no room for
        /// it. It is refused where it arrives.
        WideNumber,
        /// The value is nested deeper than [`SerdeFault::MAX_DEPTH`], or takes more of the stack
        /// than [`SerdeFault::MAX_STACK`].
        TooDeep,
        /// Lists and maps in the value have more elements than it has bytes, and more than
        /// [`SerdeFault::FREE_ELEMENTS`]; or those beyond its bytes take more memory than
        /// [`SerdeFault::FREE_MEMORY`].
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
    /// another; each of these is a level. What writes and reads them is recursive.
    pub const MAX_DEPTH: usize = 256;

    /// How many bytes of the stack the levels may take: large structs in an unoptimised build reach
    /// this before [`MAX_DEPTH`](Self::MAX_DEPTH). It is looked at where a level begins, so one
    /// level may go beyond it; and not while serde reads what it buffered (`untagged`, `tag`,
    /// `flatten`), where large structs may overflow the stack.
    pub const MAX_STACK: usize = 1 << 20;

    /// How many elements that take no bytes (as those of a `Vec<()>` do) a value may always have:
    /// damaged bytes could claim any number of them.
    pub const FREE_ELEMENTS: usize = 1 << 20;

    /// How many bytes of memory such elements may take where they arrive: those of a type whose
    /// fields are all left out (`#[serde(skip)]`) take no bytes, but memory.
    pub const FREE_MEMORY: usize = 64 << 20;
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
            Self::WideNumber => f.write_str(
                "an i128 or u128 is in what serde buffers, such as an untagged enum, which cannot hold it",
            ),
            Self::TooDeep => write!(
                f,
                "the value is nested more than {} deep, or takes more than {} KiB of the stack",
                Self::MAX_DEPTH,
                Self::MAX_STACK >> 10
            ),
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
