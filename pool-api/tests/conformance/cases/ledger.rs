//! The examples of the guides to Python's pools, in the terms of this crate.

use std::{thread, time::Duration};

use pool_api::{SharedArray, SharedBarrier, SharedMutex, SharedValue, StartMethod};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("guide_arrays_and_values_as_results", arrays_as_results),
    Case::new("guide_inputs_without_a_length", without_a_length),
    Case::new("guide_state_is_loaded_once", state_is_loaded_once),
    Case::new("guide_worker_ids", worker_ids),
    Case::new("guide_workers_are_kept", workers_are_kept),
    Case::new("guide_shared_objects_are_changed", shared_is_changed),
    Case::new("guide_what_a_function_is_given", given),
    Case::new("guide_one_copy_at_most_per_worker", one_copy_at_most),
    Case::new("guide_locks_are_shared", locks_are_shared),
    Case::new("guide_futures_get_and_wait", futures),
    Case::new("guide_map_is_in_order", in_order),
];

/// Tasks put results into a shared array, each at an index of its own without a lock, and may
/// return a value as well.
fn arrays_as_results(method: StartMethod) -> Outcome {
    let results = SharedArray::<f32>::new(100)?;
    let sum = SharedValue::new(0u32)?;
    let pool = builder(method, 4).shared((results.clone(), sum.clone())).build()?;
    let squares = pool.tasks(0..100usize).with_worker().map(|w, index| {
        let (results, sum) = w.shared;
        results.set(index, (index * index) as f32);
        sum.fetch_add(index as u32);
        index * index
    })?;
    assert_eq!(squares, (0..100).map(|x| x * x).collect::<Vec<usize>>());
    assert!((0..100).all(|x| results.get(x) == (x * x) as f32));
    assert_eq!(sum.get(), 4950);
    Ok(())
}

/// The caller names the length of an input without one.
fn without_a_length(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    let numbers = || (0u64..).take_while(|n| *n < 1000).enumerate();
    let halves = |(index, n): (usize, u64)| index as u64 + n / 2;
    let mut unordered = pool.tasks(numbers()).iterable_len(100).map_unordered(halves)?;
    unordered.sort_unstable();
    let ordered = pool.tasks(numbers()).iterable_len(100).map(halves)?;
    assert_eq!(ordered, (0..100).map(|n| n + n / 2).collect::<Vec<u64>>());
    assert_eq!(unordered, ordered);
    Ok(())
}

/// A worker has a state of its own, into which it loads a model at the first need.
fn state_is_loaded_once(method: StartMethod) -> Outcome {
    #[derive(Default)]
    struct State {
        model: Option<Vec<u64>>,
    }
    let loads = SharedValue::new(0u32)?;
    let pool =
        builder(method, 4).shared(loads.clone()).worker_init(|_| State::default()).build()?;
    let tasks = || pool.tasks(0..100usize).chunk_size(1);
    let predict = || {
        tasks().with_worker().map(|w, x| {
            let load = || {
                w.shared.fetch_add(1);
                (0..100).collect()
            };
            w.state.model.get_or_insert_with(load)[x]
        })
    };
    for _ in 0..3 {
        assert_eq!(predict()?, (0..100).collect::<Vec<u64>>());
    }
    assert!((1..=4).contains(&loads.get()), "once in each worker: {}", loads.get());
    Ok(())
}

/// Workers are numbered from 0; a function that takes its worker knows the number, others do not
/// get it.
fn worker_ids(method: StartMethod) -> Outcome {
    // The first two wait for each other, so no worker has both.
    let pool = builder(method, 4).shared(SharedBarrier::new(2)?).build()?;
    let ids = pool.tasks(0..400u32).chunk_size(1).with_worker().map(|w, x| {
        if x < 2 {
            w.shared.wait().expect("the other one comes");
        }
        (w.id(), x)
    })?;
    assert!(ids.iter().zip(0..).all(|((id, x), n)| *id < 4 && *x == n));
    assert_ne!(ids[0].0, ids[1].0, "several have worked");
    assert_eq!(pool.map(0..4u32, |x| x)?, [0, 1, 2, 3]);
    Ok(())
}

