//! How a message lies in its slot.
//!
//! A type whose archive has the very bytes of the value, 256 at most, lies there as it is. Of all
//! others the slot has the length of the archive, then the archive.
//!
//! Invariant: payloads are written and copied by atomic words, since a receiver copies before it
//! knows that the message is its own; and only the private copy is checked and decoded.

use std::{cell::Cell, mem::MaybeUninit};

use pool_shm::SegmentFault;

use crate::{
    AlignedBytes, Decoder, Encoder, Wire, WireFault,
    batch::is_fixed,
    primitive::{AtomicU64, Ordering::Relaxed},
    wire::view_fixed,
};

const WORD: usize = size_of::<u64>();
/// Bytes that a value may have to lie in its slot as it is.
const MOST_FIXED: usize = 256;
/// Bytes of an archive that a slot has room for, beside its word and the length.
const MOST_ENCODED: usize = 128 - 2 * WORD;

/// Whether values of `T` lie in the slots as they are.
const fn is_plain<T: Wire>() -> bool {
    is_fixed::<T>() && size_of::<T>() <= MOST_FIXED
}

/// Words in a slot for messages of this type.
pub(super) const fn stride<T: Wire>() -> usize {
    1 + if is_plain::<T>() { size_of::<T>().div_ceil(WORD) } else { 1 + MOST_ENCODED / WORD }
}

/// The most bytes that a message of this type may have, encoded.
pub(super) const fn most_bytes<T: Wire>() -> usize {
    if is_plain::<T>() { size_of::<T>() } else { MOST_ENCODED }
}

/// A message that is ready to be written to a slot: nothing of the user's runs any more.
pub(super) enum Prepared<'a, T> {
    Plain(&'a T),
    Encoded(&'a [u8]),
}

/// Why a message cannot be written to a slot.
pub(super) enum Unfit {
    Encode(WireFault),
    TooLarge { bytes: usize },
}

/// Encodes `message` if it has to be, and calls `go_on`.
#[inline]
pub(super) fn prepare<T: Wire, R>(
    message: &T,
    go_on: impl FnOnce(Prepared<'_, T>) -> R,
) -> Result<R, Unfit> {
    if is_plain::<T>() { Ok(go_on(Prepared::Plain(message))) } else { encode(message, go_on) }
}

/// What a thread encodes with.
#[derive(Default)]
struct Scratch {
    encoder: Encoder,
    bytes: AlignedBytes,
}

thread_local! {
    // Taken while it is in use: a type's own code may send by another channel.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

fn encode<T: Wire, R>(message: &T, go_on: impl FnOnce(Prepared<'_, T>) -> R) -> Result<R, Unfit> {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let Scratch { encoder, bytes } = &mut *scratch;
    bytes.resize(MOST_ENCODED);
    // SAFETY: the buffer is this thread's, aligned, and as long as it is said to be.
    let encoded = unsafe { encoder.encode_at(message, bytes.as_mut_ptr(), MOST_ENCODED, 0) };
    let encoded = match encoded {
        Err(WireFault::Overflow) => {
            let measured = encoder.measure(message, 0);
            Err(measured.map_or_else(Unfit::Encode, |bytes| Unfit::TooLarge { bytes }))
        }
        other => other.map_err(Unfit::Encode),
    };
    let carries_segments = !encoder.take_segments().is_empty();
    let result = match encoded {
        Ok(_) if carries_segments => {
            Err(Unfit::Encode(WireFault::Segment(SegmentFault::NotCarried)))
        }
        Ok(len) => Ok(go_on(Prepared::Encoded(&bytes[..len]))),
        Err(unfit) => Err(unfit),
    };
    SCRATCH.set(Some(scratch));
    result
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
                slot[0].store(bytes.len() as u64, Relaxed);
                // SAFETY: a slice of that length.
                unsafe { write_words(&slot[1..], bytes.as_ptr(), bytes.len()) };
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

/// The private copy of a message.
#[repr(C, align(128))]
pub(super) struct Received {
    words: MaybeUninit<[u64; MOST_FIXED / WORD]>,
    /// Bytes of the message; as many are initialised.
    len: usize,
}

const _: () = assert!(align_of::<Received>() == AlignedBytes::ALIGN && MOST_ENCODED <= MOST_FIXED);

impl Received {
    #[inline]
    pub(super) fn new() -> Self {
        Self { words: MaybeUninit::uninit(), len: 0 }
    }

    /// Copies the payload of a slot. What is in it may still turn out to be another receiver's.
    #[inline]
    pub(super) fn copy<T: Wire>(&mut self, slot: &[AtomicU64]) {
        let (len, payload) = if is_plain::<T>() {
            (size_of::<T>(), slot)
        } else {
            // A faulty process may have written any length.
            ((slot[0].load(Relaxed) as usize).min(MOST_ENCODED), &slot[1..])
        };
        let words = self.words.as_mut_ptr().cast::<u64>();
        for (index, word) in payload.iter().enumerate().take(len.div_ceil(WORD)) {
            // SAFETY: no slot has more payload than there are words here. Relaxed: the slot's word
            // hands the payload over.
            unsafe { words.add(index).write(word.load(Relaxed)) };
        }
        self.len = len;
    }

    /// Checks the message and makes its value.
    #[inline]
    pub(super) fn decode<T: Wire>(&self) -> Result<T, WireFault> {
        // SAFETY: `copy` has initialised as many.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.len) };
        let mut decoder = Decoder::new();
        if is_plain::<T>() { decoder.build(view_fixed::<T>(bytes)?) } else { decoder.decode(bytes) }
    }
}
