//! How long does it take to build a pool, run one task on each worker, and end it?
//!
//! In *met* every task waits until all have begun, so every worker has really started; *tasks* has
//! as many tasks as workers, and the workers that come first take them. Threads are measured apart:
//! their stacks and heaps stay with the program, and every process that is forked from it
//! afterwards copies and frees the data that describe them.

use std::{
    fs::OpenOptions,
    os::fd::{AsFd, AsRawFd},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use nix::{
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};
use pool_api::{StartMethod, WorkerPool};
use pool_shm::{Mapping, Segment, futex};

use crate::{
    EXIT_AT_ONCE, Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
    peer::exit_at_once,
    pools::PROCESSES,
};

const FORK: &str = "bare fork, exit, wait";
const EXEC: &str = "bare start of a program, wait";

pub(crate) fn processes(scale: &Scale) -> Outcome {
    run(scale, &PROCESSES)
}

pub(crate) fn threads(scale: &Scale) -> Outcome {
    run(scale, &[StartMethod::Threads])
}

fn run(scale: &Scale, methods: &[StartMethod]) -> Outcome {
    for (workers, met) in [(2, true), (16, true), (2, false), (16, false)] {
        let how = if met { "met" } else { "tasks" };
        let mut bout = Bout::new("start", format!("{workers} workers, {how}"), Unit::Millis);
        for &method in methods {
            let spawn = method == StartMethod::Spawn;
            let mut expected = Expected::beside(if spawn { EXEC } else { FORK });
            if met && method != StartMethod::Threads {
                let (floor, aim) = match (workers, spawn) {
                    (2, false) => (None, 1.5),
                    (2, true) => (None, 4.0),
                    (_, false) => (Some(8.0), 5.0),
                    (_, true) => (Some(30.0), 18.0),
                };
                expected.floor = floor.map(Goal::Value);
                expected.aim = Some(Goal::Value(aim));
            }
            bout.subject(method.to_string(), expected, move || {
                let meeting = Meeting::new(workers as u64)?;
                let (done, seconds) = timed(|| -> Outcome<Vec<u64>> {
                    let builder = WorkerPool::builder().n_jobs(workers).start_method(method);
                    let pool = builder.build()?;
                    let tasks = pool.tasks((0..workers).map(|_| meeting.invitation()));
                    let tasks = tasks.chunk_size(1);
                    Ok(if met { tasks.map(attend)? } else { tasks.map(|(_, _, all)| all)? })
                });
                assert_eq!(done?, vec![workers as u64; workers]);
                Ok(seconds * 1e3)
            });
        }
        bout.baseline(FORK, move || {
            let (done, seconds) = timed(|| forks(workers));
            done.map(|()| seconds * 1e3)
        });
        bout.baseline(EXEC, move || {
            let (done, seconds) = timed(|| programs(workers));
            done.map(|()| seconds * 1e3)
        });
        bout.run(scale.rounds(21))?;
    }
    Ok(())
}

fn forks(count: usize) -> Outcome {
    let mut children = Vec::new();
    for _ in 0..count {
        // SAFETY: the child ends at once.
        match unsafe { fork() }? {
            ForkResult::Child => exit_at_once(),
            ForkResult::Parent { child } => children.push(child),
        }
    }
    for child in children {
        waitpid(child, None)?;
    }
    Ok(())
}

fn programs(count: usize) -> Outcome {
    let mut children = Vec::new();
    for _ in 0..count {
        let mut command = Command::new("/proc/self/exe");
        command.arg(EXIT_AT_ONCE).stdin(Stdio::null()).stdout(Stdio::null());
        children.push(command.spawn()?);
    }
    for mut child in children {
        assert!(child.wait()?.success());
    }
    Ok(())
}

/// A word of shared memory where tasks wait for each other.
struct Meeting {
    segment: Segment,
    word: Mapping,
    expected: u64,
}

/// Process and descriptor that have the word, and how many tasks there are.
type Invitation = (u32, i32, u64);

impl Meeting {
    fn new(expected: u64) -> Outcome<Self> {
        let segment = Segment::create("meeting", 4096)?;
        let word = segment.map()?;
        Ok(Self { segment, word, expected })
    }

    fn invitation(&self) -> Invitation {
        debug_assert_eq!(word(&self.word).load(SeqCst), 0, "meetings are held once");
        (std::process::id(), self.segment.as_fd().as_raw_fd(), self.expected)
    }
}

fn word(mapping: &Mapping) -> &AtomicU32 {
    // SAFETY: mapped, aligned, alive as long as the mapping, used as an atomic by all code.
    unsafe { AtomicU32::from_ptr(mapping.as_ptr().cast()) }
}

/// A task: comes, waits for the others, and returns how many there are.
fn attend((process, descriptor, expected): Invitation) -> u64 {
    let path = format!("/proc/{process}/fd/{descriptor}");
    let file = OpenOptions::new().read(true).write(true).open(path).expect("the maker is alive");
    let mapping = Segment::from_fd(file.into()).expect("a sealed segment").map();
    let mapping = mapping.expect("room for a page");
    let come = word(&mapping);
    let mut seen = come.fetch_add(1, SeqCst) + 1;
    if u64::from(seen) == expected {
        futex::wake(come, u32::MAX);
    }
    while u64::from(seen) < expected {
        futex::wait(come, seen, None);
        seen = come.load(SeqCst);
    }
    u64::from(seen)
}
