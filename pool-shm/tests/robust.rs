//! Kills processes at random moments while they lock, change and unlock, and checks that the others
//! go on.
//!
//! ```text
//! cargo test -p pool-shm --release --test robust -- --kills 10000 --kind mutex --seed 7
//! ```
//!
//! Without arguments it is short. For each kind it prints how many were killed, how many of them
//! held the lock, and how long it took until another process had it. No process may wait for 2 s;
//! shorter times are not judged.

#[path = "robust/barrier.rs"]
mod barrier;
#[path = "robust/board.rs"]
mod board;
#[path = "robust/condvar.rs"]
mod condvar;
#[path = "robust/event.rs"]
mod event;
#[path = "robust/mutex.rs"]
mod mutex;
#[path = "robust/processes.rs"]
mod processes;
#[path = "robust/reentrant_mutex.rs"]
mod reentrant_mutex;
#[path = "robust/report.rs"]
mod report;
#[path = "robust/rwlock.rs"]
mod rwlock;
#[path = "robust/semaphore.rs"]
mod semaphore;

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use processes::Chance;
use report::Report;

/// A run of one kind of lock: kills so many processes, or as many as time allows, and reports.
type Kind = fn(&mut Run) -> Report;

/// The kinds of lock; the flag says whether a process can be killed while it holds one.
const KINDS: &[(&str, Kind, bool)] = &[
    ("mutex", mutex::run, true),
    ("reentrant_mutex", reentrant_mutex::run, true),
    ("rwlock", rwlock::run, true),
    ("semaphore", semaphore::run, true),
    ("condvar", condvar::run, true),
    ("event", event::run, false),
    ("barrier", barrier::run, true),
];

/// Among so many kills some are sure to hit a holder.
const ENOUGH: usize = 100;

/// The extent of the run.
pub(crate) struct Run {
    kills: usize,
    until: Instant,
    pub(crate) chance: Chance,
}

impl Run {
    /// Whether to kill once more, after `killed` kills.
    pub(crate) fn goes_on(&self, killed: usize) -> bool {
        killed < self.kills && Instant::now() < self.until
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(position + 1).expect("a value behind the option").clone())
    };
    let number = |name| value(name).map(|text| text.parse::<u64>().expect("a number"));

    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = number("--seed").unwrap_or(since.as_nanos() as u64);
    let wanted = number("--kills");
    let only = value("--kind");
    // With a number given, that many; otherwise as many as a few seconds allow.
    let limit = Duration::from_secs(if wanted.is_some() { 600 } else { 5 });
    let kills = wanted.unwrap_or(200) as usize;
    println!("seed {seed}");

    let mut passed = 0;
    for (name, kind, holds) in KINDS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        nix::unistd::alarm::set(limit.as_secs() as u32 + 60);
        let mut run = Run { kills, until: Instant::now() + limit, chance: Chance::new(seed) };
        let report = kind(&mut run);
        let few = wanted.is_some_and(|wanted| (wanted as usize) < ENOUGH);
        assert!(few || !holds || !report.after_holding.is_empty(), "{name}: no holder was killed");
        println!("test {name} ... ok: {report}");
        passed += 1;
    }
    println!("\ntest result: ok. {passed} passed; 0 failed");
}
