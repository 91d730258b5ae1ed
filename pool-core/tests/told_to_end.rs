//! Signals that ask a program to end: a worker that gets one alone ends by it; processes that got
//! it together with their zygote go on, however the sender sends it. Processes that the terminal
//! stops go on later.

#[path = "support/scenario.rs"]
mod scenario;

use std::collections::BTreeSet;

use nix::{
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, killpg, raise, sigaction},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getpid, pause},
};
use pool_core::{Cause, Error, ExitStatus, Pool, StartMethod};
use scenario::{
    ENDING, Subject, ask, ask_at, is_dead, live_workers, options, pool, process_methods, run, say,
    wait_for_go, within_a_second,
};

fn main() {
    run(
        &[
            ("one_worker_alone", one_worker_alone),
            ("all_of_the_program", all_of_the_program),
            ("stopped_by_the_terminal", stopped_by_the_terminal),
        ],
        &[("tells_one", tells_one), ("outlives", outlives)],
    );
}

extern "C" fn handler(_: i32) {}

/// Handles all these signals, so that the program goes on.
fn handle_all() {
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
    for signal in ENDING {
        // SAFETY: the handler does nothing.
        unsafe { sigaction(signal, &action) }.expect("a signal that can be handled");
    }
}

fn one_worker_alone() {
    for method in process_methods() {
        let mut subject = Subject::start("tells_one", method);
        subject.expect("told");
        subject.ends_well();
    }
}

fn signal_of<T: std::fmt::Debug>(result: Result<T, Error>) -> i32 {
    match result {
        Err(Error::Task(task)) => match task.cause() {
            Cause::Death(ExitStatus::Signal(signal)) => *signal,
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

fn for_ever() -> ! {
    loop {
        pause();
    }
}

/// Sends a signal to this process, as `kill` on a command line does.
fn tell_me(signal: i32) -> u8 {
    kill(getpid(), Signal::try_from(signal).expect("a signal")).expect("this process");
    for_ever()
}

fn raise_here(signal: i32) -> u8 {
    raise(Signal::try_from(signal).expect("a signal")).expect("this thread");
    // It has ended by the signal already: there is no zygote to wait for.
    0
}

/// A process that a task has forked ends like any program; returns the signal by which it ended.
fn fork_and_end(signal: i32) -> i32 {
    // SAFETY: the child waits for its end.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => for_ever(),
        ForkResult::Parent { child } => {
            kill(child, Signal::try_from(signal).expect("a signal")).expect("a child");
            match waitpid(child, None) {
                Ok(WaitStatus::Signaled(_, by, _)) => by as i32,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Sends a signal to the worker of a pool inside a worker.
fn tell_inner(method: u8) -> i32 {
    let pool = pool(StartMethod::ALL[method as usize], 1);
    signal_of(ask(&pool, tell_me, Signal::SIGTERM as i32))
}

fn tells_one(method: StartMethod) {
    handle_all();
    let mut options = options(method, 2);
    options.daemon = false;
    let pool = Pool::build(&options).expect("a pool");
    let other = ask_at(&pool, 0, |_| std::process::id());
    for signal in ENDING.map(|signal| signal as i32) {
        for told in [tell_me, raise_here] {
            assert_eq!(signal_of(ask_on_1(&pool, told, signal)), signal);
        }
        assert_eq!(ask(&pool, fork_and_end, signal).expect("a value"), signal);
    }
    let number = StartMethod::ALL.iter().position(|one| *one == method).expect("one of all");
    let inner = ask(&pool, tell_inner, number as u8);
    assert_eq!(inner.expect("a value"), Signal::SIGTERM as i32);
    assert_eq!(ask_at(&pool, 0, |_| std::process::id()), other, "it was not concerned");
    // A sleeping worker is replaced.
    kill(Pid::from_raw(other.cast_signed()), Signal::SIGTERM).expect("a living worker");
    within_a_second(|| is_dead(Pid::from_raw(other.cast_signed())), |dead| *dead);
    assert_ne!(ask_at(&pool, 0, |_| std::process::id()), other);
    say("told");
}

fn ask_on_1(pool: &Pool, function: fn(i32) -> u8, item: i32) -> Result<u8, Error> {
    let mut options = pool_core::JobOptions::default();
    options.worker = Some(1);
    let items = std::iter::once(item);
    let job = pool.job::<pool_core::PlainForm<i32, u8>, _>(function, (), items, &options, false)?;
    Ok(job.values(true)?.pop().expect("one item, one value"))
}

/// Prints the process ids of its workers whenever the test asks for them.
fn outlives(method: StartMethod) {
    handle_all();
    let pool = pool(method, 3);
    loop {
        let pids = live_workers(&pool).iter().map(u32::to_string).collect::<Vec<_>>();
        say(pids.join(" "));
        wait_for_go();
    }
}

fn ids(line: &str) -> Vec<i32> {
    line.split(' ').map(|word| word.parse().expect("a number")).collect()
}

fn all_of_the_program() {
    for method in process_methods() {
        let mut subject = Subject::start("outlives", method);
        let mut workers = ids(&subject.line());
        for signal in ENDING {
            // Ctrl-C, `kill -PGID`.
            killpg(subject.pid(), signal).expect("a group");
            // One process after another, as systemd and docker do.
            let mut processes: Vec<_> = subject.processes().into_iter().map(|(p, ..)| p).collect();
            let each = |processes: &[Pid]| {
                processes.iter().for_each(|pid| kill(*pid, signal).expect("a living process"));
            };
            each(&processes);
            processes.reverse();
            each(&processes);
            // Processes that these signals would end have ended before this worker does.
            let alone = if signal == Signal::SIGTERM { Signal::SIGINT } else { Signal::SIGTERM };
            let last = Pid::from_raw(workers.pop().expect("three workers"));
            within_two_tries(last, alone);
            subject.go();
            let now = ids(&subject.line());
            assert_eq!(now[..2], workers[..], "{method}: {signal} to all ends no worker");
            workers = now;
        }
        let distinct: BTreeSet<_> = workers.iter().collect();
        assert_eq!(distinct.len(), 3);
    }
}

/// A signal to one worker ends it, unless it comes right after one to all.
fn within_two_tries(worker: Pid, signal: Signal) {
    let begin = std::time::Instant::now();
    let mut sent = 0;
    while !is_dead(worker) {
        assert!(begin.elapsed().as_secs() < 20, "{worker} lives after {sent} signals");
        // Ends at the latest when the last copy of the zygote is old.
        let _ = kill(worker, signal);
        sent += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn stopped_by_the_terminal() {
    for method in process_methods() {
        let mut subject = Subject::start("outlives", method);
        let workers = ids(&subject.line());
        let states = |subject: &Subject| -> Vec<char> {
            subject.processes().into_iter().map(|(_, _, state)| state).collect()
        };
        killpg(subject.pid(), Signal::SIGTSTP).expect("a group");
        within_a_second(|| states(&subject), |all| all.iter().all(|state| *state == 'T'));
        // A signal that comes meanwhile is handled when they go on.
        killpg(subject.pid(), Signal::SIGINT).expect("a group");
        killpg(subject.pid(), Signal::SIGCONT).expect("a group");
        subject.go();
        assert_eq!(ids(&subject.line()), workers, "{method}");
    }
}
