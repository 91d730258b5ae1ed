//! A task that needs more memory than it may have fails; no other task is affected.

use std::collections::BTreeMap;

use pool_api::{Cause, Error, SharedArray, StartMethod, TaskError};

use crate::{
    case::{Case, Outcome, builder, words},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("memory_limit_ends_one_item", one_item).processes(),
    Case::new("memory_limit_does_not_count_what_was_there", what_was_there).processes(),
    Case::new("memory_limit_does_not_count_shared_memory", shared_memory).processes(),
    Case::new("memory_limit_and_other_aborts", other_aborts).processes(),
    Case::new("memory_limits_of_nested_pools", nested).processes(),
    Case::new("memory_limit_that_cannot_be", refused),
    Case::new("workers_that_have_grown_are_replaced", grown).processes(),
];

const MIB: usize = 1 << 20;

fn take(mebibytes: usize) -> usize {
    let taken = vec![1u8; mebibytes * MIB];
    std::hint::black_box(taken).iter().step_by(4096).map(|byte| usize::from(*byte)).sum()
}

fn failed<R: std::fmt::Debug>(results: Vec<Result<R, TaskError>>) -> Vec<TaskError> {
    results.into_iter().filter_map(Result::err).collect()
}

fn one_item(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).memory_limit(64 << 20).build()?;
    pool.apply((), |()| ())?;
    let both = || {
        wait_until("both are there", || pool.worker_pids().len() == 2);
        pool.worker_pids()
    };
    for chunk_size in [1, 5] {
        let before = both();
        let sizes = (0..40usize).map(|n| if n == 17 { 1024 } else { 1 + n % 8 });
        let failed = failed(pool.tasks(sizes).chunk_size(chunk_size).map_results(take)?);
        assert_eq!((failed.len(), failed[0].index(), failed[0].tries()), (1, 17, 1));
        match *failed[0].cause() {
            Cause::MemoryLimit { limit, peak, refused } => {
                assert!(limit == 64 << 20 && refused && peak < 1 << 30, "{failed:?}");
            }
            ref other => panic!("{other:?}"),
        }
        let text = failed[0].to_string();
        assert!(
            text.contains("was refused memory beyond its limit of 64 MiB and aborted"),
            "{text}"
        );
        let after = both();
        let kept = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        assert_eq!(kept, 1, "one was replaced, the other one untouched: {before:?} {after:?}");
    }
    // Many small allocations fail as well as a large one, and code that asks by `try_reserve` gets
    // an error.
    let hoard = |()| {
        let mut all = Vec::new();
        while all.len() < usize::MAX {
            all.push(Box::new([1u8; 4000]));
            std::hint::black_box(&mut all);
        }
    };
    match pool.apply((), hoard) {
        Err(Error::Task(task)) => {
            assert!(matches!(task.cause(), Cause::MemoryLimit { refused: true, .. }), "{task}");
        }
        other => panic!("{other:?}"),
    }
    assert!(pool.apply((), |()| Vec::<u8>::new().try_reserve_exact(1 << 30).is_err())?);
    // The item is tried again as after any other death.
    match pool.tasks([1024]).retry(2).map(take) {
        Err(Error::Task(task)) => assert_eq!(task.tries(), 3),
        other => panic!("{other:?}"),
    }
    assert_eq!(pool.apply(8, take)?, 8 * 256);
    Ok(())
}

fn what_was_there(method: StartMethod) -> Outcome {
    // Mapped, and hardly touched: the kernel counts it all the same.
    let heap = vec![0u8; 1 << 30];
    let pool = builder(method, 1)
        .memory_limit(64 << 20)
        .shared(())
        .worker_init(|_| vec![0u8; 300 * MIB])
        .build()?;
    let lens =
        pool.tasks([32, 128]).with_worker().map_results(|w, size| take(size) + w.state.len())?;
    assert_eq!(lens[0], Ok(32 * 256 + 300 * MIB));
    assert!(matches!(lens[1].as_ref().map_err(TaskError::cause), Err(Cause::MemoryLimit { .. })));
    assert_eq!(std::hint::black_box(&heap).len(), 1 << 30);
    Ok(())
}

