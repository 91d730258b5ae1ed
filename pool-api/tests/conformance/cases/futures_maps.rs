//! Whole maps of which the caller takes the values later.

use std::{sync::mpsc, thread, time::Duration};

use pool_api::{AsyncResult, Error, StartMethod, WaitFor, as_completed, wait};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome, builder, pool, sized},
    executor::block_on,
    scratch::{Scratch, append},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("map_async_in_order", in_order),
    Case::new("map_async_without_a_waiting_thread", no_thread_waits),
    Case::new("map_async_side_by_side", side_by_side),
    Case::new("map_async_beside_maps", beside_maps),
    Case::new("map_async_many_at_once", many),
    Case::new("map_async_with_little_room", little_room),
    Case::new("map_async_results_are_counted", counted),
];

fn in_order(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(5u32).build()?;
    let tripled = pool.map_async(0..5000u32, |x| 3 * x)?;
    let words = pool.map_async((0..300).map(|n| "w".repeat(n)), |word| (word.len(), word))?;
    let some = pool.tasks(0u64..).iterable_len(100).chunk_size(7).map_async(|x| x + 1)?;
    let scaled = pool.tasks(0..100u64).with(10u64).map_async(|factor, x| factor * x)?;
    let seen = pool.tasks(0..100u32).map_async_with(|w, x| (*w.shared, w.id() < 2, x))?;
    let none = pool.map_async(std::iter::empty::<u8>(), |x| x)?;
    assert!(none.get()?.is_empty());
    for (n, (len, word)) in words.get()?.into_iter().enumerate() {
        assert_eq!((len, word), (n, "w".repeat(n)));
    }
    assert_eq!(some.get()?, (1..=100).collect::<Vec<_>>());
    assert_eq!(scaled.get()?, (0..100).map(|x| 10 * x).collect::<Vec<_>>());
    assert_eq!(block_on(seen)?, (0..100).map(|x| (5, true, x)).collect::<Vec<_>>());
    tripled.wait()?;
    assert_eq!(tripled.successful(), Some(true));
    assert_eq!(tripled.get()?, (0..5000).map(|x| 3 * x).collect::<Vec<_>>());
    // A map that is under way at the stop, which lets it finish.
    let left = pool.map_async(0..1000u64, |x| x)?;
    pool.stop_and_join()?;
    assert!(left.ready());
    assert_eq!(left.get()?.len(), 1000);
    Ok(())
}

fn no_thread_waits(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (to, told) = mpsc::channel();
    for n in 0..20u64 {
        let handle = pool.tasks(0..500u64).chunk_size(3).with(n).map_async(|n, x| n + x)?;
        let (good, bad) = (to.clone(), to.clone());
        handle.callback(move |values| good.send(Ok(values)).expect("the case listens"));
        handle.error_callback(move |error| bad.send(Err(error)).expect("the case listens"));
        // The handle is dropped: the map runs all the same.
    }
    let mut firsts = Vec::new();
    for _ in 0..20 {
        let values = told.recv_timeout(Duration::from_secs(20))??;
        assert_eq!(values.len(), 500);
        assert!(values.windows(2).all(|two| two[0] + 1 == two[1]));
        firsts.push(values[0]);
    }
    firsts.sort_unstable();
    assert_eq!(firsts, (0..20).collect::<Vec<_>>());
    Ok(())
}

fn side_by_side(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    // One worker is busy until the end.
    let items = [(scratch.path(), 1), (scratch.path(), 2)];
    let mut slow = pool.tasks(items.into_iter().take(1)).map_async(until_told)?;
    let long = pool.map_async(0..sized(300_000, 30_000) as u64, |x| x + 1)?;
    let short = pool.map_async(0..10u64, |x| x)?;
    assert_eq!(pool.apply_async(3u8, |x| x)?.get()?, 3);
    assert_eq!(short.get()?.len(), 10);
    assert_eq!(pool.map(0..100u8, |x| x)?.len(), 100);
    assert_eq!(long.get()?.last(), Some(&(sized(300_000, 30_000) as u64)));
    assert!(!slow.ready() && !slow.wait_timeout(Duration::from_millis(1))?);
    assert!(matches!(slow.get_timeout(Duration::from_millis(1)), Err(Error::NotReady)));
    append(&scratch.path(), 1);
    assert_eq!(slow.get()?, [1]);
    Ok(())
}

fn beside_maps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    thread::scope(|scope| {
        let map = scope.spawn(|| pool.map(0..sized(200_000, 20_000) as u64, |x| x));
        for _ in 0..10 {
            let handles: Vec<_> =
                (1..5u64).map(|n| pool.map_async(0..100 * n, |x| x)).collect::<Result<_, _>>()?;
            for (index, handle) in as_completed(handles)? {
                assert_eq!(handle.get()?.len(), 100 * (index + 1));
            }
        }
        assert_eq!(map.join().expect("no panic")?.len(), sized(200_000, 20_000));
        Ok(())
    })
}

fn many(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let many = sized(1500, 300);
    let handles: Vec<_> =
        (0..many).map(|n| pool.map_async(0..(n % 40) as u64, |x| x)).collect::<Result<_, _>>()?;
    assert_eq!(wait(&handles, WaitFor::All, None)?.len(), many);
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.get()?, (0..(n % 40) as u64).collect::<Vec<_>>());
    }
    // Many threads hand maps in, and another one gathers them.
    let handles: Vec<_> = thread::scope(|scope| {
        let spawn = |_| scope.spawn(|| pool.map_async(0..500u64, |x| x));
        let threads: Vec<_> = (0..8).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for handle in handles {
        assert_eq!(handle?.get()?.len(), 500);
    }
    Ok(())
}

fn little_room(method: StartMethod) -> Outcome {
    // Fast workers may have all results in their handles before the last call is handed in.
    let pool = builder(method, 2).arena_limit(1 << 20).max_result_bytes(16 << 20).build()?;
    let large = |n: u8| vec![n; 350 << 10];
    let handles: Vec<_> =
        (0..4).map(|n| pool.map_async([large(n), large(n)], |v| v)).collect::<Result<_, _>>()?;
    for (n, handle) in (0..).zip(handles) {
        assert!(handle.get()? == [large(n), large(n)]);
    }
    if method != StartMethod::Threads {
        let refused = pool.map_async([vec![0u8; 2 << 20]], |v| v.len())?.get();
        assert!(matches!(refused, Err(Error::ItemTooLarge { .. })), "{refused:?}");
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn counted(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).max_result_bytes(10_000).build()?;
    let make = |len: usize| vec![7u8; len];
    let handle = pool.map_async([6_000, 6_000], make)?;
    handle.wait()?;
    let refused = pool.map_async([1, 2], make).expect_err("there is too much");
    assert_eq!(refused.item, [1, 2]);
    assert!(matches!(refused.error, Error::ResultsUnread { bytes: 12_000.., limit: 10_000 }));
    assert_eq!(handle.get()?.len(), 2);
    assert_eq!(pool.map_async([1, 2], make)?.get()?, [make(1), make(2)]);
    let handles: [AsyncResult<_>; 2] = [pool.map_async([1], make)?, pool.map_async([2], make)?];
    assert_eq!(as_completed(handles)?.count(), 2);
    Ok(())
}
