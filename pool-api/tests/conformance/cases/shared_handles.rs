//! Arrays, values and locks as parts of the shared value: containers that all workers write to.

use pool_api::{Error, StartMethod};
use pool_shm::{LockError, SharedArray, SharedMutex, SharedValue};

use crate::{
    case::{Case, Outcome, builder, sized},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("shared_array_of_results", results_in_an_array),
    Case::new("shared_array_large_and_small", large_and_small),
    Case::new("shared_counter_and_lock", counted_and_locked),
    Case::new("shared_handles_outlive_deaths", outlive_deaths).processes(),
    Case::new("shared_lock_whose_holder_dies", holder_dies).processes(),
    Case::new("shared_handles_given_up", given_up),
];

/// MPIRE's example: each task writes its own element, and may return a value beside.
fn results_in_an_array(method: StartMethod) -> Outcome {
    let results = SharedArray::<f32>::new(100)?;
    let pool = builder(method, 4).shared(results.clone()).build()?;
    let numbered = || (0..100u32).enumerate();
    let squares = pool.tasks(numbered()).iterable_len(100).with_worker().map(|w, (index, x)| {
        w.shared.set(index, (x * x) as f32);
        u64::from(x)
    })?;
    assert_eq!(squares, (0..100).collect::<Vec<u64>>());
    assert!(results.iter().enumerate().all(|(n, x)| x == (n * n) as f32));
    // Again into the same one, and then into another one.
    pool.tasks(numbered()).with_worker().map(|w, (index, x)| w.shared.set(index, x as f32))?;
    assert_eq!(results.to_vec(), (0..100).map(|n| n as f32).collect::<Vec<_>>());
    let others = SharedArray::new(100)?;
    pool.set_shared(others.clone())?;
    pool.tasks(numbered())
        .with_worker()
        .map(|w, (index, x)| w.shared.set(index, x as f32 + 0.5))?;
    assert_eq!(others.get(99), 99.5);
    assert_eq!(results.get(99), 99.0, "what was shared before is as it was");
    Ok(())
}

fn large_and_small(method: StartMethod) -> Outcome {
    let large: Vec<SharedArray<u64>> =
        (0..20).map(|_| SharedArray::new(100_000)).collect::<Result<_, _>>()?;
    let small: Vec<SharedArray<bool>> =
        (0..500).map(|_| SharedArray::new(3)).collect::<Result<_, _>>()?;
    let part = large[7].slice(10..20);
    let shared = (large.clone(), small.clone(), part.clone());
    let pool = builder(method, 3).shared(shared).build()?;
    pool.tasks(0..20usize).chunk_size(1).with_worker().map(|w, n| {
        let (large, small, part) = w.shared;
        large[n].slice(50_000..60_000).fill(n as u64);
        (0..25).for_each(|k| small[n * 25 + k].set(1, true));
        part.fetch_add(n % 10, 1)
    })?;
    for (n, array) in large.iter().enumerate() {
        assert_eq!(
            (array.get(49_999), array.get(50_000), array.get(59_999)),
            (0, n as u64, n as u64)
        );
    }
    assert!(small.iter().all(|flags| flags.to_vec() == [false, true, false]));
    assert_eq!(part.to_vec(), [2; 10]);
    assert_eq!(large[7].slice(9..21).to_vec(), [vec![0], vec![2; 10], vec![0]].concat());
    Ok(())
}

fn counted_and_locked(method: StartMethod) -> Outcome {
    let (counter, account) = (SharedValue::new(0u64)?, SharedMutex::new(0u64)?);
    let shared = (counter.clone(), account.clone(), String::from("name"));
    let pool = builder(method, 4).shared(shared).build()?;
    let rounds = sized(100_000, 10_000) as u64;
    pool.tasks(std::iter::repeat_n(rounds, 8)).chunk_size(1).with_worker().map(|w, rounds| {
        for _ in 0..rounds {
            w.shared.0.fetch_add(1);
            *w.shared.1.lock().expect("no holder died") += 1;
        }
        w.shared.2.len()
    })?;
    assert_eq!(counter.get(), 8 * rounds);
    assert_eq!(*account.lock().expect("no holder died"), 8 * rounds);
    Ok(())
}

fn outlive_deaths(method: StartMethod) -> Outcome {
    let done = SharedArray::<u8>::new(100)?;
    let pool = builder(method, 2).shared(done.clone()).build()?;
    for victim in [10usize, 20, 30] {
        let items = (0..40usize).map(|n| (n, victim));
        let died = pool.tasks(items).chunk_size(1).with_worker().map(|w, (n, victim)| {
            w.shared.fetch_add(n, 1);
            if n == victim {
                sys::raise(sys::SIGKILL);
            }
        });
        assert!(matches!(&died, Err(Error::Task(task)) if task.index() == victim as u64));
    }
    assert!([10, 20, 30].iter().all(|n| done.get(*n) >= 1));
    pool.tasks(0..100usize).with_worker().map(|w, n| w.shared.set(n, 7))?;
    assert_eq!(done.to_vec(), [7; 100]);
    Ok(())
}

fn holder_dies(method: StartMethod) -> Outcome {
    let lock = SharedMutex::new(5u32)?;
    let pool = builder(method, 2).shared((lock.clone(), 1u8)).build()?;
    for _ in 0..3 {
        let died = pool.tasks(0..1u32).with_worker().map(|w, _| {
            let mut guard = w.shared.0.lock().expect("whole");
            *guard += 1;
            sys::raise(sys::SIGKILL);
        });
        assert!(matches!(&died, Err(Error::Task(_))), "{died:?}");
        let Err(LockError::HolderDied(mut guard)) = lock.lock() else {
            panic!("no error says that the holder died");
        };
        *guard = 5;
        guard.mark_repaired();
        drop(guard);
        pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, _| {
            *w.shared.0.lock().expect("whole") += 1;
        })?;
        assert_eq!(*lock.lock().expect("whole"), 105);
        *lock.lock().expect("whole") = 5;
    }
    Ok(())
}

/// The pool keeps the shared value as long as it shares it, and no longer.
fn given_up(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(SharedArray::<u64>::new(1 << 20)?).build()?;
    for round in 0..3u64 {
        pool.tasks(0..100usize).with_worker().map(|w, n| w.shared.fetch_add(n, 1))?;
        let seen = pool.tasks([5usize]).with_worker().map(|w, n| w.shared.get(n))?;
        assert_eq!(seen, [round + 1]);
    }
    pool.set_shared(SharedArray::new(1 << 20)?)?;
    assert_eq!(pool.tasks([5usize]).with_worker().map(|w, n| w.shared.get(n))?, [0]);
    Ok(())
}
