//! Archives that hold something aligned to more than rkyv can pad for.
//!
//! Invariant: an encoding of such a value ends in [`WireFault::Alignment`], and every other panic
//! of a type's own code goes on as it was. What an archive as a whole is aligned to is looked at
//! where the encoder is compiled (`encoder.rs`).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{Encoding, WireFault};

/// Bytes that rkyv pads with at most: an alignment of twice as many may need more.
const PADS: usize = 32;

/// Runs an encoding, and turns the panic of rkyv over an alignment into a fault.
///
/// The elements of a list, the nodes of a map or what a box holds have alignments that neither
/// their type nor any call of rkyv tells the encoder of before rkyv pads for them, and rkyv cannot
/// report there: it panics. So the panic is caught, known by its words and by where it came up.
#[inline]
pub(super) fn padded<R>(
    encoding: &mut Encoding,
    encode: impl FnOnce(&mut Encoding) -> Result<R, WireFault>,
) -> Result<R, WireFault> {
    // An encoding that was broken off is set back before it runs again.
    match catch_unwind(AssertUnwindSafe(|| encode(encoding))) {
        Ok(result) => result,
        Err(panic) => refused(panic, encoding.position()),
    }
}

#[cold]
fn refused<R>(panic: Box<dyn Any + Send>, position: usize) -> Result<R, WireFault> {
    if is_refused_padding(&*panic, position) {
        return Err(WireFault::Alignment);
    }
    resume_unwind(panic)
}

/// Whether rkyv panicked at `position` since it had to pad more than it can.
fn is_refused_padding(panic: &(dyn Any + Send), position: usize) -> bool {
    if let Some(words) = panic.downcast_ref::<&str>() {
        return *words == "assertion failed: padding < MAX_ZEROS";
    }
    // Without debug assertions a slice of its zeros has no such range. What would
    // follow the padding is aligned to twice as much as rkyv pads, so other slices hardly match.
    let words = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    let padding = words
        .strip_prefix("range end index ")
        .and_then(|rest| rest.strip_suffix(" out of range for slice of length 32"))
        .and_then(|padding| padding.parse::<usize>().ok());
    padding.is_some_and(|padding| {
        padding > PADS && position.wrapping_add(padding).is_multiple_of(2 * PADS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_padding_is_taken_for_it() {
        let text = |words: &str, position| is_refused_padding(&words.to_string(), position);
        assert!(is_refused_padding(&"assertion failed: padding < MAX_ZEROS", 3));
        assert!(text("range end index 40 out of range for slice of length 32", 24));
        assert!(!text("range end index 40 out of range for slice of length 32", 25));
        assert!(!text("range end index 32 out of range for slice of length 32", 32));
        assert!(!text("range end index 40 out of range for slice of length 31", 24));
        assert!(!text("assertion failed", 24));
        assert!(!is_refused_padding(&"assertion failed: padding", 24));
        assert!(!is_refused_padding(&7u32, 24));
    }
}
