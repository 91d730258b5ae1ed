//! Exit results have a bound, shared objects included, and refused results are reported.

use pool_api::{Cause, Error, SharedArray, SharedValue, StartMethod, WorkerPool};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("exit_results_count_with_their_shared_objects", objects_count),
    Case::new("exit_results_with_one_shared_object_count_it_once", one_object),
    Case::new("refused_exit_results_are_told_after_terminate", over_terminate),
    Case::new("refused_exit_results_are_told_beside_a_failure", beside_a_failure),
    Case::new("refused_exit_results_are_told_of_each_worker", of_each_worker),
    Case::new("refused_exit_results_fail_no_call", of_no_call),
];

const MIB: u64 = 1 << 20;

/// The worker whose result was refused.
fn refused(error: &Error, most: u64) -> u32 {
    match error {
        Error::WorkerExitFailed { worker, cause: Cause::ExitResultsUnread { bytes, limit } } => {
            assert!(bytes > limit && *limit == most, "{error}");
            *worker
        }
        other => panic!("{other:?}"),
    }
}

/// Ends so many lives of the pool's one worker.
fn lives<S: Sync + Send + 'static, W, E: pool_api::Wire>(
    pool: &WorkerPool<S, W, E>,
    n: u32,
) -> pool_api::Result<Vec<E>> {
    assert_eq!(pool.tasks(0..n).chunk_size(1).map(|x| x)?.len(), n as usize);
    Ok(pool.exit_results())
}

fn objects_count(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .worker_lifespan(1)
        .max_result_bytes(4 * MIB)
        .worker_exit(|_| SharedArray::<u8>::new(MIB as usize).expect("memory"))
        .build()?;
    let kept = lives(&pool, 12)?;
    assert_eq!(kept.len(), 3, "each takes a little more than its array");
    assert!(kept.iter().all(|array| array.len() as u64 == MIB));
    let missing = pool.take_exit_failures();
    assert_eq!(missing.iter().map(|error| refused(error, 4 * MIB)).collect::<Vec<_>>(), [0]);
    assert!(pool.take_exit_failures().is_empty(), "told once");
    assert_eq!(pool.exit_results().len(), 3, "what was kept stays");
    pool.stop_and_join()?;
    // The next life has all the room again.
    assert_eq!(lives(&pool, 2)?.len(), 2);
    Ok(())
}

fn one_object(method: StartMethod) -> Outcome {
    let array = SharedArray::<u8>::new(2 * MIB as usize)?;
    let pool = builder(method, 1)
        .shared(array)
        .worker_lifespan(1)
        .max_result_bytes(3 * MIB)
        .worker_exit(|w| (w.shared.clone(), SharedValue::new(7u8).expect("memory")))
        .build()?;
    assert_eq!(lives(&pool, 20)?.len(), 20);
    assert!(pool.take_exit_failures().is_empty());
    pool.stop_and_join()?;
    Ok(())
}

/// A pool whose worker returns so many bytes at the end of each life.
fn bounded(method: StartMethod) -> pool_api::Result<WorkerPool<(), (), Vec<u8>>> {
    builder(method, 1)
        .worker_lifespan(1)
        .max_result_bytes(MIB)
        .worker_exit(|_| vec![7u8; 400_000])
        .build()
}

fn over_terminate(method: StartMethod) -> Outcome {
    let pool = bounded(method)?;
    assert_eq!(lives(&pool, 5)?.len(), 2);
    pool.terminate()?;
    assert_eq!(pool.exit_results().len(), 2);
    // Nor do later lives hide it, which would have had room.
    assert_eq!(pool.apply(3u8, |x| x)?, 3);
    assert_eq!(pool.exit_results().len(), 1);
    refused(&pool.stop_and_join().expect_err("one was refused"), MIB);
    pool.stop_and_join()?;
    Ok(())
}

fn beside_a_failure(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .shared(SharedValue::new(0u32)?)
        .worker_lifespan(1)
        .max_result_bytes(MIB)
        .worker_exit(|w| {
            assert!(w.shared.fetch_add(1) > 0, "the first one fails");
            vec![7u8; 400_000]
        })
        .build()?;
    // Futures have their values, so that the failure waits for the stop.
    for n in 0..6u32 {
        assert_eq!(pool.apply_async(n, |n| n)?.get()?, n);
    }
    assert_eq!(pool.exit_results().len(), 2);
    let first = pool.stop_and_join();
    let Err(Error::WorkerExitFailed { cause: Cause::Panic { message, .. }, .. }) = &first else {
        panic!("{first:?}")
    };
    assert_eq!(message, "the first one fails");
    refused(&pool.stop_and_join().expect_err("some were refused"), MIB);
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().len(), 2);
    Ok(())
}

fn of_each_worker(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 3).max_result_bytes(1).order_tasks(true).worker_exit(|w| w.id()).build()?;
    pool.tasks(0..3u32).chunk_size(1).map(|x| x)?;
    assert_eq!(refused(&pool.stop_and_join().expect_err("no room at all"), 1), 0);
    assert!(pool.exit_results().is_empty());
    let missing = pool.take_exit_failures();
    assert_eq!(missing.iter().map(|error| refused(error, 1)).collect::<Vec<_>>(), [0, 1, 2]);
    Ok(())
}

/// The values of a call are right, even if exit results are refused.
fn of_no_call(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 2).keep_alive(false).max_result_bytes(0).worker_exit(|w| w.id()).build()?;
    for _ in 0..3 {
        assert_eq!(pool.map(0..4u32, |x| x)?, [0, 1, 2, 3]);
        assert!(pool.exit_results().is_empty());
    }
    assert!(!pool.take_exit_failures().is_empty());
    pool.stop_and_join()?;
    Ok(())
}