fn shared_memory(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).memory_limit(24 << 20).build()?;
    let results = pool.tasks(0..60u64).chunk_size(30).map(|n| words(MIB, n))?;
    assert!((0..).zip(&results).all(|(n, result)| *result == words(MIB, n)));
    let items = (0..4).map(|_| words(16 * MIB, 7));
    let sizes = pool.tasks(items).chunk_size(4).view().map(|item| size_of_val(&item[..]))?;
    assert_eq!(sizes, [16 * MIB; 4]);
    let made = pool.apply((), |()| SharedArray::<u8>::new(64 * MIB).map(|a| a.len()).ok())?;
    assert_eq!(made, Some(64 * MIB));
    Ok(())
}

fn other_aborts(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).memory_limit(64 << 20).build()?;
    match pool.apply(true, |yes| {
        if yes {
            std::process::abort()
        }
    }) {
        Err(Error::Task(task)) => {
            assert!(matches!(task.cause(), Cause::MemoryLimit { refused: false, .. }), "{task}");
            assert!(
                task.to_string().contains("its worker aborted, with a memory limit of 64 MiB set")
            );
        }
        other => panic!("{other:?}"),
    }
    match pool.apply((), |()| crate::sys::raise(crate::sys::SIGKILL)) {
        Err(Error::Task(task)) => assert!(matches!(task.cause(), Cause::Death(_)), "{task}"),
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// Keeps 8 MiB for ever, and notes in the file which process did.
fn leak(path: &str, n: u64) -> u64 {
    append(path, n);
    std::mem::forget(std::hint::black_box(vec![1u8; 8 * MIB]));
    u64::from(std::process::id())
}

fn grown(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).max_worker_rss(100 << 20).build()?;
    for chunk_size in [1, 45] {
        let scratch = Scratch::new();
        let tasks = pool.tasks(0..90).chunk_size(chunk_size).with(scratch.path());
        let pids = tasks.map(|path, n| leak(path, n))?;
        assert_eq!(scratch.numbers(), (0..90).collect::<Vec<_>>(), "each has run once");
        let mut runs = BTreeMap::new();
        pids.iter().for_each(|pid| *runs.entry(*pid).or_insert(0) += 1);
        assert!(runs.len() >= 6, "{runs:?}");
        // Each task takes a millisecond or two, and the limit is checked once in a millisecond.
        assert!(runs.values().all(|runs| *runs <= 16), "{runs:?}");
    }
    // An unfinished iterator, whose results are read when their worker has gone.
    let scratch = Scratch::new();
    let pids: Result<Vec<u64>, Error> = pool
        .tasks(0..60)
        .chunk_size(2)
        .with(scratch.path())
        .imap(|path, n| leak(path, n))
        .collect();
    assert_eq!(pids?.len(), 60);
    assert_eq!(scratch.numbers().len(), 60);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let zero = builder(method, 1).max_worker_rss(0).build().expect_err("refused");
    assert_eq!(zero.to_string(), "max_worker_rss must be at least 1, got 0");
    if method == StartMethod::Threads {
        let error = builder(method, 1).max_worker_rss(1 << 30).build().expect_err("refused");
        assert!(error.to_string().contains("max_worker_rss"), "{error}");
    }
    let zero = builder(method, 1).memory_limit(0).build().expect_err("refused");
    assert_eq!(zero.to_string(), "memory_limit must be at least 1, got 0");
    if method == StartMethod::Threads {
        let error = builder(method, 1).memory_limit(1 << 30).build().expect_err("refused");
        assert!(matches!(error, Error::NotSupported { method: StartMethod::Threads, .. }));
        assert!(error.to_string().contains("memory_limit"), "{error}");
    }
    Ok(())
}

/// The inner worker's limit is told apart from the outer one's, which it inherits at its fork.
fn nested(method: StartMethod) -> Outcome {
    let number = StartMethod::ALL.iter().position(|known| *known == method).expect("one of them");
    let outer = builder(method, 1).daemon(false).memory_limit(512 << 20).build()?;
    let told = outer.apply(number as u64, |number| {
        let inner = builder(StartMethod::ALL[number as usize], 1).memory_limit(64 << 20).build();
        match inner.and_then(|inner| inner.apply(1024, take)) {
            Err(Error::Task(task)) => match *task.cause() {
                Cause::MemoryLimit { limit, refused, .. } => Ok((limit, refused)),
                _ => Err(task.to_string()),
            },
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(told, Ok((64 << 20, true)));
    Ok(())
}
