//! The reading end of a log ring.
//!
//! Invariant: the tail counts in this value, and the word in shared memory only tells it; a head
//! or a length that cannot be is a fault, and reading goes on at the head. No frame is read beyond
//! the head that was seen before, so a pass ends though writers go on.

use std::sync::atomic::Ordering;

use super::{area::LogArea, writer::CHECK};

/// What [`LogReader::read`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A record.
    Record,
    /// No further record until the end of this pass.
    Nothing,
    /// Bytes that no writer of ours has written. What was unread is skipped.
    Fault,
}

/// The reading end of one ring.
#[derive(Debug)]
pub struct LogReader {
    area: LogArea,
    ring: usize,
    tail: u64,
    /// What the writer was told of it.
    told: u64,
    /// Where the pass ends.
    end: u64,
    lost: u64,
    dropped: u64,
}

impl LogReader {
    pub(super) fn new(area: LogArea, ring: usize) -> Self {
        Self { area, ring, tail: 0, told: 0, end: 0, lost: 0, dropped: 0 }
    }

    /// Begins a pass: what was handed over until now can be read. Returns how many bytes that is.
    pub fn begin(&mut self) -> u64 {
        // Acquire: pairs with the store in `LogWriter::push`.
        self.end = self.area.ring(self.ring).written.head.load(Ordering::Acquire);
        self.end.wrapping_sub(self.tail)
    }

    /// Copies the next record of the pass into `record`, in place of what was there.
    pub fn read(&mut self, record: &mut Vec<u8>) -> Read {
        let (unread, size) =
            (self.end.wrapping_sub(self.tail), self.area.shape().ring_bytes as u64);
        if unread == 0 {
            return Read::Nothing;
        }
        if unread > size || !unread.is_multiple_of(8) {
            return self.skip();
        }
        let words = self.area.ring_words(self.ring);
        let mask = words.len() - 1;
        let at = (self.tail / 8) as usize;
        // Relaxed: published by the head.
        let first = words[at & mask].load(Ordering::Relaxed);
        let len = first & u64::from(u32::MAX);
        let need = (8 + len).next_multiple_of(8);
        if first ^ len != CHECK || need > unread || len > self.area.max_record() as u64 {
            return self.skip();
        }
        record.clear();
        let count = (need / 8) as usize;
        record.extend(
            (1..count)
                .flat_map(|word| words[(at + word) & mask].load(Ordering::Relaxed).to_le_bytes()),
        );
        record.truncate(len as usize);
        self.tail = self.tail.wrapping_add(need);
        // Told seldom: the writer has the line.
        let told = self.told;
        if self.tail == self.end || self.tail.wrapping_sub(told) >= size / 16 {
            self.go_to(self.tail);
        }
        Read::Record
    }

