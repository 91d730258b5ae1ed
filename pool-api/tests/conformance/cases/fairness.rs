//! Calls take turns, whatever is under way: the wait of another call is counted in items, so no
//! machine is too slow.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use pool_api::{SharedValue, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("fair_one_item_beside_long_chunks", beside_long_chunks),
    Case::new("fair_many_newcomers_at_once", many_newcomers),
    Case::new("fair_short_map_beside_a_long_one", short_beside_long),
    Case::new("fair_map_beside_callers_that_never_rest", beside_callers),
    Case::new("fair_order_on_each_worker_beside_others", ordered_beside_others),
    Case::new("fair_each_item_once_whatever_chunks_leave", each_once),
    Case::new("fair_one_item_beside_a_full_board", beside_full_board),
    Case::new("fair_broadcast_beside_one_long_chunk", broadcast_beside_chunk),
    Case::new("fair_map_beside_many_single_calls", map_beside_calls),
    Case::new("fair_calls_begin_in_the_order_in_which_they_were_made", calls_in_order),
    Case::new("fair_deaths_in_chunks_that_leave_their_rest", deaths).processes(),
];

/// The counts that a map's items share with the test: how many were begun, and how many may end.
type Gate = (SharedValue<u32>, SharedValue<u32>);

const ITEMS: u32 = 200;

fn gate() -> pool_api::Result<Gate> {
    Ok((SharedValue::new(0)?, SharedValue::new(0)?))
}

fn gated((begun, allowed): Gate) -> u32 {
    let ticket = begun.fetch_add(1);
    wait_until("it is let go", || allowed.get() > ticket);
    ticket
}

fn nothing(x: u32) -> u32 {
    x
}

/// Waits until both workers have an item of the map in hand.
fn until_busy((begun, _): &Gate) {
    wait_until("both workers are busy", || begun.get() >= 2);
}

/// Lets one item of the map after the other end until `done`; returns how many.
fn let_end(gate: &Gate, done: impl FnMut() -> bool) -> u32 {
    let_end_of(gate, ITEMS, done)
}

fn let_end_of((begun, allowed): &Gate, items: u32, mut done: impl FnMut() -> bool) -> u32 {
    for ended in 0..items {
        // The worker that ended the last item has begun another one, or another call's.
        while begun.get() < (ended + 2).min(items) {
            if done() {
                return ended;
            }
            thread::sleep(Duration::from_micros(200));
        }
        if done() {
            return ended;
        }
        allowed.set(ended + 1);
    }
    while !done() {
        thread::sleep(Duration::from_micros(200));
    }
    items
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Map,
    Async,
    Imap,
}

fn run_map(
    pool: &WorkerPool,
    gate: &Gate,
    kind: Kind,
    size: Option<usize>,
) -> pool_api::Result<usize> {
    let mut tasks = pool.tasks((0..ITEMS).map(|_| gate.clone()));
    if let Some(size) = size {
        tasks = tasks.chunk_size(size);
    }
    Ok(match kind {
        Kind::Map => tasks.map(gated)?.len(),
        Kind::Async => tasks.map_async(gated)?.get()?.len(),
        Kind::Imap => tasks.imap(gated).collect::<pool_api::Result<Vec<_>>>()?.len(),
    })
}

/// One call waits until about one item has ended, and not for a chunk or for items that wait before
/// it.
fn beside_long_chunks(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for kind in [Kind::Map, Kind::Async, Kind::Imap] {
        for size in [None, Some(1), Some(20), Some(100)] {
            let gate = gate()?;
            let ended = thread::scope(|scope| -> pool_api::Result<u32> {
                let map = scope.spawn(|| run_map(&pool, &gate, kind, size));
                until_busy(&gate);
                let call = pool.apply_async(7, nothing)?;
                let ended = let_end(&gate, || call.ready());
                gate.1.set(u32::MAX);
                assert_eq!((call.get()?, map.join().expect("no panic")?), (7, ITEMS as usize));
                Ok(ended)
            })?;
            // One would be enough, but a worker may not have had its item for long enough to leave
            // the others.
            assert!(ended <= 6, "{kind:?} in chunks of {size:?}: {ended} items came first");
        }
    }
    Ok(())
}

/// Several calls at once, in threads of their own, wait for a few items each.
fn many_newcomers(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let gate = gate()?;
    let ended = thread::scope(|scope| -> pool_api::Result<u32> {
        let maps = [20, 50].map(|size| {
            let (pool, gate) = (&pool, &gate);
            scope.spawn(move || {
                let items = (0..ITEMS / 2).map(|_| gate.clone());
                pool.tasks(items).chunk_size(size as usize).map(gated)
            })
        });
        until_busy(&gate);
        let calls = [1, 2, 3, 4].map(|x| {
            let pool = &pool;
            scope.spawn(move || pool.apply(x, nothing))
        });
        let ended = let_end(&gate, || calls.iter().all(|call| call.is_finished()));
        gate.1.set(u32::MAX);
        for (x, call) in (1..).zip(calls) {
            assert_eq!(call.join().expect("no panic")?, x);
        }
        for map in maps {
            assert_eq!(map.join().expect("no panic")?.len(), ITEMS as usize / 2);
        }
        Ok(ended)
    })?;
    assert!(ended <= 20, "{ended} items came first");
    Ok(())
}

