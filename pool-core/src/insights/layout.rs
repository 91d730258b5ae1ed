//! The layout of an area: words of 64 bits, one row of them for each worker.
//!
//! Invariant: fresh zeroed memory is a valid area in which no worker has begun. A row is written by
//! its worker alone while that lives, and by the parent before and after; rows begin at multiples
//! of 128 bytes, so no two processes write to one cache line.

use super::histogram::BUCKETS;

/// The first word of an area.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"pool-tim");
/// Words of the header: magic, rows, words of a row, when the area began, and its record limits.
pub(super) const HEADER: usize = 16;
/// Words that the parts begin at multiples of.
const LINE: usize = 16;

/// Odd while the words of a row that belong together change.
pub(super) const SEQUENCE: usize = 0;
pub(super) const STAGE: usize = 1;
/// When the present stage, or item, began.
pub(super) const SINCE: usize = 2;
pub(super) const CALL: usize = 3;
/// The item in hand.
pub(super) const ITEM: usize = 4;
/// The times of all stages sum to the time since then.
pub(super) const ORIGIN: usize = 5;
pub(super) const PID: usize = 6;
pub(super) const COMPLETED: usize = 7;
/// Completed items before the chunk in hand.
pub(super) const COMPLETED_BEFORE: usize = 8;
/// Items whose own time was taken.
pub(super) const TIMED: usize = 9;
/// Of so many items at most, one had its time taken.
pub(super) const STRIDE: usize = 10;
/// Words of the record stream that are written.
pub(super) const HEAD: usize = 11;
/// Items and chunks that have no record of their own.
pub(super) const ITEMS_LEFT_OUT: usize = 12;
pub(super) const CHUNKS_LEFT_OUT: usize = 13;
/// Records of items and of chunks instead of items.
pub(super) const ITEM_RECORDS: usize = 14;
pub(super) const CHUNK_RECORDS: usize = 15;
/// The times of the stages.
pub(super) const TOTALS: usize = 16;
/// Written by the process that reaps the worker: when that was.
pub(super) const DIED_AT: usize = 24;
/// Counts the lives at this row.
pub(super) const LIVES: usize = 25;
/// The longest tasks: for each its time, call, item, and the bytes of its text.
pub(super) const LONGEST: usize = 32;
pub(super) const LONGEST_WORDS: usize = 4;
/// How many longest tasks are kept.
pub(super) const MOST_LONGEST: usize = 5;
/// Their texts.
pub(super) const TEXTS: usize = LONGEST + (MOST_LONGEST * LONGEST_WORDS).next_multiple_of(LINE);
/// Words of each text.
pub(super) const TEXT_WORDS: usize = 32;
pub(super) const HISTOGRAM: usize = TEXTS + MOST_LONGEST * TEXT_WORDS;
/// Where the stream begins.
pub(super) const STREAM: usize = HISTOGRAM + BUCKETS.next_multiple_of(LINE);

/// The most bytes of the text of an argument.
pub(super) const MOST_TEXT: usize = TEXT_WORDS * 8;
/// A call or an item without a number.
pub(super) const NO_NUMBER: u64 = u64::MAX;

/// Words of the stream that are kept for starts and ends of workers.
const FOR_LIVES: usize = 4096;
/// Words that a chunk takes, and one that its item does.
pub(super) const CHUNK_WORDS: usize = 5;

/// How large an area is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InsightsShape {
    pub(super) rows: usize,
    /// Records of items that each row has room for.
    pub(super) records: usize,
}

impl InsightsShape {
    /// So many workers with so many records in all.
    pub(crate) fn new(rows: usize, records: usize) -> Self {
        Self { rows, records: if records == 0 { 0 } else { records.div_ceil(rows) } }
    }

    /// Records of chunks, once there are enough of items.
    pub(super) fn chunk_records(self) -> usize {
        self.records.div_ceil(4)
    }

    /// Words that records of items and chunks may fill.
    pub(super) fn stream_for_tasks(self) -> usize {
        self.records * (CHUNK_WORDS + 1) + self.chunk_records() * CHUNK_WORDS
    }

    pub(super) fn stream(self) -> usize {
        let lives = if self.records == 0 { 0 } else { FOR_LIVES };
        self.stream_for_tasks() + lives
    }

    pub(super) fn row_words(self) -> usize {
        (STREAM + self.stream()).next_multiple_of(LINE)
    }

    pub(super) fn words(self) -> usize {
        HEADER + self.rows * self.row_words()
    }

    /// Bytes of memory that an area of this shape takes.
    pub(crate) fn bytes(self) -> usize {
        self.words() * size_of::<u64>()
    }
}
