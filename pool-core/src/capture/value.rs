//! Key-values of a record: numbers, truth values and texts keep their types.
//!
//! Invariant: a value that is none of these crosses as the text that its `Display` gives.

use std::borrow::Cow;

/// A value as it arrives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'r> {
    Null,
    U64(u64),
    I64(i64),
    U128(u128),
    I128(i128),
    F64(f64),
    Bool(bool),
    Char(char),
    Text(Cow<'r, str>),
    /// A text that `Debug` has made.
    Debug(Cow<'r, str>),
    /// A field of a span that has no value yet.
    Unset,
}

/// The kinds of values, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Null,
    U64,
    I64,
    U128,
    I128,
    F64,
    Bool,
    Char,
    Text,
    Debug,
    Unset,
}

impl<'r> Value<'r> {
    /// The value that the bytes say; `None` if they say none.
    pub(super) fn from_bytes(tag: u8, bytes: &'r [u8]) -> Option<Self> {
        Some(match tag {
            _ if tag == Tag::Null as u8 => Self::Null,
            _ if tag == Tag::U64 as u8 => Self::U64(u64::from_le_bytes(bytes.try_into().ok()?)),
            _ if tag == Tag::I64 as u8 => Self::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
            _ if tag == Tag::U128 as u8 => Self::U128(u128::from_le_bytes(bytes.try_into().ok()?)),
            _ if tag == Tag::I128 as u8 => Self::I128(i128::from_le_bytes(bytes.try_into().ok()?)),
            _ if tag == Tag::F64 as u8 => Self::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
            _ if tag == Tag::Bool as u8 => Self::Bool(bytes != [0]),
            _ if tag == Tag::Char as u8 => {
                Self::Char(char::from_u32(u32::from_le_bytes(bytes.try_into().ok()?))?)
            }
            _ if tag == Tag::Text as u8 => Self::Text(String::from_utf8_lossy(bytes)),
            _ if tag == Tag::Debug as u8 => Self::Debug(String::from_utf8_lossy(bytes)),
            _ if tag == Tag::Unset as u8 => Self::Unset,
            _ => return None,
        })
    }

    /// The value for the `log` crate.
    pub(super) fn to_log(&self) -> log::kv::Value<'_> {
        match self {
            Self::Null | Self::Unset => log::kv::Value::null(),
            Self::U64(value) => (*value).into(),
            Self::I64(value) => (*value).into(),
            Self::U128(value) => value.into(),
            Self::I128(value) => value.into(),
            Self::F64(value) => (*value).into(),
            Self::Bool(value) => (*value).into(),
            Self::Char(value) => (*value).into(),
            Self::Text(value) | Self::Debug(value) => (&**value).into(),
        }
    }
}
