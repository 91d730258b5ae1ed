//! What a worker writes to its row while it lives: times of its stages, chunks and items.
//!
//! Invariant: the times of the stages sum to the time since the row's origin, whatever instruction
//! the worker is killed at, since what is not in a sum yet belongs to the stage that the row names.

use std::{
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering, fence},
};

use super::{
    area::{InsightsArea, totals},
    describe::cut,
    histogram::bucket_of,
    layout::{
        CALL, CHUNK_RECORDS, CHUNKS_LEFT_OUT, COMPLETED, COMPLETED_BEFORE, HEAD, HISTOGRAM, ITEM,
        ITEM_RECORDS, ITEMS_LEFT_OUT, LIVES, LONGEST, LONGEST_WORDS, MOST_LONGEST, MOST_TEXT,
        NO_NUMBER, ORIGIN, PID, SEQUENCE, SINCE, STAGE, STREAM, STRIDE, TEXT_WORDS, TEXTS, TIMED,
        TOTALS,
    },
    record::{CHUNK, CHUNK_END, EXIT, GONE, INIT, INIT_END, ITEM_TIME, READY, tagged},
    stage::{Stage, TIMED_STAGES},
};
use crate::os;

/// Items that take less on average than so many readings of the clock (which takes 8 to 35 ns) are
/// sampled.
const READINGS_PER_ITEM: u64 = 64;
/// Of sampled items, one is timed in as many as take so many readings: two of them at the least.
const READINGS_PER_SAMPLE: u64 = 320;
/// Looks at the cost of a reading when a worker begins.
const LOOKS: usize = 16;

/// Numbers a call and the first item of a chunk; `None`: they have none.
pub(crate) type Numbers = (Option<u64>, Option<u64>);

/// The row of a worker, as that worker has it.
pub(crate) struct RowWriter {
    /// Within the memory of `area`.
    words: NonNull<[AtomicU64]>,
    area: InsightsArea,
    epoch: u64,
    stage: Stage,
    /// When the present stage began.
    stage_began: u64,
    totals: [u64; TIMED_STAGES],
    sequence: u64,
    head: usize,
    /// Records of items, and of chunks instead, that may still be written.
    item_records: usize,
    chunk_records: usize,
    completed: u64,
    timed: u64,
    /// Nanoseconds that a reading of the clock takes.
    reading: u64,
    /// Nanoseconds that an item takes on average; 0: not known yet.
    mean: u64,
    /// The times of the longest tasks, and the numbers of those in the chunk in hand.
    longest: [(u64, Option<usize>); MOST_LONGEST],
    /// The text of the item in hand, where it has to be made before its task.
    text: Option<String>,
    chunk: Chunk,
    /// The next item at which the clock is read.
    due: usize,
}

/// The chunk in hand.
#[derive(Debug, Default, Clone, Copy)]
struct Chunk {
    began: u64,
    call: Option<u64>,
    first: Option<u64>,
    /// How many items it has.
    count: usize,
    /// One item of so many is timed.
    stride: usize,
    next_timed: usize,
    /// The item that is being timed, and when it began.
    open: Option<(usize, u64)>,
    /// Whether the chunk has a record, and how many of its items have one.
    is_recorded: bool,
    recorded: u64,
}

// SAFETY: the words are atomics in memory that `area`, which is `Send`, holds.
unsafe impl Send for RowWriter {}

impl fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowWriter").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// Nanoseconds that a reading of the clock takes here.
fn reading_time() -> u64 {
    let mut before = os::monotonic_nanos();
    let looks = (0..LOOKS).map(|_| {
        let now = os::monotonic_nanos();
        now.saturating_sub(std::mem::replace(&mut before, now))
    });
    looks.min().unwrap_or(0).clamp(8, 1_000)
}

impl RowWriter {
    /// The row of a worker that was ordered, for that worker alone.
    pub(crate) fn new(area: InsightsArea, row: usize, pid: u32) -> Option<Self> {
        let words = NonNull::from(area.row(row)?);
        let (epoch, shape) = (area.epoch(), area.shape());
        // SAFETY: the words lie in memory that `area` holds.
        let row = unsafe { words.as_ref() };
        let get = |word: usize| row[word].load(Ordering::Relaxed);
        let totals = totals(row);
        let spent = totals.iter().fold(0u64, |sum, part| sum.wrapping_add(*part));
        let used = |word: usize| usize::try_from(get(word)).unwrap_or(usize::MAX);
        row[PID].store(u64::from(pid), Ordering::Relaxed);
        Some(Self {
            epoch,
            stage: Stage::StartUp,
            stage_began: get(ORIGIN).wrapping_add(spent),
            totals,
            sequence: 0,
            head: used(HEAD).min(shape.stream()),
            item_records: shape.records.saturating_sub(used(ITEM_RECORDS)),
            chunk_records: shape.chunk_records().saturating_sub(used(CHUNK_RECORDS)),
            completed: get(COMPLETED),
            timed: get(TIMED),
            reading: reading_time(),
            mean: 0,
            longest: std::array::from_fn(|at| (get(LONGEST + at * LONGEST_WORDS), None)),
            text: None,
            chunk: Chunk::default(),
            due: usize::MAX,
            words,
            area,
        })
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the words lie in memory that `area` holds.
        unsafe { self.words.as_ref() }
    }

