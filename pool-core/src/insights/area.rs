//! The memory of the times of a set of workers, and what the parent writes there.
//!
//! Invariant: nothing that is read here is believed: a worker may scribble over its row, which then
//! shows wrong numbers, and no index comes from it unchecked.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pool_shm::Mapping;

use super::{
    layout::{
        CALL, CHUNKS_LEFT_OUT, COMPLETED, COMPLETED_BEFORE, DIED_AT, HEAD, HEADER, ITEM,
        InsightsShape, LIVES, MAGIC, NO_NUMBER, ORIGIN, PID, SEQUENCE, SINCE, STAGE, STREAM,
        TOTALS,
    },
    record::{BORN, DIED, tagged},
    stage::{Stage, TIMED_STAGES},
};
use crate::os;

/// The times of a set of workers. Clones are the same area.
#[derive(Clone)]
pub(crate) struct InsightsArea {
    memory: Memory,
    shape: InsightsShape,
}

#[derive(Clone)]
enum Memory {
    /// Behind the board, for processes.
    Mapped(Arc<Mapping>, usize),
    Own(Arc<Box<[AtomicU64]>>),
}

impl fmt::Debug for InsightsArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsightsArea").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl InsightsArea {
    /// Makes an area at `offset` of the mapping, whose memory there is zero.
    ///
    /// # Panics
    ///
    /// When the mapping is too small or read-only, or the offset is not a multiple of 128.
    pub(crate) fn create(mapping: Arc<Mapping>, offset: usize, shape: InsightsShape) -> Self {
        assert!(mapping.is_writable() && offset.is_multiple_of(128), "workers write to it");
        assert!(mapping.len() >= offset + shape.bytes(), "the area lies in the mapping");
        Self::begin(Memory::Mapped(mapping, offset), shape)
    }

    /// An area for threads, whose pages are touched where they are used.
    pub(crate) fn in_this_process(shape: InsightsShape) -> Self {
        let zeros = vec![0u64; shape.words()].into_boxed_slice();
        // SAFETY: `AtomicU64` has the size, alignment and validity of `u64`, and the allocation
        // goes on with the same layout.
        let words = unsafe { Box::from_raw(Box::into_raw(zeros) as *mut [AtomicU64]) };
        Self::begin(Memory::Own(Arc::new(words)), shape)
    }

    fn begin(memory: Memory, shape: InsightsShape) -> Self {
        let area = Self { memory, shape };
        let words = area.words();
        words[1].store(shape.rows as u64, Ordering::Relaxed);
        words[2].store(shape.records as u64, Ordering::Relaxed);
        words[3].store(os::monotonic_nanos(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `open`.
        words[0].store(MAGIC, Ordering::Release);
        area
    }

    /// The area at `offset` of the mapping, if there is one.
    pub(crate) fn open(mapping: Arc<Mapping>, offset: u64) -> Option<Self> {
        let offset = usize::try_from(offset).ok().filter(|at| *at > 0)?;
        let header = offset.checked_add(HEADER * size_of::<u64>())?;
        if header > mapping.len() || !offset.is_multiple_of(128) || !mapping.is_writable() {
            return None;
        }
        let room = mapping.len() - offset;
        let memory = Memory::Mapped(mapping, offset);
        let mut area = Self { memory, shape: InsightsShape { rows: 0, records: 0 } };
        let words = area.words();
        // Acquire: pairs with the Release in `begin`.
        if words[0].load(Ordering::Acquire) != MAGIC {
            return None;
        }
        let number = |word: usize| usize::try_from(words[word].load(Ordering::Relaxed)).ok();
        let (rows, records) = (number(1)?, number(2)?);
        if rows == 0 || rows > pool_ipc::board::MAX_PLACES || records > 1 << 28 {
            return None;
        }
        let shape = InsightsShape { rows, records };
        if shape.bytes() > room {
            return None;
        }
        area.shape = shape;
        Some(area)
    }

    pub(super) fn shape(&self) -> InsightsShape {
        self.shape
    }

    /// When the area began; its times count from there.
    pub(super) fn epoch(&self) -> u64 {
        self.words()[3].load(Ordering::Relaxed)
    }

    /// The time since the area began.
    pub(super) fn now(&self) -> u64 {
        os::monotonic_nanos().saturating_sub(self.epoch())
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match &self.memory {
            Memory::Own(words) => words,
            Memory::Mapped(mapping, offset) => {
                let len = if self.shape.rows == 0 { HEADER } else { self.shape.words() };
                // SAFETY: `create` and `open` have checked that so many words lie in the mapping,
                // which `self` holds, at an aligned place; all processes access them as atomics.
                unsafe { std::slice::from_raw_parts(mapping.as_ptr().add(*offset).cast(), len) }
            }
        }
    }

    /// The words of a worker; `None` if there is no such row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> Option<&[AtomicU64]> {
        if row >= self.shape.rows {
            return None;
        }
        let len = self.shape.row_words();
        let start = HEADER + row * len;
        self.words().get(start..start + len)
    }

    /// Notes that a worker is about to be started at a row that has none.
    pub(crate) fn worker_ordered(&self, row: usize) {
        let Some(words) = self.row(row) else { return };
        let now = self.now();
        let spent: u64 = totals(words).iter().fold(0, |sum, part| sum.wrapping_add(*part));
        let lives = words[LIVES].load(Ordering::Relaxed);
        words[LIVES].store(lives.wrapping_add(1), Ordering::Relaxed);
        words[DIED_AT].store(0, Ordering::Relaxed);
        words[PID].store(0, Ordering::Relaxed);
        words[ORIGIN].store(now.wrapping_sub(spent), Ordering::Relaxed);
        words[SINCE].store(now, Ordering::Relaxed);
        words[SEQUENCE].store(0, Ordering::Relaxed);
        words[STAGE].store(Stage::StartUp as u64, Ordering::Relaxed);
        self.append(words, &[tagged(BORN, now)]);
    }

    /// Notes when the worker of a row was reaped, for the parent, which may look later.
    pub(crate) fn note_reaped(&self, row: usize) {
        if let Some(words) = self.row(row) {
            words[DIED_AT].store(self.now().max(1), Ordering::Relaxed);
        }
    }

    /// Closes the row of a worker that has ended: `status` says how, `finished` how many items of
    /// the chunk that it had have results.
    pub(crate) fn worker_ended(&self, row: usize, status: i32, finished: Option<u64>) {
        let Some(words) = self.row(row) else { return };
        let Some(stage) = Stage::from_word(words[STAGE].load(Ordering::Relaxed)) else { return };
        let died = match words[DIED_AT].load(Ordering::Relaxed) {
            0 => self.now(),
            died => died,
        };
        if let Some(part) = stage.part() {
            let spent: u64 = totals(words).iter().fold(0, |sum, part| sum.wrapping_add(*part));
            let rest = died.wrapping_sub(words[ORIGIN].load(Ordering::Relaxed)).wrapping_sub(spent);
            // A worker that scribbled over its row may have left any number.
            let rest = if rest > died { 0 } else { rest };
            let total = words[TOTALS + part].load(Ordering::Relaxed);
            words[TOTALS + part].store(total.wrapping_add(rest), Ordering::Relaxed);
            self.append(words, &[tagged(DIED, died), status as u32 as u64]);
        }
        if let Some(finished) = finished {
            let before = words[COMPLETED_BEFORE].load(Ordering::Relaxed);
            let completed = words[COMPLETED].load(Ordering::Relaxed);
            words[COMPLETED].store(completed.max(before.wrapping_add(finished)), Ordering::Relaxed);
        }
        words[SINCE].store(died, Ordering::Relaxed);
        words[CALL].store(NO_NUMBER, Ordering::Relaxed);
        words[ITEM].store(NO_NUMBER, Ordering::Relaxed);
        words[SEQUENCE].store(0, Ordering::Relaxed);
        words[STAGE].store(Stage::Gone as u64, Ordering::Relaxed);
    }

    /// Closes all rows: the processes of the workers are gone.
    pub(crate) fn close(&self) {
        for row in 0..self.shape.rows {
            let is_open = self.row(row).is_some_and(|words| {
                Stage::from_word(words[STAGE].load(Ordering::Relaxed))
                    .is_some_and(|stage| stage.part().is_some())
            });
            if is_open {
                self.worker_ended(row, libc::SIGKILL, None);
            }
        }
    }

    /// Appends records of the parent, while the row has no worker.
    fn append(&self, words: &[AtomicU64], records: &[u64]) {
        let head = words[HEAD].load(Ordering::Relaxed);
        let room = self.shape.stream() as u64;
        let Some(end) = head.checked_add(records.len() as u64).filter(|end| *end <= room) else {
            if room > 0 {
                let left_out = words[CHUNKS_LEFT_OUT].load(Ordering::Relaxed);
                words[CHUNKS_LEFT_OUT].store(left_out.wrapping_add(1), Ordering::Relaxed);
            }
            return;
        };
        for (record, to) in records.iter().zip(&words[STREAM + head as usize..]) {
            to.store(*record, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of a reader.
        words[HEAD].store(end, Ordering::Release);
    }
}

/// The times of the stages of a row.
pub(super) fn totals(words: &[AtomicU64]) -> [u64; TIMED_STAGES] {
    std::array::from_fn(|part| words[TOTALS + part].load(Ordering::Relaxed))
}
