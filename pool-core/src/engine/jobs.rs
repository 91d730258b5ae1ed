//! What tells the jobs under way apart.

/// One call of the map family. Numbers grow: a later job has a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(pub(crate) u64);
