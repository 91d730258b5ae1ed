//! A segment of shared objects as this process sees it.
//!
//! Invariant: the mapping begins with a [`Head`] and is as long as the file was when it was mapped;
//! it can only grow. Blocks do not overlap, and the content of one changes only through handles to
//! it: this crate alone writes to a segment (`open`, `as_fd`).

use std::{
    any::TypeId,
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::{Arc, OnceLock, Weak},
};

use super::{
    SegmentFault, SegmentId,
    identity::Content,
    layout::{Head, Slot},
    registry,
    socket_end::SocketEnd,
    watchers::{SegmentWatcher, Watched},
};
use crate::{Error, Mapping, Segment, core_dump::are_objects_dumped};

/// The label that `/proc/self/maps` shows.
const LABEL: &str = "pool-shm";

/// A segment that holds shared objects, mapped in this process; copies of this handle count.
///
/// It travels beside a message with handles in it: the [`id`](Self::id) says which segment it is,
/// the descriptor ([`as_fd`](Self::as_fd)) leads another process to it, and as long as one of the
/// two is kept, the objects exist.
///
/// ```
/// use pool_shm::{Block, ElementType, Kind, Shape, SharedSegment};
///
/// let block = Block::new(Shape { kind: Kind::Array, element: ElementType::named::<u64>(), len: 1 })?;
/// let segment = block.segment();
/// // SAFETY: the descriptor is for `open` alone.
/// let descriptor = unsafe { segment.as_fd() }.try_clone_to_owned()?;
/// // Another process would be sent it; here it leads back to the same mapping.
/// // SAFETY: it is that of a segment.
/// let again = unsafe { SharedSegment::open(descriptor, segment.id())? };
/// assert_eq!(again, *segment);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guards of locks are references into the segment, so safe code gets no descriptor of it, since it
/// could write to that as a file:
///
/// ```compile_fail,E0277
/// fn file(from: impl std::os::fd::AsFd) {}
/// file(pool_shm::SharedArray::<u64>::new(1).unwrap().block().segment());
/// ```
///
/// nor can safe code make a segment of bytes that it wrote itself, in which two objects might
/// overlap:
///
/// ```compile_fail,E0133
/// fn forged(file: std::os::fd::OwnedFd, id: pool_shm::SegmentId) {
///     let _ = pool_shm::SharedSegment::open(file, id);
/// }
/// ```
///
/// Writes through `/proc/self/fd` or `/proc/self/mem` are beyond the promises of Rust.
#[derive(Clone)]
pub struct SharedSegment(pub(super) Arc<Held>);

pub(super) struct Held {
    id: SegmentId,
    pub(super) file: File,
    watched: Watched,
    /// The type that the content was checked for, if it is sealed.
    checked: OnceLock<TypeId>,
}

/// What the identity leads to.
pub(super) enum File {
    Memory { mapping: Mapping, segment: Segment },
    Socket(SocketEnd),
}

impl Held {
    pub(super) fn new(id: SegmentId, file: File) -> Self {
        Self { id, file, watched: Watched::default(), checked: OnceLock::new() }
    }

    fn mapped(id: SegmentId, mapping: Mapping, segment: Segment) -> Self {
        if are_objects_dumped() {
            // Without it a debugger sees less, and nothing else is lost.
            let _ = mapping.set_dumped(true);
        }
        Self::new(id, File::Memory { mapping, segment })
    }

    fn mapping(&self) -> Option<&Mapping> {
        match &self.file {
            File::Memory { mapping, .. } => Some(mapping),
            File::Socket(_) => None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watched.end(self.id);
    }
}

/// Puts all segments of shared objects that are mapped here into core dumps, or takes them out.
pub(crate) fn set_dumped(on: bool) {
    for segment in registry::all() {
        // Without it a debugger sees more or less, and nothing else is lost.
        let _ = segment.0.mapping().map(|mapping| mapping.set_dumped(on));
    }
}

/// A reference to a segment that does not keep it mapped.
pub(super) struct WeakSegment(Weak<Held>);

impl SharedSegment {
    /// A fresh segment of at least `len` bytes, head included.
    pub(super) fn create(len: u64) -> Result<Self, Error> {
        Self::create_of(Content::Plain, len, Segment::map)
    }

