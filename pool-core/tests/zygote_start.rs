//! Obstacles for the start of a zygote: threads of initialisers, too few descriptors, slow
//! initialisers. Calls return the reason, no process is left behind, and the pool works as soon as
//! the reason is gone.
//!
//! The environment variable `INITIALISER` tells the initialiser of this program what to do.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    env, fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pool_core::{
    AsyncResult, Cause, Error, JobOptions, PlainForm, Pool,
    StartMethod::{self, Fork, ForkServer, Spawn},
};
use pool_shm::SharedArray;
use scenario::{
    Subject, all_workers, ask, compiled_in, is_dead, job, kill_now, pool, process_methods, run,
    within_a_second,
};

/// The environment variable that tells the initialiser to start a thread, or to wait as long as the
/// file with this path exists.
const INITIALISER: &str = "ZYGOTE_START_INITIALISER";
const THREAD: &str = "thread";

/// The initialiser's thread locks it all the time: a fork would most probably copy it locked.
static LOCK: Mutex<u64> = Mutex::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = initialise;

extern "C" fn initialise() {
    match env::var(INITIALISER).as_deref() {
        Ok(THREAD) => {
            thread::spawn(|| {
                loop {
                    let mut lock = LOCK.lock().expect("no panic");
                    RUNS.store(true, Ordering::Relaxed);
                    *lock += 1;
                }
            });
            while !RUNS.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
        Ok(path) => {
            while Path::new(path).exists() {
                thread::park_timeout(std::time::Duration::from_millis(5));
            }
        }
        Err(_) => {}
    }
}

fn main() {
    run(
        &[
            ("threads_of_initialisers", threads_of_initialisers),
            ("too_few_descriptors", too_few_descriptors),
            ("slow_zygotes", slow_zygotes),
            ("slow_workers", slow_workers),
        ],
        &[
            ("has_threads", has_threads),
            ("has_few_descriptors", has_few_descriptors),
            ("has_a_slow_zygote", has_a_slow_zygote),
            ("has_slow_workers", has_slow_workers),
        ],
    );
}

fn start(subject: &str, method: StartMethod, initialiser: impl AsRef<std::ffi::OsStr>) -> Subject {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(INITIALISER, initialiser);
    Subject::start_by(command, subject, method)
}

fn threads_of_initialisers() {
    for method in process_methods() {
        start("has_threads", method, THREAD).ends_well();
    }
}

fn has_threads(method: StartMethod) {
    if method == Fork {
        let refused = Pool::build(&scenario::options(method, 2)).map(drop);
        assert!(matches!(refused, Err(Error::ForkWithThreads { threads: 2 })), "{refused:?}");
        return;
    }
    let pool = pool(method, 2);
    if method == ForkServer {
        for _ in 0..2 {
            let refused = ask(&pool, |x: u64| x, 1);
            assert!(
                matches!(refused, Err(Error::InitialiserThreads { threads: 2 })),
                "{refused:?}"
            );
            assert!(refused.expect_err("seen").to_string().contains("use start method spawn"));
        }
        assert!(pool.worker_pids().is_empty());
        pool.terminate().expect("nothing is broken");
        assert!(matches!(ask(&pool, |x: u64| x, 1), Err(Error::InitialiserThreads { .. })));
        return;
    }
    // No process is forked, so the lock is valid in every worker.
    let lock = |x: u64| x + u64::from(LOCK.lock().is_ok());
    assert_eq!(ask(&pool, lock, 6).expect("a value"), 7);
    // The zygote is notified of the end of its children, although it has threads besides the one
    // that waits for them.
    for _ in 0..5 {
        let died = ask(&pool, |_: u64| -> u64 { std::process::exit(3) }, 1);
        let Err(Error::Task(task)) = died else { panic!("{died:?}") };
        assert!(matches!(task.cause(), Cause::Death(_)), "{task}");
    }
    let workers = all_workers(&pool);
    pool.terminate().expect("nothing is broken");
    assert!(workers.iter().all(|pid| is_dead(nix::unistd::Pid::from_raw(pid.cast_signed()))));
    assert_eq!(ask(&pool, lock, 1).expect("a value"), 2);
}

fn too_few_descriptors() {
    for method in process_methods() {
        Subject::start("has_few_descriptors", method).ends_well();
    }
}

fn has_few_descriptors(method: StartMethod) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    // The lowest free number, whatever descriptors above it the program was started with.
    let open = fs::File::open("/dev/null").expect("a file").as_raw_fd() as u64;
    let (mut refused, mut late) = (0, 0);
    for free in 0..20 {
        setrlimit(Resource::RLIMIT_NOFILE, open + free, hard).expect("less than before");
        let built = Pool::build(&scenario::options(method, 1));
        let raise = || setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("as before");
        let pool = match built {
            Ok(pool) => pool,
            Err(Error::Resources { .. }) => {
                refused += 1;
                raise();
                continue;
            }
            Err(other) => panic!("{free} free: {other}"),
        };
        match ask(&pool, |x: u64| x + 1, 1) {
            Ok(value) => assert_eq!(value, 2),
            Err(Error::Resources { .. }) => late += 1,
            Err(other) => panic!("{free} free: {other}"),
        }
        raise();
        if free % 2 == 0 {
            pool.terminate().expect("nothing is broken");
        }
        let value = ask(&pool, |x: u64| x + 1, 2);
        assert_eq!(value.unwrap_or_else(|error| panic!("{free} free: {error}")), 3);
        if free > 16 {
            hands_out(&pool);
        }
    }
    assert!(refused + late > 0, "the limit has an effect");
}

