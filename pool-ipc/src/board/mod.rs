//! The task board: a table of slots in shared memory through which chunks of work change hands.
//!
//! One *publisher* (the parent, one thread at a time) fills free slots and takes back finished
//! ones; many *claimers* (the workers) take ready slots, run them and mark them done. There is no
//! lock: a slot's word names its generation, its state and its owner, and only the owner moves it
//! on (see `word.rs`), so a process that dies holds nothing that another needs.

// * `table.rs`: the board as a value; `layout.rs`: the layout of its memory.
// * `slot.rs`: the content of a slot; `word.rs`: its word.
// * `publisher.rs`, `claimer.rs`: the two sides.
// * `targeted.rs`: chunks that only one claimer may take; `precedence.rs`: those that go first.
// * `item_marks.rs`: the words between items.
// * `sleep.rs`: how each side waits for the other.
// * `release_notices.rs`: how a claimer learns that what it keeps is not needed any more.
// * `clock.rs`: how items that take too long are ended.
// * `last_words.rs`: what a claimer leaves behind when it ends.
// * `model.rs`: a board of the model checker's atomics.

mod claimer;
mod clock;
mod item_marks;
mod last_words;
mod layout;
#[cfg(loom)]
mod model;
mod precedence;
mod publisher;
mod release_notices;
mod sleep;
mod slot;
mod table;
mod targeted;
mod word;

#[cfg(loom)]
pub use crate::primitive::modelled::SeqCstAs;
pub use claimer::{Claim, Claimer};
pub use clock::Stopped;
pub use item_marks::ItemMarks;
pub use last_words::LastWords;
pub use layout::{MAX_PLACES, Shape};
pub use publisher::{Finished, SlotState, UnderWay};
pub use sleep::WakeThreshold;
pub use slot::{Audience, Description, End, Outcome, Progress};
pub use table::Board;
pub use word::{Incarnation, MAX_SERIAL, SlotIndex, incarnation_of};
