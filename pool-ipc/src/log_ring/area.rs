//! An area of log rings as a value: its words, and the sleep of its reader.
//!
//! Invariant: a reader that sleeps is woken by the next record. It says that it sleeps, looks at
//! all rings once more, and then sleeps on that very word; a writer hands over first and then looks
//! at the word. A reader that naps looks again by itself, so it is woken only where a ring fills.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use pool_shm::{Mapping, futex};

use super::{
    layout::{Header, LogShape, MAGIC, Ring, WORDS},
    reader::LogReader,
    writer::LogWriter,
};

/// What the word of the reader says.
pub(super) const AWAKE: u32 = 0;
const NAPS: u32 = 1;
const SLEEPS: u32 = 2;

/// The part of a ring, as a divisor, that wakes a reader which naps.
const FILLED: u64 = 4;

/// Log rings in a part of a mapping. Clones are the same area.
#[derive(Clone)]
pub struct LogArea {
    mapping: Arc<Mapping>,
    offset: usize,
    shape: LogShape,
}

impl LogArea {
    /// Makes an area at `offset` of the mapping, whose memory there is zero.
    ///
    /// # Panics
    ///
    /// When the shape is not valid, the text is not as long as it says, the mapping is read-only or
    /// too small, or the offset is not a multiple of 128.
    #[must_use]
    pub fn create(mapping: Arc<Mapping>, offset: usize, shape: LogShape, text: &[u8]) -> Self {
        assert!(shape.is_valid() && text.len() == shape.text, "a valid shape, with this text");
        assert!(mapping.is_writable(), "all processes write to an area");
        assert!(
            offset.is_multiple_of(128) && mapping.len() >= shape.bytes(),
            "aligned, and mapped"
        );
        assert!(offset <= mapping.len() - shape.bytes(), "the area ends in the mapping");
        let area = Self { mapping, offset, shape };
        for (byte, to) in text.iter().zip(area.text_bytes()) {
            to.store(*byte, Ordering::Relaxed);
        }
        let header = area.header();
        header.rings.store(shape.rings as u64, Ordering::Relaxed);
        header.ring_bytes.store(shape.ring_bytes as u64, Ordering::Relaxed);
        header.text.store(text.len() as u64, Ordering::Relaxed);
        // Release: pairs with the Acquire in `open`.
        header.magic.store(MAGIC, Ordering::Release);
        area
    }

