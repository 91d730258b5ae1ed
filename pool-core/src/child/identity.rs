//! Which process this one is: its name, its numbers, and the process that started it.
//!
//! Invariant: a process that runs one function sets its identity once, before that function runs;
//! any other process has none, so it is a program's own process or a worker of a pool. What is
//! stored here counts in the process that has stored it: one that is forked from it begins without.

use std::{
    cell::RefCell,
    process,
    sync::{Arc, Mutex, MutexGuard},
};

use nix::unistd::Pid;

use crate::mutex::lock;

/// The name of a process that nothing here has started.
pub(crate) const MAIN: &str = "MainProcess";

/// What a process that runs one function is called, and by whom it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    /// Its number among the processes that its parent has started, behind those of its ancestors.
    pub(crate) numbers: Vec<u32>,
    pub(crate) daemon: bool,
    /// The process that has asked for it, which need not be the one that has forked it.
    pub(crate) parent: Pid,
    pub(crate) parent_name: String,
}

/// What is known of this process.
pub(super) struct Known {
    process: u32,
    /// Its identity, and the process that has forked it.
    identity: Option<(Arc<Identity>, Pid)>,
    /// How many processes and threads it has started.
    started: u32,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { process: 0, identity: None, started: 0 });

thread_local! {
    /// That of a thread which runs a function as a process would, and its process.
    static THREAD: RefCell<Option<(u32, Arc<Identity>)>> = const { RefCell::new(None) };
}

/// Locks what is known of this process: a forked child begins with nothing.
pub(super) fn locked() -> MutexGuard<'static, Known> {
    let mut known = lock(&KNOWN);
    let process = process::id();
    if known.process != process {
        *known = Known { process, identity: None, started: 0 };
    }
    known
}

/// This process is the one of that identity from now on, a child of `starter`.
pub(crate) fn become_process(identity: Identity, starter: Pid) {
    locked().identity = Some((Arc::new(identity), starter));
}

/// This thread runs the function of that identity from now on.
#[cfg(feature = "threads")]
pub(crate) fn become_thread(identity: Identity) {
    THREAD.set(Some((process::id(), Arc::new(identity))));
}

/// The identity of the calling thread or of its process, if it has one.
pub(crate) fn current() -> Option<Arc<Identity>> {
    let own = THREAD.try_with(|thread| thread.borrow().clone()).ok().flatten();
    let own = own.filter(|(process, _)| *process == process::id()).map(|(_, identity)| identity);
    own.or_else(|| locked().identity.as_ref().map(|(identity, _)| identity.clone()))
}

/// The process that has forked this one, if this one runs one function.
pub(crate) fn starter() -> Option<Pid> {
    locked().identity.as_ref().map(|(_, starter)| *starter)
}

/// The identity of a process or thread that is started now; `name`: unless its numbers name it.
pub(crate) fn next(name: Option<String>, daemon: bool) -> Identity {
    let parent = current();
    let mut numbers = parent.as_ref().map_or_else(Vec::new, |parent| parent.numbers.clone());
    numbers.push({
        let mut known = locked();
        known.started = known.started.wrapping_add(1);
        known.started
    });
    let name = name.unwrap_or_else(|| {
        let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("Process-{}", texts.join(":"))
    });
    let parent_name = parent.map_or_else(|| MAIN.to_string(), |parent| parent.name.clone());
    Identity { name, numbers, daemon, parent: nix::unistd::getpid(), parent_name }
}
