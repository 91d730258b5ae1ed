//! No vectors: every element is accessed by itself.

pub(in super::super) const ARE_THERE: bool = false;

/// # Safety
///
/// `bytes` is 0.
pub(in super::super) unsafe fn read(_: *const u8, _: *mut u8, bytes: usize) {
    debug_assert_eq!(bytes, 0);
}

/// # Safety
///
/// `bytes` is 0.
pub(in super::super) unsafe fn write(_: *const u8, _: *mut u8, bytes: usize) {
    debug_assert_eq!(bytes, 0);
}

/// # Safety
///
/// `bytes` is 0.
pub(in super::super) unsafe fn fill(_: *mut u8, _: u128, bytes: usize) {
    debug_assert_eq!(bytes, 0);
}
