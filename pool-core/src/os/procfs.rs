//! The names of processes, their state, and the threads of this one.
//!
//! Invariant: every function asks or tells the kernel; nothing is remembered, so nothing is wrong
//! after a fork.

use std::{
    ffi::OsString,
    fs, io, thread,
    time::{Duration, Instant},
};

use nix::unistd::Pid;

use super::sys;

/// The name of a process in `ps` and `top`: bytes of text up to a NUL, which the last byte always
/// is.
pub(crate) type ProcessName = [u8; 16];

/// Makes a name of a literal.
pub(crate) const fn process_name(text: &str) -> ProcessName {
    let mut name = [0; 16];
    assert!(text.len() < name.len(), "longer than the kernel keeps");
    let mut at = 0;
    while at < text.len() {
        name[at] = text.as_bytes()[at];
        at += 1;
    }
    name
}

/// The name of a zygote.
pub(crate) const ZYGOTE: ProcessName = process_name("pool-zygote");

/// Names this process. Does not allocate.
pub(crate) fn set_process_name(name: &ProcessName) {
    sys::set_name(name);
}

/// How many threads this process has, without those that are ending: a thread that was just joined
/// is listed for a while, but runs no code of this process any more. The kernel's own count is
/// asked first, since in a process that was just forked it takes a tenth of the time. Where there
/// is no `/proc`, more threads than one count as two.
///
/// # Errors
///
/// The error of reading `/proc/self/task`.
fn thread_count() -> io::Result<usize> {
    let one = sys::has_one_thread();
    if one == Some(true) {
        return Ok(1);
    }
    match threads() {
        Ok(threads) => Ok(threads.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => one.map(|_| 2).ok_or(error),
        Err(error) => Err(error),
    }
}

/// Counts the threads of this process, again and again for at most 50 ms while there is more than
/// one: [`std::thread::scope`] waits for what its threads do, not for the threads themselves.
///
/// # Errors
///
/// The error of reading `/proc/self/task`.
pub(crate) fn lasting_thread_count() -> io::Result<usize> {
    const SETTLE_LIMIT: Duration = Duration::from_millis(50);
    let begin = Instant::now();
    loop {
        let count = thread_count()?;
        if count == 1 || begin.elapsed() > SETTLE_LIMIT {
            return Ok(count);
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// The names of the threads beside the calling one, without those that are ending.
///
/// # Errors
///
/// The error of reading `/proc`.
pub(crate) fn other_threads() -> io::Result<Vec<String>> {
    let own = fs::read_link("/proc/thread-self")?;
    let own = own.file_name().unwrap_or_default();
    Ok(threads()?.into_iter().filter(|(id, _)| id != own).map(|(_, name)| name).collect())
}

/// The ids and names of the threads of this process that are not ending.
fn threads() -> io::Result<Vec<(OsString, String)>> {
    /// `PF_EXITING` of Linux's `sched.h`: set before a joiner is told.
    const EXITING: u32 = 4;
    let mut threads = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        let stat = match fs::read(thread.path().join("stat")) {
            Ok(stat) => stat,
            // A thread whose file is gone has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        };
        let flags = stat_field(&stat, 9).and_then(|flags| flags.parse::<u32>().ok());
        if flags.is_none_or(|flags| flags & EXITING == 0) {
            threads.push((thread.file_name(), stat_name(&stat).unwrap_or_default()));
        }
    }
    Ok(threads)
}

/// The name in a `/proc/<pid>/stat`.
fn stat_name(stat: &[u8]) -> Option<String> {
    let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    Some(String::from_utf8_lossy(stat.get(begin..end)?).into_owned())
}

/// Whether the process has the name that it gave itself by [`set_process_name`].
pub(crate) fn is_called(pid: Pid, name: &ProcessName) -> bool {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    fs::read(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat_name(&stat).is_some_and(|found| found.as_bytes() == name))
}

/// Whether `/proc/<pid>/stat` gives this state for the process: `T` if it is stopped, `Z` if it is
/// dead and not reaped.
pub(crate) fn is_in_state(pid: Pid, state: u8) -> bool {
    fs::read(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat_field(&stat, 3).is_some_and(|found| found.as_bytes() == [state]))
}

/// A field after the name in a `/proc/<pid>/stat`, counted from 1 as in `proc_pid_stat(5)`. The
/// name, which is the second field, may itself contain `)` and spaces.
pub(crate) fn stat_field(stat: &[u8], number: usize) -> Option<&str> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_name_that_it_gave_itself() {
        // In a thread of its own: the name belongs to the thread.
        let named = thread::spawn(|| {
            set_process_name(&process_name("pool-w3"));
            let id = nix::unistd::gettid();
            (is_called(id, &process_name("pool-w3")), is_called(id, &process_name("pool-w")))
        });
        assert_eq!(named.join().unwrap(), (true, false));
    }

    #[test]
    fn threads_are_counted_until_they_are_joined() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || wait.recv());
        assert!(thread_count().unwrap() >= 2);
        drop(hold);
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = b"12 (a ) b)) S 7 1 1 0 -1 4194304 90";
        assert_eq!(stat_name(stat).unwrap(), "a ) b)");
        assert_eq!(stat_name(b")("), None);
        assert_eq!(stat_field(stat, 3), Some("S"));
        assert_eq!(stat_field(stat, 4), Some("7"));
        assert_eq!(stat_field(stat, 9), Some("4194304"));
        assert_eq!(stat_field(stat, 11), None);
        assert_eq!(stat_field(b"nothing", 4), None);
    }
}
