//! Cases, and helpers that make pools and items for them.

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use pool_api::{Builder, SharedArray, StartMethod, WorkerPool};

use crate::sys;

/// How a case ends; failed assertions panic.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// One behaviour, tried with one start method at a time.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(StartMethod) -> Outcome,
    pub(crate) on: On,
    /// Runs only where the counts are full ones.
    pub(crate) heavy: bool,
    /// Looks at the whole machine, or fills it: nothing else runs beside it.
    pub(crate) alone: bool,
}

/// The start methods with which a case runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    All,
    /// Those under which a worker can die or refuse bytes.
    Processes,
    /// Those under which items and results are the caller's own values.
    Threads,
    /// Those under which workers are copies of the caller.
    Fork,
    /// Those under which a process may be a closure that captures.
    Captures,
}

impl Case {
    pub(crate) const fn new(name: &'static str, run: fn(StartMethod) -> Outcome) -> Self {
        Self { name, run, on: On::All, heavy: false, alone: false }
    }

    pub(crate) const fn processes(self) -> Self {
        Self { on: On::Processes, ..self }
    }

    pub(crate) const fn threads(self) -> Self {
        Self { on: On::Threads, ..self }
    }

    pub(crate) const fn only_fork(self) -> Self {
        Self { on: On::Fork, ..self }
    }

    pub(crate) const fn captures(self) -> Self {
        Self { on: On::Captures, ..self }
    }

    pub(crate) const fn heavy(self) -> Self {
        Self { heavy: true, ..self }
    }

    pub(crate) const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    pub(crate) fn applies_to(&self, method: StartMethod) -> bool {
        let suits = match self.on {
            On::All => true,
            On::Processes => method != StartMethod::Threads,
            On::Threads => method == StartMethod::Threads,
            On::Fork => method == StartMethod::Fork,
            On::Captures => matches!(method, StartMethod::Fork | StartMethod::Threads),
        };
        suits && (FULL || !self.heavy)
    }
}

/// A pool of `n` workers.
pub(crate) fn pool(method: StartMethod, n: usize) -> pool_api::Result<WorkerPool> {
    builder(method, n).build()
}

/// The builder of a pool of `n` workers.
pub(crate) fn builder(method: StartMethod, n: usize) -> Builder {
    WorkerPool::builder().start_method(method).n_jobs(n)
}

/// So many bytes, as a list of `word`s: without optimisations each element costs time, and a list
/// of bytes has eight times as many.
pub(crate) fn words(bytes: usize, word: u64) -> Vec<u64> {
    vec![word; bytes / size_of::<u64>()]
}

/// Whether the counts are full ones: in release, built with `POOL_FULL_COUNTS` in the environment,
/// with which `cargo xtask test` also optimises this suite.
const FULL: bool = !cfg!(debug_assertions) && option_env!("POOL_FULL_COUNTS").is_some();

/// `full` where the counts are full ones, otherwise `small`.
pub(crate) const fn sized(full: usize, small: usize) -> usize {
    if FULL { full } else { small }
}

/// A tenth of `all`, unless `POOL_FULL_COUNTS` is set in the environment.
pub(crate) fn tenth_of(all: u64) -> u64 {
    if std::env::var_os("POOL_FULL_COUNTS").is_some() { all } else { all / 10 }
}

/// Kills workers until `over`, one after the other; returns their process ids. `begun` has, for
/// each worker id, the process that has begun a task last: others are not killed, since so many
/// deaths in a row before the first task would end the calls.
pub(crate) fn kill_in_turn(begun: &SharedArray<u32>, over: &AtomicBool) -> Vec<u32> {
    let mut killed: Vec<u32> = Vec::new();
    // Relaxed: nothing else depends on it.
    while !over.load(Ordering::Relaxed) {
        let mut pids = begun.to_vec();
        pids.rotate_left(killed.len() % begun.len());
        let next = pids.into_iter().find(|pid| *pid != 0 && !killed.contains(pid));
        if let Some(pid) = next {
            sys::kill(pid, sys::SIGKILL);
            killed.push(pid);
        }
        thread::sleep(Duration::from_millis(7)); // the rhythm of the kills
    }
    killed
}
