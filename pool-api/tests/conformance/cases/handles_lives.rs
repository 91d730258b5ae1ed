//! How a segment lives while a handle to it is on its way, and after a process dies or everything
//! is dropped.

use std::{
    fs,
    process::{Command, Stdio},
};

use pool_api::{Cause, Error, SharedArray, SharedMutex, SharedValue, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    footprint::{held_by, processes, shared_segments},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("handles_given_away", given_away),
    Case::new("handles_whose_makers_were_replaced", makers_replaced),
    Case::new("handles_outlive_their_pool", outlive_their_pool),
    Case::new("handles_fetched_by_workers_that_are_killed", killed_at_any_moment).processes(),
    Case::new("handles_without_a_zygote", without_a_zygote).processes(),
    Case::new("handles_given_back_by_a_busy_worker", given_back_while_busy),
    Case::new("handles_in_flight_are_bounded", bounded_in_flight).processes(),
    Case::new("handles_ten_thousand_small", ten_thousand_small),
    Case::new("handles_three_hundred_large", three_hundred_large).alone(),
    Case::new("handles_of_two_pools", two_pools),
];

/// So many elements that an array has a segment of its own.
const LARGE: usize = 50_000;

type Array = SharedArray<u64>;

fn filled(len: usize, value: u64) -> Array {
    let array = SharedArray::new(len).expect("an array");
    array.fill(value);
    array
}

/// The processes of a pool that were not started for a task, by their name.
fn named(name: &str) -> Option<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_ours = |pid: &u32| {
        let parent = |pid: &u32| sys::parent_of(*pid).filter(|pid| *pid > 1);
        let above = std::iter::successors(Some(*pid), parent);
        above.take(8).any(|pid| pid == std::process::id())
    };
    processes().filter(is_ours).find(|pid| stat(*pid).contains(&format!("({name})")))
}

/// All processes that may have segments: the workers, the zygote, this process.
fn all_processes(pool: &WorkerPool) -> Vec<u32> {
    pool.worker_pids().into_iter().chain(named("pool-zygote")).chain([std::process::id()]).collect()
}

/// Bytes of memory that segments take, in all processes.
fn shared_memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("Shmem:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("Linux tells how much memory is shared") << 10
}

fn all_run(pool: &WorkerPool) {
    pool.map(0..10u64, |x| x).expect("a map");
    wait_until("all workers run", || {
        pool.start_method() == StartMethod::Threads || pool.worker_pids().len() == pool.n_jobs()
    });
}

/// The numbers of descriptors and mappings of all processes, to wait until they are back.
struct Before(Vec<(usize, usize)>);

impl Before {
    fn note(pool: &WorkerPool) -> Self {
        // A worker that has run a task has closed and unmapped what a new process begins with.
        pool.broadcast(|_| ()).expect("workers");
        Self(all_processes(pool).into_iter().map(held_by).collect())
    }

    fn comes_back(&self, pool: &WorkerPool) {
        wait_until("all that came has gone", || {
            let now: Vec<_> = all_processes(pool).into_iter().map(held_by).collect();
            now.len() == self.0.len()
                && now.iter().zip(&self.0).all(|(now, before)| {
                    now.0.abs_diff(before.0) <= 16 && now.1.abs_diff(before.1) <= 16
                })
        });
    }
}

/// The caller keeps nothing: the task keeps an array that is on its way, then the result does.
fn given_away(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [3, LARGE] {
        let items = (0..60u64).map(|n| (n, filled(len, n)));
        let mut seen = 0;
        for answer in pool.tasks(items).chunk_size(1).max_tasks_active(9).imap(|(n, array)| {
            array.fetch_add(len_of(&array) - 1, 1);
            (n, array.slice(array.len() - 1..), array)
        }) {
            let (n, last, whole) = answer?;
            assert_eq!((n, last.to_vec(), whole.get(0)), (seen, vec![n + 1], n));
            seen += 1;
        }
        assert_eq!(seen, 60);
    }
    Ok(())
}

fn len_of(array: &Array) -> usize {
    array.len()
}

fn makers_replaced(method: StartMethod) -> Outcome {
    // Fresh workers for every call: those that made the arrays are gone when they are used.
    let pool = builder(method, 2).keep_alive(false).build()?;
    for len in [3, LARGE] {
        let makes: fn((usize, u64)) -> Array = |(len, n)| filled(len, n);
        let mut arrays = pool.map((0..20).map(|n| (len, n)), makes)?;
        for round in 1..4 {
            arrays = pool.map(arrays, |array| {
                array.fetch_add(1, 10);
                array
            })?;
            assert!((0..).zip(&arrays).all(|(n, array)| array.get(1) == n + 10 * round));
        }
    }
    Ok(())
}

