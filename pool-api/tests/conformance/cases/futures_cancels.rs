//! Futures that are cancelled while others wait: for them, for room, or for the end of the pool.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use pool_api::{AsyncResult, Error, StartMethod, WorkerPool};

use super::futures_told::begun_until_told;
use crate::{
    case::{Case, Outcome, pool, sized},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_cancelled_beside_a_stop", beside_a_stop),
    Case::new("map_async_without_items_beside_a_stop", empty_beside_a_stop),
    Case::new("futures_cancelled_while_others_wait", seen_by_others),
    Case::new("map_async_cancelled_makes_room", makes_room),
    Case::new("futures_cancelled_beside_workers_that_begin", beside_begins).threads(),
];

fn beside_a_stop(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for round in 0..12u64 {
        let map = pool.tasks(0..500u64).chunk_size(1).map_async(|x| x)?;
        let ones: Vec<_> =
            (0..3 * round).map(|x| pool.apply_async(x, |x| x)).collect::<Result<_, _>>()?;
        thread::scope(|scope| {
            let stops = scope.spawn(|| pool.stop_and_join());
            (0..20 * round).for_each(|_| thread::yield_now());
            map.cancel();
            for one in &ones {
                one.cancel();
            }
            stops.join().expect("no panic")
        })?;
        assert!(map.ready() && ones.iter().all(AsyncResult::ready));
        assert!(map.get().is_ok_or_cancelled());
        assert!(ones.into_iter().all(|one| one.get().is_ok_or_cancelled()));
    }
    // Here the cancel is the only event that can wake the stop.
    for _ in 0..3 {
        let (gate, begun) = (Scratch::new(), Scratch::new());
        let items = (0..4).map(|_| (begun.path(), gate.path()));
        let map = pool.map_async(items, begun_until_told)?;
        wait_until("it is begun", || !begun.numbers().is_empty());
        let others = Others::default();
        thread::scope(|scope| {
            let stops = scope.spawn(|| {
                others.join();
                pool.stop_and_join()
            });
            others.sleep(1);
            assert!(map.cancel());
            append(&gate.path(), 1);
            stops.join().expect("no panic")
        })?;
    }
    Ok(())
}

/// Threads of a case that wait for something sooner or later.
#[derive(Default)]
struct Others(Mutex<Vec<PathBuf>>);

impl Others {
    /// Adds the calling thread.
    fn join(&self) {
        let here = fs::read_link("/proc/thread-self").expect("a thread has an entry");
        self.0.lock().expect("no panic").push(Path::new("/proc").join(here).join("stat"));
    }

    /// Waits until so many are there and all of them sleep, or have ended.
    fn sleep(&self, count: usize) {
        let sleeps = |stat: &PathBuf| {
            let stat = fs::read_to_string(stat).unwrap_or_default();
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" S"))
        };
        wait_until("the others sleep", || {
            let others = self.0.lock().expect("no panic");
            others.len() == count && others.iter().all(sleeps)
        });
    }
}

trait Ending {
    fn is_ok_or_cancelled(&self) -> bool;
}

impl<R> Ending for Result<R, Error> {
    fn is_ok_or_cancelled(&self) -> bool {
        matches!(self, Ok(_) | Err(Error::Cancelled))
    }
}

fn empty_beside_a_stop(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    for _ in 0..15 {
        assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
        thread::scope(|scope| {
            let stops = scope.spawn(|| pool.stop_and_join());
            while !stops.is_finished() {
                assert!(pool.map_async([0u8; 0], |x| x)?.get()?.is_empty());
            }
            Ok::<_, Box<dyn std::error::Error>>(stops.join().expect("no panic")?)
        })?;
    }
    Ok(())
}

