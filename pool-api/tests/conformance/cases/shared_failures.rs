//! The shared value cannot be made, or a worker cannot start: typed errors, and a pool that can be
//! used again.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pool_api::{
    Cause, Error, ExitStatus, SharedMutex, StartMethod, WorkerPool,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
};

use crate::{
    case::{Case, Outcome, builder},
    footprint::processes,
    scratch::{Scratch, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("building_panics", panics),
    Case::new("decoding_panics_or_fails", decoding).processes(),
    Case::new("building_ends_the_process", ends).processes(),
    Case::new("building_leaves_threads", leaves_threads),
    Case::new("building_takes_too_long", too_long),
    Case::new("building_never_ends", never_ends).processes(),
    Case::new("building_fails_once", fails_once),
    Case::new("building_forks", forks).processes(),
    Case::new("building_keeps_a_lock", keeps_a_lock).processes(),
    Case::new("building_uses_its_own_pool", uses_own_pool).threads(),
    Case::new("worker_start_in_order", start_in_order),
    Case::new("worker_start_fails", start_fails),
    Case::new("worker_start_ends_the_process", start_ends).processes(),
];

fn ask<S: Send + Sync + 'static>(pool: &WorkerPool<S>) -> Result<Vec<u32>, Error> {
    pool.tasks(0..20u32).chunk_size(1).with_worker().map(|_, x| x)
}

/// The pool works once it shares a value that can be made.
fn works_again(pool: &WorkerPool<u8>) -> Outcome {
    assert!(pool.map(0..3u8, |x| x).is_err(), "each call gets the failure");
    pool.set_shared(7)?;
    assert_eq!(pool.tasks(0..20u8).chunk_size(1).with_worker().map(|w, x| w.shared + x)?[19], 26);
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).shared_built(|| -> u8 { panic!("no {}", "model") }).build()?;
    for _ in 0..3 {
        match ask(&pool) {
            Err(Error::SharedFailed(Cause::Panic { message, location, .. })) => {
                assert_eq!(message, "no model");
                assert!(location.is_some_and(|place| place.contains("shared_failures.rs")));
            }
            other => panic!("{other:?}"),
        }
    }
    works_again(&pool)
}

#[derive(Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct Spiteful(u8);

impl<D: Fallible<Error: rkyv::rancor::Source> + ?Sized> Deserialize<Spiteful, D>
    for ArchivedSpiteful
{
    fn deserialize(&self, _: &mut D) -> Result<Spiteful, D::Error> {
        match self.0 {
            0 => Ok(Spiteful(0)),
            1 => panic!("spite"),
            _ => Err(rkyv::rancor::Source::new(std::fmt::Error)),
        }
    }
}

fn decoding(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(Spiteful(1)).build()?;
    if method == StartMethod::Fork {
        assert_eq!(ask(&pool)?.len(), 20, "nothing is decoded");
        return Ok(());
    }
    let panicked = ask(&pool);
    assert!(
        matches!(&panicked, Err(Error::SharedFailed(Cause::Panic { message, .. })) if message == "spite"),
        "{panicked:?}"
    );
    pool.set_shared(Spiteful(2))?;
    let refused = ask(&pool);
    assert!(matches!(refused, Err(Error::SharedFailed(Cause::Undecodable))), "{refused:?}");
    pool.set_shared(Spiteful(0))?;
    assert_eq!(ask(&pool)?.len(), 20);
    Ok(())
}

fn ends(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).shared_built(|| -> u8 { std::process::exit(3) }).build()?;
    let ended = ask(&pool);
    let code = Cause::Death(ExitStatus::Code(3));
    assert!(matches!(&ended, Err(Error::SharedFailed(cause)) if *cause == code), "{ended:?}");
    pool.set_shared_built(|| {
        sys::raise(sys::SIGKILL);
        1
    })?;
    let ended = ask(&pool);
    let signal = Cause::Death(ExitStatus::Signal(sys::SIGKILL));
    assert!(matches!(&ended, Err(Error::SharedFailed(cause)) if *cause == signal), "{ended:?}");
    works_again(&pool)
}

fn leave_threads() -> u8 {
    for name in ["first-left", "second-left"] {
        let thread = std::thread::Builder::new().name(name.to_string());
        thread.spawn(|| std::thread::sleep(Duration::from_millis(1500))).expect("a thread");
    }
    9
}

