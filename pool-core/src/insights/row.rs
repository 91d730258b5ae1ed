//! What a row says, read by the parent.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{
    area::{InsightsArea, totals},
    histogram::BUCKETS,
    layout::{
        CHUNKS_LEFT_OUT, COMPLETED, HISTOGRAM, ITEMS_LEFT_OUT, LIVES, LONGEST, LONGEST_WORDS,
        MOST_LONGEST, MOST_TEXT, NO_NUMBER, ORIGIN, SEQUENCE, STAGE, STRIDE, TEXT_WORDS, TEXTS,
        TIMED,
    },
    stage::{Stage, TIMED_STAGES},
};

/// How often a row is read anew while its worker changes it.
const TRIES: usize = 64;

/// The times of a worker, of all its lives.
#[derive(Debug, Clone, Default)]
pub(super) struct RowTimes {
    pub(super) totals: [u64; TIMED_STAGES],
    pub(super) completed: u64,
    pub(super) timed: u64,
    pub(super) stride: u64,
    pub(super) lives: u64,
    pub(super) items_left_out: u64,
    pub(super) chunks_left_out: u64,
    /// Empty, or one count for each bucket.
    pub(super) histogram: Vec<u64>,
    pub(super) longest: Vec<Longest>,
}

/// One of the longest tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Longest {
    pub(super) time: u64,
    pub(super) worker: usize,
    pub(super) call: Option<u64>,
    pub(super) item: Option<u64>,
    pub(super) text: Option<String>,
}

impl RowTimes {
    /// The times of the worker at a row; `None` if none was there.
    pub(super) fn read(area: &InsightsArea, worker: usize) -> Option<Self> {
        let words = area.row(worker)?;
        let get = |word: usize| words[word].load(Ordering::Relaxed);
        if get(LIVES) == 0 {
            return None;
        }
        let (totals, longest) = read_whole(words, || {
            let mut totals = totals(words);
            let stage = Stage::from_word(get(STAGE)).unwrap_or(Stage::Gone);
            if let Some(part) = stage.part() {
                let spent = totals.iter().fold(0u64, |sum, part| sum.wrapping_add(*part));
                let rest = area.now().wrapping_sub(get(ORIGIN)).wrapping_sub(spent);
                // (A change may be under way after all, or the row is scribbled over.)
                totals[part] = totals[part].wrapping_add(if rest > 1 << 62 { 0 } else { rest });
            }
            (totals, read_longest(words, worker))
        });
        let histogram = (0..BUCKETS).map(|bucket| get(HISTOGRAM + bucket)).collect();
        Some(Self {
            totals,
            completed: get(COMPLETED),
            timed: get(TIMED),
            stride: get(STRIDE),
            lives: get(LIVES),
            items_left_out: get(ITEMS_LEFT_OUT),
            chunks_left_out: get(CHUNKS_LEFT_OUT),
            histogram,
            longest,
        })
    }

    /// Adds what another set of workers did under this id.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, part) in self.totals.iter_mut().zip(other.totals) {
            *sum = sum.saturating_add(part);
        }
        for (sum, part) in [
            (&mut self.completed, other.completed),
            (&mut self.timed, other.timed),
            (&mut self.lives, other.lives),
            (&mut self.items_left_out, other.items_left_out),
            (&mut self.chunks_left_out, other.chunks_left_out),
        ] {
            *sum = sum.saturating_add(part);
        }
        self.stride = self.stride.max(other.stride);
        self.histogram.resize(BUCKETS, 0);
        for (sum, part) in self.histogram.iter_mut().zip(&other.histogram) {
            *sum = sum.saturating_add(*part);
        }
        self.longest.extend(other.longest.iter().cloned());
        keep_longest(&mut self.longest);
    }
}

/// The sum of numbers that may come from a scribbled row: the largest number where it is larger.
pub(super) fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// Keeps the five longest, the longest first.
pub(super) fn keep_longest(longest: &mut Vec<Longest>) {
    longest.sort_by_key(|task| std::cmp::Reverse(task.time));
    longest.truncate(MOST_LONGEST);
}

fn read_longest(words: &[AtomicU64], worker: usize) -> Vec<Longest> {
    let get = |word: usize| words[word].load(Ordering::Relaxed);
    let number = |word: u64| (word != NO_NUMBER).then_some(word);
    let task = |rank: usize| {
        let entry = LONGEST + rank * LONGEST_WORDS;
        let len = get(entry + 3).min(MOST_TEXT as u64) as usize;
        let bytes: Vec<u8> = (0..TEXT_WORDS)
            .flat_map(|word| get(TEXTS + rank * TEXT_WORDS + word).to_le_bytes())
            .take(len)
            .collect();
        let text = (len > 0).then(|| String::from_utf8_lossy(&bytes).into_owned());
        let (call, item) = (number(get(entry + 1)), number(get(entry + 2)));
        Longest { time: get(entry), worker, call, item, text }
    };
    (0..MOST_LONGEST).map(task).filter(|task| task.time > 0).collect()
}

/// Reads words that belong together, again while their writer changes them.
pub(super) fn read_whole<T>(words: &[AtomicU64], read: impl Fn() -> T) -> T {
    for _ in 0..TRIES {
        // Acquire: pairs with the Release in `RowWriter::end_change`.
        let before = words[SEQUENCE].load(Ordering::Acquire);
        let read = read();
        // Acquire: pairs with the Release fence in `RowWriter::begin_change`.
        fence(Ordering::Acquire);
        if before.is_multiple_of(2) && words[SEQUENCE].load(Ordering::Relaxed) == before {
            return read;
        }
        std::hint::spin_loop();
    }
    // A writer that was killed at a change, or stopped.
    read()
}
