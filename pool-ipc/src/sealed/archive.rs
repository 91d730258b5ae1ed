//! The archive of a sealed value, and the segments that keep the handles in it valid.
//!
//! Invariant: the bytes were written by one encoding and are sealed against writing, so every
//! process sees the same bytes for ever, and bytes that were checked stay checked. The segments of
//! the handles in the value live as long as the archive.

use std::{any::TypeId, error, fmt, marker::PhantomData};

use pool_shm::{Block, ElementType, Kind, SegmentFault, SegmentId, Shape, SharedSegment};

use crate::{Decoder, Encoder, Wire, WireFault, view_bytes, wire::decode_numbers};

/// The archive of one value, in a segment of its own that is sealed against writing.
///
/// ```
/// use pool_ipc::SealedArchive;
///
/// let archive = SealedArchive::new(&vec![1.5f64, 2.5])?;
/// // Another process is sent the descriptors of these; here they lead back to the same memory.
/// let again = SealedArchive::open::<Vec<f64>>(archive.segments().cloned().collect())?;
/// assert_eq!(again.decode::<Vec<f64>>()?, [1.5, 2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SealedArchive {
    block: Block,
    /// The segments of the handles in the value, in the order of its encoding.
    held: Vec<SharedSegment>,
}

/// One byte of an archive of a `T`, as a segment knows it.
struct ByteOf<T>(#[expect(dead_code, reason = "only its size counts")] u8, PhantomData<T>);

impl SealedArchive {
    /// Encodes `value` straight into fresh shared memory and seals it.
    ///
    /// # Errors
    ///
    /// [`SealError::Encode`] with what the type's own serialization reports, [`SealError::Memory`]
    /// when there is no memory for it.
    pub fn new<T: Wire>(value: &T) -> Result<Self, SealError> {
        let mut encoder = Encoder::new();
        let len = encoder.measure(value, 0)?;
        let shape = Shape { kind: Kind::Sealed, element: ElementType::named::<ByteOf<T>>(), len };
        let block = Block::sealed(shape, |bytes| {
            // SAFETY: the bytes are ours alone, and blocks with a segment of their own begin at a
            // page.
            let end = unsafe { encoder.encode_at(value, bytes.as_mut_ptr(), bytes.len(), 0)? };
            // The root of the archive ends with the block.
            if end == bytes.len() { Ok(()) } else { Err(SealError::Encode(WireFault::Invalid)) }
        })?;
        Ok(Self { block, held: encoder.take_segments() })
    }

    /// Opens the archive of a `T` in the first of these segments; the others are those of its
    /// handles.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`].
    pub fn open<T: Wire>(mut segments: Vec<SharedSegment>) -> Result<Self, SegmentFault> {
        if segments.is_empty() {
            return Err(SegmentFault::NotSent);
        }
        let own = segments.remove(0);
        if own.is_writable() {
            return Err(SegmentFault::NotASegment);
        }
        let (block, _) = Block::open(own, 0, Kind::Sealed, ElementType::named::<ByteOf<T>>())?;
        Ok(Self { block, held: segments })
    }

    /// The segments to send to a process that is to have the archive: its own, and those of the
    /// handles in it.
    pub fn segments(&self) -> impl Iterator<Item = &SharedSegment> {
        std::iter::once(self.block.segment()).chain(&self.held)
    }

    /// Decodes the value; checks the archive first, unless that was done before.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when it is not one of a `T`; [`WireFault::Segment`] when a handle in
    /// it leads nowhere.
    pub fn decode<T: Wire>(&self) -> Result<T, WireFault> {
        if let Some(numbers) = decode_numbers::<T>(self.bytes()) {
            return Ok(numbers);
        }
        let mut decoder = Decoder::new();
        decoder.set_segments(&self.held.iter().map(SharedSegment::id).collect::<Vec<SegmentId>>());
        decoder.build(self.view::<T>()?)
    }

    /// Reads the archive in place; checks it first, once in each process for all handles to it.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when it is not one of a `T`.
    pub fn view<T: Wire>(&self) -> Result<&T::Archived, WireFault> {
        let (segment, of) = (self.block.segment(), TypeId::of::<T>());
        if segment.checked() == Some(of) {
            // SAFETY: the same bytes were found to be an archive of a `T`, and cannot change.
            return Ok(unsafe { rkyv::access_unchecked::<T::Archived>(self.bytes()) });
        }
        let root = view_bytes::<T>(self.bytes())?;
        // SAFETY: sealed (`new` and `open` have seen to it) and checked.
        unsafe { segment.set_checked(of) };
        Ok(root)
    }

    /// Brings every page of it into this process's page table by reading one byte of each. System
    /// tools then count the pages that other processes read as shared, whichever process reads
    /// first.
    pub fn touch(&self) {
        let pages = self.bytes().chunks(pool_shm::limits::page_size());
        pages.for_each(|page| {
            std::hint::black_box(page[0]);
        });
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped as long as the block, and sealed against writing (`open` has seen to it),
        // so no process changes them: a shared reference is right.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().as_ptr(), self.block.len()) }
    }
}

/// Why a value could not be sealed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SealError {
    /// The type's own serialization failed, or wrote something else the second time; the source
    /// says why.
    Encode(WireFault),
    /// There is no memory for it; the source says why.
    Memory(pool_shm::Error),
}

