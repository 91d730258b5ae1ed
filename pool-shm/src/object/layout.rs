//! The layout of a segment of shared objects: a slotted page.
//!
//! ```text
//! head | slot 0 | slot 1 | …  →      free      ←  … | block 1 | block 0
//! ```
//!
//! Invariant: slots are written once, before they are counted, and lie outside all blocks. So no
//! write into an object can pass for a slot, and a handle (a slot's number) can be checked.

use std::{
    any::type_name,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use nix::{errno::Errno, sys::uio::pread};

use super::{SegmentFault, SegmentId};
use crate::Error;

const MAGIC: u64 = u64::from_le_bytes(*b"poolshm\x01");
const VERSION: u32 = 1;

/// Every block begins at a multiple of this many bytes: a cache line.
pub(super) const BLOCK_ALIGN: usize = 64;

/// The beginning of every segment.
#[repr(C, align(64))]
pub(super) struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    /// The number of slots.
    slots: AtomicU32,
    id: [AtomicU64; 2],
}

/// A slot of the table: the content and the place of a block.
#[repr(C)]
pub(super) struct Slot {
    /// A [`Kind`] and, for an array, the flags about its handles: [`SHARED`], [`ALONE`].
    kind: AtomicU32,
    element_size: AtomicU32,
    element: AtomicU64,
    len: AtomicU64,
    offset: AtomicU64,
}

/// There is, or was, a handle that was sent or opened: not only clones of the first one. Never
/// cleared.
const SHARED: u32 = 1 << 31;
/// The one handle has given all access away for a while: nothing opens or sends another.
const ALONE: u32 = 1 << 30;
const FLAGS: u32 = SHARED | ALONE;

const _: () = assert!(size_of::<Head>() == 64 && align_of::<Head>() == BLOCK_ALIGN);
const _: () = assert!(size_of::<Slot>() == 32 && align_of::<Slot>() == 8);

/// The kind of an object. A number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Kind {
    /// Elements that are accessed by atomics.
    Array = 1,
    /// One such element.
    Value = 2,
    /// Plain data behind a lock that one thread holds at a time.
    Mutex = 3,
    /// Plain data behind a lock that several readers hold at a time.
    RwLock = 4,
    /// A number of permits.
    Semaphore = 5,
    /// A flag that is waited for.
    Event = 6,
    /// A condition that is waited for.
    Condvar = 7,
    /// A number of parties that wait for each other.
    Barrier = 8,
    /// Bytes that were sealed against writing.
    Sealed = 9,
    /// The memory of a channel.
    Channel = 11,
    /// Plain data behind a lock that one thread holds at a time, and may take again.
    ReentrantMutex = 10,
}

/// The type of an object's elements, the same in every process of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementType {
    tag: u64,
    size: u32,
}

impl ElementType {
    /// The type of `size` bytes that the number `tag` stands for in every program.
    #[must_use]
    pub const fn fixed(tag: u32, size: u32) -> Self {
        Self { tag: tag as u64, size }
    }

    /// Any type, by its path and size. Programs of one build agree on it.
    #[must_use]
    pub fn named<T>() -> Self {
        // FNV-1a, 64 bits.
        let hash = type_name::<T>().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // Numbers without the highest bit are those of `fixed`. No type has 4 GiB: no object of it
        // could be moved.
        Self { tag: hash | 1 << 63, size: u32::try_from(size_of::<T>()).unwrap_or(u32::MAX) }
    }

    /// One byte of something that holds `T`, among other things.
    #[must_use]
    pub fn bytes_of<T>() -> Self {
        Self { size: 1, ..Self::named::<T>() }
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size as usize
    }
}

/// Kind, element type and length of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The kind of the object.
    pub kind: Kind,
    /// The type of its elements.
    pub element: ElementType,
    /// How many elements there are.
    pub len: usize,
}

impl Shape {
    /// Bytes of all elements, if there can be as many.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.len.checked_mul(self.element.size()).filter(|bytes| *bytes <= isize::MAX as usize)
    }
}

impl Head {
    /// Marks fresh memory as a segment without objects.
    pub(super) fn write(&self, id: SegmentId) {
        // Relaxed: a process that reads this was sent the segment afterwards.
        self.version.store(VERSION, Ordering::Relaxed);
        for (word, half) in self.id.iter().zip(halves(id)) {
            word.store(half, Ordering::Relaxed);
        }
        self.magic.store(MAGIC, Ordering::Relaxed);
    }

    /// Whether this is the beginning of segment `id`.
    pub(super) fn check(&self, id: SegmentId) -> Result<(), SegmentFault> {
        if self.magic.load(Ordering::Relaxed) != MAGIC {
            return Err(SegmentFault::NotASegment);
        }
        if self.version.load(Ordering::Relaxed) != VERSION {
            return Err(SegmentFault::OtherVersion);
        }
        let same =
            self.id.iter().zip(halves(id)).all(|(word, half)| word.load(Ordering::Relaxed) == half);
        if same { Ok(()) } else { Err(SegmentFault::OtherIdentity) }
    }

