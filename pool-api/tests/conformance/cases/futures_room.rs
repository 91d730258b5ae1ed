//! Calls of one item that find no room: those that come back at once.

use std::cell::RefCell;

use pool_api::{AsyncResult, Error, StartMethod, WorkerPool};

use super::futures_told::{begun_until_told, until_told};
use crate::{
    case::{Case, Outcome, pool},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_that_find_no_room_come_back", comes_back),
    Case::new("futures_find_no_room_during_a_stop", during_a_stop).processes(),
];

/// A pool of one worker that is busy until the gate opens, and that takes no further call.
struct Full {
    pool: WorkerPool,
    gate: Scratch,
    busy: AsyncResult<u32>,
    /// The calls that wait.
    waiting: Vec<AsyncResult<u32>>,
}

impl Full {
    fn new(method: StartMethod) -> Result<Self, Box<dyn std::error::Error>> {
        let (pool, gate) = (pool(method, 1)?, Scratch::new());
        let busy = pool.apply_async((gate.path(), 7), until_told)?;
        let mut waiting = Vec::new();
        loop {
            match pool.task(waiting.len() as u32).try_apply_async(|n| n) {
                Ok(handle) => waiting.push(handle),
                Err(refused) => {
                    assert_eq!(refused.item as usize, waiting.len());
                    assert!(matches!(refused.error, Error::QueueFull), "{refused}");
                    break;
                }
            }
        }
        // Few calls are under way beside those that wait.
        assert!((4096..4200).contains(&waiting.len()), "{}", waiting.len());
        Ok(Self { pool, gate, busy, waiting })
    }

    fn open(&self) {
        append(&self.gate.path(), 1);
    }

    /// All calls have their values.
    fn check(self) -> Outcome {
        assert_eq!(self.busy.get()?, 7);
        for (n, handle) in (0..).zip(self.waiting) {
            assert_eq!(handle.get()?, n);
        }
        Ok(())
    }
}

fn comes_back(method: StartMethod) -> Outcome {
    let mut full = Full::new(method)?;
    let late = RefCell::new(None);
    let hand_in = || {
        *late.borrow_mut() = full.pool.task(1u32).try_apply_async(|n| n + 1).ok();
        late.borrow().is_some()
    };
    if method == StartMethod::Threads {
        // A call that was cancelled leaves when its turn comes.
        assert!(!hand_in());
        full.open();
    } else {
        assert!(full.waiting.last().is_some_and(AsyncResult::cancel));
    }
    wait_until("there is room", hand_in);
    full.open();
    assert_eq!(late.take().ok_or("it was handed in")?.get()?, 2);
    if method != StartMethod::Threads {
        let cancelled = full.waiting.pop().ok_or("it was there")?;
        assert!(matches!(cancelled.get(), Err(Error::Cancelled)));
    }
    full.check()
}

fn during_a_stop(method: StartMethod) -> Outcome {
    let (pool, gate, begun) = (pool(method, 2)?, Scratch::new(), Scratch::new());
    let before = RefCell::new(Vec::new());
    std::thread::scope(|scope| -> Outcome {
        // The stop waits for this call, and one worker is left for the others.
        let busy = scope.spawn(|| pool.apply((begun.path(), gate.path()), begun_until_told));
        wait_until("it has begun", || !begun.numbers().is_empty());
        let stop = scope.spawn(|| pool.stop_and_join());
        wait_until("no call is taken in", || match pool.task(1u32).try_apply_async(|n| n) {
            Ok(handle) => {
                before.borrow_mut().push(handle);
                false
            }
            Err(refused) => matches!(refused.error, Error::QueueFull),
        });
        append(&gate.path(), 1);
        assert_eq!(busy.join().expect("no panic")?, 7);
        Ok(stop.join().expect("no panic")?)
    })?;
    for handle in before.into_inner() {
        assert_eq!(handle.get()?, 1);
    }
    assert_eq!(pool.task(1u32).try_apply_async(|n| n)?.get()?, 1);
    Ok(())
}
