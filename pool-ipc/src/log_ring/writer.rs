//! The writing end of a log ring.
//!
//! Invariant: a record is handed over as a whole or counted as lost. A writer that finds the ring
//! full waits until the reader has caught up with half of it, at most [`PATIENCE`]. A reader that
//! is not so far by then costs the writer no further time until it is, and records are lost.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::area::LogArea;
use crate::primitive::prefetch_for_writing;

/// How long a writer waits in all for a reader that has not caught up.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// How long a writer sleeps until it looks again whether there is room.
const NAP: Duration = Duration::from_micros(50);

/// The high half of the first word of a frame.
pub(super) const CHECK: u64 = 0x6c6f_6721 << 32;

/// The writing end of one ring. One process at a time may have it, and under a lock of its own if
/// it has threads.
#[derive(Debug)]
pub struct LogWriter {
    area: LogArea,
    ring: usize,
    head: u64,
    /// How far the reader was when this end looked last: a look costs the way of a cache line.
    tail: u64,
    /// What is left of the patience until the reader has caught up.
    patience: Duration,
}

impl LogWriter {
    pub(super) fn new(area: LogArea, ring: usize) -> Self {
        let counts = area.ring(ring);
        // Relaxed: the process that had the ring before has ended.
        let mut head = counts.written.head.load(Ordering::Relaxed);
        let tail = counts.tail.load(Ordering::Relaxed);
        let unread = head.wrapping_sub(tail);
        if unread > area.shape().ring_bytes as u64 || !head.is_multiple_of(8) {
            head = tail; // scribbled over
        }
        Self { area, ring, head, tail, patience: PATIENCE }
    }

    /// Hands a record over; `false` when there was no room for it, which is counted.
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> bool {
        let need = (8 + record.len()).next_multiple_of(8) as u64;
        if record.len() > self.area.max_record() || !self.has_room(need) {
            // Relaxed: a count; only this process adds to it.
            self.area.ring(self.ring).written.lost.fetch_add(1, Ordering::Relaxed);
            self.area.wake_for(u64::MAX);
            return false;
        }
        let words = self.area.ring_words(self.ring);
        let mask = words.len() - 1;
        let mut at = (self.head / 8) as usize;
        // Relaxed: the head publishes all words of the frame.
        let mut put = |word: u64| {
            words[at & mask].store(word, Ordering::Relaxed);
            at += 1;
        };
        put(CHECK | record.len() as u64);
        let (whole, rest) = record.as_chunks::<8>();
        whole.iter().for_each(|bytes| put(u64::from_le_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(last));
        }
        self.head = self.head.wrapping_add(need);
        let counts = self.area.ring(self.ring);
        // SeqCst: Release for the words, which the reader acquires; and before the look at the
        // reader's sleep.
        counts.written.head.store(self.head, Ordering::SeqCst);
        if self.area.reader_sleeps() {
            let unread = self.unread();
            self.area.wake_for(unread);
        }
        // The next record's lines are in the cache of the reader's CPU.
        let words = self.area.ring_words(self.ring);
        for line in 1..=4 {
            prefetch_for_writing(&words[(at + line * 8) & mask]);
        }
        true
    }

    /// The most bytes that a record can have.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.area.max_record()
    }

    #[inline]
    fn has_room(&mut self, need: u64) -> bool {
        let size = self.area.shape().ring_bytes as u64;
        let mut unread = self.head.wrapping_sub(self.tail);
        if unread > size / 2 {
            unread = self.unread();
        }
        if unread <= size / 2 {
            self.patience = PATIENCE;
        }
        // What is unread is more than the ring holds only where it was scribbled over.
        (unread <= size && size - unread >= need) || self.wait_for_room(need)
    }

    #[cold]
    fn wait_for_room(&mut self, need: u64) -> bool {
        let size = self.area.shape().ring_bytes as u64;
        let begun = Instant::now();
        while !self.patience.is_zero() {
            let before = Instant::now();
            self.area.wake_for(u64::MAX);
            std::thread::sleep(NAP);
            self.patience = self.patience.saturating_sub(before.elapsed());
            // Half a ring at once: a place for one record would be waited for with each record.
            if self.unread() <= size / 2 {
                return true;
            }
            // A machine that was suspended meanwhile is no reason to wait longer.
            if begun.elapsed() > 10 * PATIENCE {
                self.patience = Duration::ZERO;
            }
        }
        let unread = self.unread();
        unread <= size && size - unread >= need
    }

    fn unread(&mut self) -> u64 {
        // Acquire: pairs with the Release of the reader, which has read those bytes.
        self.tail = self.area.ring(self.ring).tail.load(Ordering::Acquire);
        self.head.wrapping_sub(self.tail)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pool_shm::Segment;

    use super::{
        super::{LogShape, MIN_RING_BYTES},
        *,
    };

    #[test]
    fn a_writer_waits_once_for_a_reader_that_stands_still() {
        let shape = LogShape { rings: 1, ring_bytes: MIN_RING_BYTES, text: 0 };
        let segment = Segment::create("rings", shape.bytes() as u64).unwrap();
        let area = LogArea::create(Arc::new(segment.map().unwrap()), 0, shape, b"");
        let (mut writer, mut reader) = (area.writer(0).unwrap(), area.reader(0).unwrap());
        while writer.push(&[7; 512]) {}
        assert!(writer.patience.is_zero());
        assert!(!writer.push(&[7; 512]) && writer.patience.is_zero());
        // A reader that has not caught up gives room, and no patience.
        let mut record = Vec::new();
        reader.begin();
        reader.read(&mut record);
        assert!(writer.push(&[7; 512]) && writer.patience.is_zero());
        assert!(!writer.push(&[7; 512]) && writer.patience.is_zero());
        while reader.read(&mut record) != super::super::Read::Nothing {}
        assert!(writer.push(&[7; 512]) && writer.patience == PATIENCE);
    }
}