/// A map with enough items has its share beside one in long chunks.
fn short_beside_long(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for size in [1, 50] {
        let gate = gate()?;
        let ended = thread::scope(|scope| -> pool_api::Result<u32> {
            let map = scope.spawn(|| run_map(&pool, &gate, Kind::Map, Some(size)));
            until_busy(&gate);
            let short = scope.spawn(|| pool.tasks(0..20).chunk_size(1).map(nothing));
            let ended = let_end(&gate, || short.is_finished());
            gate.1.set(u32::MAX);
            assert!(short.join().expect("no panic")?.into_iter().eq(0..20));
            assert_eq!(map.join().expect("no panic")?, ITEMS as usize);
            Ok(ended)
        })?;
        assert!(ended <= 60, "in chunks of {size}: {ended} items for 20");
    }
    Ok(())
}

fn pause(x: u32) -> u32 {
    thread::sleep(Duration::from_millis(2));
    x
}

/// Single calls, one after the other, do not keep a map from its turns.
fn beside_callers(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for size in [1, 10] {
        let (over, calls) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| -> pool_api::Result<()> {
            for _ in 0..6 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        pool.apply(1, pause).expect("no failure");
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let map = pool.tasks(0..50).chunk_size(size).map(pause);
            over.store(true, Ordering::Relaxed);
            assert!(map?.into_iter().eq(0..50));
            Ok(())
        })?;
        let calls = calls.into_inner();
        assert!(calls <= 50 * 6, "{calls} calls beside 50 items in chunks of {size}");
    }
    Ok(())
}

/// Chunks for one worker each are not cut: later chunks would overtake the rest.
fn ordered_beside_others(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_init(|_| None::<u32>).build()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pool.apply(1, nothing).expect("no failure");
            }
        });
        let later = pool.tasks(0..60).order_tasks(true).chunk_size(5).with_worker().map(|w, n| {
            thread::sleep(Duration::from_micros(700));
            let before = w.state.replace(n);
            (w.id(), before.is_none_or(|before| before < n))
        });
        over.store(true, Ordering::Relaxed);
        for (n, (id, later)) in (0..).zip(later?) {
            assert!(id == n / 5 % 2 && later, "item {n} on worker {id}");
        }
        Ok(())
    })
}

/// Beside calls that come all the time, chunks leave their rest again and again.
fn each_once(method: StartMethod) -> Outcome {
    for lifespan in [None, Some(7)] {
        let mut builder = builder(method, 2);
        if let Some(tasks) = lifespan {
            builder = builder.worker_lifespan(tasks);
        }
        let pool = builder.build()?;
        let runs = SharedValue::new(0u32)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| -> Outcome {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        pool.apply(1, nothing).expect("no failure");
                    }
                });
            }
            let values = pool.tasks((0..120).map(|n| (runs.clone(), n))).chunk_size(30).map(
                |(runs, n): (SharedValue<u32>, u32)| {
                    thread::sleep(Duration::from_micros(700));
                    runs.fetch_add(1);
                    n.to_string()
                },
            );
            let failures = pool.tasks(0..60u32).chunk_size(20).map_results(|n| {
                thread::sleep(Duration::from_micros(700));
                assert!(n % 7 != 3, "item {n}");
                n
            });
            over.store(true, Ordering::Relaxed);
            assert!(values?.into_iter().eq((0..120).map(|n: u32| n.to_string())));
            assert_eq!(runs.get(), 120);
            for (n, result) in (0..).zip(failures?) {
                match result {
                    Ok(value) => assert!(value == n && n % 7 != 3),
                    Err(task) => assert!(task.index() == u64::from(n) && n % 7 == 3, "{task}"),
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Items that end their worker fail alone, or after all their tries, wherever in a chunk they are.
fn deaths(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let over = AtomicBool::new(false);
    let tries = SharedValue::new(0u32)?;
    thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pool.apply(1, nothing).expect("no failure");
            }
        });
        let items = (0..60).map(|n| (tries.clone(), n));
        let results = pool.tasks(items).chunk_size(15).retry(1).map_results(
            |(tries, n): (SharedValue<u32>, u32)| {
                thread::sleep(Duration::from_micros(700));
                if n % 20 == 11 {
                    tries.fetch_add(1);
                    sys::raise(sys::SIGKILL);
                }
                n
            },
        );
        over.store(true, Ordering::Relaxed);
        for (n, result) in (0..).zip(results?) {
            match result {
                Ok(value) => assert!(value == n && n % 20 != 11),
                Err(task) => {
                    assert_eq!((task.index(), task.tries(), n % 20), (u64::from(n), 2, 11));
                }
            }
        }
        assert_eq!(tries.get(), 6, "two tries each");
        Ok(())
    })
}

