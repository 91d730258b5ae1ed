//! One bad item costs one result: every other item runs exactly once.

use pool_api::{Cause, ExitStatus, StartMethod};

use crate::{
    case::{Case, Outcome, builder, pool, sized, words},
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("every_item_runs_exactly_once", all_once),
    Case::new("others_run_once_beside_panics", beside_panics),
    Case::new("others_run_once_beside_deaths", beside_deaths).processes(),
    Case::new("others_run_once_beside_a_full_arena", beside_full_arena).processes(),
    Case::new("a_task_that_forks_stays_one_worker", forking).processes(),
];

const ITEMS: u64 = 1000;

fn all_once(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for chunk_size in [1.0, 7.0, 2.5] {
        let scratch = Scratch::new();
        let tasks = pool.tasks(0..ITEMS).chunk_size(chunk_size).with(scratch.path());
        tasks.map(|path, n| append(path, n))?;
        assert_eq!(scratch.numbers(), (0..ITEMS).collect::<Vec<_>>());
    }
    let scratch = Scratch::new();
    pool.tasks(0..ITEMS).with(scratch.path()).map_unordered(|path, n| append(path, n))?;
    assert_eq!(scratch.numbers(), (0..ITEMS).collect::<Vec<_>>());
    Ok(())
}

/// Runs the items with one failing kind of items; `bad` of `n % 50 == 17`.
fn beside(method: StartMethod, chunk_size: usize, f: fn(&String, u64) -> u64) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..ITEMS).chunk_size(chunk_size).with(scratch.path());
    let results = tasks.map_results(f)?;
    assert_eq!(results.len() as u64, ITEMS);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(value == 3 * n && n % 50 != 17, "item {n}: {value}"),
            Err(task) => {
                assert!(task.index() == n && n % 50 == 17, "{task}");
                assert!(matches!(
                    task.cause(),
                    Cause::Panic { .. } | Cause::Death(ExitStatus::Signal(sys::SIGKILL))
                ));
            }
        }
    }
    assert_eq!(scratch.numbers(), (0..ITEMS).collect::<Vec<_>>(), "each exactly once");
    Ok(())
}

fn beside_panics(method: StartMethod) -> Outcome {
    for chunk_size in [1, 20] {
        beside(method, chunk_size, |path, n| {
            append(path, n);
            assert!(n % 50 != 17);
            3 * n
        })?;
    }
    Ok(())
}

fn beside_deaths(method: StartMethod) -> Outcome {
    for chunk_size in [1, 20, 300] {
        beside(method, chunk_size, |path, n| {
            append(path, n);
            if n % 50 == 17 {
                sys::raise(sys::SIGKILL);
            }
            3 * n
        })?;
    }
    Ok(())
}

fn beside_full_arena(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(4 << 20).build()?;
    let items = sized(100, 30) as u64;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..items).chunk_size(20).with(scratch.path());
    let results = tasks.map_results(|path, n| {
        append(path, n);
        let mebibytes = if n == 10 { 16 } else { 1 };
        words(mebibytes << 20, n)
    })?;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(result) => assert!(result.len() == (1 << 20) / 8 && result[77] == n),
            Err(task) => {
                assert!(task.index() == n && n == 10, "{task}");
                assert!(matches!(task.cause(), Cause::ResultTooLarge { .. }), "{task}");
            }
        }
    }
    assert_eq!(scratch.numbers(), (0..items).collect::<Vec<_>>(), "no result is computed twice");
    Ok(())
}

fn forking(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..40u64).chunk_size(5).with(scratch.path());
    let pids = tasks.map(|path, n| {
        if n % 8 == 3 {
            // The task goes on and returns in the child, too.
            sys::fork();
        }
        append(path, n);
        std::process::id()
    })?;
    wait_until("both workers run", || pool.worker_pids().len() == 2);
    let workers = pool.worker_pids();
    assert!(pids.iter().all(|pid| workers.contains(pid)), "{pids:?} {workers:?}");
    // The children appended, too, and did nothing else.
    assert!(scratch.numbers().len() <= 40 + 5);
    let again = pool.tasks(0..500u64).chunk_size(1).map(|_| std::process::id())?;
    assert!(again.iter().all(|pid| workers.contains(pid)));
    Ok(())
}
