//! The cells of the matrix, one file per question.
//!
//! * `cells/lints.rs`: format, floors, documents, lints and documentation.
//! * `cells/tests.rs`: the tests of each crate, and the examples in its documentation.
//! * `cells/conformance.rs`: does a start method keep the promises that all of them make?
//! * `cells/examples.rs`: do the examples of each crate run to their end?
//! * `cells/alone.rs`: does each crate build without its neighbours?
//! * `cells/fresh.rs`: does a fresh program work that depends on one crate only?
//! * `cells/foreign.rs`: does a map run in a foreign workspace?
//! * `cells/package.rs`: can every crate be packaged?

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
