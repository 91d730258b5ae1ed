//! Runs a command under a deadline and never waits for a process that is dead.
//!
//! Invariant: when `run` returns, the command is reaped, and if it failed nothing of its process
//! group is left. This holds even when this program itself dies in the middle: a guard process
//! waits for the end of a pipe that only this program holds open.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long output may stay open after the command has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(5);
/// How long a killed command gets to be reaped before it is given up.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It was still running at its deadline and was killed.
    Deadline(Duration),
    /// It ended, but processes that it had started were still writing to its output.
    LeftProcesses,
}

enum Event {
    Line(String),
    Closed,
    Exited(io::Result<ExitStatus>),
}

/// Runs a command and calls `on_line` for every line that it prints, on stdout or stderr.
///
/// # Errors
///
/// The command could not be started or waited for.
pub(crate) fn run(
    mut command: Command,
    limit: Duration,
    mut on_line: impl FnMut(String),
) -> io::Result<End> {
    let (output, input) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).process_group(0);
    let started = Instant::now();
    let mut child = command.spawn()?;
    // It holds our copies of the pipe's writing end, and the reader waits for the last copy.
    drop(command);
    let group = child.id();
    let guard = Guard::new(group);

    let (events, inbox) = mpsc::channel();
    let lines = events.clone();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            line.clear();
            if lines.send(Event::Line(text)).is_err() {
                return;
            }
        }
        let _ = lines.send(Event::Closed);
    });
    thread::spawn(move || {
        let _ = events.send(Event::Exited(child.wait()));
    });

    let mut end = None;
    let mut until = started + limit;
    let mut is_closed = false;
    loop {
        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Line(line)) => on_line(line),
            Ok(Event::Closed) => is_closed = true,
            Ok(Event::Exited(status)) => {
                let status = status?;
                if end.is_none() {
                    end = Some(End::Exited(status));
                    until = Instant::now() + OUTPUT_GRACE;
                }
                if matches!(end, Some(End::Exited(status)) if !status.success()) {
                    kill_group(group);
                }
                if is_closed || matches!(end, Some(End::Deadline(_))) {
                    break;
                }
            }
            Err(_) => match end {
                None => {
                    kill_group(group);
                    end = Some(End::Deadline(limit));
                    until = Instant::now() + KILL_GRACE;
                }
                Some(End::Exited(status)) => {
                    kill_group(group);
                    if status.success() {
                        end = Some(End::LeftProcesses);
                    }
                    break;
                }
                Some(_) => break,
            },
        }
        if is_closed && matches!(end, Some(End::Exited(_))) {
            break;
        }
    }
    drop(guard);
    for event in inbox.try_iter() {
        if let Event::Line(line) = event {
            on_line(line);
        }
    }
    Ok(end.unwrap_or(End::Deadline(limit)))
}

/// Kills the rest of a process group. The shell's own `kill` is there on every machine.
fn kill_group(group: u32) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s KILL -- \"-$1\"", "sh", &group.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Kills a process group when this program ends without having dropped the guard: a process group
/// of its own does not get the terminal's Ctrl-C.
struct Guard(Option<Child>);

impl Guard {
    fn new(group: u32) -> Guard {
        let script = "read -r _; kill -s KILL -- \"-$1\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh", &group.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Guard(child.ok())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Before the pipe is closed: the group's number may be another group's by now.
            let pipe = child.stdin.take();
            let _ = child.kill();
            let _ = child.wait();
            drop(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> (End, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let end = run(command, limit, |line| lines.push(line)).unwrap();
        (end, lines)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_status_come_home() {
        let (end, lines) = sh("echo one; echo two >&2; printf three; exit 3", LONG);
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)), "{end:?}");
    }

    #[test]
    fn the_whole_group_dies_at_the_deadline() {
        let limit = Duration::from_millis(200);
        let started = Instant::now();
        let (end, lines) = sh("sleep 600 & echo $!; wait", limit);
        assert_eq!(end, End::Deadline(limit));
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(is_gone(&lines[0]));
    }

    #[test]
    fn a_process_left_behind_is_told_and_killed() {
        let (end, lines) = sh("sleep 600 & echo $!", LONG);
        assert_eq!(end, End::LeftProcesses);
        assert!(is_gone(&lines[0]));
    }

    /// An orphan may stay a zombie for as long as its new parent likes.
    fn is_gone(pid: &str) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Err(_) => return true,
                Ok(stat) if stat.contains(") Z ") => return true,
                Ok(_) => thread::yield_now(),
            }
        }
        false
    }
}
