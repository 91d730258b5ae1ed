//! What the two formats have in common.
//!
//! Invariant: a value that one side writes the other side reads, or one of them says why not; what
//! is read is the whole of the bytes.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    SerdeError,
    guard::{Failure, Guard, Rules},
};
use crate::SerdeFault;

/// Where encoded bytes go.
pub(super) trait Sink {
    /// Why it takes no more.
    type Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A sink that counts, and keeps why it took no more.
pub(super) struct Output<'s, W: Sink> {
    sink: &'s mut W,
    pub(super) bytes: usize,
    pub(super) error: Option<W::Error>,
}

/// A sink took no more.
pub(super) struct Full;

impl<W: Sink> Output<'_, W> {
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.sink.write(bytes).map_err(|error| {
            self.error.get_or_insert(error);
            Full
        })?;
        self.bytes += bytes.len();
        Ok(())
    }
}

/// Why nothing was encoded.
pub(super) enum Unwritten<E> {
    Sink(E),
    Serde(SerdeError),
}

/// One of the two formats.
pub(super) trait Format {
    const RULES: Rules;

    /// Writes `value`; an error that is none of the guard's or the sink's is the format's own.
    fn write<T: Serialize, W: Sink>(
        value: &T,
        guard: &Guard,
        output: &mut Output<'_, W>,
    ) -> Result<(), ()>;

    /// Reads a value that takes all of `bytes`.
    fn read<T: DeserializeOwned>(bytes: &[u8], guard: &Guard) -> Result<T, ()>;

    /// Writes `value` and returns how many bytes that took.
    fn encode<T: Serialize, W: Sink>(
        value: &T,
        sink: &mut W,
    ) -> Result<usize, Unwritten<W::Error>> {
        let guard = Guard::new(Self::RULES);
        let mut output = Output { sink, bytes: 0, error: None };
        let written = Self::write(value, &guard, &mut output);
        let Output { bytes, error, .. } = output;
        if let Some(error) = error {
            return Err(Unwritten::Sink(error));
        }
        let counted: Result<(), Failure<()>> = guard.check_elements(bytes);
        if written.is_ok() && guard.fault().is_none() && counted.is_ok() {
            return Ok(bytes);
        }
        let otherwise =
            if counted.is_err() { SerdeFault::TooManyElements } else { SerdeFault::Refused };
        Err(Unwritten::Serde(guard.into_error(otherwise)))
    }

    /// Reads a value that takes all of `bytes`.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SerdeError> {
        let guard = Guard::new(Self::RULES);
        // A type may catch the error of a part; then what it made of it counts.
        Self::read(bytes, &guard).map_err(|()| guard.into_error(SerdeFault::Invalid))
    }

    /// Whether `value` can be encoded, and what was encoded decoded.
    fn check<T: Serialize + DeserializeOwned>(value: &T) -> Result<(), SerdeError> {
        let mut bytes = Vec::new();
        match Self::encode(value, &mut bytes) {
            Ok(_) => Self::decode::<T>(&bytes).map(drop),
            Err(Unwritten::Serde(error)) => Err(error),
            Err(Unwritten::Sink(never)) => match never {},
        }
    }
}

impl Sink for Vec<u8> {
    type Error = std::convert::Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
