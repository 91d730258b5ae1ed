//! Shows how far calls are.
//!
//! Invariant: one thread of the process calls what shows progress, and no lock of a pool is held
//! meanwhile; a call waits for it only at its end, and with a limit.
//!
//! * `report.rs`: the trait, and the option of a call.
//! * `drawer.rs`: the thread.
//! * `log_lines.rs`: a line now and then; `line.rs`: its text.
//! * `bar.rs`: a bar in the terminal (feature `progress`).
//! * `rendered.rs`: a bar as a line of text.
//! * `terminal.rs`: what else is written to standard error while there are bars.

#[cfg(feature = "progress")]
mod bar;
mod drawer;
mod line;
mod log_lines;
#[cfg(feature = "progress")]
mod rendered;
mod report;
mod terminal;

#[cfg(feature = "progress")]
pub use bar::Bar;
pub(crate) use drawer::Shown;
pub use log_lines::LogLines;
pub use report::{IntoProgress, Progress, ProgressOption};
#[cfg(feature = "progress")]
pub use terminal::bars;
pub(crate) use terminal::has_bars;
pub use terminal::{Stderr, println, stderr, suspend};