/// A call does not wait for a map that has more chunks under way than the board has slots.
fn beside_full_board(method: StartMethod) -> Outcome {
    const MANY: u32 = 600;
    let pool = pool(method, 2)?;
    let gate = gate()?;
    let ended = thread::scope(|scope| -> pool_api::Result<u32> {
        let map = scope.spawn(|| {
            let tasks = pool.tasks((0..MANY).map(|_| gate.clone())).chunk_size(1);
            tasks.max_tasks_active(1000).map(gated)
        });
        until_busy(&gate);
        let call = pool.apply_async(7, nothing)?;
        let ended = let_end_of(&gate, MANY, || call.ready());
        gate.1.set(u32::MAX);
        assert_eq!(map.join().expect("no panic")?.len(), MANY as usize);
        Ok(ended)
    })?;
    assert!(ended < 20, "{ended} items ended before the call");
    Ok(())
}

fn take_ticket(tickets: SharedValue<u32>) -> u32 {
    tickets.fetch_add(1)
}

/// Single calls run in order, even if only the later ones find chunks that they could overtake.
fn calls_in_order(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (gate, tickets) = (gate()?, SharedValue::new(0)?);
    thread::scope(|scope| -> Outcome {
        let map = scope.spawn(|| pool.tasks([gate.clone(), gate.clone()]).chunk_size(1).map(gated));
        until_busy(&gate);
        let calls = (0..6).map(|_| Ok(pool.apply_async(tickets.clone(), take_ticket)?));
        let calls = calls.collect::<pool_api::Result<Vec<_>>>()?;
        // One worker runs all of them.
        gate.1.set(1);
        let taken = calls.into_iter().map(|call| call.get()).collect::<pool_api::Result<Vec<_>>>();
        gate.1.set(2);
        assert_eq!(map.join().expect("no panic")?.len(), 2);
        assert_eq!(taken?, [0, 1, 2, 3, 4, 5]);
        Ok(())
    })
}

/// A broadcast waits for a few items of a chunk, even if the other worker is idle: it may not run
/// the busy one's item.
fn broadcast_beside_chunk(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (begun, allowed) = &gate()?;
    let items = || (0..40).map(|_| (begun.clone(), allowed.clone()));
    let (map, broadcast) = (AtomicBool::new(false), AtomicBool::new(false));
    let ended = thread::scope(|scope| -> pool_api::Result<u32> {
        let long = scope.spawn(|| {
            let values = pool.tasks(items()).chunk_size(100).map(gated);
            map.store(true, Ordering::SeqCst);
            values
        });
        while begun.get() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let short = scope.spawn(|| {
            let ids = pool.broadcast(|worker| worker.id());
            broadcast.store(true, Ordering::SeqCst);
            ids
        });
        let over = || broadcast.load(Ordering::SeqCst) || map.load(Ordering::SeqCst);
        let mut ended = 0;
        while !over() {
            if begun.get() > ended {
                ended += 1;
                allowed.set(ended);
            }
            thread::sleep(Duration::from_micros(200));
        }
        allowed.set(u32::MAX);
        assert_eq!(short.join().expect("no panic")?, [0, 1]);
        assert_eq!(long.join().expect("no panic")?.len(), 40);
        Ok(ended)
    })?;
    assert!(ended < 20, "{ended} items ended before the broadcast");
    Ok(())
}

/// All chunks of a map have their turns beside single calls, of which thousands may wait.
fn map_beside_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let gate = gate()?;
    let calls = (0..ITEMS).map(|_| Ok(pool.apply_async(gate.clone(), gated)?));
    let calls = calls.collect::<pool_api::Result<Vec<_>>>()?;
    until_busy(&gate);
    let over = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        let map = scope.spawn(|| {
            let values = pool.tasks(0..10).chunk_size(1).map(nothing);
            over.store(true, Ordering::SeqCst);
            values
        });
        let ended = let_end(&gate, || over.load(Ordering::SeqCst));
        gate.1.set(u32::MAX);
        map.join().expect("no panic").map(|values| (ended, values.len()))
    });
    calls.into_iter().try_for_each(|call| call.get().map(drop))?;
    let (ended, len) = ended?;
    assert!(len == 10 && ended < ITEMS / 2, "{ended} calls ended before the map");
    Ok(())
}