/// The zygote keeps the descriptors of all handles that are on their way, whatever limit the
/// program had at its start.
fn hands_out(pool: &Pool) {
    const LARGE: usize = 50_000;
    let arrays: Vec<_> = (0..40).map(|_| SharedArray::<u64>::new(LARGE).expect("room")).collect();
    let lens = job(pool, |array: SharedArray<u64>| array.len(), arrays.clone().into_iter());
    let lens = lens.and_then(|job| job.values(true));
    assert!(lens.expect("values").iter().all(|len| *len == LARGE));
}

/// A file that initialisers wait for until it is removed; dropping this removes it.
struct Hold(PathBuf);

impl Hold {
    fn new(name: &str) -> Self {
        let name = format!("pool-core-zygote-start-{name}-{}", std::process::id());
        Self(env::temp_dir().join(name))
    }

    fn close(&self) {
        fs::write(&self.0, "").expect("a file");
    }

    fn open(&self) {
        let _ = fs::remove_file(&self.0);
    }

    /// The file that this subject's initialisers check.
    fn of_subject() -> Self {
        Self(env::var_os(INITIALISER).expect("the test has set it").into())
    }
}

/// Begins a call without waiting for it.
fn begin(pool: &Pool) -> AsyncResult<u64> {
    pool.apply_async::<PlainForm<u64, u64>>(1, |x| x, &JobOptions::default())
        .expect("it is taken in")
}

fn slow_zygotes() {
    for method in [ForkServer, Spawn].into_iter().filter(|method| compiled_in(*method)) {
        let hold = Hold::new("zygote");
        start("has_a_slow_zygote", method, &hold.0).ends_well();
        hold.open();
    }
}

fn has_a_slow_zygote(method: StartMethod) {
    let hold = Hold::of_subject();
    hold.close();
    let pool = pool(method, 2);
    for _ in 0..2 {
        let called = begin(&pool);
        pool.terminate().expect("nothing is broken");
        let ended = called.get();
        assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
        assert_no_child();
    }
    // A pool whose zygote is not there yet may be dropped as well.
    let called = begin(&pool);
    drop((called, pool));
    assert_no_child();
    let pool = scenario::pool(method, 2);
    let called = begin(&pool);
    pool.terminate().expect("nothing is broken");
    drop(called);
    hold.open();
    assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
}

fn assert_no_child() {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    assert_eq!(children, "");
}

fn slow_workers() {
    if compiled_in(Spawn) {
        let hold = Hold::new("worker");
        start("has_slow_workers", Spawn, &hold.0).ends_well();
        hold.open();
    }
}

fn has_slow_workers(method: StartMethod) {
    let hold = Hold::of_subject();
    let pool = pool(method, 1);
    let zygote_is_up = ask(&pool, |x: u64| x, 1);
    assert_eq!(zygote_is_up.expect("a value"), 1);
    let first = all_workers(&pool)[0];
    hold.close();
    kill_now(nix::unistd::Pid::from_raw(first.cast_signed()));
    within_a_second(|| pool.worker_pids(), |pids| pids.iter().any(|pid| *pid != first));
    let called = begin(&pool);
    pool.terminate().expect("nothing is broken");
    assert!(matches!(called.get(), Err(Error::Terminated)));
    hold.open();
    assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
}
