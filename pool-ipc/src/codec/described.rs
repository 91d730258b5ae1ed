//! The format of a `SerdeDyn`: MessagePack, whose bytes say what they hold.

use std::io::{self, ErrorKind, Write};

use rmp_serde::{decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    format::{Format, Full, Output, Sink},
    guard::{Failure, Guard, Rules},
    guarded_deserializer, guarded_serializer,
};

#[derive(Debug)]
pub(super) enum Described {}

/// Hands bytes on as they are written.
struct Handed<'o, 's, W: Sink>(&'o mut Output<'s, W>);

impl<W: Sink> Write for Handed<'_, '_, W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|Full| ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Format for Described {
    const RULES: Rules = Rules { self_describing: true };

    /// Structs are maps of their fields' names, so that fields may be left out.
    fn write<T: Serialize, W: Sink>(
        value: &T,
        guard: &Guard,
        output: &mut Output<'_, W>,
    ) -> Result<(), ()> {
        let mut serializer = encode::Serializer::new(Handed(output))
            .with_struct_map()
            // What serde buffers (of an untagged enum, say) it reads as human readable, so the rest
            // is, too.
            .with_human_readable();
        // The guard bounds the depth.
        serializer.unstable_set_max_depth(usize::MAX);
        value.serialize(guarded_serializer::Guarded { inner: &mut serializer, guard }).map_err(
            |failure: Failure<encode::Error>| {
                failure.keep_in(guard, || encode::Error::DepthLimitExceeded);
            },
        )
    }

    fn read<T: DeserializeOwned>(bytes: &[u8], guard: &Guard) -> Result<T, ()> {
        let mut deserializer = decode::Deserializer::from_read_ref(bytes).with_human_readable();
        // The guard bounds the depth.
        deserializer.set_max_depth(usize::MAX);
        let guarded = guarded_deserializer::Guarded::new(&mut deserializer, guard, bytes.len());
        let value = T::deserialize(guarded).map_err(|failure: Failure<decode::Error>| {
            failure.keep_in(guard, || decode::Error::DepthLimitExceeded);
        })?;
        // Only where nothing is left there is no next marker.
        match bool::deserialize(&mut deserializer) {
            Err(decode::Error::InvalidMarkerRead(_)) => Ok(value),
            _ => Err(()),
        }
    }
}