    /// How many records were lost for want of room since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        // Relaxed: a count.
        let lost = self.area.ring(self.ring).written.lost.load(Ordering::Relaxed);
        lost.wrapping_sub(std::mem::replace(&mut self.lost, lost))
    }

    /// How many records were dropped for other reasons since this was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        // Relaxed: a count.
        let dropped = self.area.ring(self.ring).written.dropped.load(Ordering::Relaxed);
        dropped.wrapping_sub(std::mem::replace(&mut self.dropped, dropped))
    }

    #[cold]
    fn skip(&mut self) -> Read {
        self.go_to(self.end);
        Read::Fault
    }

    fn go_to(&mut self, tail: u64) {
        (self.tail, self.told) = (tail, tail);
        // Release: the bytes were read; pairs with the Acquire in `LogWriter::unread`.
        self.area.ring(self.ring).tail.store(tail, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pool_shm::Segment;

    use super::{
        super::{LogShape, MAX_RING_BYTES, MIN_RING_BYTES},
        *,
    };

    fn area(rings: usize) -> LogArea {
        let shape = LogShape { rings, ring_bytes: MIN_RING_BYTES, text: 3 };
        let segment = Segment::create("rings", shape.bytes() as u64).unwrap();
        LogArea::create(Arc::new(segment.map().unwrap()), 0, shape, b"abc")
    }

    fn all_of(reader: &mut LogReader) -> Vec<Vec<u8>> {
        let mut record = Vec::new();
        reader.begin();
        std::iter::from_fn(|| match reader.read(&mut record) {
            Read::Record => Some(record.clone()),
            Read::Nothing => None,
            Read::Fault => panic!("a fault"),
        })
        .collect()
    }

    #[test]
    fn records_of_all_lengths_come_out_in_order_round_after_round() {
        let area = area(2);
        let (mut writer, mut reader) = (area.writer(1).unwrap(), area.reader(1).unwrap());
        let mut expected = Vec::new();
        for len in 0..=area.max_record() {
            let record = vec![len as u8; len];
            assert!(writer.push(&record));
            expected.push(record);
            if len % 3 == 0 {
                assert_eq!(all_of(&mut reader), std::mem::take(&mut expected));
            }
        }
        assert_eq!(all_of(&mut reader), expected);
        assert!(area.writer(2).is_none() && area.reader(2).is_none());
        assert_eq!(all_of(&mut area.reader(0).unwrap()), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_has_no_room_is_counted_and_what_was_handed_over_stays() {
        let area = area(1);
        let (mut writer, mut reader) = (area.writer(0).unwrap(), area.reader(0).unwrap());
        assert!(!writer.push(&vec![1; area.max_record() + 1]));
        let pushed = (0..100u8).filter(|n| writer.push(&[*n; 100])).count();
        assert!(pushed < 100);
        assert_eq!(reader.take_lost(), 101 - pushed as u64);
        assert_eq!(reader.take_lost(), 0);
        let records = all_of(&mut reader);
        assert_eq!(records.len(), pushed);
        assert!(records.iter().enumerate().all(|(n, record)| *record == [n as u8; 100]));
        area.count_dropped(0);
        area.count_dropped(1);
        assert_eq!((reader.take_dropped(), reader.take_dropped()), (1, 0));
        // The next writer goes on behind what the last one has handed over.
        assert!(writer.push(b"last"));
        drop(writer);
        assert!(area.writer(0).unwrap().push(b"next"));
        assert_eq!(all_of(&mut reader), [b"last", b"next"]);
    }

    #[test]
    fn words_that_no_writer_has_written_are_faults_and_reading_goes_on() {
        let area = area(1);
        let (mut writer, mut reader) = (area.writer(0).unwrap(), area.reader(0).unwrap());
        let mut record = Vec::new();
        let bad = [0, u64::MAX, CHECK | 5000, CHECK | u64::from(u32::MAX), CHECK | 9, 1 << 33];
        for word in bad {
            assert!(writer.push(b"12345678"));
            let at = (reader.tail / 8) as usize % (MIN_RING_BYTES / 8);
            area.ring_words(0)[at].store(word, Ordering::Relaxed);
            reader.begin();
            assert_eq!(reader.read(&mut record), Read::Fault, "{word:#x}");
            assert_eq!(reader.read(&mut record), Read::Nothing);
            assert!(writer.push(b"good"));
            assert_eq!(all_of(&mut reader), [b"good"]);
        }
        let head = &area.ring(0).written.head;
        for wrong in [1, MIN_RING_BYTES as u64 + 8, u64::MAX] {
            head.store(reader.tail.wrapping_add(wrong), Ordering::Relaxed);
            reader.begin();
            assert_eq!(reader.read(&mut record), Read::Fault, "{wrong}");
            // The next writer finds a place to begin at.
            let mut writer = area.writer(0).unwrap();
            let _ = writer.push(b"first");
            reader.begin();
            while reader.read(&mut record) != Read::Nothing {}
            assert!(area.writer(0).unwrap().push(b"good"));
            assert_eq!(all_of(&mut reader).last().unwrap(), b"good");
        }
    }

    #[test]
    fn an_area_is_opened_only_where_it_is_and_as_it_is() {
        let shape = LogShape { rings: 3, ring_bytes: MIN_RING_BYTES, text: 4 };
        let bytes = shape.bytes() as u64 + 4096;
        let mapping = Arc::new(Segment::create("rings", bytes).unwrap().map().unwrap());
        assert!(LogArea::open(mapping.clone(), 128).is_none());
        let made = LogArea::create(mapping.clone(), 128, shape, b"text");
        let opened = LogArea::open(mapping.clone(), 128).unwrap();
        assert_eq!((opened.rings(), opened.text()), (3, b"text".to_vec()));
        made.set_word(1, 5);
        assert_eq!((opened.word(1), opened.word(0)), (5, 0));
        for offset in [0, 1, 64, bytes as usize, usize::MAX] {
            assert!(LogArea::open(mapping.clone(), offset).is_none(), "{offset}");
        }
        for ring_bytes in [0, 1, 4095, 5000, 2 * MAX_RING_BYTES] {
            assert!(!LogShape { ring_bytes, ..shape }.is_valid(), "{ring_bytes}");
        }
        assert!(!LogShape { rings: 0, ..shape }.is_valid());
    }
}
