//! The two types that let a type with serde's traits cross.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Lets a type with serde's traits cross: where `T` is `serde::Serialize` and
/// `serde::de::DeserializeOwned` (and `Send`), `Serde<T>` is [`Wire`](crate::Wire), so it can be an
/// item, a result, a context, or lie in any of those.
///
/// ```
/// # use pool_ipc::{self as pool_api, from_bytes, to_bytes};
/// use pool_api::Serde;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// struct Order { file: std::path::PathBuf, count: Option<u128> }
///
/// let order = Serde(Order { file: "a.txt".into(), count: Some(3) });
/// assert!(order.file.is_relative()); // it derefs
/// let bytes = to_bytes(&order)?;
/// assert_eq!(from_bytes::<Serde<Order>>(&bytes)?, order);
/// # Ok::<(), pool_ipc::WireFault>(())
/// ```
///
/// A type without serde's traits does not cross:
///
/// ```compile_fail,E0277
/// struct Plain { value: u32 }
/// fn crosses<T: pool_ipc::Wire>() {}
/// crosses::<pool_ipc::Serde<Plain>>();
/// ```
///
/// The bytes are [postcard](https://docs.rs/postcard)'s: small, and without names, so a type that
/// asks them what they hold needs a [`SerdeDyn`]: enums without a tag or with one inside
/// (`untagged`, `tag`), flattened fields, fields that may be left out, `serde_json::Value`. What
/// needs one and has none is a [`SerdeFault`](crate::SerdeFault), when it is encoded or decoded; so
/// is a value that is nested
/// more than [256](crate::SerdeFault::MAX_DEPTH) deep. In worker threads nothing is encoded, so
/// all of these cross; [`check`](Self::check) says before what will not.
///
/// A tuple struct must not leave out fields (`#[serde(skip_serializing_if)]` on one): serde does
/// not tell the format of that, so other fields would take their place. Its decoding fails, or has
/// other values.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serde<T>(pub T);

/// Lets a type with serde's traits cross that asks its bytes what they hold: enums with
/// `#[serde(untagged)]` or `#[serde(tag = …)]`, flattened fields, fields that may be left out,
/// `serde_json::Value`.
///
/// ```
/// # use pool_ipc::{self as pool_api, from_bytes, to_bytes};
/// use pool_api::{Serde, SerdeDyn, SerdeFault};
/// use serde_json::json;
///
/// let value = json!({ "name": "tea", "prices": [1, 2.5, null] });
/// let bytes = to_bytes(&SerdeDyn(value.clone()))?;
/// assert_eq!(from_bytes::<SerdeDyn<serde_json::Value>>(&bytes)?.into_inner(), value);
///
/// assert_eq!(Serde(value).check().unwrap_err().fault(), SerdeFault::NotSelfDescribing);
/// # Ok::<(), pool_ipc::WireFault>(())
/// ```
///
/// The bytes are MessagePack with the names of fields. In them `Some` of what is written like
/// `None` could not be told from it, so `Some(None)` and `Some(())` are a
/// [`SerdeFault`](crate::SerdeFault::NestedOption); a [`Serde`] has them. Types with a form for
/// people, such as IP addresses, have it, as serde asks for it in what it buffers. An `i128` or
/// `u128` in an enum with `untagged` or `tag`, or in a struct with `flatten`, is a
/// [`SerdeFault`](crate::SerdeFault::WideNumber) where it arrives; elsewhere it crosses.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerdeDyn<T>(pub T);

macro_rules! wrapper {
    ($($wrapper:ident),*) => { $(
        impl<T> $wrapper<T> {
            /// The value.
            #[must_use]
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> From<T> for $wrapper<T> {
            fn from(value: T) -> Self {
                Self(value)
            }
        }

        impl<T> Deref for $wrapper<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $wrapper<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }

        impl<T> AsRef<T> for $wrapper<T> {
            fn as_ref(&self) -> &T {
                &self.0
            }
        }

        impl<T: fmt::Debug> fmt::Debug for $wrapper<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<T: fmt::Display> fmt::Display for $wrapper<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        /// For serde it is the value itself.
        impl<T: Serialize> Serialize for $wrapper<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de, T: Deserialize<'de>> Deserialize<'de> for $wrapper<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                T::deserialize(deserializer).map(Self)
            }
        }
    )* };
}

wrapper!(Serde, SerdeDyn);
