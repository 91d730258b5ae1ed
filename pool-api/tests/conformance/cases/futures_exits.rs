//! Exit results of workers after calls beside which futures were made.

use pool_api::{StartMethod, Worker};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("exit_results_of_calls_after_futures", after_futures),
    Case::new("futures_share_workers_without_keep_alive", share_workers),
];

fn after_futures(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    for round in 1..=5u64 {
        assert_eq!(pool.apply_async(round, |x| x)?.get()?, round);
        assert_eq!(pool.map_async(0..round, |x| x)?.get()?.len() as u64, round);
        assert_eq!(
            pool.broadcast(|w| {
                *w.state += 1;
                *w.state
            })?,
            [1, 1]
        );
        assert_eq!(pool.exit_results(), [1, 1]);
        assert_eq!(
            pool.task(round)
                .with_worker()
                .apply_async(|w, x| {
                    *w.state += 1;
                    x
                })?
                .get()?,
            round
        );
        pool.tasks(0..10 * round).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
        assert_eq!(pool.exit_results().iter().sum::<u64>(), 10 * round, "of this call alone");
    }
    Ok(())
}

/// Futures share workers until the next call that waits, or the end of the pool.
fn share_workers(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    let sum = |w: &mut Worker<'_, (), u64>, x: u64| {
        *w.state += x;
        *w.state
    };
    for last in [3, 4] {
        assert_eq!(pool.task(1).with_worker().apply_async(sum)?.get()?, 1);
        assert_eq!(pool.task(2).with_worker().apply_async(sum)?.get()?, 3);
        assert_eq!(pool.task(last).with_worker().apply_async(sum)?.get()?, 3 + last);
        assert!(pool.exit_results().is_empty());
        if last == 3 {
            pool.stop_and_join()?;
            assert_eq!(pool.exit_results(), [6]);
        } else {
            assert_eq!(pool.tasks([10, 1]).chunk_size(2).with_worker().map(sum)?, [10, 11]);
            assert_eq!(pool.exit_results(), [11], "of this call alone");
        }
    }
    assert_eq!(pool.task(1).with_worker().apply_async(sum)?.get()?, 1);
    Ok(())
}