fn leaves_threads(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared_built(leave_threads).build()?;
    let asked = ask(&pool);
    match (method, asked) {
        // The threads are each worker's own, or the program's.
        (StartMethod::Spawn, Ok(values)) => assert_eq!(values.len(), 20),
        (StartMethod::Threads, Ok(values)) => {
            assert_eq!(values.len(), 20);
            // Leftovers are gone before they are compared.
            let own = std::process::id();
            let left = |name| processes_named(name).contains(&own);
            wait_until("they have ended", || !left("first-left") && !left("second-left"));
        }
        (_, Err(Error::SharedLeftThreads { mut threads })) => {
            threads.sort();
            assert_eq!(threads, ["first-left", "second-left"]);
            return works_again(&pool);
        }
        (_, other) => panic!("{other:?}"),
    }
    Ok(())
}

fn too_long(method: StartMethod) -> Outcome {
    let limit = Duration::from_millis(50);
    static TOLD: AtomicBool = AtomicBool::new(false);
    let slow = || {
        while !TOLD.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        1u8
    };
    let pool = builder(method, 2).shared_built(slow).shared_timeout(limit).build()?;
    let late = ask(&pool);
    // A call that had waited for it would have done so for ever.
    TOLD.store(true, Ordering::Relaxed);
    assert!(
        matches!(&late, Err(Error::SharedFailed(Cause::Timeout { limit: l })) if *l == limit),
        "{late:?}"
    );
    assert!(late.expect_err("late").to_string().contains("50ms"));
    pool.set_shared_built(|| 2)?;
    assert_eq!(pool.tasks([()]).with_worker().map(|w, ()| *w.shared)?, [2]);
    if method == StartMethod::Threads {
        let own = std::process::id(); // its thread goes on
        wait_until("it has ended", || !processes_named("pool-shared").contains(&own));
    }
    let none = builder(method, 2).shared_timeout(Duration::ZERO).build();
    assert!(matches!(none, Err(Error::InvalidInput(text)) if text.contains("shared_timeout")));
    Ok(())
}

fn never_ends(method: StartMethod) -> Outcome {
    let endless = || -> u8 {
        loop {
            std::thread::park();
        }
    };
    let pool = builder(method, 2).shared_built(endless).build()?;
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let call = scope.spawn(|| ask(&pool));
            wait_until("a process makes the value", || !processes_named("pool-shared").is_empty());
            assert!(!call.is_finished(), "it has nothing to end with");
            pool.terminate().expect("an end");
            let ended = call.join().expect("no panic");
            assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
        });
        assert!(processes_named("pool-shared").is_empty(), "who was at it is gone");
    }
    pool.set_shared(7)?;
    assert_eq!(pool.tasks([1u8]).with_worker().map(|w, x| w.shared + x)?, [8]);
    Ok(())
}

/// The processes of this case with a thread of this name.
pub(super) fn processes_named(name: &str) -> Vec<u32> {
    let has_thread = |pid: u32| {
        let threads =
            std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let comm = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
        threads.filter_map(|thread| comm(thread).ok()).any(|comm| comm.trim_end() == name)
    };
    let own = sys::group_of(std::process::id());
    processes().filter(|pid| sys::group_of(*pid) == own && has_thread(*pid)).collect()
}

fn fails_once(method: StartMethod) -> Outcome {
    /// Fails as long as the file that the environment names is not there.
    fn build() -> u8 {
        let path = std::env::var("POOL_FAILS_ONCE").expect("set below");
        let found = std::fs::exists(&path).unwrap_or(false);
        std::fs::write(&path, b"here").expect("a file");
        assert!(found, "not yet");
        5
    }
    let scratch = Scratch::new();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("POOL_FAILS_ONCE", scratch.path()) };
    let pool = builder(method, 1).shared_built(build).build()?;
    assert!(matches!(ask(&pool), Err(Error::SharedFailed(Cause::Panic { .. }))));
    assert_eq!(
        pool.tasks([()]).with_worker().map(|w, ()| *w.shared)?,
        [5],
        "the next call tries again"
    );
    Ok(())
}