    /// How many slots are written.
    pub(super) fn slots(&self) -> usize {
        // Acquire: pairs with the Release in `count`; the content of a counted slot is there.
        self.slots.load(Ordering::Acquire) as usize
    }

    /// Publishes the first `slots` slots, which are written.
    pub(super) fn count(&self, slots: usize) {
        let slots = u32::try_from(slots).expect("slots take memory, and a segment has less");
        // Release: pairs with the Acquire in `slots`.
        self.slots.store(slots, Ordering::Release);
    }
}

/// Where the block of a slot lies in its segment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

impl Slot {
    /// Where slot `index` lies in its segment.
    pub(super) const fn position(index: usize) -> usize {
        size_of::<Head>() + index * size_of::<Self>()
    }

    pub(super) fn write(&self, shape: Shape, offset: usize) {
        // Relaxed, all of them: `Head::count` publishes the slot.
        self.kind.store(shape.kind as u32, Ordering::Relaxed);
        self.element_size.store(shape.element.size, Ordering::Relaxed);
        self.element.store(shape.element.tag, Ordering::Relaxed);
        self.len.store(shape.len as u64, Ordering::Relaxed);
        self.offset.store(offset as u64, Ordering::Relaxed);
    }

    /// The element type, if the object is of this kind.
    pub(super) fn element_of(&self, kind: Kind) -> Option<ElementType> {
        (self.kind.load(Ordering::Relaxed) & !FLAGS == kind as u32).then(|| self.element())
    }

    /// How many bytes the object takes, if the slot is right.
    pub(super) fn bytes(&self) -> u64 {
        let size = u64::from(self.element_size.load(Ordering::Relaxed));
        self.len.load(Ordering::Relaxed).saturating_mul(size)
    }

    fn element(&self) -> ElementType {
        ElementType {
            tag: self.element.load(Ordering::Relaxed),
            size: self.element_size.load(Ordering::Relaxed),
        }
    }

    /// Checks the slot for a handle of this kind and element; returns how many elements there are,
    /// and where, in a segment of `size` bytes.
    pub(super) fn check(
        &self,
        kind: Kind,
        element: ElementType,
        size: usize,
    ) -> Result<(usize, Extent), SegmentFault> {
        if self.kind.load(Ordering::Relaxed) & !FLAGS != kind as u32 {
            return Err(SegmentFault::OtherKind);
        }
        if self.element() != element {
            return Err(SegmentFault::OtherElement);
        }
        let whole = || {
            let len = usize::try_from(self.len.load(Ordering::Relaxed)).ok()?;
            let offset = usize::try_from(self.offset.load(Ordering::Relaxed)).ok()?;
            let bytes = Shape { kind, element, len }.bytes()?;
            let fits = offset.checked_add(bytes)? <= size && offset.is_multiple_of(BLOCK_ALIGN);
            fits.then_some((len, Extent { offset, bytes }))
        };
        whole().ok_or(SegmentFault::NoSuchObject)
    }

    /// Notes that there is another handle to the array than the first one and its clones; a slot of
    /// another kind stays as it is.
    pub(super) fn share(&self) -> Result<(), SegmentFault> {
        // Acquire, Release: a first handle that finds itself not alone sees what made it so, and
        // the other way round.
        let change = |word: u32| match (word & !FLAGS == Kind::Array as u32, word & FLAGS) {
            (false, _) | (true, SHARED) => None,
            (true, flags) => (flags & ALONE == 0).then_some(word | SHARED),
        };
        match self.kind.fetch_update(Ordering::AcqRel, Ordering::Acquire, change) {
            Err(word) if word & ALONE != 0 => Err(SegmentFault::Lent),
            _ => Ok(()),
        }
    }

    /// Keeps every process from making another handle to the array; `false` if there is one, or
    /// was.
    pub(super) fn begin_alone(&self) -> bool {
        let (now, alone) = (Kind::Array as u32, Kind::Array as u32 | ALONE);
        // AcqRel: as in `share`.
        self.kind.compare_exchange(now, alone, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Undoes [`begin_alone`](Self::begin_alone).
    pub(super) fn end_alone(&self) {
        // Release: pairs with the Acquire in `share`.
        self.kind.fetch_and(!ALONE, Ordering::Release);
    }
}

/// Whether this file begins like a segment of shared objects.
pub(crate) fn begins_at(file: &OwnedFd) -> Result<bool, Error> {
    let mut magic = [0; size_of_val(&MAGIC)];
    let read = loop {
        match pread(file, &mut magic, 0) {
            Err(Errno::EINTR) => {}
            read => {
                break read.map_err(|source| Error::os("reading the head of a segment", source))?;
            }
        }
    };
    Ok(read == magic.len() && u64::from_ne_bytes(magic) == MAGIC)
}

fn halves(id: SegmentId) -> [u64; 2] {
    [id.0 as u64, (id.0 >> 64) as u64]
}
