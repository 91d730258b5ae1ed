//! A publisher and claimers that use a board as a pool does, and count.
//!
//! They work between threads and between forked processes alike: they share only one segment.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use pool_ipc::board::{
    Board, Claimer, Description, End, Incarnation, Progress, Shape, SlotIndex, SlotState,
    WakeThreshold,
};
use pool_shm::{Mapping, Segment, futex};

/// A board, the word that its publisher sleeps on, and a counter for each item.
#[derive(Clone)]
pub(crate) struct SharedBoard {
    pub(crate) board: Board,
    mapping: Arc<Mapping>,
    items: usize,
}

impl SharedBoard {
    pub(crate) fn new(shape: Shape, items: usize) -> Self {
        let words = shape.bytes() + (1 + items) * size_of::<u32>();
        let segment = Segment::create("board", words as u64).expect("create");
        let mapping = Arc::new(segment.map().expect("map"));
        Self { board: Board::new(Arc::clone(&mapping), shape), mapping, items }
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index <= self.items);
        let offset = self.board.shape().bytes() + index * size_of::<u32>();
        // SAFETY: behind the board, inside the mapping, aligned, and used as an atomic only.
        unsafe { AtomicU32::from_ptr(self.mapping.as_ptr().add(offset).cast()) }
    }

    fn wake_count(&self) -> &AtomicU32 {
        self.word(0)
    }

    /// How often item `index` was begun.
    pub(crate) fn begun(&self, index: usize) -> &AtomicU32 {
        self.word(1 + index)
    }

    fn wake_publisher(&self) {
        self.wake_count().fetch_add(1, SeqCst);
        futex::wake(self.wake_count(), 1);
    }

    /// Runs a claimer until it is asked to leave. Returns how many chunks it ran.
    pub(crate) fn claim_until_asked_to_leave(&self, place: u32, incarnation: Incarnation) -> u64 {
        let mut me = Claimer::new(self.board.clone(), place, incarnation, std::process::id());
        let mut ran = 0;
        loop {
            if let Some(claim) = me.claim() {
                ran += 1;
                let Description { items, start, end, .. } = me.description(&claim);
                me.set_results(&claim, items, None);
                for item in start..end {
                    me.set_progress(&claim, progress(item - start, true));
                    self.begun(items as usize + item as usize).fetch_add(1, SeqCst);
                    me.set_progress(&claim, progress(item - start + 1, false));
                }
                if me.report(claim, End::Complete, u64::from(place), (items, 1)) == Some(true) {
                    self.wake_publisher();
                }
            } else if me.asked_to_leave() {
                return ran;
            } else if let Some((wake_count, has_items)) = me.prepare_sleep() {
                if has_items {
                    self.wake_publisher();
                }
                me.sleep(wake_count);
            }
        }
    }

    pub(crate) fn ask_all_to_leave(
        &self,
        incarnations: impl IntoIterator<Item = (u32, Incarnation)>,
    ) {
        for (place, incarnation) in incarnations {
            self.board.ask_to_leave(place as usize, incarnation);
            self.board.wake_place(place);
        }
    }
}

fn progress(finished: u32, begun: bool) -> Progress {
    Progress { finished, begun }
}

/// A publisher with its private records.
pub(crate) struct Publisher {
    pub(crate) shared: SharedBoard,
    /// The chunk in each slot.
    pub(crate) published: Vec<Option<Chunk>>,
    /// The chunks still to be published.
    pub(crate) queue: Vec<Chunk>,
    cursors: Vec<u64>,
    /// Items whose results were taken.
    pub(crate) finished: u64,
}

