//! The content of a slot: the publisher's description of a chunk, and the claimer's account of it.
//!
//! Invariant: the description is written while the slot is FREE and read while it is CLAIMED; the
//! account is written while it is CLAIMED and read when it is DONE, or when its claimer is reaped.
//! The word's transitions order both (`publisher.rs`, `claimer.rs`), so the fields are plain
//! Relaxed words — all but `progress`, which a survivor reads without a transition.

use super::{
    layout::Slot,
    word::{MAX_SERIAL, SERIAL_BITS},
};
use crate::{
    Manifest,
    primitive::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

const IN_HAND: u64 = 1;
const TIMED: u64 = 2;
/// The description has a manifest of items (`CONTEXT_MANIFEST`: of the context); otherwise that
/// word is left over from an earlier chunk.
const MANIFEST: u64 = 4;
const CONTEXT_MANIFEST: u64 = 8;
const LIMITED: u64 = 16;
const PAST_LIMIT: u64 = 32;
/// The description says which item of its call the batch begins with.
const NUMBERED: u64 = 64;
const HAS_CALL: u64 = 128;
/// The account has a manifest of results. A bit of the word that says where results begin: no arena
/// is as large.
pub(super) const RESULT_MANIFEST: u64 = 1 << 63;

/// The claimers that may claim a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audience {
    /// Only the claimer at this place; `None`: any.
    pub place: Option<u32>,
    /// Only incarnations with this serial number or a later one; it has 48 bits.
    pub min_serial: u64,
}

impl Audience {
    fn pack(self) -> u64 {
        let place = u64::from(self.place.map_or(0, |place| place + 1));
        place << SERIAL_BITS | self.min_serial.min(MAX_SERIAL)
    }

    fn unpack(bits: u64) -> Self {
        let place = ((bits >> SERIAL_BITS) as u32).checked_sub(1);
        Self { place, min_serial: bits & MAX_SERIAL }
    }

    pub(super) fn admits(bits: u64, place: u32, serial: u64) -> bool {
        let wanted = (bits >> SERIAL_BITS) as u32;
        (wanted == 0 || wanted == place + 1) && serial >= bits & MAX_SERIAL
    }
}

/// A chunk as the publisher describes it to the claimer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Description {
    /// The claimers that may claim it.
    pub audience: Audience,
    /// The record that proves the function's type, as an offset in the executable.
    pub record: u64,
    /// The function, as an offset in the executable.
    pub function: u64,
    /// The signature of the function's type, to be compared with the record's own answer.
    pub signature: u64,
    /// Where in the publisher's arena the batch of items begins.
    pub items: u64,
    /// How many items the batch was begun with.
    pub capacity: u32,
    /// First item of the batch to run.
    pub start: u32,
    /// Behind the last item to run.
    pub end: u32,
    /// Whether the claimer keeps a result of the item before `start` in hand, to be stored first.
    pub in_hand: bool,
    /// Whether the first result may exceed the limit of the claimer's arena, since the blocks in it
    /// stay for as long as readers like.
    pub past_limit: bool,
    /// Whether the claimer shall say how long the chunk ran.
    pub timed: bool,
    /// How long one item may take, in nanoseconds; 0: as long as it takes.
    pub limit: u64,
    /// How long an item that has a limit may go on, once it was told that the limit is over; 0: it
    /// is not told.
    pub grace: u64,
    /// A context for all chunks of one job; 0: none. Never used again for another one.
    pub context: u64,
    /// Where in the publisher's arena the context lies.
    pub context_offset: u64,
    /// The segments that the items' handles need.
    pub manifest: Option<Manifest>,
    /// The segments that the context's handles need.
    pub context_manifest: Option<Manifest>,
    /// The position of the batch's first item in the input of its call, for a claimer that has to
    /// know it.
    pub first: Option<u64>,
    /// The number of that call, likewise.
    pub call: Option<u64>,
}

/// How far the items of a chunk have come: one word, two plain stores per item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Items of the chunk whose results are complete: less than 2^31.
    pub finished: u32,
    /// Whether the item behind them was begun: its function may have run to its end.
    pub begun: bool,
}

/// Why a claimer stopped working on a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All items have results.
    Complete,
    /// The item behind the finished ones failed; the failure's block holds the error.
    Failed,
    /// The arena has no room for the result of the item behind the finished ones: the claimer keeps
    /// it in hand and waits for a chunk with `in_hand`.
    Full,
    /// The claimer stopped between two items, since the job was cancelled, or others wait, or the
    /// claimer ends; items that were not begun were not run.
    Cancelled,
    /// The word is none of ours: a process scribbled over the board.
    Unknown,
}

/// A claimer's account of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Why the claimer stopped.
    pub end: End,
    /// How far the claimer came.
    pub progress: Progress,
    /// Where in its arena the batch of results begins (of as many values as the chunk has items).
    pub results: u64,
    /// The segments that the results' handles need.
    pub manifest: Option<Manifest>,
    /// How long the chunk ran, in nanoseconds, if the description asked for it.
    pub nanos: u64,
    /// Where in its arena the encoded failure lies, with its length in bytes.
    pub failure: (u64, u64),
}

