//! How values that cross by serde lie in an archive: as bytes of their format.
//!
//! Invariant: an archive is valid if its bytes lie within it; what they hold is checked when the
//! value is made from them, each time.

use std::{fmt, marker::PhantomData};

use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    ser::Writer,
    vec::{ArchivedVec, VecResolver},
};
use serde::de::DeserializeOwned;

use super::{
    SerdeError,
    compact::Compact,
    described::Described,
    format::{Format, Sink, Unwritten},
    wrapper::{Serde, SerdeDyn},
};

/// Where the bytes of a value that is being archived are.
#[doc(hidden)]
#[derive(Debug)]
pub struct BytesResolver {
    position: usize,
    len: usize,
}

/// The rest of an archive.
struct Archiver<'s, S: ?Sized>(&'s mut S);

impl<S: Fallible + Writer + ?Sized> Sink for Archiver<'_, S> {
    type Error = S::Error;

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.0.write(bytes)
    }
}

fn write<F: Format, T, S>(value: &T, serializer: &mut S) -> Result<BytesResolver, S::Error>
where
    T: serde::Serialize,
    S: Fallible<Error: Source> + Writer + ?Sized,
{
    let position = serializer.pos();
    match F::encode(value, &mut Archiver(serializer)) {
        Ok(len) => Ok(BytesResolver { position, len }),
        Err(Unwritten::Sink(error)) => Err(error),
        Err(Unwritten::Serde(error)) => Err(S::Error::new(error.fault())),
    }
}

macro_rules! archived {
    ($($wrapper:ident as $archived:ident by $format:ident;)*) => { $(
        #[doc = concat!("A [`", stringify!($wrapper), "`] as it lies in an archive.")]
        #[derive(Portable, CheckBytes)]
        #[bytecheck(crate = rkyv::bytecheck)]
        #[repr(C)]
        pub struct $archived<T> {
            bytes: ArchivedVec<u8>,
            value: PhantomData<fn() -> T>,
        }

        impl<T> $archived<T> {
            /// The encoded value.
            #[must_use]
            pub fn bytes(&self) -> &[u8] {
                &self.bytes
            }

            /// Makes the value.
            ///
            /// # Errors
            ///
            /// Why the bytes are no value of the type.
            pub fn decode(&self) -> Result<T, SerdeError>
            where
                T: DeserializeOwned,
            {
                $format::decode(&self.bytes)
            }
        }

        impl<T> fmt::Debug for $archived<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($archived)).field("len", &self.bytes.len()).finish()
            }
        }

        impl<T> Archive for $wrapper<T> {
            type Archived = $archived<T>;
            type Resolver = BytesResolver;

            fn resolve(&self, resolver: BytesResolver, out: Place<$archived<T>>) {
                munge!(let $archived { bytes, .. } = out);
                let start = VecResolver::from_pos(resolver.position);
                ArchivedVec::resolve_from_len(resolver.len, start, bytes);
            }
        }

        impl<T, S> Serialize<S> for $wrapper<T>
        where
            T: serde::Serialize,
            S: Fallible<Error: Source> + Writer + ?Sized,
        {
            fn serialize(&self, serializer: &mut S) -> Result<BytesResolver, S::Error> {
                write::<$format, T, S>(&self.0, serializer)
            }
        }

        impl<T, D> Deserialize<$wrapper<T>, D> for $archived<T>
        where
            T: DeserializeOwned,
            D: Fallible<Error: Source> + ?Sized,
        {
            fn deserialize(&self, _: &mut D) -> Result<$wrapper<T>, D::Error> {
                self.decode().map($wrapper).map_err(|error| D::Error::new(error.fault()))
            }
        }

        impl<T: serde::Serialize + DeserializeOwned> $wrapper<T> {
            /// Whether the value crosses: it is encoded, and what was encoded decoded.
            ///
            /// A pool reports a reason without words; this one has those of the type, too.
            ///
            /// # Errors
            ///
            /// Why it does not cross.
            pub fn check(&self) -> Result<(), SerdeError> {
                $format::check(&self.0)
            }
        }
    )* };
}

archived! {
    Serde as ArchivedSerde by Compact;
    SerdeDyn as ArchivedSerdeDyn by Described;
}
