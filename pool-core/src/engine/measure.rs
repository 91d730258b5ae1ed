//! Where results end in a block that another process wrote.

use pool_ipc::{Wire, batch::BatchReader};

/// Finds the end of `count` results of a batch begun for `capacity`; `None` if it lies outside the
/// `room` bytes at the base.
pub(crate) type MeasureResults = unsafe fn(*const u8, usize, usize, usize) -> Option<usize>;

/// [`MeasureResults`] for results of type `R`.
///
/// # Safety
///
/// The contract of [`BatchReader::new`] for `base`, `room` and `capacity`.
pub(crate) unsafe fn measure_results<R: Wire>(
    base: *const u8,
    room: usize,
    capacity: usize,
    count: usize,
) -> Option<usize> {
    // SAFETY: the caller's promise.
    let reader = unsafe { BatchReader::<R>::new(base, room, capacity) };
    reader.extent(count.checked_sub(1)?).ok().map(|(_, end)| end)
}