fn outlive_their_pool(method: StartMethod) -> Outcome {
    for len in [3, LARGE] {
        let one = pool(method, 2)?;
        let makes: fn((usize, u64)) -> Array = |(len, n)| filled(len, n);
        let arrays = one.map((0..20).map(|n| (len, n)), makes)?;
        let mut lazy = one.imap((0..20).map(|n| (len, n)), makes);
        let first = lazy.next().transpose()?.expect("an array");
        one.terminate()?;
        // An array that was not opened is an error, or was there already.
        for array in lazy {
            match array {
                Ok(array) => assert_eq!(array.len(), len),
                Err(error) => assert!(matches!(error, Error::Terminated), "{error}"),
            }
        }
        drop(one);
        let other = pool(method, 2)?;
        let sums = other.map(arrays.clone(), |array| array.iter().sum::<u64>())?;
        assert!((0..).zip(&sums).all(|(n, sum)| *sum == n * len as u64));
        assert_eq!(other.apply(first, |array| array.get(0))?, 0);
        drop(other);
        assert!((0..).zip(&arrays).all(|(n, array)| array.get(2) == n));
    }
    Ok(())
}

/// Kills a process after so many milliseconds.
fn killer(pid: u32, after: usize) -> std::io::Result<std::process::Child> {
    let script = format!("sleep 0.{after:03}; kill -9 {pid}");
    Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).spawn()
}

fn killed_at_any_moment(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let before = Before::note(&pool);
    let kept = filled(LARGE, 5);
    for round in 0..sized(40, 8) {
        all_run(&pool);
        let mut killer = killer(pool.worker_pids()[round % 2], 1 + 3 * round % 29)?;
        let items = (0..150u64).map(|n| (n, filled(LARGE, n), kept.clone()));
        let results = pool.tasks(items).chunk_size(2).map_results(|(n, array, kept)| {
            assert_eq!((array.get(LARGE - 1), kept.get(0)), (n, 5));
            array.slice(7..)
        })?;
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(array) => assert_eq!((array.len(), array.get(0)), (LARGE - 7, n)),
                Err(error) => assert!(matches!(error.cause(), Cause::Death(_)), "{error}"),
            }
        }
        killer.wait()?;
    }
    drop(kept);
    pool.broadcast(|_| ())?;
    before.comes_back(&pool);
    Ok(())
}

fn without_a_zygote(method: StartMethod) -> Outcome {
    let broken = |error: Error| assert!(matches!(error, Error::PoolBroken), "{error}");
    let kill = || {
        let zygote = named("pool-zygote").expect("a zygote");
        assert!(sys::kill(zygote, sys::SIGKILL));
        wait_until("it is gone", || named("pool-zygote").is_none());
    };
    // Before the first handle, and after some.
    for handles_before in [false, true] {
        let pool = pool(method, 2)?;
        pool.map(0..10u64, |x| x)?;
        if handles_before {
            pool.apply(filled(LARGE, 1), |array| array.get(0))?;
        }
        kill();
        broken(pool.apply(filled(LARGE, 1), |array| array.get(0)).expect_err("no zygote"));
        broken(pool.apply(1u8, |x| x).expect_err("no zygote"));
    }
    // In the middle of results that are not opened.
    let lost = pool(method, 2)?;
    let mut lazy = lost.tasks(0..500u64).chunk_size(1).imap(|n| filled(LARGE, n));
    let first = lazy.next().transpose()?.expect("an array");
    kill();
    let mut seen = 1;
    for array in lazy {
        match array {
            Ok(array) => assert_eq!(array.get(9), seen),
            Err(error) => {
                broken(error);
                break;
            }
        }
        seen += 1;
    }
    assert!(seen < 500 && first.get(0) == 0);
    drop(lost);
    let other = pool(method, 2)?;
    assert_eq!(other.apply(first, |array| array.get(1))?, 0);
    Ok(())
}