    #[inline]
    fn set(&self, word: usize, value: u64) {
        // Relaxed: readers of several words check the sequence.
        self.words()[word].store(value, Ordering::Relaxed);
    }

    #[inline]
    fn now(&self) -> u64 {
        os::monotonic_nanos().saturating_sub(self.epoch)
    }

    /// The worker can take chunks.
    pub(crate) fn ready(&mut self) {
        let now = self.now();
        self.switch(Stage::Waiting, now);
        self.append(&[tagged(READY, now), self.words()[PID].load(Ordering::Relaxed)], 0);
    }

    /// The worker makes its state.
    pub(crate) fn begin_init(&mut self) {
        let now = self.now();
        self.switch(Stage::Init, now);
        self.append(&[tagged(INIT, now)], 0);
    }

    pub(crate) fn end_init(&mut self) {
        let now = self.now();
        self.switch(Stage::Waiting, now);
        self.append(&[tagged(INIT_END, now)], 0);
    }

    /// The worker is at its exit.
    pub(crate) fn begin_exit(&mut self) {
        if self.stage != Stage::Exit {
            let now = self.now();
            self.switch(Stage::Exit, now);
            self.append(&[tagged(EXIT, now)], 0);
        }
    }

    /// The exit is over, and a next life begins in the same thread.
    pub(crate) fn begin_next_life(&mut self) {
        self.count(LIVES, 1);
        self.ready();
    }

    /// The worker ends.
    pub(crate) fn gone(&mut self) {
        let now = self.now();
        self.append(&[tagged(GONE, now)], 0);
        self.switch(Stage::Gone, now);
    }

    /// Ends the present stage at `now`.
    fn switch(&mut self, stage: Stage, now: u64) {
        let ended = self.stage.part();
        if let Some(part) = ended {
            // (This, too, was read from the row, which may hold any number.)
            let spent = now.saturating_sub(self.stage_began);
            self.totals[part] = self.totals[part].wrapping_add(spent);
        }
        (self.stage, self.stage_began) = (stage, now.max(self.stage_began));
        self.begin_change();
        if let Some(part) = ended {
            self.set(TOTALS + part, self.totals[part]);
        }
        self.set(STAGE, stage as u64);
        self.set(SINCE, now);
        self.set(CALL, self.chunk.call.unwrap_or(NO_NUMBER));
        self.set(ITEM, self.chunk.first.unwrap_or(NO_NUMBER));
        self.end_change();
    }

    fn begin_change(&mut self) {
        self.sequence += 1;
        self.set(SEQUENCE, self.sequence);
        // Release: pairs with the Acquire fence of a reader.
        fence(Ordering::Release);
    }

    fn end_change(&mut self) {
        self.sequence += 1;
        // Release: pairs with the Acquire of a reader.
        self.words()[SEQUENCE].store(self.sequence, Ordering::Release);
    }

    /// The worker begins a chunk of `count` items, numbered from `first` on; `skipped` of them have
    /// their results already.
    pub(crate) fn begin_chunk(&mut self, (call, first): Numbers, (count, skipped): (usize, usize)) {
        let now = self.now();
        let is_long = self.mean == 0 || self.mean >= READINGS_PER_ITEM * self.reading;
        let stride = match (READINGS_PER_SAMPLE * self.reading).checked_div(self.mean) {
            Some(stride) if !is_long => stride.max(2) as usize,
            _ => 1,
        };
        self.chunk = Chunk {
            began: now,
            call,
            first,
            count,
            stride,
            next_timed: 0,
            open: None,
            is_recorded: self.item_records > 0 || self.chunk_records > 0,
            recorded: 0,
        };
        self.switch(Stage::Working, now);
        if self.chunk.is_recorded {
            let first = first.map_or(NO_NUMBER, |first| first.wrapping_add(skipped as u64));
            let record = [tagged(CHUNK, now), call.unwrap_or(NO_NUMBER), first];
            self.chunk.is_recorded = self.append(&record, 2);
        }
        if stride > 1 && self.words()[STRIDE].load(Ordering::Relaxed) < stride as u64 {
            self.set(STRIDE, stride as u64);
        }
        self.set(COMPLETED_BEFORE, self.completed);
        self.longest.iter_mut().for_each(|(_, at)| *at = None);
        self.due = 0;
    }