/// Items `start..end` of those that begin at `first`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Publisher {
    /// A publisher with `chunks` chunks of `len` items each to publish.
    pub(crate) fn new(shared: &SharedBoard, chunks: usize, len: u32) -> Self {
        assert!(chunks * len as usize <= shared.items);
        let Shape { places, slots } = shared.board.shape();
        Self {
            shared: shared.clone(),
            published: vec![None; slots],
            queue: (0..chunks as u64)
                .map(|chunk| Chunk { first: chunk * u64::from(len), start: 0, end: len })
                .collect(),
            cursors: (0..places).map(|place| shared.board.finished_count(place)).collect(),
            finished: 0,
        }
    }

    /// Publishes as many chunks as there are free slots.
    pub(crate) fn publish(&mut self) {
        for slot in 0..self.published.len() {
            if self.published[slot].is_some() {
                continue;
            }
            let Some(chunk) = self.queue.pop() else {
                return;
            };
            let description = Description {
                items: chunk.first,
                start: chunk.start,
                end: chunk.end,
                ..Description::default()
            };
            self.published[slot] = Some(chunk);
            if self.shared.board.publish(SlotIndex::new(slot), &description) {
                self.shared.board.wake(1);
            }
        }
    }

    /// Takes the finished chunks; returns how many.
    pub(crate) fn take(&mut self) -> i64 {
        let board = self.shared.board.clone();
        let mut taken = 0;
        for place in 0..self.cursors.len() {
            while let Some(finished) = board.next_finished(place, &mut self.cursors[place]) {
                let outcome = board.outcome(finished.slot);
                let Chunk { first, start, end } =
                    self.published[finished.slot.index()].take().expect("a chunk comes back once");
                assert_eq!(outcome.end, End::Complete);
                assert_eq!(outcome.progress, progress(end - start, false));
                assert_eq!((outcome.results, outcome.nanos), (first, place as u64));
                assert_eq!(outcome.failure, (first, 1));
                self.finished += u64::from(end - start);
                board.release(finished.slot);
                taken += 1;
            }
        }
        taken
    }

    fn in_flight(&self) -> i64 {
        self.published.iter().flatten().count() as i64
    }

    /// Publishes and takes until no chunk is left; sleeps when there is nothing to do.
    pub(crate) fn run(&mut self) {
        let board = self.shared.board.clone();
        loop {
            self.publish();
            self.take();
            if self.queue.is_empty() && self.in_flight() == 0 {
                return;
            }
            if !self.queue.is_empty() && self.published.iter().any(Option::is_none) {
                continue;
            }
            let wake_count = self.shared.wake_count().load(SeqCst);
            board.publisher_sleeps(WakeThreshold {
                finished: self.in_flight() / 2,
                has_items: !self.queue.is_empty(),
            });
            let found = self.take();
            let has_items_and_idle = !self.queue.is_empty() && board.any_sleeper();
            if board.publisher_found(found) && self.in_flight() > 0 && !has_items_and_idle {
                futex::wait(self.shared.wake_count(), wake_count, None);
            }
            board.publisher_wakes();
        }
    }

    /// Salvages the chunks of `incarnation`, which was reaped: takes the finished items, queues the
    /// rest again, and returns the item in its hands, which is lost.
    #[allow(dead_code, reason = "not every user of this file kills")]
    pub(crate) fn salvage(&mut self, incarnation: Incarnation) -> Option<u64> {
        self.take();
        let board = self.shared.board.clone();
        let mut lost = None;
        for slot in 0..self.published.len() {
            let state = board.slot_state(SlotIndex::new(slot));
            if state != SlotState::Claimed(incarnation) && state != SlotState::Done(incarnation) {
                continue;
            }
            let mut chunk = self.published[slot].take().expect("claimed, so published");
            let outcome = board.outcome(SlotIndex::new(slot));
            if outcome.progress.finished > 0 {
                assert_eq!(outcome.results, chunk.first);
            }
            self.finished += u64::from(outcome.progress.finished);
            chunk.start += outcome.progress.finished;
            if outcome.progress.begun {
                assert_eq!(lost, None, "one process has one item in hand");
                lost = Some(chunk.first + u64::from(chunk.start));
                chunk.start += 1;
            }
            board.release(SlotIndex::new(slot));
            if chunk.start < chunk.end {
                self.queue.push(chunk);
            }
        }
        // A wake-up may have died with its receiver.
        board.wake(usize::MAX);
        lost
    }
}
