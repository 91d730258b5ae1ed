//! Which processes there are: this one, the one that has started it, those that it has started.

use std::{fmt, fs, process, sync::Arc};

use nix::unistd::Pid;

use crate::{
    bootstrap,
    child::{Running, SERVER_LIMIT, children, identity},
    hooks::is_in_daemon,
    os,
};

/// A process or thread that this process has started by [`Process`](crate::Process) and that had
/// not ended when it was listed.
#[derive(Clone)]
pub struct ActiveChild(Arc<dyn Running>);

/// The processes and threads that this process has started by [`Process`](crate::Process) and that
/// have not ended, those without a handle too; those that have ended are reaped.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::{Process, active_children};
///
/// let process = Process::builder().name("one").spawn(|x: u64| x, 1)?;
/// assert!(active_children().iter().all(|child| child.name() == "one"));
/// process.join()?;
/// assert!(active_children().is_empty());
/// # Ok::<(), pool_core::Error>(())
/// ```
#[must_use]
pub fn active_children() -> Vec<ActiveChild> {
    children::active().into_iter().map(ActiveChild).collect()
}

impl ActiveChild {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Its process id; `None` for a thread.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// Whether it is daemonic.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.0.is_daemon()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.0.has_ended(SERVER_LIMIT)
    }
}

impl fmt::Debug for ActiveChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveChild")
            .field("name", &self.name())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

/// The process that the calling code runs in; see [`current_process`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentProcess {
    name: String,
    daemon: bool,
}

/// The process that the calling code runs in: that of a [`Process`](crate::Process), or the thread
/// of one under Threads; a worker process of a pool, which is called `worker-0` and so on; or else
/// the program's own, whose name is `MainProcess`.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::{Process, current_process};
///
/// assert_eq!(current_process().name(), "MainProcess");
/// let process = Process::builder().name("one");
/// let process = process.spawn(|()| current_process().name().to_string(), ())?;
/// assert_eq!(process.join()?, "one");
/// # Ok::<(), pool_core::Error>(())
/// ```
#[must_use]
pub fn current_process() -> CurrentProcess {
    let known = identity::current().map(|identity| identity.name.clone());
    let name = known.or_else(worker_name).unwrap_or_else(|| identity::MAIN.to_string());
    CurrentProcess { name, daemon: is_in_daemon() }
}

/// The name of the worker that this process is, if it is one.
fn worker_name() -> Option<String> {
    bootstrap::is_worker().then_some(())?;
    Some(fs::read_to_string("/proc/self/comm").ok()?.trim_end().to_string())
}

impl CurrentProcess {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        process::id()
    }

    /// Whether it is daemonic: it can neither build a pool nor start a process.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }
}

/// The process that has started this one; see [`parent_process`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentProcess {
    name: String,
    pid: Pid,
    starter: Option<Pid>,
}

/// The process that has started the [`Process`](crate::Process) that the calling code runs in;
/// `None` in the program's own process and in a worker of a pool. Under Threads it is this process.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::{Process, parent_process};
///
/// assert!(parent_process().is_none());
/// let parent = |()| parent_process().map(|parent| (parent.pid(), parent.is_alive()));
/// let process = Process::builder().spawn(parent, ())?;
/// assert_eq!(process.join()?, Some((std::process::id(), true)));
/// # Ok::<(), pool_core::Error>(())
/// ```
#[must_use]
pub fn parent_process() -> Option<ParentProcess> {
    let identity = identity::current()?;
    let name = identity.parent_name.clone();
    Some(ParentProcess { name, pid: identity.parent, starter: identity::starter() })
}

impl ParentProcess {
    /// Its name: `MainProcess`, unless it is one of these processes itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Whether it has not ended. While the process that has forked this one is there, it is: that
    /// is the parent itself, or a server that ends with it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.starter.is_some_and(os::is_child_of) || !os::has_ended(self.pid)
    }
}
