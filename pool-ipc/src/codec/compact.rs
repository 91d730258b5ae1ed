//! The format of a `Serde`: postcard, whose bytes hold values only.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    format::{Format, Full, Output, Sink},
    guard::{Failure, Guard, Rules},
    guarded_deserializer, guarded_serializer,
};
use crate::SerdeFault;

#[derive(Debug)]
pub(super) enum Compact {}

/// Hands bytes on as postcard writes them.
struct Handed<'o, 's, W: Sink>(&'o mut Output<'s, W>);

impl<W: Sink> Flavor for Handed<'_, '_, W> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.write(bytes).map_err(|Full| postcard::Error::SerializeBufferFull)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl Format for Compact {
    const RULES: Rules = Rules { self_describing: false };

    fn write<T: Serialize, W: Sink>(
        value: &T,
        guard: &Guard,
        output: &mut Output<'_, W>,
    ) -> Result<(), ()> {
        let mut serializer = postcard::Serializer { output: Handed(output) };
        value
            .serialize(guarded_serializer::Guarded { inner: &mut serializer, guard })
            .map_err(|failure| kept(failure, guard))
    }

    fn read<T: DeserializeOwned>(bytes: &[u8], guard: &Guard) -> Result<T, ()> {
        let mut deserializer = postcard::Deserializer::from_bytes(bytes);
        let guarded = guarded_deserializer::Guarded::new(&mut deserializer, guard, bytes.len());
        let value = T::deserialize(guarded).map_err(|failure| kept(failure, guard))?;
        let rest = deserializer.finalize().map_err(|_| ())?;
        if rest.is_empty() { Ok(value) } else { Err(()) }
    }
}

/// Keeps why it failed: postcard itself refuses identifiers, which adjacently tagged enums need.
#[cold]
fn kept(failure: Failure<postcard::Error>, guard: &Guard) {
    let failure = match failure {
        Failure::Format(postcard::Error::WontImplement) => {
            Failure::Fault(SerdeFault::NotSelfDescribing)
        }
        failure => failure,
    };
    failure.keep_in(guard, || postcard::Error::SerdeDeCustom);
}
