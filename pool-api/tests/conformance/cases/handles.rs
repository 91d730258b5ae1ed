//! Handles of shared objects travel: in either direction, at any time, in values of any type.

use pool_api::{Cause, Error, Process, SharedArray, SharedObject, SharedValue, StartMethod, wire};

use crate::{
    case::{Case, Outcome, pool, sized},
    footprint::{held_by, shared_segments},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("handles_made_after_the_workers", made_late),
    Case::new("handles_as_results", as_results),
    Case::new("handles_inside_other_values", inside),
    Case::new("handles_in_a_context", in_context),
    Case::new("handles_of_an_object", objects),
    Case::new("handles_to_and_from_a_process", process),
    Case::new("handles_there_and_back", there_and_back),
    Case::new("handles_outlive_their_sender", sender_killed).processes(),
    Case::new("handles_in_retried_chunks", retried).processes(),
    Case::new("handles_unread_while_the_arena_is_full", spilled),
    Case::new("handles_come_and_go", come_and_go),
    Case::new("handles_that_are_not_read", unread),
    Case::new("handles_counted_by_all_workers", counted),
];

/// So many elements that an array has a segment of its own.
const LARGE: usize = 100_000;

fn filled(len: usize, value: u64) -> SharedArray<u64> {
    let array = SharedArray::new(len).expect("an array");
    array.fill(value);
    array
}

fn made_late(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10u64, |x| x)?;
    for len in [1, 1000, LARGE] {
        let array = filled(len, 5);
        let sums = pool.map((0..20).map(|_| array.clone()), |a| a.iter().sum::<u64>())?;
        assert!(sums.iter().all(|sum| *sum == 5 * len as u64));
        pool.map((0..len).step_by(7).map(|at| (array.clone(), at)), |(a, at)| {
            a.set(at, at as u64)
        })?;
        for at in 0..len {
            assert_eq!(array.get(at), if at % 7 == 0 { at as u64 } else { 5 });
        }
    }
    Ok(())
}

fn as_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [1, LARGE] {
        let make: fn((usize, u64)) -> SharedArray<u64> = |(len, value)| filled(len, value);
        let arrays = pool.tasks((0..40).map(|n| (len, n))).chunk_size(3).map(make)?;
        for (n, array) in arrays.iter().enumerate() {
            assert_eq!((array.len(), array.get(len - 1)), (len, n as u64));
        }
        // One worker sees the changes of another.
        pool.map(arrays.clone(), |a| a.fill(77))?;
        assert!(arrays.iter().all(|array| array.iter().all(|x| x == 77)));
        let mut seen = 0;
        for array in pool.tasks((0..40).map(|n| (len, n))).imap_unordered(make) {
            seen += array?.get(0);
        }
        assert_eq!(seen, 39 * 40 / 2);
    }
    Ok(())
}

wire! {
    struct Order {
        name: String,
        parts: Vec<SharedArray<f32>>,
        done: Option<SharedValue<u64>>,
        by_name: std::collections::BTreeMap<String, SharedArray<f32>>,
    }
}

fn inside(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let whole = SharedArray::<f32>::from_slice(&vec![1.0; LARGE])?;
    let done = SharedValue::new(0u64)?;
    let order = |n: usize| Order {
        name: format!("order {n}"),
        parts: vec![whole.slice(n..n + 2), whole.slice(n + 1..n + 2)],
        done: n.is_multiple_of(2).then(|| done.clone()),
        by_name: [(n.to_string(), whole.slice(10 * n..))].into(),
    };
    let back = pool.tasks((0..30).map(order)).chunk_size(4).map(|order| {
        order.parts[1].set(0, 2.0);
        order.done.iter().for_each(|done| {
            done.fetch_add(1);
        });
        (order.name, order.parts[0].clone(), order.by_name)
    })?;
    assert_eq!(done.get(), 15);
    for (n, (name, part, by_name)) in back.iter().enumerate() {
        assert_eq!(*name, format!("order {n}"));
        let last = if n == 0 { 1.0 } else { 2.0 };
        assert_eq!(part.to_vec(), [last, 2.0]);
        assert_eq!(by_name[&n.to_string()].len(), LARGE - 10 * n);
    }
    let none: Vec<Option<SharedValue<u64>>> = pool.map([None, Some(done.clone())], |x| x)?;
    assert!(none[0].is_none() && none[1].as_ref().is_some_and(|x| x.get() == 15));
    Ok(())
}

