//! Kills the programs that dead workers had started, which the subreaper above them has adopted.
//!
//! Invariant: this process kills only processes that the kernel has confirmed to be its unreaped
//! children, so no other process can have got their number in between.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::PollTimeout,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{Pid, getpid},
};

use super::{
    parent_death::{ends_within, pidfd_open},
    procfs::stat_field,
};

/// How long all of them together may take to die. A process that hangs in the kernel (on a dead
/// network disk) has its signal pending, stays a child, and is found again by the next call.
const REAP_LIMIT: Duration = Duration::from_millis(500);

/// Kills and reaps every child of this process for which `keep` says false, and their children,
/// which this process adopts in turn if it is a subreaper.
pub(crate) fn kill_orphans(keep: &dyn Fn(Pid) -> bool) {
    let mut deadline = None;
    // This is cheap where there is no child at all, as at the end of a zygote.
    while is_unreaped(Id::All) {
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + REAP_LIMIT);
        let mut strays = children();
        strays.retain(|pid| !keep(*pid) && is_unreaped(Id::Pid(*pid)));
        kill_and_reap(&strays, deadline);
        if strays.is_empty() || Instant::now() >= deadline {
            return;
        }
    }
}

/// Kills and reaps these processes, which are unreaped children of this one.
pub(crate) fn kill_children(children: &[Pid]) {
    if !children.is_empty() {
        kill_and_reap(children, Instant::now() + REAP_LIMIT);
    }
}

fn kill_and_reap(children: &[Pid], deadline: Instant) {
    for pid in children {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    // Children that were killed first end first, more or less: waiting for the last one first takes
    // one sleep instead of one for each.
    for pid in children.iter().rev() {
        reap_until(*pid, deadline);
    }
}

/// Whether there is such a child that was not reaped.
fn is_unreaped(children: Id) -> bool {
    let flags =
        WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    // Only ECHILD says no: nix also fails for a child that a real-time signal has ended.
    waitid(children, flags) != Err(Errno::ECHILD)
}

fn reap_until(pid: Pid, deadline: Instant) {
    let mut pidfd = None;
    loop {
        let status = waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
        if !matches!(status, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR)) {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match pidfd.get_or_insert_with(|| pidfd_open(pid)) {
            Ok(pidfd) => {
                let whole_ms = left + Duration::from_millis(1);
                ends_within(pidfd, PollTimeout::try_from(whole_ms).unwrap_or(PollTimeout::MAX));
            }
            // Without a pidfd, nothing else tells of one child's end without touching SIGCHLD.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// The children of this process, as far as `/proc` lists them.
fn children() -> Vec<Pid> {
    listed().or_else(|_| scanned()).unwrap_or_default()
}

/// Reads the children from the kernel's own lists, one per thread, which some kernels do not have.
fn listed() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let list = fs::read_to_string(thread?.path().join("children"))?;
        children.extend(
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw),
        );
    }
    Ok(children)
}

/// Finds the children by the parents of all processes.
fn scanned() -> io::Result<Vec<Pid>> {
    let own = getpid();
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| parent_in(&stat) == Some(own))
        })
        .collect())
}

/// The parent in a `/proc/<pid>/stat`.
fn parent_in(stat: &[u8]) -> Option<Pid> {
    stat_field(stat, 4)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn both_ways_find_a_child() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert!(scanned().unwrap().contains(&pid));
        if let Ok(listed) = listed() {
            assert!(listed.contains(&pid));
        }
        assert!(is_unreaped(Id::Pid(pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_unreaped(Id::Pid(pid)));
    }

    #[test]
    fn orphans_are_reaped_and_kept_children_live() {
        let sleeper = || Command::new("sleep").arg("60").spawn().unwrap();
        let pid = |child: &std::process::Child| Pid::from_raw(child.id().cast_signed());
        let (kept, stray) = (sleeper(), sleeper());
        // Other tests of this program have children too.
        kill_orphans(&|child| child != pid(&stray));
        assert!(!is_unreaped(Id::Pid(pid(&stray))));
        assert!(is_unreaped(Id::Pid(pid(&kept))));
        kill_orphans(&|child| child != pid(&kept));
        assert!(!is_unreaped(Id::Pid(pid(&kept))));
    }
}
