//! What shows how far calls are: see [the chapter](crate::guide::progress).
//!
//! * [`Call::progress`](crate::Call::progress) takes `true`, a `Bar` (both with the feature
//!   `progress`) or [`LogLines`]; [`Call::progress_with`](crate::Call::progress_with) an own
//!   [`Progress`].
//! * What else a program writes to its terminal tears no bar if it goes through [`suspend`],
//!   [`println()`] or [`stderr`].

#[cfg(feature = "progress")]
pub use indicatif;
#[cfg(feature = "progress")]
pub use pool_core::{Bar, bars};
#[doc(hidden)]
pub use pool_core::{IntoProgress, ProgressOption};
pub use pool_core::{LogLines, Outcome, Progress, Stderr, WorkerSteps, println, stderr, suspend};