fn in_context(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [10, LARGE] {
        let (table, sum) = (filled(len, 3), SharedValue::new(0u64)?);
        let context = (table.clone(), sum.clone());
        pool.tasks(0..len.min(100)).chunk_size(3).with(context).map(|(table, sum), at| {
            sum.fetch_add(table.get(at));
        })?;
        assert_eq!(sum.get(), 3 * len.min(100) as u64);
        // Handles in context and items at once.
        let items = (0..20).map(|_| filled(len, 4));
        let sums = pool.tasks(items).with(vec![table]).map(|c, a| c[0].get(1) + a.get(2))?;
        assert_eq!(sums, [7; 20]);
    }
    Ok(())
}

fn objects(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let array = filled(LARGE, 9);
    let words = vec![String::from("a"), String::from("word")];
    let object = SharedObject::new(&(words, array.clone()))?;
    let lens = pool.map((0..20).map(|_| object.clone()), |o| {
        let (words, array) = o.decode().expect("the value");
        array.set(0, 1);
        (o.0[1].len(), words[0].clone(), array.get(1))
    })?;
    assert!(lens.iter().all(|len| *len == (4, "a".to_string(), 9)));
    assert_eq!(array.get(0), 1);
    let made = pool.map(0..10u32, |n| SharedObject::new(&vec![n; 1000]).expect("an object"))?;
    assert!(made.iter().enumerate().all(|(n, object)| object[999].to_native() == n as u32));
    Ok(())
}

fn process(method: StartMethod) -> Outcome {
    let array = filled(LARGE, 1);
    let process = Process::spawn(
        method,
        |array: SharedArray<u64>| {
            array.fill(2);
            (array.slice(5..10), filled(LARGE, 3))
        },
        array.clone(),
    )?;
    let (part, other) = process.join()?;
    assert_eq!((array.get(0), part.to_vec(), other.get(7)), (2, vec![2; 5], 3));
    part.set(0, 4);
    assert_eq!(array.get(5), 4);
    Ok(())
}

