//! The lines of a pool through the `log` facade: in this process only, and with no lock held that a
//! call needs.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pool_api::{Error, SharedArray, StartMethod, WorkerPool};

/// A logger that keeps lines, and uses a pool while it does.
struct Collector(Mutex<Vec<(Level, String)>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));
/// Whether the logger panics.
static PANICS: AtomicBool = AtomicBool::new(false);
static POOL: OnceLock<WorkerPool<(), (), u64>> = OnceLock::new();

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pool"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            assert!(!PANICS.load(Ordering::SeqCst), "the logger's own");
            let _ = POOL.get().map(|pool| pool.worker_pids());
            let mut lines = self.0.lock().expect("no panic beside it");
            lines.push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

fn exit(code: i32) -> u8 {
    std::process::exit(code)
}

fn taken() -> Vec<(Level, String)> {
    std::mem::take(&mut *COLLECTOR.0.lock().expect("no panic beside it"))
}

#[test]
fn deaths_limits_lives_and_restarts_are_said() -> Result<(), Error> {
    log::set_logger(&COLLECTOR).expect("the first one");
    log::set_max_level(LevelFilter::Trace);
    for method in [StartMethod::ForkServer, StartMethod::Spawn] {
        let builder = WorkerPool::builder().n_jobs(1).start_method(method);
        let pool = builder.worker_exit(|_| 7u64).build()?;
        assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
        assert_eq!(taken(), [], "nothing of note");

        pool.map([9], exit).expect_err("it has ended");
        await_line(&pool, Level::Warn, "worker 0 exited with code 9; it is replaced");

        let slow = pool.tasks([60u64]).task_timeout(Duration::from_millis(50));
        let slow = slow.map(|seconds| std::thread::sleep(Duration::from_secs(seconds)));
        slow.expect_err("it takes too long");
        await_line(&pool, Level::Warn, "worker 0 was killed: an item took too long");
        pool.map([1u8], |x| x)?;
        taken();

        pool.set_worker_lifespan(2)?;
        let said = "worker_lifespan: the next call gets fresh workers";
        assert_eq!(taken(), [(Level::Info, said.to_string())]);
        assert_eq!(pool.tasks(0..4u8).chunk_size(1).map(|x| x)?, [0, 1, 2, 3]);
        await_line(&pool, Level::Debug, "worker 0 has lived its time; a fresh one has its place");
        // A pool that is stopped, or has fresh workers for each call, logs nothing.
        pool.set_worker_lifespan(None)?;
        pool.set_keep_alive(false)?;
        taken();
        assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
        assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
        pool.stop_and_join()?;
        assert_eq!(taken(), []);
    }
    // A logger may use the pool that logs.
    let pool = WorkerPool::builder().n_jobs(1).worker_exit(|_| 7u64).build()?;
    let pool = POOL.get_or_init(|| pool);
    pool.map([9], exit).expect_err("it has ended");
    await_line(pool, Level::Warn, "worker 0 exited with code 9; it is replaced");
    pool.terminate()?;
    PANICS.store(true, Ordering::SeqCst);
    a_logger_that_panics()
}

/// A logger that panics ends no call, not even one whose tasks borrow memory.
fn a_logger_that_panics() -> Result<(), Error> {
    let pool = WorkerPool::builder().n_jobs(2).worker_exit(|_| 7u64).build()?;
    let mut array = SharedArray::<u64>::new(2)?;
    let ended: Result<Vec<u8>, _> = pool.slices_mut(&mut array, 1).map(|part, slice| {
        if part == 0 {
            exit(9);
        }
        loop {
            slice[0] = std::hint::black_box(slice[0] + 1);
        }
    });
    let after = array.to_vec();
    assert!(matches!(&ended, Err(Error::Task(task)) if task.index() == 0), "{ended:?}");
    assert_eq!(array.to_vec(), after, "no worker writes any more");
    pool.set_worker_lifespan(2)?;
    assert_eq!(pool.tasks(0..9u8).chunk_size(1).map(|x| x)?.len(), 9);
    // The pool is stopped while it has lines to log, and can be used again.
    pool.map([9], exit).expect_err("it has ended");
    pool.stop_and_join()?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    pool.terminate()
}

/// Waits for a line among others of its level; makes calls, since a pool looks for dead workers in
/// them.
fn await_line(pool: &WorkerPool<(), (), u64>, level: Level, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        seen.extend(taken());
        if seen.iter().any(|(at, text)| *at == level && text == line) {
            return;
        }
        pool.apply((), |()| ()).expect("the pool works");
    }
    panic!("{level} {line:?} is not among {seen:?}");
}
