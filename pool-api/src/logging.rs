//! What brings the logs of workers to the logger of the program; see
//! [`Builder::capture_logs`](crate::Builder::capture_logs) and the guide's chapter on
//! [logging and output](crate::guide::logging).
//!
//! Workers of ForkServer and Spawn have a logger that captures before any code of yours runs.
//! Workers of Fork inherit the logger of the program: there it has to be one of these.

pub use pool_core::{
    CapturedLogger, InstallError, LogCapture, install_logger as install, log_to_stderr,
};
