//! The system's data about a thread or process: `/proc/<id>/stat`.
//!
//! Invariant: a thread that may still run an instruction of the user is never found dead; in doubt
//! it lives. A stopped thread lives.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
};

use super::owner::Owner;
use crate::sys;

/// The fields of `stat` that matter here, by the names of proc(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// `pid`: of the thread or process whose file it is.
    pub(super) id: u32,
    state: u8,
    num_threads: u64,
    /// `starttime`: since boot, in 1/100 s.
    pub(super) start_ticks: u64,
}

/// The end that counts: that of one thread, or of all threads of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Thread,
    Process,
}

impl Stat {
    pub(super) fn read(path: &str) -> io::Result<Self> {
        // 22 numbers and a name of at most 64 bytes; the rest is cut off.
        let mut buffer = [0; 512];
        let len = File::open(path)?.read(&mut buffer)?;
        Self::parse(&buffer[..len]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name is in brackets and may contain brackets; nothing behind it does.
        let name = text.iter().position(|byte| *byte == b'(')?;
        let behind = text.iter().rposition(|byte| *byte == b')')? + 1;
        let id = str::from_utf8(&text[..name]).ok()?.trim().parse().ok()?;
        let mut fields = str::from_utf8(&text[behind..]).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?; // field 3
        let num_threads = fields.nth(16)?.parse().ok()?; // field 20
        let start_ticks = fields.nth(1)?.parse().ok()?; // field 22
        Some(Self { id, state, num_threads, start_ticks })
    }

    /// Whether it has run its last instruction.
    fn is_over(&self, life: Life) -> bool {
        let ended = matches!(self.state, b'Z' | b'X' | b'x');
        match life {
            Life::Thread => ended,
            // The first thread of a process may end before the others, and stays visible until they
            // have ended too.
            Life::Process => ended && self.num_threads <= 1,
        }
    }
}

/// Whether `owner` has ended. Costs about 6 µs.
///
/// A dead thread no longer accesses its memory: threads give up their memory before they become
/// zombies.
pub(super) fn is_dead(owner: Owner, life: Life) -> bool {
    match Stat::read(&format!("/proc/{}/stat", owner.id())) {
        Ok(stat) => !owner.started_at(stat.start_ticks) || stat.is_over(life),
        // Gone, or a `/proc` that hides other users' processes, or no descriptor left: the kernel
        // knows whether a thread of this id exists, maybe a zombie.
        Err(_) => !sys::thread_exists(owner.id()) || is_seen_to_be_over(owner.id(), life),
    }
}

/// Whether a thread or process that exists has run its last instruction, found out without a
/// descriptor; `false` if it cannot be seen at all.
fn is_seen_to_be_over(id: u32, life: Life) -> bool {
    let Ok(threads) = fs::metadata(format!("/proc/{id}/task")) else { return false };
    // A process that has given up its memory runs no program any more.
    let program = fs::read_link(format!("/proc/{id}/exe"));
    let ended = program.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    match life {
        Life::Thread => ended,
        // A directory has two links, and one for each directory in it.
        Life::Process => ended && threads.nlink() <= 3,
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc, thread};

    use super::{super::owner::Me, *};

    fn line(name: &str, state: char, threads: u32) -> String {
        format!(
            "77 ({name}) {state} 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 4242 9 9"
        )
    }

    #[test]
    fn names_do_not_confuse() {
        for name in ["p", "", ") R 1 (", "a) Z 1 2 3", "((("] {
            let stat = Stat::parse(line(name, 'S', 3).as_bytes());
            let expected = Stat { id: 77, state: b'S', num_threads: 3, start_ticks: 4242 };
            assert_eq!(stat, Some(expected), "{name}");
        }
        for torn in ["", "77", "77 (p", "77 (p)", "77 (p) S 1 2 3", "x (p) S"] {
            assert_eq!(Stat::parse(torn.as_bytes()), None, "{torn}");
        }
    }

    #[test]
    fn a_process_ends_with_its_last_thread() {
        let stat = |state, threads| Stat::parse(line("p", state, threads).as_bytes()).unwrap();
        assert!(stat('Z', 1).is_over(Life::Process));
        assert!(!stat('Z', 2).is_over(Life::Process));
        assert!(stat('Z', 2).is_over(Life::Thread));
        for alive in ['R', 'S', 'D', 'T', 't', 'I'] {
            assert!(
                !stat(alive, 1).is_over(Life::Process) && !stat(alive, 1).is_over(Life::Thread)
            );
        }
    }

    #[test]
    fn threads_live_and_die() {
        let (send, receive) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            send.send(Me::now().unwrap()).unwrap();
            wait.recv().unwrap_err();
        });
        let me = receive.recv().unwrap();
        assert!(!is_dead(me.thread, Life::Thread) && !is_dead(me.process, Life::Process));
        drop(end);
        thread.join().unwrap();
        // `join` returns a moment before the system forgets the thread.
        while !is_dead(me.thread, Life::Thread) {
            thread::yield_now();
        }
        assert!(!is_dead(me.process, Life::Process));
    }

    #[test]
    fn a_zombie_is_dead_and_a_successor_is_another() {
        let mut child = Command::new("true").spawn().unwrap();
        let path = format!("/proc/{}/stat", child.id());
        let born = Stat::read(&path).unwrap().start_ticks;
        let (owner, other) = (Owner::new(child.id(), born), Owner::new(child.id(), born + 1));
        assert!(is_dead(other, Life::Process));
        while !is_dead(owner, Life::Process) {
            thread::yield_now(); // no process has waited for it, so it becomes a zombie
        }
        for life in [Life::Thread, Life::Process] {
            assert!(is_seen_to_be_over(child.id(), life));
            assert!(!is_seen_to_be_over(std::process::id(), life));
            assert!(!is_seen_to_be_over(0, life));
        }
        child.wait().unwrap();
        assert!(is_dead(owner, Life::Process));
    }
}
