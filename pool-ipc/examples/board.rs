//! One process publishes, another one works: `cargo run -p pool-ipc --example board`.
//!
//! The parent encodes numbers into a block of shared memory and publishes where they lie; a forked
//! child claims the chunk, reads them in place and writes their divisors into a block of its own.

use std::{
    error::Error,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};
use pool_ipc::{
    Decoder, Encoder,
    batch::{BatchReader, BatchWriter},
    board::{
        Board, Claimer, Description, End, Incarnation, Progress, Shape, SlotIndex, WakeThreshold,
    },
};
use pool_shm::{Mapping, Segment, futex};

const SHAPE: Shape = Shape { places: 1, slots: 4 };
const CHUNKS: usize = 6;
const CHUNK: usize = 3;
/// A pool allocates from arenas; here each slot has one block on either side.
const BLOCK: usize = 4096;

/// The memory that both processes map.
#[derive(Clone)]
struct Shared {
    board: Board,
    blocks: Arc<Mapping>,
}

impl Shared {
    fn new() -> Result<Self, pool_shm::Error> {
        let board = Segment::create("board", SHAPE.bytes() as u64)?.map()?;
        // A page for the publisher's wake count, then one block of items and one of results for
        // each slot.
        let blocks = Segment::create("blocks", ((1 + 2 * SHAPE.slots) * BLOCK) as u64)?.map()?;
        Ok(Self { board: Board::new(Arc::new(board), SHAPE), blocks: Arc::new(blocks) })
    }

    /// What the publisher sleeps on.
    fn wake_count(&self) -> &AtomicU32 {
        // SAFETY: the first word of the mapping, aligned, and used as an atomic only.
        unsafe { AtomicU32::from_ptr(self.blocks.as_ptr().cast()) }
    }

    fn items_of(slot: usize) -> usize {
        (1 + 2 * slot) * BLOCK
    }

    fn results_of(slot: usize) -> usize {
        Self::items_of(slot) + BLOCK
    }

    /// The block at `offset`.
    fn block(&self, offset: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(BLOCK) && offset + BLOCK <= self.blocks.len());
        // SAFETY: within the mapping (asserted).
        unsafe { self.blocks.as_ptr().add(offset) }
    }
}

/// The child: claims until it is asked to leave.
fn work(shared: &Shared) {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let mut me = Claimer::new(shared.board.clone(), 0, Incarnation::new(1), std::process::id());
    loop {
        let Some(claim) = me.claim() else {
            if me.asked_to_leave() {
                return;
            }
            if let Some((wake_count, _)) = me.prepare_sleep() {
                me.sleep(wake_count);
            }
            continue;
        };
        let Description { items, capacity, start, end, .. } = me.description(&claim);
        let results = Shared::results_of(claim.slot().index());
        // SAFETY: the parent leaves the items alone while the slot is claimed, and reads results
        // only when it is done; the blocks are aligned and mapped.
        let (numbers, mut divisors) = unsafe {
            (
                BatchReader::<u64>::new(shared.block(items as usize), BLOCK, capacity as usize),
                BatchWriter::<Vec<u64>>::new(shared.block(results), BLOCK, (end - start) as usize),
            )
        };
        me.set_results(&claim, results as u64, None);
        for item in start..end {
            me.set_progress(&claim, Progress { finished: item - start, begun: true });
            let number = numbers.decode(item as usize, &mut decoder).expect("numbers are numbers");
            let found = (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).collect();
            divisors.push(&found, &mut encoder).expect("a page is room enough");
            me.set_progress(&claim, Progress { finished: item - start + 1, begun: false });
        }
        if me.report(claim, End::Complete, 0, (0, 0)) == Some(true) {
            shared.wake_count().fetch_add(1, Ordering::SeqCst);
            futex::wake(shared.wake_count(), 1);
        }
    }
}

/// The numbers of a chunk.
fn numbers(chunk: usize) -> Range<u64> {
    let first = (100 + chunk * CHUNK) as u64;
    first..first + CHUNK as u64
}

/// The parent: publishes all chunks and prints what comes back.
fn publish_all(shared: &Shared) {
    let board = &shared.board;
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let mut chunk_of = [None; SHAPE.slots];
    let (mut published, mut printed, mut cursor) = (0, 0, 0);
    let mut collect = |chunk_of: &mut [Option<usize>]| {
        let mut collected = 0;
        while let Some(finished) = board.next_finished(0, &mut cursor) {
            let chunk = chunk_of[finished.slot.index()].take().expect("it was published");
            let outcome = board.outcome(finished.slot);
            // SAFETY: the slot is done, so the child leaves the block alone; aligned and mapped.
            let divisors = unsafe {
                let block = shared.block(Shared::results_of(finished.slot.index()));
                BatchReader::<Vec<u64>>::new(block, BLOCK, CHUNK)
            };
            for (index, number) in
                numbers(chunk).enumerate().take(outcome.progress.finished as usize)
            {
                let found = divisors.decode(index, &mut decoder).expect("the child wrote them");
                println!("chunk {chunk}: {number} is divided by {found:?}");
            }
            board.release(finished.slot);
            collected += 1;
        }
        collected
    };
    while printed < CHUNKS {
        for (slot, chunk) in chunk_of.iter_mut().enumerate().filter(|(_, chunk)| chunk.is_none()) {
            if published == CHUNKS {
                break;
            }
            let items = Shared::items_of(slot);
            // SAFETY: the slot is free, so the block is the parent's; aligned and mapped.
            let mut batch = unsafe { BatchWriter::<u64>::new(shared.block(items), BLOCK, CHUNK) };
            for number in numbers(published) {
                batch.push(&number, &mut encoder).expect("a page is room enough");
            }
            let (items, end) = (items as u64, CHUNK as u32);
            let description = Description { items, capacity: end, end, ..Description::default() };
            *chunk = Some(published);
            published += 1;
            if board.publish(SlotIndex::new(slot), &description) {
                board.wake(1);
            }
        }
        // Say "I sleep", look once more, and only then sleep.
        let wake_count = shared.wake_count().load(Ordering::SeqCst);
        board.publisher_sleeps(WakeThreshold { finished: 1, has_items: false });
        let found = collect(&mut chunk_of);
        printed += found;
        if board.publisher_found(found as i64) {
            // Not for ever: a child that was killed wakes no process.
            futex::wait(shared.wake_count(), wake_count, Some(Duration::from_secs(1)));
        }
        board.publisher_wakes();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let shared = Shared::new()?;
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            work(&shared);
            // SAFETY: ends the process without running the parent's clean-up a second time.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            publish_all(&shared);
            shared.board.ask_to_leave(0, Incarnation::new(1));
            shared.board.wake_place(0);
            waitpid(child, None)?;
        }
    }
    Ok(())
}
