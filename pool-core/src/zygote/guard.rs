//! The process above the zygote, which adopts what the zygote leaves behind when it is killed.
//!
//! Invariant: while a guard or its zygote lives, one of them ends every process below them. Workers
//! die with the zygote by their parent-death signal, but the programs that tasks had started do
//! not: the kernel hands those to the nearest subreaper, which is the guard. The zygote notices
//! when its guard is killed. Such programs live on only if both are killed at the same moment, or
//! if a zygote is killed for which no guard could be started.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork, getpid, getppid},
};

use super::{
    config::{ZygoteConfig, ZygoteFds},
    event_loop::run_event_loop,
    state::{Ancestors, PARENT_CHECK_INTERVAL_MS},
};
use crate::{
    bootstrap::{self, ROLE_GUARDED_ZYGOTE},
    os,
    panic::end_quietly,
    protocol::{Report, StartFault},
};

/// Makes this fresh copy of the executable a guard with a zygote below it; never returns.
///
/// Initialisers of the program may have started threads in the copy. A lock that one of them holds
/// would stay locked in every process that is forked from here, so with threads no process is
/// forked: the zygote of fresh workers is one more copy, and a zygote that forks workers cannot
/// begin.
pub(crate) fn run_fresh(config: ZygoteConfig, fds: ZygoteFds, parent: Pid) -> ! {
    let errno = |error: io::Error| StartFault::System(error.raw_os_error().unwrap_or(libc::EAGAIN));
    let fault = match os::lasting_thread_count() {
        Ok(1) => run_guarded(config, fds, parent),
        Ok(threads) if !config.fresh_workers => {
            StartFault::Threads(threads.try_into().unwrap_or(u32::MAX))
        }
        Ok(_) => {
            os::become_subreaper();
            let words = config.to_words();
            match bootstrap::spawn_copy(ROLE_GUARDED_ZYGOTE, &words, &fds.in_order(), &[]) {
                Ok(zygote) => {
                    // Above all this process's copy of the socket: the parent shall see the
                    // zygote's death.
                    drop(fds);
                    stand_guard(zygote, parent, os::pidfd_open(parent).ok().as_ref())
                }
                Err(error) => errno(error),
            }
        }
        Err(error) => errno(error),
    };
    // Sending fails if the parent is gone.
    let _ = Report::Unable(fault).send(&fds.control);
    end_quietly()
}

/// Makes this process, a fresh copy that a guard has started, the zygote below that guard; never
/// returns.
pub(crate) fn run_below_guard(config: ZygoteConfig, fds: ZygoteFds, guard: Pid) -> ! {
    // The guard watches the parent.
    run_event_loop(config, fds, Ancestors::new(guard, vec![os::pidfd_open(guard).ok()]))
}

/// Makes this process a guard and a child of it the zygote; never returns.
pub(crate) fn run_guarded(config: ZygoteConfig, fds: ZygoteFds, parent: Pid) -> ! {
    os::become_subreaper();
    let parent_fd = os::pidfd_open(parent).ok();
    if getppid() != parent {
        end_quietly();
    }
    let guard = getpid();
    // SAFETY: this process has one thread for life, so the child may do whatever it likes.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let fds_of = vec![os::pidfd_open(guard).ok(), parent_fd];
            run_event_loop(config, fds, Ancestors::new(guard, fds_of))
        }
        Ok(ForkResult::Parent { child }) => {
            // Above all this process's copy of the socket: the parent shall see the zygote's death.
            let kept: Vec<_> = parent_fd.iter().map(AsRawFd::as_raw_fd).collect();
            os::keep_only(&kept);
            stand_guard(child, parent, parent_fd.as_ref())
        }
        // The system has no process for a guard: this one is the zygote, without a guard.
        Err(_) => run_event_loop(config, fds, Ancestors::new(parent, vec![parent_fd])),
    }
}

/// Waits until this zygote or the parent is gone, and ends the processes that are left.
fn stand_guard(zygote: Pid, parent: Pid, parent_fd: Option<&OwnedFd>) -> ! {
    os::set_process_name(&os::process_name("pool-guard"));
    watch(zygote, parent, parent_fd);
    os::kill_orphans(&|_| false);
    end_quietly()
}

/// Waits until the zygote or the parent is gone.
fn watch(zygote: Pid, parent: Pid, parent_fd: Option<&OwnedFd>) {
    let zygote_fd = os::pidfd_open(zygote).ok();
    let known = zygote_fd.is_some() && parent_fd.is_some();
    let timeout =
        if known { PollTimeout::NONE } else { PollTimeout::from(PARENT_CHECK_INTERVAL_MS) };
    let fds = zygote_fd.iter().chain(parent_fd);
    let mut watched: Vec<_> = fds.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    while getppid() == parent
        && waitpid(zygote, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive)
    {
        let _ = poll(&mut watched, timeout);
    }
}
