//! How a function gets to a worker: by the offset of the function, the offset of a record, and a
//! hash of the type that both sides compute for themselves.
//!
//! Invariant: `run` interprets the function's address as the very `Form::Function` whose `TypeId`
//! the record answers with. A worker calls `run` only after image identity and signature agree.

use std::{
    any::TypeId,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use super::{
    chunk::{ChunkRun, run_chunk},
    function_pointer::address_of_function,
};
use crate::{
    bootstrap,
    error::Error,
    task::{Call, Form, Portable},
};

/// Runs the items of one chunk.
pub(crate) type RunChunk = unsafe fn(*const (), &mut ChunkRun<'_>);

/// What a worker needs to run a function. There is one record for each form and its types, in the
/// executable's read-only data.
#[repr(C)]
pub(crate) struct Record {
    magic: u64,
    signature: fn() -> u64,
    run: RunChunk,
}

const MAGIC: u64 = u64::from_le_bytes(*b"poolcall");

struct RecordOf<F>(PhantomData<F>);

impl<F: Portable> RecordOf<F> {
    const RECORD: &'static Record =
        &Record { magic: MAGIC, signature: || hash(TypeId::of::<F>()), run: run_chunk::<F> };
}

struct ScopedRecordOf<F>(PhantomData<F>);

impl<F: Form> ScopedRecordOf<F> {
    const RECORD: &'static Record =
        &Record { magic: MAGIC, signature: || MAGIC, run: run_chunk::<F> };
}

impl Call {
    /// The call of a portable function.
    pub(crate) fn portable<F: Portable>(function: F::Function) -> Result<Self, Error> {
        let record = RecordOf::<F>::RECORD;
        Self::new(record, address_of_function::<F>(function))
    }

    /// The call of a function that only means something in a process forked from this one while
    /// the function's captures live.
    pub(crate) fn scoped<F: Form>(function: F::Function) -> Result<Self, Error> {
        let record = ScopedRecordOf::<F>::RECORD;
        let offset = offset_in_image(std::ptr::from_ref(record).addr())?;
        let address = address_of_function::<F>(function) as u64;
        Ok(Self { record: offset, function: address, signature: MAGIC })
    }

    fn new(record: &'static Record, function: usize) -> Result<Self, Error> {
        Ok(Self {
            record: offset_in_image(std::ptr::from_ref(record).addr())?,
            function: offset_in_image(function)?,
            signature: (record.signature)(),
        })
    }

    /// Finds what to run for this call in this process, the runner and the function's address, if
    /// the record proves right.
    pub(crate) fn resolve(&self) -> Option<(RunChunk, *const ())> {
        let record = bootstrap::address_of(self.record)?;
        bootstrap::address_of(self.record.checked_add(size_of::<Record>() as u64 - 1)?)?;
        if !record.is_multiple_of(align_of::<Record>()) {
            return None;
        }
        // SAFETY: the record is aligned and lies within the main executable's loaded segments;
        // every process of a pool runs the same image (its identity is checked at its start), in
        // which the parent found a record at this offset. The magic guards against a scribbled
        // board.
        let record = unsafe { &*std::ptr::with_exposed_provenance::<Record>(record) };
        if record.magic != MAGIC || (record.signature)() != self.signature {
            return None;
        }
        let function = if self.signature == MAGIC {
            usize::try_from(self.function).ok()?
        } else {
            bootstrap::address_of(self.function)?
        };
        Some((record.run, std::ptr::with_exposed_provenance(function)))
    }
}

fn offset_in_image(address: usize) -> Result<u64, Error> {
    bootstrap::offset_of(address).ok_or(Error::ForeignFunction)
}

/// FNV-1a of what the type's id hashes, word by word. It is the same in every process of one
/// executable.
fn hash(id: TypeId) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
        }
        fn write_u64(&mut self, word: u64) {
            self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    id.hash(&mut fnv);
    fnv.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{InPlace, Owned, Plain, Shaped};

    #[test]
    fn calls_resolve_to_themselves_and_to_nothing_else() {
        let call = Call::portable::<Shaped<Owned, Plain, u64, u64>>(|x| x + 1).unwrap();
        assert!(call.resolve().is_some());
        assert!(Call { signature: call.signature ^ 1, ..call }.resolve().is_none());
        assert!(Call { record: 1 << 60, ..call }.resolve().is_none());
        assert!(Call { record: call.record + 4, ..call }.resolve().is_none());
        let other = Call::portable::<Shaped<InPlace, Plain, u64, u64>>(|x| x.to_native()).unwrap();
        assert_ne!(call.signature, other.signature);
    }
}
