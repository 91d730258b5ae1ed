//! The processes and threads that this process has started and that have not ended.
//!
//! Invariant: a child stays listed until it has ended and was reaped, whatever becomes of its
//! handle; a process that was forked from this one begins with an empty list. At the normal end of
//! this process daemonic children are killed, and the others waited for, but for detached ones;
//! then what was captured is delivered.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags};

use super::deliveries;
use crate::watcher::Awaited;
use crate::{mutex::lock, os};

/// How long the server may take to say how a process has ended, once the kernel says that it has:
/// a server that was stopped (SIGSTOP) says it later.
pub(crate) const SERVER_LIMIT: Duration = Duration::from_secs(1);

/// A process or thread that runs one function.
pub(crate) trait Running: Awaited {
    /// Whether it has ended and it is known how; reaps it then. A server that knows how is waited
    /// for at most for `limit`.
    fn has_ended(&self, limit: Duration) -> bool;
    /// Waits until it has ended.
    fn wait(&self);
    /// Kills it; does nothing for a thread.
    fn kill(&self);
    fn is_daemon(&self) -> bool;
    /// Whether this process's end does not wait for it.
    fn is_detached(&self) -> bool;
    /// Whether it is the calling thread.
    fn is_current(&self) -> bool;
    fn name(&self) -> &str;
    /// Whether that is still the descriptor that the library has made: the program may have closed
    /// it, and put another one at its number.
    fn has_own_fd(&self) -> bool;
    fn pid(&self) -> Option<u32>;
}

/// The children of a process.
pub(super) struct Children {
    process: u32,
    all: Vec<Arc<dyn Running>>,
    /// Whether [`at_exit`] is registered, in this process or one that it was forked from.
    has_handler: bool,
}

static CHILDREN: Mutex<Children> =
    Mutex::new(Children { process: 0, all: Vec::new(), has_handler: false });

/// Locks the list of this process: a forked child begins with none.
pub(super) fn locked() -> MutexGuard<'static, Children> {
    let mut children = lock(&CHILDREN);
    let process = process::id();
    if children.process != process {
        // Their owners are values of the process that this one was forked from.
        std::mem::forget(std::mem::take(&mut children.all));
        children.process = process;
    }
    children
}

/// Lists a child, and reaps those that have ended.
pub(crate) fn add(child: Arc<dyn Running>) {
    // A child whose server is slow to tell how it has ended is reaped by a later start.
    let ended = reap(|_| false, Duration::ZERO);
    let mut children = locked();
    if !children.has_handler {
        // SAFETY: the function has the form that the call asks for, and unwinds never.
        unsafe { libc::atexit(at_exit) };
        children.has_handler = true;
    }
    children.all.push(child);
    drop(children);
    drop(ended);
}

/// The children that have not ended.
pub(crate) fn active() -> Vec<Arc<dyn Running>> {
    drop(reap(|child| !child.has_own_fd(), SERVER_LIMIT));
    locked().all.clone()
}

/// Takes a child off the list that has ended.
pub(crate) fn remove(child: &Arc<dyn Running>) {
    let mut children = locked();
    let at = children
        .all
        .iter()
        .position(|other| std::ptr::addr_eq(&raw const **other, &raw const **child));
    let removed = at.map(|at| children.all.swap_remove(at));
    drop(children);
    // Its end may wait for that of a server, so the list is not locked any more.
    drop(removed);
}

/// Takes the children off the list that have ended. Only those whose descriptor is readable, or
/// says nothing of them, are asked whether they have.
fn reap(
    is_unwatched: impl Fn(&dyn Running) -> bool,
    server_limit: Duration,
) -> Vec<Arc<dyn Running>> {
    let all = locked().all.clone();
    let fds = all.iter().map(|child| PollFd::new(child.fd(), PollFlags::POLLIN));
    let mut fds: Vec<_> = fds.collect();
    // Without an answer of the kernel all are asked.
    let unknown = os::poll(&mut fds, Some(Duration::ZERO)).is_err();
    let asked = all
        .iter()
        .zip(&fds)
        .filter(|(child, fd)| unknown || fd.any() != Some(false) || is_unwatched(&***child));
    let ended = asked.map(|(child, _)| child).filter(|child| child.has_ended(server_limit));
    let ended: Vec<_> = ended.cloned().collect();
    ended.iter().for_each(remove);
    ended
}

/// Ends the children of this process, which is about to end, and delivers what was captured.
pub(crate) fn end_of_process() {
    let mut children = std::mem::take(&mut locked().all);
    children.retain(|child| !child.is_current());
    let (daemons, others): (Vec<_>, Vec<_>) =
        children.into_iter().partition(|child| child.is_daemon());
    daemons.iter().for_each(|child| child.kill());
    // A thread cannot be killed: it ends with this process.
    daemons.iter().filter(|child| child.pid().is_some()).for_each(|child| child.wait());
    others.iter().filter(|child| !child.is_detached()).for_each(|child| child.wait());
    deliveries::deliver_all();
}

extern "C" fn at_exit() {
    // A panic here is a defect, and must not unwind into the C library.
    let _ = std::panic::catch_unwind(end_of_process);
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::fd::{AsFd, BorrowedFd},
        sync::atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;

    /// Ends when something is written into its pipe.
    struct Piped {
        reader: std::io::PipeReader,
        was_asked: AtomicBool,
        is_watched: AtomicBool,
    }

    impl Awaited for Piped {
        fn fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }

    impl Running for Piped {
        fn has_ended(&self, _: Duration) -> bool {
            self.was_asked.store(true, SeqCst);
            !self.has_own_fd() || os::readable_within(self.reader.as_fd(), Duration::ZERO)
        }

        fn wait(&self) {}

        fn kill(&self) {}

        fn is_daemon(&self) -> bool {
            true
        }

        fn is_detached(&self) -> bool {
            true
        }

        fn is_current(&self) -> bool {
            false
        }

        fn name(&self) -> &str {
            "piped"
        }

        fn has_own_fd(&self) -> bool {
            self.is_watched.load(SeqCst)
        }

        fn pid(&self) -> Option<u32> {
            None
        }
    }

    fn listed_child() -> (Arc<Piped>, std::io::PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        let [was_asked, is_watched] = [false, true].map(AtomicBool::new);
        let piped = Arc::new(Piped { reader, was_asked, is_watched });
        add(piped.clone());
        (piped, writer)
    }

    fn is_active(piped: &Arc<Piped>) -> bool {
        let child: Arc<dyn Running> = piped.clone();
        active().iter().any(|other| Arc::ptr_eq(other, &child))
    }

    #[test]
    fn only_children_with_a_readable_descriptor_are_asked() {
        let (piped, mut writer) = listed_child();
        assert!(is_active(&piped) && !piped.was_asked.load(SeqCst));
        writer.write_all(b"x").unwrap();
        assert!(!is_active(&piped) && piped.was_asked.load(SeqCst));
    }

    #[test]
    fn children_whose_descriptor_is_another_one_are_asked() {
        let (piped, _writer) = listed_child();
        assert!(is_active(&piped));
        piped.is_watched.store(false, SeqCst);
        assert!(!is_active(&piped));
    }
}