    /// A fresh segment like that of [`create`](Self::create), of which far less will be used than
    /// there is.
    pub(super) fn create_sparse(len: u64) -> Result<Self, Error> {
        Self::create_of(Content::Sparse, len, Segment::map_unlocked)
    }

    fn create_of(
        content: Content,
        len: u64,
        map: impl FnOnce(&Segment) -> Result<Mapping, Error>,
    ) -> Result<Self, Error> {
        let segment = Segment::create(LABEL, len)?;
        let mapping = map(&segment)?;
        let fresh = Self(Arc::new(Held::mapped(SegmentId::random(content)?, mapping, segment)));
        fresh.head().write(fresh.id());
        registry::insert(fresh)
    }

    /// A fresh segment of at least `len` bytes that `write` fills, after which no process can write
    /// to it.
    pub(super) fn create_sealed<E: From<Error>>(
        len: u64,
        write: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        let segment = Segment::create(LABEL, len)?;
        let mapping = segment.map()?;
        // A child that is forked meanwhile would keep it writable.
        mapping.dont_fork()?;
        let id = SegmentId::random(Content::Plain)?;
        let fresh = Self(Arc::new(Held::mapped(id, mapping, segment.try_clone()?)));
        fresh.head().write(id);
        write(&fresh)?;
        drop(fresh);
        segment.seal_content()?;
        let mapping = segment.map_read_only()?;
        Ok(registry::insert(Self(Arc::new(Held::mapped(id, mapping, segment))))?)
    }

    /// The segment of this identity, if it is mapped in this process.
    #[must_use]
    pub fn find(id: SegmentId) -> Option<Self> {
        registry::find(id)
    }

    /// Maps the segment behind a descriptor that was sent here, unless it is mapped already. A
    /// segment that is sealed against writing is mapped to read.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NotASegment`], [`OtherVersion`](SegmentFault::OtherVersion) and
    /// [`OtherIdentity`](SegmentFault::OtherIdentity) if it is not segment `id`,
    /// [`Os`](SegmentFault::Os) if it cannot be mapped.
    ///
    /// # Safety
    ///
    /// If the descriptor leads to a segment of this identity, all of its bytes were written by this
    /// crate, in any process, and the demands of [`as_fd`](Self::as_fd) hold for all of its
    /// descriptors. So no process has it as a [`Segment`] or a [`Mapping`], whose pages can be
    /// taken away.
    pub unsafe fn open(fd: OwnedFd, id: SegmentId) -> Result<Self, SegmentFault> {
        if let Some(known) = registry::find(id) {
            return Ok(known);
        }
        if id.content() == Content::Socket {
            let end = SocketEnd::open(fd)?.ok_or(SegmentFault::NotASegment)?;
            return Ok(registry::insert(Self(Arc::new(Held::new(id, File::Socket(end)))))?);
        }
        let segment = Segment::of_any_content(fd)?;
        let mapping = match id.content() {
            Content::Sparse => segment.map_unlocked()?,
            _ if segment.content_is_sealed()? => segment.map_read_only()?,
            _ => segment.map()?,
        };
        if mapping.len() < size_of::<Head>() {
            return Err(SegmentFault::NotASegment);
        }
        let opened = Self(Arc::new(Held::mapped(id, mapping, segment)));
        opened.head().check(id)?;
        Ok(registry::insert(opened)?)
    }

    /// The descriptor, to be sent to another process that [opens](Self::open) it.
    ///
    /// # Safety
    ///
    /// No process writes to the segment through the descriptor or a copy of it, changes its size or
    /// takes pages away: guards of locks are references into the segment.
    #[must_use]
    pub unsafe fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0.file {
            File::Memory { segment, .. } => segment.as_fd(),
            File::Socket(end) => end.as_fd(),
        }
    }

