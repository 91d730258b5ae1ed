//! Calls on slices of a shared array and the lives of workers: chunks are no longer than a life,
//! and the array comes back at the limit of a hook, also where a thread is still in it.

use std::{
    thread,
    time::{Duration, Instant},
};

use pool_api::{Cause, Error, SharedArray, SharedValue, StartMethod, Worker};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("slices_end_at_the_limit_of_worker_init", of_worker_init),
    Case::new("slices_end_at_the_limit_of_worker_exit", of_worker_exit),
    Case::new("slices_end_at_the_limit_beside_an_item", beside_an_item).threads(),
    Case::new("slices_keep_to_the_lifespan_of_workers", lifespan),
];

const LIMIT: Duration = Duration::from_millis(100);
/// Longer than a case may take.
const FOR_EVER: Duration = Duration::from_secs(120);

/// The hook hangs, whatever it is told, while the shared value is this.
const HANGS: u32 = 1;

fn hang(value: &SharedValue<u32>) {
    let begun = Instant::now();
    while value.get() == HANGS && begun.elapsed() < FOR_EVER {
        thread::sleep(Duration::from_millis(1));
    }
}

fn of_worker_init(method: StartMethod) -> Outcome {
    let value = SharedValue::new(HANGS)?;
    let pool = builder(method, 1)
        .shared(value.clone())
        .worker_init(|w| hang(w.shared))
        .worker_init_timeout(LIMIT)
        .build()?;
    let mut array = SharedArray::<u32>::new(8)?;
    match pool.slices_mut(&mut array, 2).map(|part, slice| slice.fill(part as u32 + 1)) {
        Err(Error::WorkerInitFailed { worker: 0, cause }) => {
            assert_eq!(cause, Cause::Timeout { limit: LIMIT });
        }
        other => panic!("{other:?}"),
    }
    // A thread is still in the hook, and begins no part when it comes back.
    array.fill(5);
    value.set(0);
    assert_eq!(pool.slices(&array, 8).map(|_, slice| slice.to_vec())?, [vec![5; 8]]);
    assert_eq!(array.to_vec(), [5; 8]);
    pool.slices_mut(&mut array, 2).map(|part, slice| slice.fill(part as u32))?;
    assert_eq!(array.to_vec(), [0, 0, 1, 1, 2, 2, 3, 3]);
    Ok(())
}

fn of_worker_exit(method: StartMethod) -> Outcome {
    let value = SharedValue::new(HANGS)?;
    let pool = builder(method, 1)
        .shared(value.clone())
        .worker_lifespan(2)
        .worker_exit(|w| hang(w.shared))
        .worker_exit_timeout(LIMIT)
        .build()?;
    let mut array = SharedArray::<u32>::new(8)?;
    let parts = pool.slices_mut(&mut array, 2).chunk_size(1);
    check(parts.map(|part, slice| slice.fill(part as u32 + 1)));
    // The worker has had two parts, and is at its exit.
    assert_eq!(array.to_vec()[..4], [1, 1, 2, 2]);
    array.fill(5);
    value.set(0);
    assert_eq!(pool.slices(&array, 8).map(|_, slice| slice.to_vec())?, [vec![5; 8]]);
    assert_eq!(array.to_vec(), [5; 8]);
    Ok(())
}

fn check<T: std::fmt::Debug>(ended: Result<T, Error>) {
    match ended {
        Err(Error::WorkerExitFailed { worker: _, cause }) => {
            assert_eq!(cause, Cause::Timeout { limit: LIMIT });
        }
        other => panic!("{other:?}"),
    }
}

/// The call waits for a part that another thread works on, however many threads are at hooks.
fn beside_an_item(method: StartMethod) -> Outcome {
    type Shared = (SharedValue<u32>, SharedValue<u32>);
    let (value, begun) = (SharedValue::new(HANGS)?, SharedValue::new(0u32)?);
    let pool = builder(method, 3)
        .shared((value.clone(), begun.clone()))
        .worker_lifespan(1)
        .worker_exit(|w| hang(&w.shared.0))
        .worker_exit_timeout(LIMIT)
        .build()?;
    let mut array = SharedArray::<u32>::new(3)?;
    let parts = pool.slices_mut(&mut array, 1).chunk_size(1).with_worker();
    let ended = parts.map(|w: &mut Worker<'_, Shared>, part, slice| {
        let (wait, since) = (Duration::from_millis(1), Instant::now());
        let all = |w: &Worker<'_, Shared>| w.shared.1.get() == 3;
        w.shared.1.fetch_add(1);
        while !all(w) && since.elapsed() < FOR_EVER {
            thread::sleep(wait);
        }
        while part == 2 && !w.is_cancelled() && since.elapsed() < FOR_EVER {
            thread::sleep(wait);
        }
        if part == 2 {
            // A caller that does not wait would be back by now.
            thread::sleep(LIMIT);
        }
        slice[0] = part as u32 + 1;
    });
    check(ended);
    assert_eq!(array.to_vec(), [1, 2, 3]);
    value.set(0);
    assert_eq!(pool.slices(&array, 3).map(|_, slice| slice.to_vec())?, [[1, 2, 3]]);
    Ok(())
}

fn lifespan(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .worker_init(|_| 0u32)
        .worker_exit(|w| *w.state)
        .worker_lifespan(3)
        .build()?;
    let mut array = SharedArray::<u32>::new(300)?;
    let parts = pool.slices_mut(&mut array, 1).with_worker();
    parts.map(|w: &mut Worker<'_, (), u32>, _, slice| {
        *w.state += 1;
        slice[0] = 1;
    })?;
    pool.stop_and_join()?;
    let tasks: Vec<u32> = pool.exit_results();
    assert_eq!(tasks.iter().sum::<u32>(), 300);
    // A life ends between chunks, which are no longer than 3.
    assert!(tasks.iter().all(|tasks| *tasks <= 2 + 3), "{tasks:?}");
    Ok(())
}
