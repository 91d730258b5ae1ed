//! Notices the end of client processes, and of objects whose proxies were on their way.
//!
//! A socket says that its client is gone once its last copy is closed, and a process that the
//! client has forked may have one. So for clients on this host the server looks at the process
//! itself, too.

use std::{
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::shared::Shared;

/// Runs until the server ends.
pub(super) fn watch(shared: &Arc<Shared>) {
    while !shared.is_stopping.load(Ordering::SeqCst) {
        let next = shared.sweep();
        let processes = shared.processes();
        let changed = PollFd::new(shared.watch.as_fd(), PollFlags::POLLIN);
        let ends = processes.iter().map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<_> = std::iter::once(changed).chain(ends).collect();
        let timeout = next.map_or(PollTimeout::NONE, |next| {
            let left = next.saturating_duration_since(Instant::now());
            u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX).into()
        });
        if poll(&mut fds, timeout).is_err() {
            continue;
        }
        let _ = shared.watch.read();
        for (fd, (session, _)) in fds[1..].iter().zip(&processes) {
            if fd.any().unwrap_or(false) {
                shared.process_ended(*session);
            }
        }
    }
}
