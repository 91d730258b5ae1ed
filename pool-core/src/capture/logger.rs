//! The logger that captures in workers and forwards to another logger everywhere else.
//!
//! Invariant: in a worker that captures, the level of the `log` crate lets every record come to
//! this logger, which looks at the parent's level itself, since that may change at any time; what
//! it does not capture is for the inner logger, up to the level that this process had.

use std::{
    cell::Cell,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use log::{LevelFilter, Log, Metadata, Record};

use super::{
    encode,
    origin::{self, LOG_LEVEL, Origin},
};

/// A target by which this logger is asked whether it is there, behind whatever loggers.
const PROBE: &str = "pool::capture\0probe";

thread_local! {
    /// Whether a probe has come to a logger of ours.
    static IS_FOUND: Cell<bool> = const { Cell::new(false) };
}

/// In a worker, the most verbose level of what is not captured.
static OWN_LEVEL: AtomicUsize = AtomicUsize::new(LevelFilter::Trace as usize);

/// The logger that [`install`] installs, and workers that have none.
static INSTALLED: Installed = Installed { inner: OnceLock::new() };

struct Installed {
    inner: OnceLock<Box<dyn Log>>,
}

/// A logger around another one. In workers whose pool captures records of a target, these go to the
/// program's logger; all others, and all records in other processes, go to the inner one.
///
/// Workers of ForkServer and Spawn need none. Those of Fork inherit the logger of the program,
/// which the `log` crate never lets be replaced: so it has to be this one, or have this one in it.
/// [`install`] makes it the program's logger in one step.
///
/// ```
/// # mod pool_api { pub mod logging { pub use pool_core::*; } }
/// use pool_api::logging::CapturedLogger;
///
/// # struct Lines;
/// # impl log::Log for Lines {
/// #     fn enabled(&self, _: &log::Metadata<'_>) -> bool { true }
/// #     fn log(&self, _: &log::Record<'_>) {}
/// #     fn flush(&self) {}
/// # }
/// log::set_boxed_logger(Box::new(CapturedLogger::new(Box::new(Lines))))?;
/// log::set_max_level(log::LevelFilter::Info);
/// # Ok::<(), log::SetLoggerError>(())
/// ```
pub struct CapturedLogger {
    inner: Box<dyn Log>,
}

impl CapturedLogger {
    /// A logger around `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn Log>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for CapturedLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapturedLogger").finish_non_exhaustive()
    }
}

/// Why a logger was not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallError {
    /// [`install`] was called before in this process, or in the one that it was forked from.
    Twice,
    /// The process has another logger already, which nothing can replace.
    OtherLogger,
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice => "a logger was installed by this function before",
            Self::OtherLogger => "the process has another logger already, and keeps it",
        })
    }
}

impl std::error::Error for InstallError {}

/// Makes `logger` the logger of this process, behind a [`CapturedLogger`]: call it first in `main`,
/// and set the level by `log::set_max_level`.
///
/// In a function of `at_worker_start`, it gets the records that are not captured, under every start
/// method but Fork, where workers have the logger of the program.
///
/// ```
/// # struct Lines;
/// # impl log::Log for Lines {
/// #     fn enabled(&self, _: &log::Metadata<'_>) -> bool { true }
/// #     fn log(&self, _: &log::Record<'_>) {}
/// #     fn flush(&self) {}
/// # }
/// # fn build_logger() -> Lines { Lines }
/// # mod pool_api { pub mod logging { pub use pool_core::install_logger as install; } }
/// use pool_api::logging;
///
/// // With env_logger: `let logger = env_logger::Builder::from_default_env().build();`
/// let logger = build_logger();
/// logging::install(Box::new(logger))?;
/// log::set_max_level(log::LevelFilter::Info);
/// # Ok::<(), pool_core::InstallError>(())
/// ```
///
/// # Errors
///
/// [`InstallError`], for a second call and where the process has a logger already; nothing has
/// changed then.
pub fn install(logger: Box<dyn Log>) -> Result<(), InstallError> {
    if !set_ours() {
        return Err(InstallError::OtherLogger);
    }
    INSTALLED.inner.set(logger).map_err(|_| InstallError::Twice)?;
    if origin::current().is_some() {
        OWN_LEVEL.store(LevelFilter::Trace as usize, Relaxed);
    }
    Ok(())
}

/// Makes ours the logger of this process; `false` if there is another one.
fn set_ours() -> bool {
    log::set_logger(&INSTALLED).is_ok() || std::ptr::addr_eq(log::logger(), &raw const INSTALLED)
}

/// Whether workers that inherit the logger of this process can capture: whether it is ours, has
/// ours in it, or there was none until now.
pub(super) fn can_be_inherited() -> bool {
    set_ours() || {
        IS_FOUND.set(false);
        let probe = Metadata::builder().target(PROBE).level(log::Level::Error).build();
        let _ = log::logger().enabled(&probe);
        IS_FOUND.get()
    }
}

/// Makes records of this process come to a logger of ours; `false` if there is another one.
pub(super) fn begin() -> bool {
    let is_ours = can_be_inherited();
    if is_ours {
        OWN_LEVEL.store(log::max_level() as usize, Relaxed);
        log::set_max_level(LevelFilter::Trace);
    }
    is_ours
}

/// Takes the level that the user's code has set in this worker as that of what is not captured.
pub(super) fn settle() {
    let level = log::max_level();
    if level != LevelFilter::Trace && can_be_inherited() {
        OWN_LEVEL.store(level as usize, Relaxed);
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Whether a record of this level and target is captured, or would be if the parent took it.
#[inline]
fn is_captured(origin: &Origin, metadata: &Metadata<'_>) -> bool {
    origin.takes(metadata.target())
}

fn is_enabled(inner: Option<&dyn Log>, metadata: &Metadata<'_>) -> bool {
    if metadata.target() == PROBE {
        IS_FOUND.set(true);
        return false;
    }
    let level = metadata.level() as usize;
    match origin::current() {
        Some(origin) if level > origin.level(LOG_LEVEL).max(OWN_LEVEL.load(Relaxed)) => false,
        Some(origin) if is_captured(origin, metadata) => level <= origin.level(LOG_LEVEL),
        Some(_) if level > OWN_LEVEL.load(Relaxed) => false,
        _ => inner.is_some_and(|inner| inner.enabled(metadata)),
    }
}

#[inline]
fn log(inner: Option<&dyn Log>, record: &Record<'_>) {
    let level = record.level() as usize;
    if let Some(origin) = origin::current() {
        let taken = origin.level(LOG_LEVEL);
        if level > taken.max(OWN_LEVEL.load(Relaxed)) {
            return;
        }
        if is_captured(origin, record.metadata()) {
            if level <= taken {
                encode::hand_over(origin, record);
            }
            return;
        }
        if level > OWN_LEVEL.load(Relaxed) {
            return;
        }
    }
    if let Some(inner) = inner {
        inner.log(record);
    }
}

impl Log for CapturedLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_enabled(Some(&*self.inner), metadata)
    }

    fn log(&self, record: &Record<'_>) {
        log(Some(&*self.inner), record);
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

impl Log for Installed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_enabled(self.inner.get().map(|inner| &**inner), metadata)
    }

    fn log(&self, record: &Record<'_>) {
        log(self.inner.get().map(|inner| &**inner), record);
    }

    fn flush(&self) {
        if let Some(inner) = self.inner.get() {
            inner.flush();
        }
    }
}
