//! Which function a chunk calls.

/// What a slot says about the function of its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) record: u64,
    pub(crate) function: u64,
    pub(crate) signature: u64,
}
