//! Model checks of board and channels: every order of events, and every value a load may see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p pool-ipc --release --test loom`. A *death* is a thread
//! that returns; the *reap* is its join. Payload lies in loom's `UnsafeCell`, which reports an
//! access that is not ordered after the previous one.
#![cfg(loom)]

#[path = "loom/channels.rs"]
mod channels;
#[path = "loom/chunks.rs"]
mod chunks;
#[path = "loom/clocks.rs"]
mod clocks;
#[path = "loom/deaths.rs"]
mod deaths;
#[path = "loom/release_notices.rs"]
mod release_notices;
#[path = "loom/sleep.rs"]
mod sleep;

use loom::{cell::UnsafeCell, thread};
use pool_ipc::board::{Board, Claim, Claimer, Description, Incarnation, Shape};

/// A board of so many places and slots.
fn board(places: usize, slots: usize) -> Board {
    Board::leaked(Shape { places, slots })
}

/// A description whose fields all say `tag`, for `items` items.
fn described(tag: u32, items: u32) -> Description {
    Description {
        function: u64::from(tag),
        items: u64::from(tag),
        context: u64::from(tag),
        capacity: tag,
        end: items,
        ..Description::default()
    }
}

/// The tag of the claimed chunk, if its fields agree.
fn tag(claimer: &Claimer, claim: &Claim) -> u32 {
    let found = claimer.description(claim);
    assert_eq!(found, described(found.capacity, found.end), "a mixed description");
    found.capacity
}

/// Memory that the board hands over, accessed as plain memory is. Leaked, like the board.
#[derive(Clone, Copy)]
struct Cell(&'static UnsafeCell<u32>);

impl Cell {
    fn new() -> Self {
        Self(Box::leak(Box::new(UnsafeCell::new(0))))
    }

    fn get(self) -> u32 {
        // SAFETY: loom itself reports an access that runs beside another.
        self.0.with(|value| unsafe { *value })
    }

    fn set(self, value: u32) {
        // SAFETY: as above.
        self.0.with_mut(|place| unsafe { *place = value });
    }
}

/// Incarnation 1 + `place` at `place`, in a thread of its own.
fn claimer<R: 'static>(
    board: &Board,
    place: u32,
    work: impl FnOnce(Claimer) -> R + 'static,
) -> thread::JoinHandle<R> {
    let board = board.clone();
    thread::spawn(move || {
        work(Claimer::new(board, place, Incarnation::new(place + 1), 100 + place))
    })
}