fn forks(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .at_worker_start(|| {
            sys::fork();
        })
        .shared_built(|| {
            let child = sys::fork(); // and both come back
            u8::from(child > 0)
        })
        .build()?;
    for _ in 0..3 {
        let seen = pool.tasks(0..20u8).chunk_size(1).with_worker().map(|w, _| *w.shared)?;
        assert_eq!(seen, [1; 20]);
    }
    Ok(())
}

/// A reference to the data of a shared lock whose guard is never dropped.
#[derive(Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct Kept(#[rkyv(with = rkyv::with::Skip)] Mutex<Option<&'static mut u64>>);

fn keep_a_lock() -> Kept {
    let lock = Box::leak(Box::new(SharedMutex::new(0u64).expect("a mutex")));
    let guard = Box::leak(Box::new(lock.lock().expect("it is free")));
    Kept(Mutex::new(Some(&mut **guard)))
}

impl<D: Fallible + ?Sized> Deserialize<Kept, D> for ArchivedKept {
    fn deserialize(&self, _: &mut D) -> Result<Kept, D::Error> {
        Ok(keep_a_lock())
    }
}

/// Each worker that inherited it would hold a lock of its own around the one number.
fn keeps_a_lock(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(Kept(Mutex::new(None))).build()?;
    let ask = || {
        pool.tasks([()]).with_worker().map(|w, ()| {
            w.shared.0.lock().expect("no panic beside it").as_deref_mut().map_or(0, |x| {
                *x += 1;
                *x
            })
        })
    };
    let refused = |asked| matches!(asked, Err(Error::ForkWhileBorrowed));
    match method {
        StartMethod::Fork => assert_eq!(ask()?, [0], "nothing is decoded"),
        StartMethod::ForkServer => assert!(refused(ask())),
        _ => assert_eq!(ask()?, [1]),
    }
    pool.set_shared_built(keep_a_lock)?;
    match method {
        StartMethod::Fork | StartMethod::ForkServer => assert!(refused(ask())),
        _ => assert_eq!(ask()?, [1], "each has its own"),
    }
    pool.set_shared(Kept(Mutex::new(None)))?;
    assert!(method == StartMethod::ForkServer || ask().is_ok());
    Ok(())
}

static NESTED: std::sync::OnceLock<WorkerPool<u8>> = std::sync::OnceLock::new();

fn uses_own_pool(method: StartMethod) -> Outcome {
    let use_it = || match NESTED.get().expect("set below").map([1u8], |x| x) {
        Err(Error::NestedUse) => 3,
        other => panic!("{other:?}"),
    };
    let pool = builder(method, 2)
        .shared_built(use_it)
        .at_worker_start(|| {
            let pool = NESTED.get().expect("set below");
            assert!(matches!(pool.map([1u8], |x| x), Err(Error::NestedUse)));
            assert!(matches!(pool.stop_and_join(), Err(Error::NestedUse)));
        })
        .build()?;
    let pool = NESTED.get_or_init(|| pool);
    assert_eq!(pool.tasks([()]).with_worker().map(|w, ()| *w.shared)?, [3]);
    pool.stop_and_join()?;
    Ok(())
}

thread_local! {
    static STARTED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn start_in_order(method: StartMethod) -> Outcome {
    let pool = builder(method, 3)
        .keep_alive(false)
        .at_worker_start(|| STARTED.with_borrow_mut(|seen| seen.push(1)))
        .at_worker_start(|| STARTED.with_borrow_mut(|seen| seen.push(2)))
        .build()?;
    for _ in 0..3 {
        let seen = pool.tasks(0..50u8).chunk_size(1).map(|_| STARTED.with_borrow(Clone::clone))?;
        assert!(seen.iter().all(|seen| *seen == [1, 2]), "{seen:?}");
    }
    STARTED.with_borrow(|seen| assert!(seen.is_empty(), "never in the caller's thread"));
    Ok(())
}

fn start_fails(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).at_worker_start(|| panic!("not today")).build()?;
    for _ in 0..3 {
        match pool.map(0..20u8, |x| x) {
            Err(Error::WorkerStartFailed(Cause::Panic { message, .. })) => {
                assert_eq!(message, "not today");
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn start_ends(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).at_worker_start(|| std::process::exit(4)).build()?;
    let ended = pool.map(0..20u8, |x| x);
    let code = Cause::Death(ExitStatus::Code(4));
    assert!(matches!(&ended, Err(Error::WorkerStartFailed(cause)) if *cause == code), "{ended:?}");
    Ok(())
}
