//! The cells of the matrix, one file per question.

pub(crate) mod alone;
pub(crate) mod conformance;
pub(crate) mod examples;
pub(crate) mod foreign;
pub(crate) mod fresh;
pub(crate) mod lints;
pub(crate) mod package;
pub(crate) mod tests;

use std::time::Duration;

/// The time limit of a command that only compiles; generous, because a cold machine may have to
/// fetch first.
pub(crate) const BUILD: Duration = Duration::from_secs(15 * 60);
/// The time limit of the tests of one target selection.
pub(crate) const TESTS: Duration = Duration::from_secs(10 * 60);
/// The time limit of one example.
pub(crate) const EXAMPLE: Duration = Duration::from_secs(2 * 60);
