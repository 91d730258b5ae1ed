//! Reading ahead, memory and waits are bounded, and nothing waits for ever.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use pool_api::{Error, SharedValue, StartMethod};

use crate::{
    case::{Case, Outcome, builder, pool, sized, words},
    scratch::{Scratch, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("limit_below_the_chunk_finishes", limit_below_chunk),
    Case::new("read_ahead_as_set", read_ahead_set),
    Case::new("read_ahead_by_default", read_ahead_default),
    Case::new("stop_with_many_unread_results", unread_results),
    Case::new("one_long_task_beside_short_ones", long_beside_short),
    Case::new("more_lazy_calls_than_slots", many_lazy_calls),
    Case::new("one_item_beside_a_map_of_slow_ones", one_beside_slow),
];

fn limit_below_chunk(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let tasks = || pool.tasks(0..1000u64).max_tasks_active(2).chunk_size(4);
    let expected: Vec<u64> = (0..1000).map(|x| x + 1).collect();
    assert_eq!(tasks().map(|x| x + 1)?, expected);
    assert_eq!(tasks().imap(|x| x + 1).collect::<Result<Vec<_>, _>>()?, expected);
    assert_eq!(tasks().map_results(|x| x + 1)?.len(), 1000);
    let mut unordered = tasks().map_unordered(|x| x + 1)?;
    unordered.sort_unstable();
    assert_eq!(unordered, expected);
    assert_eq!(pool.tasks(0..50u64).max_tasks_active(1).map(|x| x)?.len(), 50);
    Ok(())
}

fn read_ahead_set(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for (most, chunk_size) in [(8, 4), (2, 4), (1, 1), (100, 7)] {
        let read = Cell::new(0);
        let endless = (0usize..).inspect(|_| read.set(read.get() + 1));
        let lazy = pool.tasks(endless).max_tasks_active(most).chunk_size(chunk_size).imap(|x| x);
        for (taken, value) in (1..).zip(lazy.take(10)) {
            assert_eq!(value?, taken - 1);
            let bound = taken + most + chunk_size;
            assert!(read.get() <= bound, "read {}, allowed {bound}", read.get());
        }
    }
    Ok(())
}

fn read_ahead_default(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let read = Cell::new(0);
    let endless = (0usize..).inspect(|_| read.set(read.get() + 1));
    for (taken, value) in (1..).zip(pool.imap(endless, |x| x).take(20_000)) {
        assert_eq!(value?, taken - 1);
        assert!(read.get() <= taken + 4096, "read {}, taken {taken}", read.get());
    }
    let values: Result<Vec<u64>, Error> = pool.imap_unordered(0.., |x: u64| x).take(10).collect();
    assert_eq!(values?.len(), 10);
    Ok(())
}

fn unread_results(method: StartMethod) -> Outcome {
    for dropped in [false, true] {
        let pool = builder(method, 2).arena_limit(64 << 20).build()?;
        // The input has no end, so that the stream is unfinished however fast the workers were.
        let unread = sized(1000, 50);
        let tasks = pool.tasks(0u64..).max_tasks_active(unread).chunk_size(1);
        let mut lazy = tasks.imap(|n| words(1 << 20, n));
        assert_eq!(lazy.next().transpose()?, Some(words(1 << 20, 0)));
        if dropped {
            drop(lazy);
            pool.stop_and_join()?;
        } else {
            pool.stop_and_join()?;
            let rest: Vec<_> = lazy.collect();
            assert!(matches!(rest.last(), Some(Err(Error::Terminated))), "{}", rest.len());
        }
        assert_eq!(pool.map(0..10u64, |x| x)?.len(), 10);
    }
    Ok(())
}

/// Item 0 is the long one: it ends when the file is there, which the last short one makes.
fn long_or_short((n, last, path): (u32, u32, Option<String>)) -> bool {
    if let Some(path) = &path {
        let path = Path::new(path);
        if n == last {
            std::fs::write(path, "all short ones are done").expect("the file can be made");
        } else {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !path.exists() {
                if Instant::now() > deadline {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    true
}

fn long_beside_short(method: StartMethod) -> Outcome {
    let last = sized(1_000_000, 20_000) as u32;
    let pool = pool(method, 2)?;
    for unordered in [false, true] {
        let scratch = Scratch::new();
        let path = scratch.path();
        let items = (0..=last).map(|n| (n, last, (n == 0 || n == last).then(|| path.clone())));
        let tasks = pool.tasks(items).chunk_size(1);
        let done = match unordered {
            true => tasks.map_unordered(long_or_short)?,
            false => tasks.map(long_or_short)?,
        };
        assert_eq!(done.len(), last as usize + 1);
        assert!(done.iter().all(|done| *done), "the long task waited in vain for the short ones");
    }
    Ok(())
}

fn many_lazy_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    // Each call has begun, none is read to its end, and together they hold more chunks than there
    // is room for.
    let mut calls = Vec::new();
    for n in 0..200u64 {
        let mut lazy = pool.tasks(n..n + 500).chunk_size(1).imap(|x| x);
        assert_eq!(lazy.next().transpose()?, Some(n));
        calls.push(lazy);
    }
    assert_eq!(pool.map(0..100u64, |x| x)?.len(), 100);
    for (n, lazy) in (0..).zip(&mut calls) {
        assert_eq!(lazy.next().transpose()?, Some(n + 1));
    }
    let last = calls.pop().expect("two hundred");
    assert_eq!(last.count(), 498);
    Ok(())
}

/// Returns how many items of the map were begun when it began itself.
fn begins((begun, millis): (SharedValue<u32>, u64)) -> u32 {
    std::thread::sleep(Duration::from_millis(millis));
    begun.fetch_add(1)
}

/// However many items of a map wait, another call begins behind a few of them, whether or not the
/// user has set the length of chunks.
fn one_beside_slow(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for size in [None, Some(1usize)] {
        let begun = SharedValue::new(0u32)?;
        let waited = std::thread::scope(|scope| -> Result<u32, Error> {
            let map = scope.spawn(|| {
                let tasks = pool.tasks((0..200).map(|_| (begun.clone(), 5)));
                match size {
                    Some(size) => tasks.chunk_size(size).map(begins),
                    None => tasks.map(begins),
                }
            });
            wait_until("some are begun", || begun.get() >= 20 || map.is_finished());
            let before = begun.get();
            let at = pool.apply((begun.clone(), 0), begins)?;
            let values = map.join().expect("no panic")?;
            assert_eq!(values.len(), 200);
            Ok(at - before)
        })?;
        // At most those that are in hand and on the board come first; the machine may be slow to
        // hand the one over.
        assert!(waited <= 50, "{waited} items of the map came first");
    }
    Ok(())
}
