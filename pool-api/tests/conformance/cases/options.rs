//! Options of calls and pools, and their refusals.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use pool_api::{Error, StartMethod, WorkerPool};

use super::shared_failures::processes_named;
use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("chunks_follow_the_formulas", formulas),
    Case::new("iterable_len", iterable_len),
    Case::new("refusals_of_calls_by_name", calls_refused),
    Case::new("refusals_of_pools_by_name", pools_refused),
    Case::new("keep_alive_off_gives_fresh_workers", fresh_workers),
];

#[derive(Default)]
struct Asked {
    chunk_size: Option<f64>,
    n_splits: Option<usize>,
    iterable_len: Option<usize>,
}

/// The lengths of the chunks in which 0..`len` is read: with one item allowed under way, a chunk is
/// read exactly when the one before it has been handed on. The first has to have two items or more.
fn chunks(pool: &WorkerPool, len: u64, asked: &Asked) -> Result<Vec<u64>, Error> {
    let read = Cell::new(0);
    let mut tasks = pool.tasks((0..len).inspect(|_| read.set(read.get() + 1))).max_tasks_active(1);
    if let Some(size) = asked.chunk_size {
        tasks = tasks.chunk_size(size);
    }
    if let Some(chunks) = asked.n_splits {
        tasks = tasks.n_splits(chunks);
    }
    if let Some(items) = asked.iterable_len {
        tasks = tasks.iterable_len(items);
    }
    let mut marks = vec![0];
    for (index, value) in tasks.imap(|x| x).enumerate() {
        assert_eq!(value?, index as u64);
        marks.push(read.get());
    }
    marks.dedup();
    Ok(marks.windows(2).map(|pair| pair[1] - pair[0]).collect())
}

fn formulas(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let size = |size: f64| Asked { chunk_size: Some(size), ..Asked::default() };
    let splits = |n| Asked { n_splits: Some(n), ..Asked::default() };
    let within = |n, len| Asked { iterable_len: Some(len), ..splits(n) };
    assert_eq!(chunks(&pool, 10, &size(4.0))?, [4, 4, 2]);
    assert_eq!(chunks(&pool, 10, &size(2.5))?, [3, 2, 3, 2]);
    assert_eq!(chunks(&pool, 3, &size(100.0))?, [3]);
    assert_eq!(chunks(&pool, 10, &splits(3))?, [4, 3, 3]);
    assert_eq!(chunks(&pool, 10, &splits(4))?, [3, 2, 3, 2]);
    assert_eq!(chunks(&pool, 7, &splits(5))?, [2, 1, 2, 1, 1]);
    assert_eq!(chunks(&pool, 6, &splits(5))?, [2, 1, 1, 1, 1]);
    assert_eq!(pool.tasks(0..3u64).n_splits(10).map(|x| x)?, [0, 1, 2]);
    assert_eq!(chunks(&pool, 100, &within(3, 10))?, [4, 3, 3]);
    let both = Asked { chunk_size: Some(5.0), ..splits(3) };
    assert_eq!(chunks(&pool, 10, &both)?, [5, 5], "chunk_size wins over n_splits");
    Ok(())
}

