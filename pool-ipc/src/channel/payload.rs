//! How a message lies in its slot.
//!
//! A type whose archive has the very bytes of the value, 256 at most, lies there as it is. Of all
//! others the slot has the length of the archive, then the archive, or where that is larger than a
//! slot, the block that it lies in.
//!
//! Invariant: payloads are written and copied by atomic words, since a receiver copies before it
//! knows that the message is its own; and only the private copy is checked and decoded.

use std::mem::MaybeUninit;

use super::blocks::BlockId;
use crate::{
    AlignedBytes, Decoder, Wire, WireFault,
    batch::is_fixed,
    primitive::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    view_bytes,
    wire::view_fixed,
};

const WORD: usize = size_of::<u64>();
/// Bytes that a value may have to lie in its slot as it is.
const MOST_PLAIN: usize = 256;
/// Bytes of an archive that a slot has room for, beside its word and the length.
pub(super) const MOST_ENCODED: usize = 128 - 2 * WORD;
/// The mark of a message in a block, beside its length.
const IN_BLOCK: u64 = 1 << 63;

/// Whether values of `T` lie in the slots as they are.
pub(super) const fn is_plain<T: Wire>() -> bool {
    is_fixed::<T>() && size_of::<T>() <= MOST_PLAIN
}

/// Words in a slot for messages of this type.
pub(super) const fn stride<T: Wire>() -> usize {
    1 + if is_plain::<T>() { size_of::<T>().div_ceil(WORD) } else { 1 + MOST_ENCODED / WORD }
}

/// A message in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct InBlock {
    pub(super) id: BlockId,
    /// Where it begins in the region of its sender.
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// A message that is ready to be written to a slot: nothing of the user's runs any more.
pub(super) enum Prepared<'a, T> {
    Plain(&'a T),
    Encoded(&'a [u8]),
    InBlock(InBlock),
}

impl<T: Wire> Prepared<'_, T> {
    /// Writes the message to a claimed slot.
    #[inline]
    pub(super) fn write(&self, slot: &[AtomicU64]) {
        match self {
            // SAFETY: a value of that size. Code that enables rkyv's copy optimisation for a type
            // promises (`CopyOptimization::enable`) that none of its bytes is uninitialised. That
            // they are those of its archive receivers check.
            Self::Plain(value) => unsafe {
                write_words(slot, std::ptr::from_ref(*value).cast(), size_of::<T>());
            },
            Self::Encoded(bytes) => {
                // Release: as below.
                slot[0].store(bytes.len() as u64, Release);
                // SAFETY: a slice of that length.
                unsafe { write_words(&slot[1..], bytes.as_ptr(), bytes.len()) };
            }
            // Release: pairs with the Acquire in `copy`; a receiver that copies one of these for an
            // earlier message sees that the slot is claimed anew.
            Self::InBlock(InBlock { id, offset, len }) => {
                slot[0].store(*len as u64 | IN_BLOCK, Release);
                slot[1].store(id.0, Release);
                slot[2].store(*offset as u64, Release);
            }
        }
    }
}

/// # Safety
///
/// `source..source + len` is readable and initialised.
#[inline]
unsafe fn write_words(slot: &[AtomicU64], source: *const u8, len: usize) {
    for (index, word) in slot.iter().enumerate().take(len.div_ceil(WORD)) {
        let at = index * WORD;
        let mut bytes = [0; WORD];
        // SAFETY: within the source (promised), and `bytes` has a word.
        unsafe {
            let part = (len - at).min(WORD);
            std::ptr::copy_nonoverlapping(source.add(at), bytes.as_mut_ptr(), part);
        }
        // Relaxed: pairs with nothing; the slot's word hands the payload over.
        word.store(u64::from_ne_bytes(bytes), Relaxed);
    }
}

/// The block that a payload of a type that is not plain leads to.
pub(super) fn block_in(payload: &[AtomicU64]) -> Option<BlockId> {
    let [len, id, ..] = payload else { return None };
    // Acquire: pairs with the Release in `write`.
    (len.load(Acquire) & IN_BLOCK != 0).then(|| BlockId(id.load(Acquire)))
}

/// Room for the private copy of a payload.
#[repr(C, align(128))]
pub(super) struct Room(MaybeUninit<[u64; MOST_PLAIN / WORD]>);

impl Room {
    #[inline]
    pub(super) const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }
}

/// The private copy of a payload. It has its room elsewhere, since rustc would clear all of it
/// together with the fields that are 0 at first.
pub(super) struct Received<'a> {
    room: &'a mut Room,
    /// Bytes of the message; as many are initialised, if it is not in a block.
    len: usize,
    pub(super) in_block: Option<InBlock>,
}

const _: () = assert!(align_of::<Room>() == AlignedBytes::ALIGN && MOST_ENCODED <= MOST_PLAIN);

impl<'a> Received<'a> {
    #[inline]
    pub(super) fn new(room: &'a mut Room) -> Self {
        Self { room, len: 0, in_block: None }
    }

    /// Copies the payload of a slot. What is in it may still turn out to be another receiver's.
    #[inline]
    pub(super) fn copy<T: Wire>(&mut self, slot: &[AtomicU64]) {
        if is_plain::<T>() {
            return self.copy_words(slot, size_of::<T>());
        }
        // Acquire, all three: pairs with the Release in `write`.
        let head = slot[0].load(Acquire);
        self.in_block = (head & IN_BLOCK != 0).then(|| InBlock {
            id: BlockId(slot[1].load(Acquire)),
            offset: slot[2].load(Acquire) as usize,
            len: (head & !IN_BLOCK) as usize,
        });
        if self.in_block.is_none() {
            // A faulty process may have written any length.
            self.copy_words(&slot[1..], (head as usize).min(MOST_ENCODED));
        }
    }

    #[inline]
    fn copy_words(&mut self, payload: &[AtomicU64], len: usize) {
        let words = self.room.0.as_mut_ptr().cast::<u64>();
        for (index, word) in payload.iter().enumerate().take(len.div_ceil(WORD)) {
            // SAFETY: no slot has more payload than there are words here. Relaxed: the slot's word
            // hands the payload over.
            unsafe { words.add(index).write(word.load(Relaxed)) };
        }
        self.len = len.min(payload.len() * WORD);
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: `copy_words` has initialised as many.
        unsafe { std::slice::from_raw_parts(self.room.0.as_ptr().cast::<u8>(), self.len) }
    }

    /// Checks a message that lay in its slot, and makes its value.
    #[inline]
    pub(super) fn decode<T: Wire>(&self) -> Result<T, WireFault> {
        let mut decoder = Decoder::new();
        if is_plain::<T>() {
            decoder.build(view_fixed::<T>(self.bytes())?)
        } else {
            decoder.decode(self.bytes())
        }
    }

    /// Checks a message that lay in its slot.
    pub(super) fn view<T: Wire>(&self) -> Result<&T::Archived, WireFault> {
        if is_plain::<T>() { view_fixed::<T>(self.bytes()) } else { view_bytes::<T>(self.bytes()) }
    }
}