impl Slot {
    #[inline]
    pub(super) fn describe(&self, d: &Description) {
        self.audience.store(d.audience.pack(), Relaxed);
        self.record.store(d.record, Relaxed);
        self.function.store(d.function, Relaxed);
        self.items.store(d.items, Relaxed);
        self.range.store(u64::from(d.start) << 32 | u64::from(d.end), Relaxed);
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let mut flags = flag(d.in_hand, IN_HAND) | flag(d.timed, TIMED);
        flags |= flag(d.past_limit, PAST_LIMIT);
        if let Some(manifest) = d.manifest {
            flags |= MANIFEST;
            self.manifest.store(manifest.pack(), Relaxed);
        }
        if let Some(manifest) = d.context_manifest {
            flags |= CONTEXT_MANIFEST;
            self.context_manifest.store(manifest.pack(), Relaxed);
        }
        if d.limit > 0 {
            flags |= LIMITED;
            self.limit.store(d.limit, Relaxed);
            self.grace.store(d.grace, Relaxed);
        }
        if let Some(first) = d.first {
            flags |= NUMBERED;
            self.first.store(first, Relaxed);
        }
        if let Some(call) = d.call {
            flags |= HAS_CALL;
            replace(&self.call, call);
        }
        self.shape.store(u64::from(d.capacity) << 32 | flags, Relaxed);
        self.context.store(d.context, Relaxed);
        // The rest is the same for all chunks of a job: a line that claimers have read is left to
        // them unless it has to change.
        replace(&self.signature, d.signature);
        replace(&self.context_offset, d.context_offset);
        replace(&self.cancelled, 0);
    }

    pub(super) fn audience(&self) -> Audience {
        Audience::unpack(self.audience.load(Relaxed))
    }

    #[inline]
    pub(super) fn description(&self) -> Description {
        let (range, shape) = (self.range.load(Relaxed), self.shape.load(Relaxed));
        let manifest = |flag, word: &AtomicU64| {
            if shape & flag == 0 { None } else { Manifest::unpack(word.load(Relaxed)) }
        };
        Description {
            audience: Audience::default(),
            record: self.record.load(Relaxed),
            function: self.function.load(Relaxed),
            signature: self.signature.load(Relaxed),
            items: self.items.load(Relaxed),
            capacity: (shape >> 32) as u32,
            start: (range >> 32) as u32,
            end: range as u32,
            in_hand: shape & IN_HAND != 0,
            past_limit: shape & PAST_LIMIT != 0,
            timed: shape & TIMED != 0,
            limit: if shape & LIMITED == 0 { 0 } else { self.limit.load(Relaxed) },
            grace: if shape & LIMITED == 0 { 0 } else { self.grace.load(Relaxed) },
            context: self.context.load(Relaxed),
            context_offset: self.context_offset.load(Relaxed),
            manifest: manifest(MANIFEST, &self.manifest),
            context_manifest: manifest(CONTEXT_MANIFEST, &self.context_manifest),
            first: if shape & NUMBERED == 0 { None } else { Some(self.first.load(Relaxed)) },
            call: if shape & HAS_CALL == 0 { None } else { Some(self.call.load(Relaxed)) },
        }
    }

    #[inline]
    pub(super) fn set_progress(&self, generation: u32, progress: Progress) {
        debug_assert!(progress.finished < 1 << 31, "a chunk has less than 2^31 items");
        let count = u64::from(progress.finished) << 1 | u64::from(progress.begun);
        let word = u64::from(generation) << 32 | count;
        // Release: pairs with the Acquire in `outcome`, so a counted result is a complete one.
        self.progress.store(word, Release);
    }

    /// The account of the claimer that had the slot in `generation`. If the progress is of another
    /// generation, the claimer died before it wrote any.
    #[inline]
    pub(super) fn outcome(&self, generation: u32) -> Outcome {
        // Acquire: pairs with the Release in `set_progress`.
        let progress = self.progress.load(Acquire);
        let results = self.results.load(Relaxed);
        let progress = if (progress >> 32) as u32 == generation { progress as u32 } else { 0 };
        Outcome {
            end: match self.end.load(Relaxed) {
                0 => End::Complete,
                1 => End::Failed,
                2 => End::Full,
                3 => End::Cancelled,
                _ => End::Unknown,
            },
            progress: Progress { finished: progress >> 1, begun: progress & 1 != 0 },
            results: results & !RESULT_MANIFEST,
            manifest: match results & RESULT_MANIFEST {
                0 => None,
                _ => Manifest::unpack(self.result_manifest.load(Relaxed)),
            },
            nanos: self.nanos.load(Relaxed),
            failure: (self.failure.load(Relaxed), self.failure_len.load(Relaxed)),
        }
    }
}

/// Stores `value` unless it is there already.
fn replace(cell: &AtomicU64, value: u64) {
    if cell.load(Relaxed) != value {
        cell.store(value, Relaxed);
    }
}