    /// The next item of the chunk at which [`RowWriter::at_item`] is to be called.
    #[inline]
    pub(crate) fn due(&self) -> usize {
        self.due
    }

    /// The worker is about to run item number `at` of the chunk.
    pub(crate) fn at_item(&mut self, at: usize) {
        let now = self.now();
        self.close_item(now);
        if at >= self.chunk.count {
            self.due = usize::MAX;
            return;
        }
        if at < self.chunk.next_timed {
            self.due = self.chunk.next_timed;
            return;
        }
        self.chunk.open = Some((at, now));
        self.chunk.next_timed = at + self.chunk.stride;
        self.due = at + 1;
        self.set(SINCE, now);
        self.set(COMPLETED, self.completed.wrapping_add(at as u64));
        if let Some(first) = self.chunk.first {
            self.set(ITEM, first.wrapping_add(at as u64));
        }
    }

    /// Ends the item that is being timed, if there is one.
    #[inline]
    fn close_item(&mut self, now: u64) {
        let Some((at, began)) = self.chunk.open.take() else { return };
        let time = now.saturating_sub(began);
        let bucket = HISTOGRAM + bucket_of(time);
        let count = self.words()[bucket].load(Ordering::Relaxed);
        self.set(bucket, count.wrapping_add(1));
        self.timed = self.timed.wrapping_add(1);
        self.set(TIMED, self.timed);
        if self.chunk.stride == 1 && self.item_records > 0 && self.chunk.is_recorded {
            // (There is room: that of each record was kept.)
            let head = self.head;
            if let Some(word) = self.words().get(STREAM + head) {
                word.store(tagged(ITEM_TIME, time), Ordering::Relaxed);
                self.head = head + 1;
                self.item_records -= 1;
                self.chunk.recorded += 1;
                // Release: pairs with the Acquire of a reader.
                self.words()[HEAD].store(self.head as u64, Ordering::Release);
            }
        }
        if time > self.longest[MOST_LONGEST - 1].0 {
            self.add_longest(at, time);
        }
    }

    /// Ends the item in hand, the last one of the chunk.
    pub(crate) fn end_items(&mut self) {
        if self.chunk.open.is_some() {
            let now = self.now();
            self.close_item(now);
        }
        self.due = usize::MAX;
    }

    /// The items of the chunk in hand that are among the longest tasks.
    pub(crate) fn long_items(&self) -> impl Iterator<Item = usize> + use<> {
        self.longest.into_iter().filter_map(|(_, at)| at)
    }

    /// Notes the text of the item that is about to run.
    pub(crate) fn set_text(&mut self, text: Option<String>) {
        self.text = text;
    }

    /// Adds an item of the chunk to the longest tasks.
    #[cold]
    fn add_longest(&mut self, at: usize, time: u64) {
        let rank = self.longest.iter().position(|(known, _)| *known < time);
        let Some(rank) = rank else { return };
        self.begin_change();
        for to in (rank + 1..MOST_LONGEST).rev() {
            for word in 0..LONGEST_WORDS {
                let from = LONGEST + (to - 1) * LONGEST_WORDS + word;
                self.set(from + LONGEST_WORDS, self.words()[from].load(Ordering::Relaxed));
            }
            for word in 0..TEXT_WORDS {
                let from = TEXTS + (to - 1) * TEXT_WORDS + word;
                self.set(from + TEXT_WORDS, self.words()[from].load(Ordering::Relaxed));
            }
        }
        self.longest[rank..].rotate_right(1);
        self.longest[rank] = (time, Some(at));
        let entry = LONGEST + rank * LONGEST_WORDS;
        self.set(entry, time);
        self.set(entry + 1, self.chunk.call.unwrap_or(NO_NUMBER));
        let item = self.chunk.first.map_or(NO_NUMBER, |first| first.wrapping_add(at as u64));
        self.set(entry + 2, item);
        self.set(entry + 3, 0);
        self.end_change();
        if let Some(text) = self.text.take() {
            self.describe(at, &text);
        }
    }

