//! Names the function that a chunk calls.

/// The function of a chunk, as its slot names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) record: u64,
    pub(crate) function: u64,
    pub(crate) signature: u64,
}
