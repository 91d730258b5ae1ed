//! What do calls cost of which the caller takes the results later, alone and beside a map?

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use futures_core::Stream;
use pool_api::{AsyncResult, WorkerPool};

use crate::{
    Outcome,
    bout::{Bout, Expected, Sample, Scale, timed},
    line::{Goal, Unit},
    pools::Pools,
};

const ITEMS: u64 = 10_000_000;

fn step(x: u64) -> u64 {
    x.wrapping_mul(3).wrapping_add(1)
}

/// Many calls that do nothing, all handed in first and gathered then.
pub(crate) fn gathered(scale: &Scale) -> Outcome {
    let pools = Pools::build(1)?;
    let count = scale.count(100_000) as u64;
    let case = format!("{count} calls on 1 worker, gathered");
    let mut bout = Bout::new("futures", case, Unit::Tasks);
    for pool in pools.iter() {
        let goals = Expected { aim: Some(Goal::Value(200_000.0)), ..Expected::default() };
        bout.subject(pool.start_method().to_string(), goals, move || {
            let gather = || -> Outcome<Vec<u64>> {
                let submit = |x| pool.apply_async(x, step);
                let handles: Vec<_> = (0..count).map(submit).collect::<Result<_, _>>()?;
                Ok(handles.into_iter().map(AsyncResult::get).collect::<Result<_, _>>()?)
            };
            let (results, seconds) = timed(gather);
            assert!(results?.into_iter().eq((0..count).map(step)), "a result is wrong");
            Ok(count as f64 / seconds)
        });
    }
    bout.run(scale.rounds(9))
}

/// A map that runs alone, and beside a thread that hands in one call after the other and waits for
/// each.
pub(crate) fn beside(scale: &Scale) -> Outcome {
    let workers = 2;
    let pools = Pools::build(workers)?;
    let rounds = scale.rounds(9);
    let latencies: Vec<_> = pools.iter().map(|_| RefCell::new(VecDeque::new())).collect();
    let case = format!("map of {ITEMS} items, {workers} workers");
    let mut bout = Bout::new("futures", case, Unit::Millis);
    for (pool, latencies) in pools.iter().zip(&latencies) {
        let alone = format!("{}, alone", pool.start_method());
        bout.baseline(alone.clone(), move || map(pool));
        let goals = Expected::beside(&alone).aim(Goal::Ratio(1.3));
        bout.subject(format!("{}, beside calls", pool.start_method()), goals, move || {
            let (millis, each) = map_beside_calls(pool)?;
            latencies.borrow_mut().push_back(each);
            Ok(millis)
        });
    }
    bout.run(rounds)?;
    let mut bout = Bout::new("futures", "a call beside that map", Unit::Millis);
    for (pool, latencies) in pools.iter().zip(&latencies) {
        let goals = Expected { aim: Some(Goal::Value(5.0)), ..Expected::default() };
        bout.subject(pool.start_method().to_string(), goals, move || {
            let each = latencies.borrow_mut().pop_front().ok_or("one for each round")?;
            Ok(Sample::of_each(each))
        });
    }
    bout.run(rounds)
}

/// The ways to many values, one after the other: at once or one by one, waited for in a call or
/// elsewhere.
pub(crate) fn ways(scale: &Scale) -> Outcome {
    let workers = 2;
    let pools = Pools::build(workers)?;
    let count = scale.count(1_000_000) as u64;
    let case = format!("{count} items, {workers} workers");
    let mut bout = Bout::new("futures", case, Unit::MegaTasks);
    for pool in pools.iter() {
        let name = |way: &str| format!("{}, {way}", pool.start_method());
        let rate = move |run: &dyn Fn() -> pool_api::Result<Vec<u64>>| -> Outcome<f64> {
            let (results, seconds) = timed(run);
            assert!(results?.into_iter().eq((0..count).map(step)), "a result is wrong");
            Ok(count as f64 / seconds / 1e6)
        };
        let items = move || pool.tasks(0..count);
        bout.baseline(name("map"), move || rate(&|| items().map(step)));
        bout.subject(name("map_async"), Expected::beside(&name("map")), move || {
            rate(&|| items().map_async(step)?.get())
        });
        bout.baseline(name("imap"), move || rate(&|| items().imap(step).collect()));
        bout.subject(name("imap_stream"), Expected::beside(&name("imap")), move || {
            rate(&|| collect(items().imap_stream(step)))
        });
    }
    bout.run(scale.rounds(9))
}

/// Wakes a thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// All values of a stream, polled in this thread.
fn collect<S: Stream<Item = pool_api::Result<u64>> + Unpin>(
    mut stream: S,
) -> pool_api::Result<Vec<u64>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut values = Vec::new();
    loop {
        match Pin::new(&mut stream).poll_next(&mut context) {
            Poll::Ready(Some(value)) => values.push(value?),
            Poll::Ready(None) => return Ok(values),
            Poll::Pending => thread::park(),
        }
    }
}

/// Milliseconds.
fn map(pool: &WorkerPool) -> Outcome<f64> {
    let (results, seconds) = timed(|| pool.map(0..ITEMS, step));
    assert!(results?.into_iter().eq((0..ITEMS).map(step)), "a result is wrong or misplaced");
    Ok(seconds * 1e3)
}

/// Milliseconds of the map, and of each call that ended before it.
fn map_beside_calls(pool: &WorkerPool) -> Outcome<(f64, Vec<f64>)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut each = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let x = each.len() as u64;
                assert_eq!(pool.apply_async(x, step)?.get()?, step(x));
                each.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, pool_api::Error>(each)
        });
        let (results, seconds) = timed(|| pool.map(0..ITEMS, step));
        over.store(true, Ordering::Relaxed);
        let each = calls.join().map_err(|_| "the calls have panicked")??;
        assert!(results?.into_iter().eq((0..ITEMS).map(step)), "a result is wrong or misplaced");
        Ok((seconds * 1e3, each))
    })
}