    /// Notes the text of an item of the chunk that is among the longest tasks.
    pub(crate) fn describe(&mut self, at: usize, text: &str) {
        let Some(rank) = self.longest.iter().position(|(_, item)| *item == Some(at)) else {
            return;
        };
        let text = cut(text, MOST_TEXT);
        self.begin_change();
        for (word, bytes) in text.as_bytes().chunks(8).enumerate() {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            self.set(TEXTS + rank * TEXT_WORDS + word, u64::from_le_bytes(whole));
        }
        self.set(LONGEST + rank * LONGEST_WORDS + 3, text.len() as u64);
        self.end_change();
    }

    /// The chunk ends, and `done` of its items have results.
    pub(crate) fn end_chunk(&mut self, done: usize) {
        let now = self.now();
        self.close_item(now);
        self.text = None;
        self.due = usize::MAX;
        let chunk = self.chunk;
        (self.chunk.call, self.chunk.first) = (None, None);
        self.completed = self.completed.wrapping_add(done as u64);
        // (`COMPLETED_BEFORE` stays: where the worker is killed before it reports the chunk, the
        // items of that count from there.)
        self.set(COMPLETED, self.completed);
        self.switch(Stage::Waiting, now);
        if let Some(mean) = now.saturating_sub(chunk.began).checked_div(done as u64) {
            let mean = mean.max(1);
            // It rises slowly: a chunk that lost its CPU meanwhile says nothing of its items.
            self.mean =
                if self.mean == 0 { mean } else { mean.min(self.mean + self.mean / 16 + 1) };
        }
        if chunk.is_recorded {
            if chunk.recorded == 0 {
                // A record of the chunk instead of its items.
                match self.chunk_records.checked_sub(1) {
                    Some(left) => self.chunk_records = left,
                    None => self.item_records = self.item_records.saturating_sub(1),
                }
            }
            self.append(&[tagged(CHUNK_END, now), done as u64], 0);
        } else if self.area.shape().records > 0 {
            self.count(CHUNKS_LEFT_OUT, 1);
        }
        if self.area.shape().records > 0 {
            // (The record of a chunk of one item is that of its item.)
            let recorded = if chunk.is_recorded && done == 1 { 1 } else { chunk.recorded };
            self.count(ITEMS_LEFT_OUT, (done as u64).saturating_sub(recorded));
            let shape = self.area.shape();
            self.set(ITEM_RECORDS, (shape.records - self.item_records) as u64);
            self.set(CHUNK_RECORDS, (shape.chunk_records() - self.chunk_records) as u64);
        }
    }

    fn count(&self, word: usize, more: u64) {
        if more > 0 {
            let count = self.words()[word].load(Ordering::Relaxed);
            self.set(word, count.wrapping_add(more));
        }
    }

