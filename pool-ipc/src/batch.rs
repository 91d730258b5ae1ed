//! Many values of one type side by side in one block, readable one by one.
//!
//! Two layouts, told apart by the type alone, so both sides agree without a message:
//!
//! * *fixed*: types whose archive has the very bytes of the value (`u64`, `[f32; 3]`, …) lie at
//!   multiples of their size;
//! * *table*: the block begins with one 64-bit end offset per value, archives follow. Value `k`
//!   lies between the ends of `k - 1` and `k`, its root at its end. The end of the block names the
//!   segments that the handles in the values need (`manifest.rs`).
//!
//! Invariant: values `0..k` are complete before any reader is told of `k`, and never change
//! afterwards, so a reader may take the finished values even if the writer died in the next one.

// * `batch/writer.rs`: writes a batch, value by value.
// * `batch/reader.rs`: reads a batch, value by value.

mod reader;
mod writer;

pub use reader::BatchReader;
use rkyv::Archive;
pub use writer::BatchWriter;

use crate::{AlignedBytes, Encoder, Manifest, Wire, WireFault};

const ENTRY: usize = size_of::<u64>();

/// Whether values of `T` lie at multiples of their size.
#[must_use]
pub const fn is_fixed<T: Wire>() -> bool {
    <T as Archive>::COPY_OPTIMIZATION.is_enabled()
        && size_of::<T>() == size_of::<<T as Archive>::Archived>()
        && align_of::<<T as Archive>::Archived>() <= AlignedBytes::ALIGN
}

/// Bytes that a batch of `count` values needs before its first archive: the table, or for fixed
/// types the values themselves.
#[must_use]
pub const fn head_len<T: Wire>(count: usize) -> usize {
    let each = if is_fixed::<T>() { size_of::<T>() } else { ENTRY };
    // No block has that many bytes: a count that overflows is one that does not fit.
    count.saturating_mul(each)
}

/// Bytes that a block must have for a batch of nothing but `value`.
///
/// # Errors
///
/// Errors of the type's own serialization.
pub fn len_of_one<T: Wire>(value: &T, encoder: &mut Encoder) -> Result<usize, WireFault> {
    let head = head_len::<T>(1);
    if is_fixed::<T>() {
        return Ok(head);
    }
    let end = encoder.measure(value, head)?;
    Ok(Manifest::room(end, encoder.measured_segments()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder;

    fn block(len: usize) -> AlignedBytes {
        let mut bytes = AlignedBytes::new();
        bytes.resize(len);
        bytes
    }

    #[test]
    fn fixed_and_table_values_come_back_one_by_one() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        assert!(is_fixed::<u64>() && is_fixed::<()>() && !is_fixed::<String>());

        let mut room = block(80);
        // SAFETY: the block is ours and aligned; a `u64` batch of 10 needs 80 bytes.
        let mut writer = unsafe { BatchWriter::<u64>::new(room.as_mut_ptr(), 80, 10) };
        (0..10u64).for_each(|i| writer.push(&(i * i), &mut encoder).unwrap());
        assert!(writer.is_full());
        // SAFETY: as above, and the writer is done.
        let reader = unsafe { BatchReader::<u64>::new(room.as_ptr(), 80, 10) };
        assert_eq!(reader.decode(9, &mut decoder), Ok(81));
        assert_eq!(reader.extent(10), Err(WireFault::Invalid));

        let mut room = block(4096);
        // SAFETY: as above.
        let mut writer = unsafe { BatchWriter::<String>::new(room.as_mut_ptr(), 4096, 3) };
        for text in ["", "short", "much longer than what fits into the inline form"] {
            writer.push(&text.to_string(), &mut encoder).unwrap();
        }
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 4096, 3) };
        let mut scratch = AlignedBytes::new();
        assert_eq!(reader.decode_copied(1, &mut scratch, &mut decoder).unwrap(), "short");
        assert_eq!(reader.view(2, |text| text.len()), Ok(47));
    }

    #[test]
    fn a_batch_that_overflows_moves_and_goes_on() {
        let mut encoder = Encoder::new();
        let (mut small, mut large) = (block(256), block(4096));
        // SAFETY: both blocks are ours and aligned.
        let mut writer = unsafe { BatchWriter::<Vec<u32>>::new(small.as_mut_ptr(), 256, 4) };
        writer.push(&vec![1, 2, 3], &mut encoder).unwrap();
        let big = vec![9u32; 500];
        assert_eq!(writer.push(&big, &mut encoder), Err(WireFault::Overflow));
        assert!(writer.room_for(&big, &mut encoder).unwrap() <= 4096);
        // SAFETY: as above.
        unsafe { writer.move_to(large.as_mut_ptr(), 4096, &encoder) };
        writer.push(&big, &mut encoder).unwrap();
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<Vec<u32>>::new(large.as_ptr(), 4096, 4) };
        assert_eq!(reader.decode(0, &mut Decoder::new()).unwrap(), [1, 2, 3]);
        assert_eq!(reader.decode(1, &mut Decoder::new()).unwrap(), big);
    }

    #[test]
    fn wild_offsets_are_refused() {
        let mut room = block(64);
        // SAFETY: 64 aligned bytes, ours.
        unsafe { room.as_mut_ptr().cast::<u64>().write(1 << 50) };
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 64, 2) };
        assert_eq!(reader.extent(0), Err(WireFault::Invalid));
        assert_eq!(reader.extent(1), Err(WireFault::Invalid));
        // SAFETY: as above; a table larger than the block is refused before it is read.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 64, 20) };
        assert_eq!(reader.extent(19), Err(WireFault::Invalid));
    }
}
