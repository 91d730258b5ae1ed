//! What a task has printed before it failed, which comes with its error.
//!
//! Invariant: each stream has no more bytes than the pool keeps of an item; how many are missing is
//! counted. An error may exist before its output was read: the reader fills it in, and the first
//! question for it waits until then, with a limit of time.

use std::{
    borrow::Cow,
    fmt, process,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::mutex::lock;

/// How long a question waits for the reader of the pipes.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a stream in the `Debug` form of an error.
const MOST_SHOWN: usize = 200;
/// Lines of standard error in the alternate text of an error.
const LAST_LINES: usize = 10;

/// What a task has printed in the try that failed: of each captured stream the end, up to
/// `max_output_bytes`.
///
/// A stream that is not captured is empty here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskOutput {
    streams: [StreamTail; 2],
}

/// The end of what was written to one stream.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamTail {
    pub(crate) bytes: Vec<u8>,
    /// Bytes before those.
    pub(crate) dropped: u64,
}

impl fmt::Debug for StreamTail {
    /// Shows the last of the bytes, as text: a failure is shown where an `unwrap` meets it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left_out, last) = self.bytes.split_at(self.bytes.len().saturating_sub(MOST_SHOWN));
        match self.dropped + left_out.len() as u64 {
            0 => {}
            bytes => write!(f, "({bytes} bytes) ")?,
        }
        String::from_utf8_lossy(last).fmt(f)
    }
}

impl TaskOutput {
    pub(crate) fn new(streams: [StreamTail; 2]) -> Self {
        Self { streams }
    }

    /// How many bytes it keeps.
    pub(crate) fn len(&self) -> usize {
        self.streams.iter().map(|stream| stream.bytes.len()).sum()
    }

    /// The end of what the task wrote to standard output.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        &self.streams[0].bytes
    }

    /// The end of what the task wrote to standard error.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.streams[1].bytes
    }

    /// How many bytes of standard output came before [`stdout`](Self::stdout) and were not kept.
    #[must_use]
    pub fn stdout_dropped(&self) -> u64 {
        self.streams[0].dropped
    }

    /// How many bytes of standard error came before [`stderr`](Self::stderr) and were not kept.
    #[must_use]
    pub fn stderr_dropped(&self) -> u64 {
        self.streams[1].dropped
    }

    /// [`stdout`](Self::stdout) as text, with U+FFFD in place of what is no UTF-8.
    #[must_use]
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.stdout())
    }

    /// [`stderr`](Self::stderr) as text, with U+FFFD in place of what is no UTF-8.
    #[must_use]
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.stderr())
    }

    /// The last lines of standard error, each on a line of its own.
    pub(super) fn fmt_last_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.stderr_text();
        let mut lines: Vec<_> = text.lines().rev().take(LAST_LINES).collect();
        lines.reverse();
        lines.iter().try_for_each(|line| write!(f, "\n  stderr: {line}"))
    }
}

/// An output that an error has, or will have; two of them count as equal, so that errors are
/// compared by what happened.
#[derive(Clone)]
pub(crate) struct LateOutput(Option<Arc<Cell>>);

struct Cell {
    output: OnceLock<TaskOutput>,
    /// The process whose reader fills it in.
    process: u32,
    lock: Mutex<()>,
    filled: Condvar,
}

impl LateOutput {
    /// There is none and will be none.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// One that is filled in later.
    pub(crate) fn awaited() -> Self {
        let (lock, filled) = (Mutex::new(()), Condvar::new());
        let (output, process) = (OnceLock::new(), process::id());
        Self(Some(Arc::new(Cell { output, process, lock, filled })))
    }

    /// Fills it in, once.
    pub(crate) fn fill(&self, output: TaskOutput) {
        if let Some(cell) = &self.0 {
            let _ = cell.output.set(output);
            drop(lock(&cell.lock));
            cell.filled.notify_all();
        }
    }

    /// The output; waits for it.
    pub(super) fn get(&self) -> Option<&TaskOutput> {
        let cell = self.0.as_ref()?;
        // A process that was forked from the one that reads has no reader.
        if cell.output.get().is_none() && cell.process == process::id() {
            let empty = |_: &mut ()| cell.output.get().is_none();
            let waited = cell.filled.wait_timeout_while(lock(&cell.lock), WAIT_LIMIT, empty);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        cell.output.get()
    }
}

impl fmt::Debug for LateOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().and_then(|cell| cell.output.get()).fmt(f)
    }
}

impl PartialEq for LateOutput {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LateOutput {}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &[u8]) -> TaskOutput {
        TaskOutput::new([StreamTail::default(), StreamTail { bytes: text.to_vec(), dropped: 2 }])
    }

    #[test]
    fn a_question_waits_until_the_output_is_there() {
        let late = LateOutput::awaited();
        std::thread::scope(|scope| {
            let asks = scope.spawn(|| late.get().cloned());
            late.fill(output(b"one\n"));
            late.fill(output(b"a second time\n"));
            assert_eq!(asks.join().expect("no panic"), Some(output(b"one\n")));
        });
        assert_eq!(LateOutput::none().get(), None);
        assert_eq!(late, LateOutput::none());
    }

    #[test]
    fn a_tail_is_shown_as_text() {
        let shown = |bytes: &[u8], dropped| {
            let bytes = bytes.to_vec();
            format!("{:?}", StreamTail { bytes, dropped })
        };
        assert_eq!(shown(b"one\n", 0), "\"one\\n\"");
        let long = shown(&[b'x'; 1000], 7);
        assert_eq!(long, format!("(807 bytes) \"{}\"", "x".repeat(200)));
    }

    #[test]
    fn the_last_lines_are_text_whatever_was_written() {
        struct Shown(TaskOutput);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_last_lines(f)
            }
        }
        let many: String = (0..100).map(|n| format!("{n}\n")).collect();
        let shown = Shown(output(many.as_bytes())).to_string();
        assert_eq!(shown.lines().count(), 1 + LAST_LINES);
        assert!(shown.starts_with("\n  stderr: 90\n") && shown.ends_with("stderr: 99"), "{shown}");
        assert_eq!(Shown(output(b"\xff")).to_string(), "\n  stderr: \u{fffd}");
        assert_eq!(Shown(output(b"")).to_string(), "");
    }
}