fn iterable_len(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    assert_eq!(pool.tasks(0u64..).iterable_len(5).map(|x| x)?, [0, 1, 2, 3, 4]);
    assert_eq!(pool.tasks(0..3u64).iterable_len(100).map(|x| x)?, [0, 1, 2]);
    assert!(pool.tasks(0u64..).iterable_len(0).map(|x| x)?.is_empty());
    assert_eq!(pool.tasks(0u64..).iterable_len(10).n_splits(4).map(|x| x)?.len(), 10);
    assert_eq!(pool.tasks(0u64..).iterable_len(1000).imap(|x| x).count(), 1000);
    let read = Cell::new(0);
    let counted = (0u64..).inspect(|_| read.set(read.get() + 1));
    assert_eq!(pool.tasks(counted).iterable_len(7).chunk_size(5).map(|x| x)?.len(), 7);
    assert_eq!(read.get(), 7, "no item beyond the length is read");
    Ok(())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::InvalidInput(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

fn calls_refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let tasks = || pool.tasks(0..10u64);
    let chunk_size = |got: f64| refusal(tasks().chunk_size(got).map(|x| x));
    assert_eq!(refusal(tasks().chunk_size(0).map(|x| x)), "chunk_size must be at least 1, got 0");
    assert_eq!(chunk_size(0.5), "chunk_size must be at least 1, got 0.5");
    assert_eq!(chunk_size(-3.0), "chunk_size must be at least 1, got -3");
    assert_eq!(chunk_size(f64::NAN), "chunk_size must be at least 1, got NaN");
    assert_eq!(chunk_size(f64::INFINITY), "chunk_size must be at least 1, got inf");
    let splits = "n_splits must be at least 1, got 0";
    assert_eq!(refusal(tasks().n_splits(0).map_unordered(|x| x)), splits);
    let active = "max_tasks_active must be at least 1, got 0";
    assert_eq!(refusal(tasks().max_tasks_active(0).map_results(|x| x)), active);
    assert_eq!(refusal(tasks().max_tasks_active(0).with_worker().map(|_, x| x)), active);
    assert_eq!(refusal(tasks().n_splits(0).view().map(|x| x.to_native())), splits);
    assert_eq!(refusal(tasks().n_splits(0).for_each_view(|x| x, |_, _| ())), splits);
    assert_eq!(refusal(tasks().n_splits(0).map_scoped(|x| x)), splits);
    assert_eq!(refusal(tasks().n_splits(0).with(1u8).map(|_, x| x)), splits);
    let mut lazy = tasks().max_tasks_active(0).imap(|x| x);
    assert_eq!(refusal(lazy.next().expect("an error")), active);
    assert!(lazy.next().is_none());
    let mut lazy = tasks().max_tasks_active(0).imap_results(|x| x);
    assert_eq!(refusal(lazy.next().expect("an error")), active);
    assert!(lazy.next().is_none());
    let mut lazy = tasks().n_splits(0).with(1u8).imap_unordered(|_, x| x);
    assert_eq!(refusal(lazy.next().expect("an error")), splits);
    if method != StartMethod::Fork {
        assert!(pool.worker_pids().is_empty(), "nothing was started for a refusal");
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn pools_refused(method: StartMethod) -> Outcome {
    let text = refusal(pool(method, 0));
    assert!(text.starts_with("n_jobs must be from 1 to "), "{text}");
    assert!(text.ends_with(", got 0"), "{text}");
    let text = refusal(pool(method, 1 << 30));
    assert!(text.ends_with(", got 1073741824"), "{text}");
    let text = refusal(builder(method, 2).arena_limit(1).build());
    assert!(text.starts_with("arena_limit must be at least 1 MiB"), "{text}");
    let default = WorkerPool::builder().start_method(method).build()?;
    assert!(default.n_jobs() >= 1 && default.n_jobs() <= pool_api::cpu_count());
    Ok(())
}

/// The processes and threads that run the tasks of one call.
fn set(pool: &WorkerPool) -> Result<BTreeSet<(u32, String)>, Error> {
    let seen = pool
        .tasks(0..200u32)
        .chunk_size(1)
        .map(|_| (std::process::id(), format!("{:?}", std::thread::current().id())))?;
    Ok(seen.into_iter().collect())
}

/// The zygote; none under Threads. A worker that has just been forked has its name, too.
fn zygote(method: StartMethod) -> Vec<u32> {
    let found = RefCell::new(Vec::new());
    wait_until("only the zygote has its name", || {
        found.replace(processes_named("pool-zygote"));
        found.borrow().len() == usize::from(method != StartMethod::Threads)
    });
    found.into_inner()
}

fn fresh_workers(method: StartMethod) -> Outcome {
    let lasting = pool(method, 1)?;
    assert_eq!(set(&lasting)?, set(&lasting)?, "by default workers live on");
    drop(lasting);

    let pool = builder(method, 2).keep_alive(false).build()?;
    let first = set(&pool)?;
    let zygote = zygote(method);
    let (second, third) = (set(&pool)?, set(&pool)?);
    assert_eq!(self::zygote(method), zygote, "of the same zygote");
    if method == StartMethod::Threads {
        let all: BTreeSet<_> = first.iter().chain(&second).chain(&third).collect();
        assert_eq!(all.len(), first.len() + second.len() + third.len(), "fresh threads");
    } else {
        let pids = |set: &BTreeSet<(u32, String)>| set.iter().map(|w| w.0).collect::<BTreeSet<_>>();
        let all: BTreeSet<_> = [&first, &second, &third].into_iter().flat_map(pids).collect();
        assert_eq!(all.len(), first.len() + second.len() + third.len(), "fresh processes");
        let before = pool.worker_pids();
        let pid = pool.apply((), |()| std::process::id())?;
        assert!(!before.contains(&pid), "apply is a call, too");
    }
    // A call that runs keeps its workers when another one begins.
    let mut slow = pool.tasks(0..100u64).chunk_size(1).imap(|x| x);
    assert_eq!(slow.next().transpose()?, Some(0));
    assert_eq!(pool.map(0..10u64, |x| x)?.len(), 10);
    assert_eq!(slow.collect::<Result<Vec<_>, _>>()?.len(), 99);
    Ok(())
}