fn there_and_back(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [10, LARGE] {
        // The caller keeps no handle: the item does, and then the result.
        let mut arrays: Vec<_> = (0..10).map(|n| filled(len, n)).collect();
        for round in 1..10 {
            arrays = pool.tasks(arrays).chunk_size(1).map(|array| {
                array.fetch_add(0, 100);
                array
            })?;
            let first: Vec<u64> = arrays.iter().map(|array| array.get(0)).collect();
            assert_eq!(first, (0..10).map(|n| n + 100 * round).collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn sender_killed(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let results = pool.tasks(0..60u64).chunk_size(6).map_results(|n| {
        if n % 6 == 5 {
            sys::raise(sys::SIGKILL);
        }
        (filled(LARGE, n), filled(1, n))
    })?;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok((large, small)) => assert_eq!((large.get(LARGE - 1), small.get(0)), (n, n)),
            Err(error) => {
                assert!(n % 6 == 5 && matches!(error.cause(), Cause::Death(_)), "{error}");
            }
        }
    }
    // Read one by one, long after the senders have died.
    let mut lazy = pool.tasks(0..20u64).chunk_size(1).imap(|n| filled(LARGE, n));
    let first = lazy.next().transpose()?;
    let killed = pool.worker_pids().into_iter().filter(|pid| sys::kill(*pid, sys::SIGKILL));
    assert_eq!(killed.count(), 2);
    for (n, result) in (1..).zip(lazy) {
        match result {
            Ok(array) => assert_eq!(array.get(3), n),
            Err(Error::Task(error)) => assert!(matches!(error.cause(), Cause::Death(_)), "{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(first.map(|array| array.get(0)), Some(0));
    Ok(())
}

fn retried(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    // Only the items have the arrays; the items behind the one that kills go to another worker.
    let items = (0..40u64).map(|n| (n, filled(LARGE, n)));
    let results = pool.tasks(items).chunk_size(8).map_results(|(n, array)| {
        if n % 8 == 2 {
            sys::raise(sys::SIGKILL);
        }
        array.get(1)
    })?;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => assert!(n % 8 == 2 && matches!(error.cause(), Cause::Death(_))),
        }
    }
    Ok(())
}

fn spilled(method: StartMethod) -> Outcome {
    let pool = crate::case::builder(method, 2).arena_limit(1 << 20).build()?;
    let mut lazy =
        pool.tasks(0..200u64).chunk_size(1).imap(|n| (filled(LARGE, n), vec![n; 10_000]));
    let first = lazy.next().transpose()?;
    // Other calls make the workers need the room of the unread results.
    for _ in 0..20 {
        let lens = pool.tasks(0..10u64).chunk_size(1).map(|n| vec![n; 100_000].len())?;
        assert_eq!(lens, [100_000; 10]);
    }
    for (n, result) in (1..).zip(lazy) {
        let (array, bytes) = result?;
        assert_eq!((array.get(5), bytes[5]), (n, n));
    }
    assert_eq!(first.map(|(array, _)| array.get(0)), Some(0));
    Ok(())
}

/// The workers and this process.
fn all_processes(pool: &pool_api::WorkerPool) -> impl Iterator<Item = u32> {
    pool.worker_pids().into_iter().chain([std::process::id()])
}

/// Descriptors and mappings that they have.
fn held(pool: &pool_api::WorkerPool) -> Vec<(usize, usize)> {
    all_processes(pool).map(held_by).collect()
}

fn come_and_go(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let rounds = sized(10_000, 600);
    // A worker that has run a task has closed and unmapped what a new process begins with.
    pool.broadcast(|_| ())?;
    let before = held(&pool);
    for len in [1000, LARGE] {
        // One after another, as items; as results; and many in one call.
        for n in 0..rounds as u64 / 4 {
            assert_eq!(pool.apply(filled(len, n), |a| a.get(7))?, n);
            let array = pool.apply((len, n), |(len, n)| filled(len, n))?;
            assert_eq!(array.get(len - 1), n);
        }
        let sums = pool.map((0..rounds as u64 / 4).map(|n| filled(len, n)), |a| a.get(9))?;
        assert_eq!(sums.len(), rounds / 4);
        let made =
            pool.tasks((0..rounds as u64 / 4).map(|n| (len, n))).imap(|(len, n)| filled(len, n));
        for (n, array) in (0..).zip(made) {
            assert_eq!(array?.get(0), n);
        }
        let settled = || {
            held(&pool).iter().zip(&before).all(|(now, before)| {
                now.0.abs_diff(before.0) <= 16 && now.1.abs_diff(before.1) <= 16
            })
        };
        wait_until("all that came has gone", settled);
    }
    Ok(())
}

fn unread(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..20 {
        let mut lazy = pool.tasks(0..100u64).chunk_size(2).imap(|n| filled(LARGE, n));
        assert_eq!(lazy.next().transpose()?.map(|array| array.get(0)), Some(0));
        drop(lazy);
        let failed = pool.tasks((0..100u64).map(|n| filled(LARGE, n))).chunk_size(3).map(|array| {
            assert_ne!(array.get(0), 50);
            array
        });
        assert!(matches!(failed, Err(Error::Task(_))));
    }
    // No call comes after the last one: its workers may still keep what they had in hand.
    let few = |(descriptors, mappings)| descriptors <= 16 && mappings <= 16;
    wait_until("no process keeps what no process reads", || {
        all_processes(&pool).map(shared_segments).all(few)
    });
    Ok(())
}

fn counted(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    let each = sized(1_000_000, 50_000) as u64;
    let count = SharedValue::new(0u64)?;
    let items = (0..4).map(|_| (count.clone(), each));
    pool.tasks(items).chunk_size(1).map(|(count, each)| {
        for _ in 0..each {
            count.fetch_add(1);
        }
    })?;
    assert_eq!(count.get(), 4 * each);
    Ok(())
}