    /// Appends the words of a record, behind which room for `more` words is kept; `false` where
    /// there is none.
    fn append(&mut self, record: &[u64], more: usize) -> bool {
        let end = self.head + record.len();
        if end + more > self.area.shape().stream() {
            return false;
        }
        for (word, to) in record.iter().zip(self.head..) {
            self.set(STREAM + to, *word);
        }
        self.head = end;
        // Release: pairs with the Acquire of a reader.
        self.words()[HEAD].store(end as u64, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::read_records, *};
    use crate::insights::{
        collection::Collection, layout::InsightsShape, options::InsightsOptions, record::Record,
        row::RowTimes,
    };

    fn writer(records: usize) -> (InsightsArea, RowWriter) {
        let area = InsightsArea::in_this_process(InsightsShape::new(1, records));
        area.worker_ordered(0);
        let mut writer = RowWriter::new(area.clone(), 0, 7).unwrap();
        writer.ready();
        (area, writer)
    }

    fn run(writer: &mut RowWriter, items: usize) {
        writer.begin_chunk((Some(1), Some(0)), (items, 0));
        for at in 0..items {
            if at >= writer.due() {
                writer.at_item(at);
            }
        }
        writer.end_chunk(items);
    }

    #[test]
    fn short_items_are_sampled_and_long_ones_timed_each() {
        let (area, mut writer) = writer(100);
        writer.mean = READINGS_PER_ITEM * writer.reading;
        run(&mut writer, 50);
        let times = RowTimes::read(&area, 0).unwrap();
        assert_eq!(
            (times.completed, times.timed, times.stride, times.items_left_out),
            (50, 50, 0, 0)
        );
        writer.mean = 1;
        run(&mut writer, 1_000);
        let times = RowTimes::read(&area, 0).unwrap();
        let stride = READINGS_PER_SAMPLE * writer.reading;
        assert_eq!((times.completed, times.stride), (1_050, stride));
        assert_eq!(times.timed, 50 + 1_000u64.div_ceil(stride));
        assert_eq!(times.items_left_out, 1_000);
        assert_eq!(times.histogram.iter().sum::<u64>(), times.timed);
    }

    #[test]
    fn records_are_bounded_and_the_rest_is_counted() {
        let (area, mut writer) = writer(8);
        for _ in 0..10 {
            writer.mean = 0;
            run(&mut writer, 3);
        }
        let records = read_records(area.row(0).unwrap(), area.shape().stream());
        let count = |of: fn(&Record) -> bool| records.iter().filter(|record| of(record)).count();
        let items = count(|record| matches!(record, Record::Item(_)));
        let chunks = count(|record| matches!(record, Record::Chunk { .. }));
        assert_eq!((items, chunks), (8, 5), "three chunks of items, and two of a quarter of 8");
        let times = RowTimes::read(&area, 0).unwrap();
        assert_eq!((times.items_left_out, times.chunks_left_out), (30 - 8, 10 - 5));
        writer.gone();
        let records = read_records(area.row(0).unwrap(), area.shape().stream());
        assert!(matches!(records.last(), Some(Record::Gone(_))), "ends have room");
    }

    #[test]
    fn a_killed_worker_has_spent_all_of_its_time() {
        let (area, mut writer) = writer(8);
        writer.begin_chunk((None, Some(5)), (3, 0));
        writer.at_item(0);
        writer.at_item(1);
        drop(writer); // as if it was killed at the second item
        area.note_reaped(0);
        area.worker_ended(0, libc::SIGKILL, Some(1));
        let words = area.row(0).unwrap();
        let get = |word: usize| words[word].load(Ordering::Relaxed);
        let died = get(super::super::layout::DIED_AT);
        assert_eq!(totals(words).iter().sum::<u64>(), died - get(ORIGIN));
        assert_eq!(get(COMPLETED), 1);
        let records = read_records(words, area.shape().stream());
        assert_eq!(records.last(), Some(&Record::Died { at: died, status: libc::SIGKILL }));
        // The next worker goes on in the row.
        area.worker_ordered(0);
        let mut next = RowWriter::new(area.clone(), 0, 8).unwrap();
        next.ready();
        run(&mut next, 2);
        let times = RowTimes::read(&area, 0).unwrap();
        assert_eq!((times.completed, times.lives), (3, 2));
    }

    #[test]
    fn items_count_once_where_the_report_of_their_chunk_is_missing() {
        let (area, mut writer) = writer(8);
        run(&mut writer, 2);
        run(&mut writer, 3);
        drop(writer); // as if it was killed before its report
        area.worker_ended(0, libc::SIGKILL, Some(3));
        assert_eq!(RowTimes::read(&area, 0).unwrap().completed, 5);
        // One that has begun nothing adds nothing.
        area.worker_ordered(0);
        RowWriter::new(area.clone(), 0, 8).unwrap().ready();
        area.worker_ended(0, libc::SIGKILL, Some(0));
        assert_eq!(RowTimes::read(&area, 0).unwrap().completed, 5);
    }

    #[test]
    fn a_scribbled_row_is_no_panic() {
        for number in [u64::MAX, u64::MAX / 2, 1 << 63, 1 << 62, 1] {
            let shape = InsightsShape::new(2, 8);
            let collection = Collection::new(InsightsOptions::new().trace_records(8), 2).unwrap();
            let area = InsightsArea::in_this_process(shape);
            let open = collection.open(area.clone());
            let scribble = || {
                for words in (0..2).filter_map(|row| area.row(row)) {
                    // (A time of a record has its tag in the word.)
                    words.iter().take(STREAM).for_each(|to| to.store(number, Ordering::Relaxed));
                }
            };
            let look = || {
                let insights = collection.insights();
                let _ = (insights.to_string(), collection.activity());
                collection.write_trace(&mut std::io::sink()).unwrap();
                collection.write_svg(&mut std::io::sink()).unwrap();
            };
            (0..2).for_each(|row| area.worker_ordered(row));
            scribble();
            look();
            // A worker goes on in such a row, and another one scribbles meanwhile.
            let mut writer = RowWriter::new(area.clone(), 0, 7).unwrap();
            writer.ready();
            run(&mut writer, 3);
            scribble();
            run(&mut writer, 3);
            look();
            writer.gone();
            area.worker_ended(0, 0, Some(u64::MAX));
            look();
            scribble();
            open.close();
            // They are folded together with those of the next set of workers.
            let next = InsightsArea::in_this_process(shape);
            let _open = collection.open(next.clone());
            next.worker_ordered(0);
            look();
        }
    }
}