/// A pool of one worker, which runs a task until the file is no longer empty.
fn busy(method: StartMethod, gate: &Scratch) -> Result<(WorkerPool, AsyncResult<u32>), Error> {
    let pool = pool(method, 1)?;
    let begun = Scratch::new();
    let first =
        pool.apply_async((begun.path(), gate.path()), begun_until_told).map_err(|r| r.error)?;
    wait_until("the worker is at it", || !begun.numbers().is_empty());
    Ok((pool, first))
}

fn comes(told: &Receiver<Result<(), Error>>) -> Outcome {
    Ok(told.recv_timeout(Duration::from_secs(20))??)
}

fn seen_by_others(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let (pool, first) = busy(method, &gate)?;
    let rest: Vec<_> = (0..100u32).map(|x| pool.apply_async(x, |x| x)).collect::<Result<_, _>>()?;
    let map = pool.map_async(0..100u32, |x| x)?;
    let (one, last) = (&rest[0], &rest[99]);
    let others = Others::default();
    let sleeper = |handle: &AsyncResult<u32>| {
        others.join();
        handle.wait()
    };
    thread::scope(|scope| -> Outcome {
        let (to, told) = mpsc::channel();
        // One of them drives the pool, if any thread does.
        scope.spawn(|| sleeper(&first));
        for handle in [one, last] {
            let to = to.clone();
            let sleeper = &sleeper;
            scope.spawn(move || to.send(sleeper(handle)));
        }
        let (to_map, told_map) = mpsc::channel();
        let (map, others) = (&map, &others);
        scope.spawn(move || {
            others.join();
            to_map.send(map.wait())
        });
        others.sleep(4);
        let cancelled = one.cancel();
        if cancelled {
            comes(&told)?;
            others.sleep(4);
        }
        assert!(last.cancel());
        comes(&told)?;
        others.sleep(4);
        assert!(map.cancel());
        comes(&told_map)?;
        append(&gate.path(), 1);
        if !cancelled {
            comes(&told)?;
        }
        Ok(())
    })?;
    assert_eq!(first.get()?, 7);
    Ok(())
}

fn makes_room(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let (pool, first) = busy(method, &gate)?;
    let others = Others::default();
    thread::scope(|scope| -> Outcome {
        let (to, told) = mpsc::channel();
        let pool = &pool;
        // Among so many there is one that waits for room.
        let others = &others;
        scope.spawn(move || {
            others.join();
            for n in 0..1100u32 {
                to.send(pool.map_async([n], |x| x).expect("it is taken"))
                    .expect("the case listens");
            }
        });
        let mut maps = Vec::new();
        // (It may wait for a lock for a moment, too, but not so long.)
        loop {
            while let Ok(map) = told.recv_timeout(Duration::from_millis(500)) {
                maps.push(map);
            }
            others.sleep(1);
            match told.try_recv() {
                Ok(map) => maps.push(map),
                Err(_) => break,
            }
        }
        assert!(maps.len() < 1100);
        maps.drain(..500).for_each(|map| assert!(map.cancel()));
        while maps.len() < 600 {
            maps.push(told.recv_timeout(Duration::from_secs(20))?);
        }
        append(&gate.path(), 1);
        let values: Result<Vec<_>, _> = maps.into_iter().map(AsyncResult::get).collect();
        assert!(values?.into_iter().flatten().eq(500..1100));
        Ok(())
    })?;
    assert_eq!(first.get()?, 7);
    Ok(())
}

/// A call that was taken back is cancelled, also where a worker comes to it at that moment.
fn beside_begins(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for _ in 0..sized(20_000, 4000) / 16 {
        let ones: Vec<_> =
            (0..16u64).map(|x| pool.apply_async(x, |x| x)).collect::<Result<_, _>>()?;
        for (x, one) in (0..).zip(ones) {
            match (one.cancel(), one.get()) {
                (true, Err(Error::Cancelled)) => {}
                (false, Ok(value)) => assert_eq!(value, x),
                other => panic!("{other:?}"),
            }
        }
    }
    Ok(())
}
