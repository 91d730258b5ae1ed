//! What a worker may do and take at most, and how that crosses to other processes.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use crate::os::nanos;

/// The limits of a worker, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Whether its tasks may not build pools.
    pub(crate) daemon: bool,
    /// Whether its core dumps contain shared objects.
    pub(crate) dumped: bool,
    /// Bytes of private memory beside what it has when its first chunk begins.
    pub(crate) memory: Option<u64>,
    /// Bytes of private memory in use beyond which it is replaced.
    pub(crate) resident: Option<u64>,
    /// Bytes of the stack that its tasks run on; without it as many as a program's first stack has.
    pub(crate) stack: Option<usize>,
    /// How long making its state may take.
    pub(crate) init: Option<Duration>,
    /// How long what it does at its end may take.
    pub(crate) exit: Option<Duration>,
}

impl Bounds {
    /// How many words they take.
    pub(crate) const WORDS: usize = 7;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let time = |limit: Option<Duration>| limit.map_or(0, nanos);
        let (memory, resident) = (self.memory.unwrap_or(0), self.resident.unwrap_or(0));
        let [daemon, dumped] = [self.daemon, self.dumped].map(u64::from);
        let stack = self.stack.map_or(0, |bytes| bytes as u64);
        [daemon, dumped, memory, resident, stack, time(self.init), time(self.exit)]
    }

    /// Bounds, and the words behind them.
    pub(crate) fn split_from(words: &[u64]) -> Option<(Self, &[u64])> {
        let ([daemon, dumped, memory, resident, stack, init, exit], rest) =
            words.split_first_chunk()?;
        let some = |word: u64| (word > 0).then_some(word);
        let bounds = Self {
            daemon: *daemon != 0,
            dumped: *dumped != 0,
            memory: some(*memory),
            resident: some(*resident),
            stack: some(*stack).and_then(|bytes| usize::try_from(bytes).ok()),
            init: some(*init).map(Duration::from_nanos),
            exit: some(*exit).map(Duration::from_nanos),
        };
        Some((bounds, rest))
    }
}

impl Default for Bounds {
    fn default() -> Self {
        let (memory, resident, stack) = (None, None, None);
        Self { daemon: true, dumped: false, memory, resident, stack, init: None, exit: None }
    }
}

static DAEMON: AtomicBool = AtomicBool::new(false);

thread_local! {
    static DAEMON_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// This process is a worker whose tasks may not build pools.
pub(crate) fn become_daemon() {
    DAEMON.store(true, Relaxed);
}

/// The calling thread is such a worker.
#[cfg(feature = "threads")]
pub(crate) fn become_daemon_thread() {
    DAEMON_THREAD.set(true);
}

/// Whether the calling thread is in a worker whose tasks may not build pools.
pub(crate) fn is_in_daemon() -> bool {
    DAEMON.load(Relaxed) || DAEMON_THREAD.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_survive_their_numbers() {
        let (init, exit) = (Some(Duration::from_nanos(9)), Some(Duration::from_nanos(10)));
        let (daemon, dumped) = (false, true);
        let (memory, resident, stack) = (Some(7), Some(8), Some(11));
        let some = Bounds { daemon, dumped, memory, resident, stack, init, exit };
        for bounds in [Bounds::default(), some] {
            let words = [bounds.to_words().as_slice(), &[5]].concat();
            assert_eq!(Bounds::split_from(&words), Some((bounds, &[5][..])));
        }
        assert_eq!(Bounds::split_from(&[1, 2, 3]), None);
    }
}