    /// The identity of the segment, the same in every process.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.0.id
    }

    /// Bytes mapped; 0 for one of a [pair](Self::presence_pair).
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no segment with memory is empty")]
    pub fn len(&self) -> usize {
        self.0.mapping().map_or(0, Mapping::len)
    }

    /// Bytes that count towards limits on memory: those that are mapped, or none if far less will
    /// be used than there is.
    #[must_use]
    pub fn counted_bytes(&self) -> usize {
        if self.id().content() == Content::Plain { self.len() } else { 0 }
    }

    /// Bytes of the objects that were placed here so far, by all processes together.
    ///
    /// ```
    /// let array = pool_shm::SharedArray::<u8>::new(1 << 20)?;
    /// assert_eq!(array.block().segment().placed_bytes(), 1 << 20);
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    #[must_use]
    pub fn placed_bytes(&self) -> u64 {
        let slots = (0..self.slots()).map_while(|index| self.slot(index));
        let bytes = slots.fold(0u64, |sum, slot| sum.saturating_add(slot.bytes()));
        bytes.min(self.counted_bytes() as u64)
    }

    /// Whether this process may write here: not if the content is sealed.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.mapping().is_some_and(Mapping::is_writable)
    }

    /// Whether the watcher is to be told when this process lets the segment go.
    #[must_use]
    pub fn is_watched_by(&self, watcher: &Arc<dyn SegmentWatcher>) -> bool {
        self.0.watched.is_by(watcher)
    }

    /// Tells the watcher when this process, not a forked child, lets the segment go. `false` if the
    /// watcher was to be told already.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::Os`] when the address space is used up.
    pub fn watch(&self, watcher: Arc<dyn SegmentWatcher>) -> Result<bool, SegmentFault> {
        Ok(self.0.watched.add(watcher)?)
    }

    /// Whether there are other handles to the segment, or to objects in it, in this process.
    #[must_use]
    pub fn has_other_handles(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The type that this process has checked the content for; see
    /// [`set_checked`](Self::set_checked).
    #[must_use]
    pub fn checked(&self) -> Option<TypeId> {
        self.0.checked.get().copied()
    }

    /// Notes that the content was checked for the type `of`, so that it need not be checked again
    /// as long as the segment is mapped. A second note does nothing.
    ///
    /// # Safety
    ///
    /// The content is sealed, and was checked.
    pub unsafe fn set_checked(&self, of: TypeId) {
        debug_assert!(!self.is_writable(), "what can be written to can change");
        let _ = self.0.checked.set(of);
    }

    pub(super) fn downgrade(&self) -> WeakSegment {
        WeakSegment(Arc::downgrade(&self.0))
    }

    /// The head of a segment that has memory.
    pub(super) fn head(&self) -> &Head {
        let mapping = self.0.mapping().expect("asked of segments with memory");
        // SAFETY: every mapping has at least the bytes of a head and begins at a page; a head
        // consists of atomics, so others may write it at any time.
        unsafe { &*mapping.as_ptr().cast::<Head>() }
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        if self.is_presence() { 0 } else { self.head().slots() }
    }

    /// Slot `index`, if it lies within the mapping.
    pub(super) fn slot(&self, index: usize) -> Option<&Slot> {
        let position = Slot::position(index);
        if position.checked_add(size_of::<Slot>())? > self.len() {
            return None;
        }
        // SAFETY: within the mapping, as just checked, and at a multiple of 32 bytes; atomics, as
        // above.
        Some(unsafe { &*self.0.mapping()?.as_ptr().add(position).cast::<Slot>() })
    }

    /// The byte at `offset`, which is at most the length.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len(), "an offset within the segment");
        let mapping = self.0.mapping().expect("asked of segments with memory");
        let start = NonNull::new(mapping.as_ptr()).expect("no mapping begins at address 0");
        // SAFETY: within the mapping or just behind it, as asserted.
        unsafe { start.add(offset) }
    }
}

impl WeakSegment {
    pub(super) fn upgrade(&self) -> Option<SharedSegment> {
        self.0.upgrade().map(SharedSegment)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl PartialEq for SharedSegment {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for SharedSegment {}

impl fmt::Debug for SharedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSegment")
            .field("id", &self.id())
            .field("len", &self.len())
            .field("writable", &self.is_writable())
            .finish()
    }
}
