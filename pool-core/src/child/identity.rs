//! Which process this one is: its name, its numbers, and the process that started it.
//!
//! Invariant: a process that runs one function sets its identity once, before that function runs;
//! any other process has none, so it is a program's own process or a worker of a pool.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
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

/// The identity of this process, and the process that has forked it.
static PROCESS: Mutex<Option<(Arc<Identity>, Pid)>> = Mutex::new(None);

/// How many processes and threads this process has started.
static STARTED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// That of a thread which runs a function as a process would.
    static THREAD: RefCell<Option<Arc<Identity>>> = const { RefCell::new(None) };
}

/// This process is the one of that identity from now on, a child of `starter`.
pub(crate) fn become_process(identity: Identity, starter: Pid) {
    STARTED.store(0, Relaxed);
    THREAD.set(None);
    *lock(&PROCESS) = Some((Arc::new(identity), starter));
}

/// This thread runs the function of that identity from now on.
#[cfg(feature = "threads")]
pub(crate) fn become_thread(identity: Identity) {
    THREAD.set(Some(Arc::new(identity)));
}

/// The identity of the calling thread or of its process, if it has one.
pub(crate) fn current() -> Option<Arc<Identity>> {
    let own = THREAD.try_with(|thread| thread.borrow().clone()).ok().flatten();
    own.or_else(|| lock(&PROCESS).as_ref().map(|(identity, _)| identity.clone()))
}

/// The process that has forked this one, if this one runs one function.
pub(crate) fn starter() -> Option<Pid> {
    lock(&PROCESS).as_ref().map(|(_, starter)| *starter)
}

/// The identity of a process or thread that is started now; `name`: unless its numbers name it.
pub(crate) fn next(name: Option<String>, daemon: bool) -> Identity {
    let parent = current();
    let mut numbers = parent.as_ref().map_or_else(Vec::new, |parent| parent.numbers.clone());
    numbers.push(STARTED.fetch_add(1, Relaxed).wrapping_add(1));
    let name = name.unwrap_or_else(|| {
        let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("Process-{}", texts.join(":"))
    });
    let parent_name = parent.map_or_else(|| MAIN.to_string(), |parent| parent.name.clone());
    Identity { name, numbers, daemon, parent: nix::unistd::getpid(), parent_name }
}