/// A worker that never sleeps gives the segments that it keeps back all the same.
fn given_back_while_busy(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let before = Before::note(&pool);
    let mut all = Vec::new();
    let seen = SharedValue::new(0u64)?;
    let items = (0..400u64).map(|n| (n, filled(LARGE, n), seen.clone()));
    // Many chunks are there at any time.
    let arrays = pool.tasks(items).chunk_size(1).imap(|(n, array, seen)| {
        seen.fetch_add(1);
        (array, filled(LARGE, n))
    });
    for (n, pair) in (0..).zip(arrays) {
        let (there, made) = pair?;
        assert_eq!((there.get(0), made.get(0)), (n, n));
        let most = all_processes(&pool).into_iter().map(|pid| shared_segments(pid).0).max();
        all.push(most.unwrap_or(0));
    }
    assert_eq!(seen.get(), 400);
    let most = all.iter().max().copied().unwrap_or(0);
    assert!(most < 120, "{most} descriptors of segments");
    before.comes_back(&pool);
    Ok(())
}

/// Arrays that only the items have are not made long before they are needed.
fn bounded_in_flight(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    all_run(&pool);
    let (made, done) = (std::cell::Cell::new(0u64), SharedValue::new(0u64)?);
    let most = std::cell::Cell::new(0);
    let items = (0..3000u64).map(|n| {
        made.set(made.get() + 1);
        most.set(most.get().max(made.get() - done.get()));
        (filled(LARGE, n), done.clone())
    });
    let sums = pool.map(items, |(array, done)| {
        done.fetch_add(1);
        array.get(0)
    })?;
    assert_eq!(sums.len(), 3000);
    assert!(most.get() < 600, "{} arrays of 400 kB at once", most.get());
    Ok(())
}

fn ten_thousand_small(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let rounds = sized(10_000, 2_000) as u64;
    pool.map((0..20).map(|n| filled(100, n)), |array| array.get(0))?;
    let before = Before::note(&pool);
    // All at once, kept by the caller and then dropped.
    let arrays: Vec<Array> = (0..rounds).map(|n| filled(10, n)).collect();
    let sums = pool.map(arrays.clone(), |array| array.iter().sum::<u64>())?;
    assert!((0..).zip(&sums).all(|(n, sum)| *sum == 10 * n));
    drop(arrays);
    before.comes_back(&pool);
    // Given away; and made by the workers.
    let sums = pool.map((0..rounds).map(|n| filled(500, n)), |array| array.get(499))?;
    assert_eq!(sums, (0..rounds).collect::<Vec<_>>());
    let made = pool.map(0..rounds, |n| filled(500, n))?;
    assert!((0..).zip(&made).all(|(n, array)| array.get(250) == n));
    drop(made);
    before.comes_back(&pool);
    // One by one, through all processes.
    for n in 0..rounds / 10 {
        let array = pool.apply(pool.apply(n, |n| filled(500, n))?, |array| array)?;
        assert_eq!(pool.apply(array, |array| array.get(1))?, n);
    }
    before.comes_back(&pool);
    Ok(())
}

fn three_hundred_large(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let count = sized(300, 100) as u64;
    let (before, memory) = (Before::note(&pool), shared_memory());
    let arrays: Vec<Array> = (0..count).map(|n| filled(LARGE, n)).collect();
    for _ in 0..3 {
        let sums = pool.map(arrays.clone(), |array| array.get(LARGE - 1))?;
        assert_eq!(sums, (0..count).collect::<Vec<_>>());
    }
    drop(arrays);
    before.comes_back(&pool);
    let made = pool.map(0..count, |n| filled(LARGE, n))?;
    let back = pool.map(made, |array| array)?;
    assert!((0..).zip(&back).all(|(n, array)| array.get(1) == n));
    drop(back);
    before.comes_back(&pool);
    let sums = pool.map((0..count).map(|n| filled(LARGE, n)), |array| array.get(5))?;
    assert_eq!(sums.len() as u64, count);
    before.comes_back(&pool);
    // 300 of them were 120 MB; other programs have some too.
    wait_until("the memory is given back", || {
        shared_memory() < memory + (count * LARGE as u64 * 8) / 3
    });
    Ok(())
}

/// A worker of one pool sees an array made by a worker of another pool; each pool has a zygote of
/// its own.
fn two_pools(method: StartMethod) -> Outcome {
    let (one, two) = (pool(method, 2)?, pool(method, 2)?);
    let lock = SharedMutex::new(0u64)?;
    for len in [3, LARGE] {
        let makes: fn((usize, u64)) -> Array = |(len, n)| filled(len, n);
        let made = one.map((0..20).map(|n| (len, n)), makes)?;
        let items = made.into_iter().map(|array| (array, lock.clone()));
        let back = two.map(items, |(array, lock)| {
            *lock.lock().expect("whole") += array.get(1);
            array
        })?;
        drop(one.map(back, |array| array)?);
    }
    assert_eq!(*lock.lock().expect("whole"), 380);
    Ok(())
}
