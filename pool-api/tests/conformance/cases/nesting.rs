//! Pools in the tasks of pools.

use pool_api::{Error, Process, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("nested_pools_are_refused_in_daemonic_workers", refused),
    Case::new("nested_pools_have_results", results),
    Case::new("nested_pools_of_every_kind", every_kind),
    Case::new("nested_pools_have_futures", futures),
];

/// The sum of some squares by a pool of `workers`, as a task computes it.
fn squares((method, workers, n): (u8, u8, u64)) -> Result<u64, String> {
    let method = StartMethod::ALL[usize::from(method)];
    let pool = pool(method, usize::from(workers)).map_err(|error| error.to_string())?;
    let squares = pool.map(0..n, |x| x * x).map_err(|error| error.to_string())?;
    Ok(squares.iter().sum())
}

fn number_of(method: StartMethod) -> u8 {
    StartMethod::ALL.iter().position(|m| *m == method).unwrap_or(0) as u8
}

fn refused(method: StartMethod) -> Outcome {
    let outer = pool(method, 2)?;
    let text = Error::NestedPool.to_string();
    for inner in 0..4 {
        let results = outer.map([(inner, 2, 3u64), (inner, 1, 4)], squares)?;
        assert_eq!(results, [Err(text.clone()), Err(text.clone())]);
    }
    let started = outer.apply(number_of(method), |method| {
        let method = StartMethod::ALL[usize::from(method)];
        matches!(Process::spawn(method, |x: u8| x, 1).map(|_| ()), Err(Error::NestedPool))
    })?;
    assert!(started);
    // A process that is no worker builds pools as before.
    assert_eq!(squares((number_of(method), 2, 4)), Ok(14));
    assert_eq!(outer.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn results(method: StartMethod) -> Outcome {
    let outer = builder(method, 4).daemon(false).build()?;
    let number = number_of(method);
    let items = (1..9u64).map(|n| (number, 4, 10 * n));
    let sums = outer.tasks(items).chunk_size(1).map(squares)?;
    for (n, sum) in (1..9u64).zip(sums) {
        assert_eq!(sum, Ok((0..10 * n).map(|x| x * x).sum()));
    }
    // Pools three deep; a pool with the default of `daemon` is the last one.
    let deep = builder(method, 1).daemon(false).build()?.apply(number, |number| {
        let method = StartMethod::ALL[usize::from(number)];
        let middle = WorkerPool::builder().start_method(method).n_jobs(1).daemon(false).build();
        let text = |error: Error| error.to_string();
        let allowed = middle.and_then(|pool| pool.apply((number, 1, 3), squares)).map_err(text);
        let last =
            pool(method, 1).and_then(|pool| pool.apply((number, 1, 3), squares)).map_err(text);
        (allowed, last)
    })?;
    assert_eq!(deep, (Ok(Ok(5)), Ok(Err(Error::NestedPool.to_string()))));
    // The function of a process is no task of a pool.
    let process = Process::spawn(method, squares, (number, 2, 4))?;
    assert_eq!(process.join()?, Ok(14));
    Ok(())
}

fn every_kind(method: StartMethod) -> Outcome {
    let outer = builder(method, 1).daemon(false).build()?;
    for inner in StartMethod::ALL {
        // A process with worker threads cannot fork.
        let refused = method == StartMethod::Threads && inner == StartMethod::Fork;
        let sum = outer.apply((number_of(inner), 2, 10), squares)?;
        assert_eq!(sum.is_err(), refused, "{inner}: {sum:?}");
        assert!(refused || sum == Ok(285));
    }
    Ok(())
}

/// Futures of an inner pool, for which only its own thread works.
fn futures(method: StartMethod) -> Outcome {
    let outer = builder(method, 1).daemon(false).build()?;
    let value = outer.apply(number_of(method), |number| {
        let text = |error: Error| error.to_string();
        let pool = pool(StartMethod::ALL[usize::from(number)], 1).map_err(text)?;
        let handle = pool.apply_async(20u64, |x| x + 1).map_err(|refused| text(refused.error))?;
        block_on(handle).map_err(text)
    })?;
    assert_eq!(value, Ok(21));
    Ok(())
}