impl From<WireFault> for SealError {
    fn from(fault: WireFault) -> Self {
        Self::Encode(fault)
    }
}

impl From<pool_shm::Error> for SealError {
    fn from(error: pool_shm::Error) -> Self {
        Self::Memory(error)
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(_) => f.write_str("the value could not be encoded"),
            Self::Memory(_) => f.write_str("there is no shared memory for the value"),
        }
    }
}

impl error::Error for SealError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Encode(fault) => Some(fault),
            Self::Memory(error) => Some(error),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn opened<T: Wire>(archive: &SealedArchive) -> Result<SealedArchive, SegmentFault> {
        SealedArchive::open::<T>(archive.segments().cloned().collect())
    }

    #[test]
    fn an_error_says_each_thing_once() {
        let source = std::io::Error::from_raw_os_error(12);
        let memory = pool_shm::Error::Os { doing: "mapping", source };
        for error in [SealError::from(memory), SealError::from(WireFault::Invalid)] {
            let source = error::Error::source(&error).expect("each has one").to_string();
            assert!(!error.to_string().contains(&source), "{error}: {source}");
        }
    }

    #[test]
    fn a_value_comes_back_and_is_read_in_place() {
        let value = (String::from("a"), vec![Some(1u32), None], [1.5f64; 3]);
        let archive = SealedArchive::new(&value).unwrap();
        let again = opened::<(String, Vec<Option<u32>>, [f64; 3])>(&archive).unwrap();
        assert_eq!(again.decode::<(String, Vec<Option<u32>>, [f64; 3])>().unwrap(), value);
        assert_eq!(archive.view::<(String, Vec<Option<u32>>, [f64; 3])>().unwrap().0, "a");
        again.touch();
        let nothing = SealedArchive::new(&()).unwrap();
        assert!(nothing.decode::<()>().is_ok());
        nothing.touch();
    }

    #[test]
    fn another_type_and_other_memory_are_refused() {
        let archive = SealedArchive::new(&7u64).unwrap();
        assert_eq!(opened::<i64>(&archive).unwrap_err(), SegmentFault::OtherElement);
        assert_eq!(SealedArchive::open::<u64>(vec![]).unwrap_err(), SegmentFault::NotSent);
        let element = ElementType::named::<ByteOf<u64>>();
        let block = Block::new(Shape { kind: Kind::Sealed, element, len: 8 }).unwrap();
        let writable = vec![block.segment().clone()];
        assert_eq!(SealedArchive::open::<u64>(writable).unwrap_err(), SegmentFault::NotASegment);
    }
}
