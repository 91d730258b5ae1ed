//! Chunks that go to the workers in turn.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use pool_api::{StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("order_tasks_is_a_strict_round", strict),
    Case::new("order_tasks_is_asked_for_and_not", asked_for),
    Case::new("order_tasks_in_every_form_of_a_call", forms),
    Case::new("order_tasks_is_the_order_on_each_worker", in_order),
    Case::new("order_tasks_and_deaths", deaths).processes(),
    Case::new("order_tasks_keeps_nothing_from_other_calls", beside_others),
];

/// The workers of `items` items in chunks of `size`, if they have turns.
fn turns(items: usize, size: usize, workers: usize) -> Vec<u32> {
    (0..items).map(|n| (n / size % workers) as u32).collect()
}

fn ids(pool: &WorkerPool, items: usize, size: usize) -> pool_api::Result<Vec<u32>> {
    pool.tasks(0..items).chunk_size(size).with_worker().map(|w, _| w.id())
}

fn strict(method: StartMethod) -> Outcome {
    for workers in [1, 2, 3] {
        let pool = builder(method, workers).order_tasks(true).build()?;
        for (items, size) in [(1, 1), (10, 1), (10, 3), (7, 7), (1000, 2), (100, 1)] {
            // Each call begins with worker 0.
            assert_eq!(ids(&pool, items, size)?, turns(items, size, workers), "{items} by {size}");
        }
        let cut = pool.tasks(0..10u32).n_splits(3).with_worker().map(|w, _| w.id())?;
        let wanted = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2].map(|chunk| chunk % workers as u32);
        assert_eq!(cut, wanted);
        // Chunks of other sizes go in turn as well.
        let free = pool.tasks(0..sized(300_000, 30_000)).with_worker().map(|w, _| w.id())?;
        let next = |id: u32| (id + 1) % workers as u32;
        assert_eq!(free[0], 0);
        assert!(free.windows(2).all(|two| two[1] == two[0] || two[1] == next(two[0])));
        let slow = pool.tasks(0..20u64).chunk_size(1).with_worker().map(|w, n| {
            thread::sleep(std::time::Duration::from_millis(n % 2 * 2)); // some are slower
            w.id()
        })?;
        assert_eq!(slow, turns(20, 1, workers));
    }
    Ok(())
}

fn asked_for(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let ordered = |on: bool| {
        let tasks = pool.tasks(0..40usize).chunk_size(1).order_tasks(on);
        tasks.with_worker().map(|w, _| w.id())
    };
    assert_eq!(ordered(true)?, turns(40, 1, 2));
    let pids = pool.broadcast(|_| std::process::id())?;
    pool.set_order_tasks(true)?;
    assert_eq!(ids(&pool, 40, 1)?, turns(40, 1, 2));
    assert_eq!(ordered(false)?.len(), 40);
    // A call of one item goes to any free worker.
    assert_eq!(pool.apply(3u64, |x| x)?, 3);
    assert_eq!(pool.apply_async(3u64, |x| x)?.get()?, 3);
    pool.set_order_tasks(false)?;
    assert_eq!(ids(&pool, 40, 1)?.len(), 40);
    let after = pool.broadcast(|_| std::process::id())?;
    assert_eq!(after, pids, "no worker was restarted");
    Ok(())
}

fn forms(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).order_tasks(true).build()?;
    let wanted = turns(60, 4, 3);
    let tasks = || pool.tasks(0..60usize).chunk_size(4);
    let lazy: Result<Vec<u32>, _> = tasks().with_worker().imap(|w, _| w.id()).collect();
    assert_eq!(lazy?, wanted);
    let mut any: Vec<(usize, u32)> = tasks().with_worker().map_unordered(|w, n| (n, w.id()))?;
    any.sort_unstable();
    assert!(any.into_iter().map(|(_, id)| id).eq(wanted.iter().copied()));
    let results: Result<Vec<u32>, _> =
        tasks().with_worker().map_results(|w, _| w.id())?.into_iter().collect();
    assert_eq!(results?, wanted);
    assert_eq!(tasks().with_worker().map_async(|w, _| w.id())?.get()?, wanted);
    let few: Result<Vec<u32>, _> =
        tasks().max_tasks_active(1).with_worker().imap(|w, _| w.id()).collect();
    assert_eq!(few?, wanted);
    let pids = pool.broadcast(|_| std::process::id())?;
    let with: Vec<u32> = tasks().with(1u8).map(|_, _| std::process::id())?;
    assert!(with.into_iter().eq(wanted.iter().map(|id| pids[*id as usize])));
    if matches!(method, StartMethod::Fork | StartMethod::Threads) {
        let one = 1;
        assert_eq!(tasks().map_scoped(|n| n + one)?, (1..=60).collect::<Vec<_>>());
    }
    // An iterator that is not read to its end leaves nothing behind.
    for taken in 0..5 {
        let mut lazy = tasks().with_worker().imap(|w, _| w.id());
        assert!((0..taken).all(|_| lazy.next().is_some_and(|id| id.is_ok())));
    }
    assert_eq!(tasks().with_worker().map(|w, _| w.id())?, wanted);
    Ok(())
}

fn in_order(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).order_tasks(true).worker_init(|_| None::<usize>).build()?;
    for size in [1, 3] {
        let steps =
            pool.tasks(0..sized(20_000, 4_000)).chunk_size(size).with_worker().map(|w, n| {
                let before = w.state.replace(n);
                n == 0 || before.is_none_or(|before| before < n)
            })?;
        assert!(steps.into_iter().all(|later| later));
        pool.broadcast(|w| *w.state = None)?;
    }
    Ok(())
}

fn deaths(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).order_tasks(true).build()?;
    let wanted = turns(90, 5, 3);
    let results = pool.tasks(0..90usize).chunk_size(5).with_worker().map_results(|w, n| {
        if n % 15 == 7 {
            sys::raise(sys::SIGKILL);
        }
        w.id()
    })?;
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(id) => assert!(id == wanted[n] && n % 15 != 7),
            Err(task) => {
                assert_eq!((task.index(), task.worker(), n % 15), (n as u64, wanted[n], 7))
            }
        }
    }
    Ok(())
}

fn beside_others(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let over = AtomicBool::new(false);
    let applied = thread::scope(|scope| {
        let ordered = [(); 2].map(|()| {
            scope.spawn(|| {
                let tasks = pool.tasks(0..sized(40_000, 8_000)).order_tasks(true).chunk_size(1);
                let seen = tasks.with_worker().map(|w, n| (n, w.id()));
                over.store(true, Ordering::Relaxed);
                seen
            })
        });
        let mut applied = 0u64;
        while !over.load(Ordering::Relaxed) {
            assert_eq!(pool.apply(applied, |n| n + 1).expect("no task fails"), applied + 1);
            applied += 1;
        }
        for call in ordered {
            let seen = call.join().expect("no panic").expect("no task fails");
            assert!(seen.into_iter().enumerate().all(|(n, pair)| pair == (n, n as u32 % 2)));
        }
        applied
    });
    assert!(applied > 10, "{applied} calls beside the others");
    Ok(())
}
