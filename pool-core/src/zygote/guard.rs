//! The process above the zygote, which adopts what the zygote leaves behind when it is killed.
//!
//! Invariant: while a guard or its zygote lives, every process below them has one of them to end it.
//! Workers die with the zygote by their parent-death signal, but the programs that tasks had started do
//! not: the kernel hands those to the nearest subreaper, which is the guard. A guard that is killed is
//! noticed by its zygote. Only who kills both at the same moment leaves such programs alone, or who kills
//! a zygote for which there was no process left to guard it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork, getpid, getppid},
};

use super::{
    papers::{ZygoteFds, ZygotePapers},
    reign::{LOOK_FOR_PARENT_MS, Overlords, reign},
};
use crate::{birth, worker};

/// Makes this process a guard and a child of it the zygote; never returns to whoever made it.
pub(crate) fn reign_guarded(papers: ZygotePapers, fds: ZygoteFds, parent: Pid) -> ! {
    birth::become_subreaper();
    let parent_fd = birth::pidfd_open(parent).ok();
    if getppid() != parent {
        worker::end_quietly();
    }
    let guard = getpid();
    // SAFETY: this process has one thread for life, so the child may do whatever it likes.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let fds_of = vec![birth::pidfd_open(guard).ok(), parent_fd];
            reign(papers, fds, Overlords::new(guard, fds_of))
        }
        Ok(ForkResult::Parent { child }) => {
            birth::set_process_name(&birth::process_name("pool-guard"));
            // Its end of the parent's socket above all: the parent shall see the zygote's death.
            let kept: Vec<_> = parent_fd.iter().map(AsRawFd::as_raw_fd).collect();
            birth::descriptors::keep_only(&kept);
            watch(child, parent, parent_fd.as_ref());
            birth::kill_strays(&|_| false);
        }
        // No process is left for a guard: the zygote goes without one.
        Err(_) => reign(papers, fds, Overlords::new(parent, vec![parent_fd])),
    }
    worker::end_quietly()
}

/// Waits until the zygote or the parent is gone.
fn watch(zygote: Pid, parent: Pid, parent_fd: Option<&OwnedFd>) {
    let zygote_fd = birth::pidfd_open(zygote).ok();
    let known = zygote_fd.is_some() && parent_fd.is_some();
    let timeout = if known { PollTimeout::NONE } else { PollTimeout::from(LOOK_FOR_PARENT_MS) };
    let fds = zygote_fd.iter().chain(parent_fd);
    let mut watched: Vec<_> = fds.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    while getppid() == parent
        && waitpid(zygote, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive)
    {
        let _ = poll(&mut watched, timeout);
    }
}
