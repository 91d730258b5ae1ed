//! What a process that the library forks has of the one that it is forked from: no identity, no
//! lock that another thread holds, and no descriptor of its processes.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst},
    thread,
};

use pool_core::{
    ForkWithThreads, Pool, Process, StartMethod, active_children, current_process, parent_process,
};
use scenario::{ask, compiled_in, options, process_methods, run};

fn main() {
    run(
        &[
            ("a_pool_in_a_process", a_pool_in_a_process),
            ("locks_are_held_over_a_fork", locks_are_held_over_a_fork),
            ("sockets_are_not_inherited", sockets_are_not_inherited),
        ],
        &[],
    );
}

fn has_fork() -> bool {
    process_methods().contains(&StartMethod::Fork)
}

/// What a worker knows of itself, and the name of a process that it starts.
fn worker_of_a_fork_pool(_: ()) -> (String, bool, String) {
    let seen = |()| {
        let process = Process::spawn(StartMethod::Fork, |()| (), ()).expect("a process");
        let started = process.name().to_string();
        process.join().expect("a value");
        (current_process().name().to_string(), parent_process().is_none(), started)
    };
    let mut options = options(StartMethod::Fork, 1);
    options.daemon = false;
    // SAFETY: the other thread of this program only waits for this one.
    options.allow_fork_with_threads = Some(unsafe { ForkWithThreads::assume_safe() });
    let pool = Pool::build(&options).expect("a pool");
    ask(&pool, seen, ()).expect("a value")
}

fn a_pool_in_a_process() {
    for method in StartMethod::ALL.into_iter().filter(|m| has_fork() && compiled_in(*m)) {
        let process = Process::spawn(method, worker_of_a_fork_pool, ()).expect("a process");
        let expected = ("worker-0".to_string(), true, "Process-1".to_string());
        assert_eq!(process.join().expect("a value"), expected, "{method}");
    }
}

/// Whether the next fork asks the other thread.
static ARMED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);
static ANSWERED: AtomicBool = AtomicBool::new(false);
static WAS_BLOCKED: AtomicBool = AtomicBool::new(false);
static ASKED_THREAD: AtomicI32 = AtomicI32::new(0);

/// Runs in each thread that forks, just before: asks the other thread, until that has answered or
/// sleeps, which it does for a lock only.
extern "C" fn before_a_fork() {
    if !ARMED.swap(false, SeqCst) {
        return;
    }
    let stat = format!("/proc/self/task/{}/stat", ASKED_THREAD.load(SeqCst));
    ASKED.store(true, SeqCst);
    while !ANSWERED.load(SeqCst) {
        let text = fs::read_to_string(&stat).unwrap_or_default();
        if text.rsplit(") ").next().is_some_and(|state| state.starts_with('S')) {
            WAS_BLOCKED.store(true, SeqCst);
            return;
        }
    }
}

fn locks_are_held_over_a_fork() {
    if !has_fork() {
        return;
    }
    // SAFETY: the function has the form that the call asks for, and unwinds never.
    let registered = unsafe { libc::pthread_atfork(Some(before_a_fork), None, None) };
    assert_eq!(registered, 0);
    let by_process = || {
        // SAFETY: the other thread of this program takes locks of the library only.
        let promise = unsafe { ForkWithThreads::assume_safe() };
        let builder = Process::builder().start_method(StartMethod::Fork);
        let process = builder.allow_fork_with_threads(promise).spawn(|x: u64| x, 5);
        assert_eq!(process.and_then(Process::join).expect("a value"), 5);
    };
    let by_pool = || {
        let mut options = options(StartMethod::Fork, 1);
        // SAFETY: the other thread of this program takes locks of the library only.
        options.allow_fork_with_threads = Some(unsafe { ForkWithThreads::assume_safe() });
        let pool = Pool::build(&options).expect("a pool");
        assert_eq!(ask(&pool, |x: u64| x, 5).expect("a value"), 5);
    };
    let asks: [fn(); 2] = [|| drop(current_process()), || drop(active_children())];
    let forks: [&dyn Fn(); 2] = [&by_process, &by_pool];
    for (ask, fork) in asks.into_iter().flat_map(|ask| forks.map(|fork| (ask, fork))) {
        [&ASKED, &ANSWERED, &WAS_BLOCKED].iter().for_each(|flag| flag.store(false, SeqCst));
        ASKED_THREAD.store(0, SeqCst);
        thread::scope(|scope| {
            scope.spawn(move || {
                ASKED_THREAD.store(nix::unistd::gettid().as_raw(), SeqCst);
                while !ASKED.load(SeqCst) {
                    thread::yield_now();
                }
                ask();
                ANSWERED.store(true, SeqCst);
            });
            while ASKED_THREAD.load(SeqCst) == 0 {
                thread::yield_now();
            }
            ARMED.store(true, SeqCst);
            fork();
        });
        assert!(WAS_BLOCKED.load(SeqCst));
    }
}

fn sockets() -> usize {
    let all = fs::read_dir("/proc/self/fd").expect("a folder").flatten();
    let targets = all.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

fn sockets_are_not_inherited() {
    let here_and_below = |()| {
        let here = sockets();
        let below = Process::spawn(StartMethod::Fork, |()| sockets(), ()).and_then(Process::join);
        (here, below.expect("a value"))
    };
    for method in process_methods().into_iter().filter(|_| has_fork()) {
        let process = Process::spawn(method, here_and_below, ()).expect("a process");
        let (here, below) = process.join().expect("a value");
        assert_eq!(here, below, "{method}");
    }
}
