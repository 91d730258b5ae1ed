//! A worker that is killed costs one item, which the error names; an idle one costs nothing.
//!
//! The worker's pid comes from a file that its task writes before it waits for its death.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use pool_api::{Cause, Error, ExitStatus, StartMethod, WorkerPool};

#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/sys.rs"]
mod sys;

use scratch::{Scratch, append, wait_until};

const METHODS: [StartMethod; 2] = [StartMethod::ForkServer, StartMethod::Spawn];
const ITEMS: u64 = 1000;
const VICTIM: u64 = 500;
/// From the signal to the error; the promise is a tenth of it on an idle machine.
const BOUND: Duration = Duration::from_secs(1);

fn pool(method: StartMethod) -> WorkerPool {
    WorkerPool::builder().n_jobs(2).start_method(method).build().expect("a pool")
}

/// Two files: the pid of the worker that has the victim's item, and the items that were begun.
type Paths = (String, String);

/// Item [`VICTIM`] notes its worker's pid and waits for the kill; the others just note that they
/// ran.
fn item(paths: &Paths, n: u64) -> u64 {
    append(&paths.1, n);
    if n == VICTIM {
        append(&paths.0, u64::from(std::process::id()));
        loop {
            std::thread::park();
        }
    }
    n + 1
}

/// Kills the worker that has the victim's item as soon as it has it; returns when that was.
fn kill_victim(paths: Paths) -> std::thread::JoinHandle<Instant> {
    std::thread::spawn(move || {
        let pid = || std::fs::read(&paths.0).is_ok_and(|bytes| bytes.len() == 8);
        wait_until("a worker has the item", pid);
        let bytes = std::fs::read(&paths.0).expect("it was there");
        let pid = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        let killed = Instant::now();
        assert!(sys::kill(pid as u32, sys::SIGKILL));
        killed
    })
}

/// Runs `test` with a deadline of its own, since it tests for hangs.
fn with_deadline(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let runner = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if wait.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    runner.join().expect("no assertion failed");
}

#[test]
fn the_error_names_worker_signal_and_item() {
    with_deadline(|| {
        for method in METHODS {
            let pool = pool(method);
            for chunk_size in [1, 50] {
                let (pid, begun) = (Scratch::new(), Scratch::new());
                let paths = (pid.path(), begun.path());
                let killer = kill_victim(paths.clone());
                let tasks = pool.tasks(0..ITEMS).chunk_size(chunk_size).with(paths);
                let failed = tasks.map(item);
                let told = Instant::now();
                let killed = killer.join().expect("a worker was killed");
                let Err(Error::Task(task)) = failed else { panic!("{failed:?}") };
                assert_eq!(task.index(), VICTIM);
                assert_eq!(*task.cause(), Cause::Death(ExitStatus::Signal(sys::SIGKILL)));
                assert!(task.worker() < 2);
                let worker = task.worker();
                let text = format!(
                    "task {VICTIM} on worker {worker}: its worker was killed by SIGKILL (signal 9)"
                );
                assert_eq!(task.to_string(), text);
                assert!(told - killed < BOUND, "told after {:?}", told - killed);
                let values = pool.map(0..ITEMS, |n| n + 1).expect("the next map");
                assert_eq!(values, (1..=ITEMS).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn all_other_items_run_exactly_once() {
    with_deadline(|| {
        for method in METHODS {
            let pool = pool(method);
            for chunk_size in [Some(1), Some(50), Some(ITEMS as usize), None] {
                let (pid, begun) = (Scratch::new(), Scratch::new());
                let paths = (pid.path(), begun.path());
                let killer = kill_victim(paths.clone());
                let mut tasks = pool.tasks(0..ITEMS);
                if let Some(size) = chunk_size {
                    tasks = tasks.chunk_size(size);
                }
                let results = tasks.with(paths).map_results(item).expect("a map");
                killer.join().expect("a worker was killed");
                assert_eq!(results.len() as u64, ITEMS);
                for (n, result) in (0..).zip(results) {
                    match result {
                        Ok(value) => assert!(value == n + 1 && n != VICTIM),
                        Err(task) => {
                            assert_eq!((task.index(), n), (VICTIM, VICTIM));
                            let status = ExitStatus::Signal(sys::SIGKILL);
                            assert_eq!(*task.cause(), Cause::Death(status));
                        }
                    }
                }
                let once: Vec<u64> = (0..ITEMS).collect();
                assert_eq!(begun.numbers(), once, "{method}, chunks of {chunk_size:?}");
            }
        }
    });
}

#[test]
fn idle_workers_die_unseen() {
    with_deadline(|| {
        for method in METHODS {
            let pool = pool(method);
            let mut killed = 0;
            for round in 0..20 {
                let values = pool.map(0..100u64, |n| n + 1).expect("a death was seen");
                assert_eq!(values, (1..=100).collect::<Vec<_>>());
                // A replacement may still be starting.
                wait_until("both workers run", || pool.worker_pids().len() == 2);
                let pids = pool.worker_pids();
                let victims = if round % 3 == 2 { &pids[..] } else { &pids[..1] };
                // A worker that died before may still be listed: killing it again has no effect.
                killed += victims.iter().filter(|pid| sys::kill(**pid, sys::SIGKILL)).count();
            }
            assert_eq!(pool.apply(1u8, |n| n + 1).expect("a death was seen"), 2);
            assert!(killed >= 10, "only {killed} were killed");
        }
    });
}

#[test]
fn idle_workers_die_unseen_while_a_map_runs() {
    with_deadline(|| {
        for method in METHODS {
            let pool = pool(method);
            // The input kills a worker that has no task, since the consumer has all items by then.
            let mut killed = 0;
            let items = (0..200u64).inspect(|n| {
                if n % 20 == 10 {
                    let pids = pool.worker_pids();
                    killed +=
                        pids.first().map_or(0, |pid| u32::from(sys::kill(*pid, sys::SIGKILL)));
                }
            });
            let lazy = pool.tasks(items).max_tasks_active(1).chunk_size(1).imap(|n| n + 1);
            for (n, value) in (1..).zip(lazy) {
                assert_eq!(value.expect("a death was seen"), n);
            }
            assert!(killed >= 1, "none was killed");
        }
    });
}
