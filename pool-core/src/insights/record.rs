//! The records of a row: a stream of words, each with a tag and a time.
//!
//! ```text
//! BORN t        a worker was ordered          READY t, pid  it can take chunks
//! INIT t        worker_init begins            INIT_END t
//! CHUNK t, call, first item                   ITEM d        the next item has taken d
//! CHUNK_END t, items                          EXIT t        worker_exit begins
//! GONE t        the worker ends by itself     DIED t, status
//! ```
//!
//! Invariant: the head of a stream moves past a record when all of its words are there, so a worker
//! that is killed leaves whole records.

use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{HEAD, NO_NUMBER, STREAM};

pub(super) const BORN: u8 = 1;
pub(super) const READY: u8 = 2;
pub(super) const INIT: u8 = 3;
pub(super) const INIT_END: u8 = 4;
pub(super) const CHUNK: u8 = 5;
pub(super) const ITEM_TIME: u8 = 6;
pub(super) const CHUNK_END: u8 = 7;
pub(super) const EXIT: u8 = 8;
pub(super) const GONE: u8 = 9;
pub(super) const DIED: u8 = 10;

const TIME_BITS: u32 = 56;

/// A word with a tag and a time.
#[inline]
pub(super) fn tagged(tag: u8, time: u64) -> u64 {
    u64::from(tag) << TIME_BITS | time.min((1 << TIME_BITS) - 1)
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Born(u64),
    Ready { at: u64, pid: u64 },
    Init(u64),
    InitEnd(u64),
    Chunk { at: u64, call: Option<u64>, first: Option<u64> },
    Item(u64),
    ChunkEnd { at: u64, items: u64 },
    Exit(u64),
    Gone(u64),
    Died { at: u64, status: i32 },
}

/// The records of a row that are there now; a tag that is none ends them.
pub(super) fn read_records(words: &[AtomicU64], room: usize) -> Vec<Record> {
    // Acquire: pairs with the Release of the writer.
    let head = words[HEAD].load(Ordering::Acquire).min(room as u64) as usize;
    let stream = &words[STREAM..STREAM + head];
    let mut words = stream.iter().map(|word| word.load(Ordering::Relaxed));
    let mut records = Vec::new();
    while let Some(word) = words.next() {
        let at = word & ((1 << TIME_BITS) - 1);
        let number = |word: u64| (word != NO_NUMBER).then_some(word);
        let record = match (word >> TIME_BITS) as u8 {
            BORN => Record::Born(at),
            READY => match words.next() {
                Some(pid) => Record::Ready { at, pid },
                None => break,
            },
            INIT => Record::Init(at),
            INIT_END => Record::InitEnd(at),
            ITEM_TIME => Record::Item(at),
            EXIT => Record::Exit(at),
            GONE => Record::Gone(at),
            CHUNK => match (words.next(), words.next()) {
                (Some(call), Some(first)) => {
                    Record::Chunk { at, call: number(call), first: number(first) }
                }
                _ => break,
            },
            CHUNK_END => match words.next() {
                Some(items) => Record::ChunkEnd { at, items },
                None => break,
            },
            DIED => match words.next() {
                Some(status) => Record::Died { at, status: status as i32 },
                None => break,
            },
            _ => break,
        };
        records.push(record);
    }
    records
}
