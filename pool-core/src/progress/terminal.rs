//! What is written to standard error while there are bars in the terminal.
//!
//! Invariant: a forked child begins without bars: those of its parent are none of its.

#[cfg(feature = "progress")]
use std::{
    cell::Cell,
    io::{IsTerminal as _, stderr as std_stderr},
    mem,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process,
    sync::Mutex,
};
use std::{fmt, io, io::Write};

#[cfg(feature = "progress")]
use indicatif::MultiProgress;

#[cfg(feature = "progress")]
use crate::{mutex::lock, os, panic::drop_quietly};

/// The bars of this process.
#[cfg(feature = "progress")]
static BARS: Mutex<(u32, Option<MultiProgress>)> = Mutex::new((0, None));

#[cfg(feature = "progress")]
thread_local! {
    /// Whether the bars are away for this thread.
    static SUSPENDS: Cell<bool> = const { Cell::new(false) };
}

/// The bars of this process in its terminal, among which bars of the program's own have a line,
/// too: `bars().add(bar)`.
#[cfg(feature = "progress")]
#[must_use]
pub fn bars() -> MultiProgress {
    let (mut bars, here) = (lock(&BARS), process::id());
    if bars.0 != here {
        mem::forget(mem::replace(&mut *bars, (here, None)));
    }
    bars.1.get_or_insert_with(MultiProgress::new).clone()
}

/// Whether standard error is a terminal that can move its cursor.
#[cfg(feature = "progress")]
pub(super) fn is_terminal() -> bool {
    std_stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Runs `write`, which writes to the terminal, while no bar is there, so that neither tears the
/// other. Inside of it bars wait: a call that shows a bar may take a second longer there.
///
/// ```
/// pool_core::suspend(|| eprintln!("a line of its own"));
/// ```
pub fn suspend<R>(write: impl FnOnce() -> R) -> R {
    #[cfg(feature = "progress")]
    if let Some(bars) = present() {
        return without(&bars, write);
    }
    write()
}

/// Runs `write` while the bars are away.
#[cfg(feature = "progress")]
fn without<R>(bars: &MultiProgress, write: impl FnOnce() -> R) -> R {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            SUSPENDS.set(false);
        }
    }
    let (mut write, mut written) = (Some(write), None);
    SUSPENDS.set(true);
    let ends = Ends;
    // It panics where the terminal is gone, and if it did so before: the text goes its way then.
    let suspended = catch_unwind(AssertUnwindSafe(|| {
        bars.suspend(|| {
            if let Some(write) = write.take() {
                written = Some(catch_unwind(AssertUnwindSafe(write)));
            }
        });
    }));
    if let Err(payload) = suspended {
        drop_quietly(payload);
    }
    drop(ends);
    match (written, write) {
        (Some(Ok(value)), _) => value,
        (Some(Err(payload)), _) => resume_unwind(payload),
        (None, Some(write)) => write(),
        (None, None) => unreachable!("what was taken was run"),
    }
}

/// The columns of the terminal.
#[cfg(feature = "progress")]
pub(super) fn terminal_width() -> u16 {
    const USUAL: u16 = 80;
    os::columns(std_stderr().as_fd()).unwrap_or(USUAL)
}

/// The bars, if there were any in this process and this thread has not sent them away.
#[cfg(feature = "progress")]
fn present() -> Option<MultiProgress> {
    let bars = lock(&BARS);
    let here = bars.0 == process::id() && !SUSPENDS.get();
    bars.1.clone().filter(|_| here)
}

/// Whether there are bars that what is written could tear.
pub(crate) fn has_bars() -> bool {
    #[cfg(feature = "progress")]
    return present().is_some();
    #[cfg(not(feature = "progress"))]
    false
}

/// Writes a line to standard error that tears no bar. What cannot be written is lost.
pub fn println(text: &str) {
    let line = format!("{text}\n");
    suspend(|| {
        let _ = io::stderr().write_all(line.as_bytes());
    });
}

/// Standard error, for loggers: what is written tears no bar. It is to be written by whole lines.
///
/// ```
/// use std::io::Write;
///
/// writeln!(pool_core::stderr(), "a line of its own")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stderr() -> Stderr {
    Stderr { line: Vec::new() }
}

/// Writes to standard error by whole lines that tear no bar: see [`stderr`].
pub struct Stderr {
    line: Vec<u8>,
}

impl Stderr {
    fn write_out(&mut self, to: usize) -> io::Result<()> {
        let bytes: Vec<u8> = self.line.drain(..to).collect();
        if bytes.is_empty() { Ok(()) } else { suspend(|| io::stderr().write_all(&bytes)) }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            self.write_out(end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out(self.line.len())
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // There is no place to say that it failed.
        let _ = self.flush();
    }
}

impl fmt::Debug for Stderr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stderr").finish_non_exhaustive()
    }
}
