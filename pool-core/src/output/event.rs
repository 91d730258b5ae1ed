//! What the user's function is told: a piece of the output of a worker.

use std::{
    borrow::Cow,
    fmt,
    io::{self, IsTerminal},
};

use crate::{ids::WorkerId, progress};

/// Which stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    pub(super) const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// What a worker has written to one of its captured streams: lines, or the end of a line where its
/// item ends or 64 KiB have come without a line break.
///
/// The events of one stream of one worker come in the order in which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputEvent {
    pub(super) worker: WorkerId,
    pub(super) item: Option<u64>,
    pub(super) stream: Stream,
    pub(super) bytes: Vec<u8>,
    pub(super) dropped: u64,
}

impl OutputEvent {
    /// The id of the worker; 0 for a [`Process`](crate::Process).
    #[must_use]
    pub fn worker(&self) -> u32 {
        self.worker.number()
    }

    /// The position of the item in the input of its call, if one was under way. `None` for what is
    /// written between items, by `worker_init`, `worker_exit` and `at_worker_start`, and in calls
    /// of one item whose result comes later (`apply_async`), which have no position.
    #[must_use]
    pub fn item(&self) -> Option<u64> {
        self.item
    }

    /// Which stream it was written to.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as text, with U+FFFD in place of what is no UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// How many bytes, of any worker and stream, were dropped since the event before, because calls
    /// of this function took more than a second each while more was written than may wait.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Prints it to the same stream of this process, by `print!` or `eprint!`: what `cargo test`
    /// captures of a test. It tears no progress bar: while there are bars, a piece that is printed
    /// to a terminal ends its line.
    pub fn print(&self) {
        let mut text = self.text();
        if !text.ends_with('\n') && progress::has_bars() && self.is_to_terminal() {
            text.to_mut().push('\n');
        }
        progress::suspend(|| match self.stream {
            Stream::Stdout => print!("{text}"),
            Stream::Stderr => eprint!("{text}"),
        });
    }

    fn is_to_terminal(&self) -> bool {
        match self.stream {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        }
    }
}
