//! A worker that takes longer at its exit than it may.

use std::{
    thread,
    time::{Duration, Instant},
};

use pool_api::{Builder, Cause, Error, SharedValue, StartMethod, Worker};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("timeout_of_worker_exit", when_stopped),
    Case::new("timeout_of_worker_exit_in_a_call", in_a_call),
    Case::new("timeout_of_worker_exit_without_keep_alive", without_keep_alive),
    Case::new("timeout_of_worker_exit_of_several", several),
    Case::new("timeout_of_worker_exit_of_a_future", of_a_future),
    Case::new("timeout_of_worker_exit_of_a_nanosecond", of_a_nanosecond),
    Case::new("timeout_of_worker_exit_of_nothing_is_refused", refused),
];

const LIMIT: Duration = Duration::from_millis(150);
/// Far longer than the limit and shorter than an exit that is not ended.
const PROMPT: Duration = Duration::from_secs(5);

type Slow = SharedValue<u32>;

/// Hangs while the value is 1; under Threads until it is told, so that the case ends.
fn leave(w: &mut Worker<'_, Slow, u8>) -> u8 {
    let begun = Instant::now();
    while w.shared.get() == 1 && begun.elapsed() < 2 * PROMPT && !w.is_cancelled() {
        thread::sleep(Duration::from_millis(1));
    }
    *w.state
}

fn slow(method: StartMethod, n: usize) -> Result<(Slow, Builder<Slow, u8, u8>), Error> {
    let slow = SharedValue::new(1u32)?;
    let builder = builder(method, n).shared(slow.clone()).worker_init(|_| 7u8);
    Ok((slow, builder.worker_exit(leave).worker_exit_timeout(LIMIT)))
}

fn check<T: std::fmt::Debug>(ended: Result<T, Error>, begun: Instant) {
    match ended {
        Err(Error::WorkerExitFailed { cause, .. }) => {
            assert_eq!(cause, Cause::Timeout { limit: LIMIT });
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
}

fn when_stopped(method: StartMethod) -> Outcome {
    let (slow, builder) = slow(method, 1)?;
    let pool = builder.build()?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    let begun = Instant::now();
    check(pool.stop_and_join(), begun);
    assert!(pool.exit_results().is_empty() && pool.worker_pids().is_empty());
    pool.stop_and_join()?; // told once
    slow.set(0);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results(), [7]);
    Ok(())
}

/// With the shortest limit, calls run to their end, and only the exits fail.
fn of_a_nanosecond(method: StartMethod) -> Outcome {
    let limit = Duration::from_nanos(1);
    let hang = |w: &mut Worker<'_, (), u8>| {
        let begun = Instant::now();
        while !w.is_cancelled() && begun.elapsed() < PROMPT {}
    };
    let builder = builder(method, 2).worker_init(|_| 7u8).worker_exit(hang);
    let pool = builder.worker_exit_timeout(limit).build()?;
    for _ in 0..10 {
        assert_eq!(pool.map(0..3u64, |x| x)?, [0, 1, 2]);
        let ended = pool.stop_and_join().expect_err("they take longer");
        assert!(
            matches!(&ended, Error::WorkerExitFailed { cause: Cause::Timeout { limit: l }, .. } if *l == limit),
            "{ended}"
        );
    }
    Ok(())
}

fn in_a_call(method: StartMethod) -> Outcome {
    let (slow, builder) = slow(method, 1)?;
    let pool = builder.worker_lifespan(2).build()?;
    let begun = Instant::now();
    check(pool.tasks(0..9u32).chunk_size(1).map(|x| x), begun);
    slow.set(0);
    assert_eq!(pool.tasks(0..9u32).chunk_size(1).map(|x| x)?, (0..9).collect::<Vec<u32>>());
    Ok(())
}

fn without_keep_alive(method: StartMethod) -> Outcome {
    let (slow, builder) = slow(method, 2)?;
    let pool = builder.keep_alive(false).build()?;
    let begun = Instant::now();
    check(pool.map(0..9u32, |x| x), begun);
    slow.set(0);
    assert_eq!(pool.map(0..9u32, |x| x)?.len(), 9);
    assert!(!pool.exit_results().is_empty());
    Ok(())
}

/// The limits of several exits run at the same time.
fn several(method: StartMethod) -> Outcome {
    let (_slow, builder) = slow(method, 4)?;
    let pool = builder.build()?;
    pool.tasks(0..40u32).chunk_size(1).map(|_| thread::sleep(Duration::from_millis(1)))?;
    let begun = Instant::now();
    check(pool.stop_and_join(), begun);
    pool.stop_and_join()?;
    assert!(pool.exit_results().is_empty());
    Ok(())
}

/// The future has its value; the stop of the pool returns the failure.
fn of_a_future(method: StartMethod) -> Outcome {
    let (slow, builder) = slow(method, 1)?;
    let pool = builder.worker_lifespan(1).build()?;
    let begun = Instant::now();
    assert_eq!(pool.apply_async(3u8, |x| x + 1)?.get()?, 4);
    check(pool.stop_and_join(), begun);
    slow.set(0);
    assert_eq!(pool.apply_async(3u8, |x| x + 1)?.get()?, 4);
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results(), [7]);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let refused = builder(method, 1).worker_exit_timeout(Duration::ZERO).build();
    let text = "worker_exit_timeout must be more than 0";
    assert_eq!(refused.expect_err("refused").to_string(), text);
    Ok(())
}