    /// The area at `offset` of the mapping, if there is one.
    #[must_use]
    pub fn open(mapping: Arc<Mapping>, offset: usize) -> Option<Self> {
        let is_within = offset.checked_add(size_of::<Header>())? <= mapping.len();
        if !is_within || !offset.is_multiple_of(128) || !mapping.is_writable() {
            return None;
        }
        let shape = LogShape { rings: 0, ring_bytes: 0, text: 0 };
        let mut area = Self { mapping, offset, shape };
        let header = area.header();
        // Acquire: pairs with the Release in `create`.
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return None;
        }
        let number = |word: &AtomicU64| usize::try_from(word.load(Ordering::Relaxed)).ok();
        let shape = LogShape {
            rings: number(&header.rings)?,
            ring_bytes: number(&header.ring_bytes)?,
            text: number(&header.text)?,
        };
        if !shape.is_valid() || offset.checked_add(shape.bytes())? > area.mapping.len() {
            return None;
        }
        area.shape = shape;
        Some(area)
    }

    /// The text that the area was made with.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.text_bytes().iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    /// How many rings there are.
    #[must_use]
    pub fn rings(&self) -> usize {
        self.shape.rings
    }

    /// The most bytes that a record can have.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.shape.ring_bytes / 4
    }

    /// One of the words that the reader sets for writers; there are four.
    #[inline]
    #[must_use]
    pub fn word(&self, index: usize) -> u32 {
        // Relaxed: the words are levels, and nothing is published by them.
        self.header().words[index % WORDS].load(Ordering::Relaxed)
    }

    /// Sets one of the words for writers.
    pub fn set_word(&self, index: usize, value: u32) {
        let word = &self.header().words[index % WORDS];
        // Relaxed: as in `word`. Read first: writers would have to get the line anew.
        if word.load(Ordering::Relaxed) != value {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Counts a record of this ring that is not handed over for another reason than room.
    pub fn count_dropped(&self, ring: usize) {
        if ring < self.shape.rings {
            // Relaxed: a count.
            self.ring(ring).written.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The writing end of a ring; `None` if there is no such ring. One process at a time may have
    /// it.
    #[must_use]
    pub fn writer(&self, ring: usize) -> Option<LogWriter> {
        (ring < self.shape.rings).then(|| LogWriter::new(self.clone(), ring))
    }

    /// The reading end of a ring; `None` if there is no such ring.
    #[must_use]
    pub fn reader(&self, ring: usize) -> Option<LogReader> {
        (ring < self.shape.rings).then(|| LogReader::new(self.clone(), ring))
    }

    /// Whether a ring has something to read: for a short sleep, something that should not wait.
    fn has_news(&self, naps: bool) -> bool {
        (0..self.shape.rings).any(|ring| {
            let ring = self.ring(ring);
            // SeqCst: the reader has said before that it sleeps; see `wake_for`.
            let head = ring.written.head.load(Ordering::SeqCst);
            let unread = head.wrapping_sub(ring.tail.load(Ordering::Relaxed));
            if naps { unread >= self.shape.ring_bytes as u64 / FILLED } else { unread != 0 }
        })
    }

    /// Sleeps until there is a record, [`wake`](Self::wake) is called, or the limit is over; not at
    /// all where `stays` says so once the sleep is announced. `naps`: one record is no reason to
    /// wake.
    pub fn sleep(&self, naps: bool, limit: Duration, stays: impl FnOnce() -> bool) {
        let (word, depth) = (&*self.header().reader, if naps { NAPS } else { SLEEPS });
        // SeqCst: a writer hands over, and looks at this word afterwards.
        word.store(depth, Ordering::SeqCst);
        if !self.has_news(naps) && !stays() {
            // Whatever ends the wait, the caller looks again.
            let _ = futex::wait(word, depth, Some(limit));
        }
        word.store(AWAKE, Ordering::SeqCst);
    }

    /// Ends a sleep of the reader.
    pub fn wake(&self) {
        let word = &*self.header().reader;
        if word.swap(AWAKE, Ordering::SeqCst) != AWAKE {
            futex::wake(word, 1);
        }
    }

    /// Whether a record that was handed over may have to wake the reader.
    #[inline]
    pub(super) fn reader_sleeps(&self) -> bool {
        // SeqCst: the record was handed over before; see `has_news`.
        self.header().reader.load(Ordering::SeqCst) != AWAKE
    }

    /// Ends a sleep of the reader that a record in a ring with so many unread bytes is to end.
    #[inline]
    pub(super) fn wake_for(&self, unread: u64) {
        // SeqCst: the record was handed over before; see `has_news`.
        match self.header().reader.load(Ordering::SeqCst) {
            AWAKE => {}
            NAPS if unread < self.shape.ring_bytes as u64 / FILLED => {}
            _ => self.wake(),
        }
    }

    #[inline]
    pub(super) fn shape(&self) -> LogShape {
        self.shape
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header lies within the mapping, which `self` holds, at an aligned place (both
        // checked by `create` and `open`); it is of atomics, which other processes may write.
        unsafe { &*self.base().cast::<Header>() }
    }

    fn text_bytes(&self) -> &[AtomicU8] {
        // SAFETY: the text lies behind the header and within the area, which was checked to lie
        // within the mapping; it is of atomics.
        unsafe {
            std::slice::from_raw_parts(self.base().add(size_of::<Header>()).cast(), self.shape.text)
        }
    }

    /// The counts of a ring, whose number is below that of rings.
    #[inline]
    pub(super) fn ring(&self, ring: usize) -> &Ring {
        debug_assert!(ring < self.shape.rings);
        // SAFETY: ends and `has_news` ask for rings of the shape only, so it lies within the area;
        // atomics, aligned since the offsets of area and rings are multiples of 128.
        unsafe { &*self.base().add(self.shape.rings_offset()).cast::<Ring>().add(ring) }
    }

    /// The bytes of a ring, as words.
    #[inline]
    pub(super) fn ring_words(&self, ring: usize) -> &[AtomicU64] {
        debug_assert!(ring < self.shape.rings);
        let at = self.shape.bytes_offset() + ring * self.shape.ring_bytes;
        // SAFETY: as for `ring`; a ring is a power of two of at least 4096 bytes.
        unsafe { std::slice::from_raw_parts(self.base().add(at).cast(), self.shape.ring_bytes / 8) }
    }

    #[inline]
    fn base(&self) -> *const u8 {
        // SAFETY: the offset lies within the mapping.
        unsafe { self.mapping.as_ptr().add(self.offset) }
    }
}

impl fmt::Debug for LogArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogArea").field("shape", &self.shape).finish_non_exhaustive()
    }
}