/// Workers are kept from map to map, for any functions, unless `keep_alive` is off.
fn workers_are_kept(method: StartMethod) -> Outcome {
    let builder = builder(method, 1).worker_init(|_| 0u32);
    for (keep_alive, seen) in [(true, [1, 12, 23]), (false, [1, 11, 21])] {
        let pool = builder.clone().keep_alive(keep_alive).build()?;
        let first = pool.tasks([()]).with_worker().map(|w, ()| {
            *w.state += 1;
            *w.state
        })?;
        let second = pool.tasks([10u32]).with_worker().map(|w, x| {
            *w.state += 1;
            *w.state + x
        })?;
        let third = pool.tasks([(0u32, 20)]).with_worker().map(|w, (x, y)| {
            *w.state += 1;
            *w.state + x + y
        })?;
        assert_eq!([first[0], second[0], third[0]], seen, "keep_alive({keep_alive})");
    }
    Ok(())
}

/// The shared value may be set anew between two maps, with workers that are kept.
fn shared_is_changed(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(vec![1u64, 2, 3]).build()?;
    let look = || pool.tasks(0..3usize).with_worker().map(|w, index| w.shared[index]);
    assert_eq!(look()?, [1, 2, 3]);
    pool.set_shared(vec![40, 50, 60])?;
    assert_eq!(look()?, [40, 50, 60]);
    assert_eq!(look()?, [40, 50, 60]);
    Ok(())
}

/// Several objects are a tuple; a function gets the worker's id, the shared value, its state, and
/// its item.
fn given(method: StartMethod) -> Outcome {
    let objects = (String::from("object"), vec![5u32, 6], Some(7u8));
    let pool =
        builder(method, 3).shared(objects).worker_init(|w| w.shared.1[1] + w.id()).build()?;
    let seen = pool.tasks(0..30u32).with_worker().map(|w, x| {
        let (text, numbers, some) = w.shared;
        (text.len(), numbers[0], *some, *w.state - w.id(), x)
    })?;
    assert_eq!(seen, (0..30).map(|x| (6, 5, Some(7), 6, x)).collect::<Vec<_>>());
    Ok(())
}

/// The shared value is inherited or stays in place, or is copied once per worker, but not for each
/// task.
fn one_copy_at_most(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(vec![7u8; 1 << 20]).build()?;
    let seen = pool
        .tasks(0..200usize)
        .chunk_size(1)
        .with_worker()
        .map(|w, x| (w.id(), w.shared.as_ptr().addr(), w.shared[x]))?;
    for id in 0..2 {
        let mut places: Vec<usize> =
            seen.iter().filter(|(worker, ..)| *worker == id).map(|(_, place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 1, "worker {id} has seen it at {places:?}");
    }
    assert!(seen.iter().all(|(.., byte)| *byte == 7));
    Ok(())
}

/// Locks are shared with the workers, too.
fn locks_are_shared(method: StartMethod) -> Outcome {
    let total = SharedMutex::new([0u64; 2])?;
    let pool = builder(method, 4).shared(total.clone()).build()?;
    pool.tasks(0..200u64).chunk_size(1).with_worker().map(|w, x| {
        let mut total = w.shared.lock().expect("no holder dies");
        total[0] += x;
        total[1] += 1;
    })?;
    let total = *total.lock().map_err(|error| error.give_up())?;
    assert_eq!(total, [19_900, 200]);
    Ok(())
}

/// A caller waits for a future with its result or without, even after the pool was closed.
fn futures(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let square = |x: u64| x * x;
    let futures = (0..10u64).map(|x| pool.apply_async(x, square)).collect::<Result<Vec<_>, _>>()?;
    futures[9].wait()?;
    assert!(futures[9].ready() && futures[9].successful() == Some(true));
    let late = pool.apply_async(10u64, square)?;
    pool.stop_and_join()?;
    let squares = futures.into_iter().map(|future| future.get()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(squares, (0..10).map(|x| x * x).collect::<Vec<u64>>());
    assert_eq!(late.get()?, 100);
    Ok(())
}

/// A map waits for the list of all results, in the order of its input; or returns a handle for it
/// at once.
fn in_order(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    let values = pool.tasks(0..40u64).chunk_size(1).map(|x| {
        thread::sleep(Duration::from_micros(40 - x));
        x + 1
    })?;
    assert_eq!(values, (1..=40).collect::<Vec<u64>>());
    let handle = pool.map_async(0..40u64, |x| x + 1)?;
    handle.wait()?;
    assert_eq!(handle.get()?, values);
    Ok(())
}
