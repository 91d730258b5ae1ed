//! Pools whose tasks, inputs and callbacks use other pools: a wait that leads back to itself is
//! refused, however many pools lie between.

use std::{
    sync::{
        Arc, OnceLock, RwLock,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use pool_api::{Error, StartMethod, WorkerPool};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("a_task_that_comes_back_through_other_pools", round).threads(),
    Case::new("a_task_that_its_caller_stops_waiting_for", left_alone).threads(),
    Case::new("a_task_that_stops_the_pool_whose_call_waits_for_it", stops_its_caller),
    Case::new("callbacks_that_stop_each_others_pools", crossing_stops),
];

const LONG: Duration = Duration::from_secs(20);

type Pools = [WorkerPool; 3];

/// The pools that tasks use: gone after each case.
static POOLS: RwLock<Option<Arc<Pools>>> = RwLock::new(None);

fn pools() -> Arc<Pools> {
    POOLS.read().expect("no panic").clone().expect("made by the case")
}

fn make_pools(method: StartMethod) -> Outcome {
    let pools = [pool(method, 1)?, pool(method, 1)?, pool(method, 1)?];
    *POOLS.write()? = Some(Arc::new(pools));
    Ok(())
}

fn end_pools() {
    drop(POOLS.write().expect("no panic").take());
}

/// Whether the call of the last task was refused.
fn refused<T>(came: Result<T, Error>) -> bool {
    matches!(came, Err(Error::NestedUse))
}

/// The result with its error as text, which can cross.
fn text<T>(came: Result<T, Error>) -> Result<T, String> {
    came.map_err(|error| error.to_string())
}

fn round(method: StartMethod) -> Outcome {
    make_pools(method)?;
    let all = pools();
    let [a, b, _] = &*all;
    let twice =
        a.apply(1u8, |x| text(pools()[1].apply(x, |x| refused(pools()[0].apply(x, |x| x)))))?;
    assert!(twice?, "A, B, A");
    let thrice = b.apply(1u8, |x| {
        text(pools()[2].map([x], |x| {
            let inner = pools()[0].apply_async(x, |x| refused(pools()[1].map([x], |x| x)));
            inner.expect("another pool").get().expect("no panic")
        }))
    })?;
    assert_eq!(thrice?, [true], "B, C, A, B");
    let ends = a.apply(1u8, |x| {
        let ends = |_| {
            let all = pools();
            let pool = &all[0];
            [refused(pool.stop_and_join()), refused(pool.terminate())]
        };
        text(pools()[1].apply(x, ends))
    })?;
    assert_eq!(ends?, [true; 2]);
    assert!(a.apply(1u8, |x| text(pools()[1].apply(x, |x| x)))?.is_ok(), "nothing comes back");
    end_pools();
    Ok(())
}

static GO_ON: OnceLock<std::sync::Mutex<Receiver<()>>> = OnceLock::new();

fn left_alone(method: StartMethod) -> Outcome {
    make_pools(method)?;
    let all = pools();
    let [a, ..] = &*all;
    let (to, told) = mpsc::channel();
    GO_ON.set(told.into()).expect("the first time");
    // The task in B goes on when this task has ended.
    let handle = a.apply(1u8, |x| {
        let waits = |x: u8| {
            let go_on = GO_ON.get().expect("set above").lock().expect("the only one");
            go_on.recv().expect("the case goes on");
            text(pools()[0].apply(x, |x| x + 1))
        };
        HANDLE.set(pools()[1].apply_async(x, waits).expect("another pool").into()).is_ok()
    })?;
    assert!(handle);
    to.send(())?;
    let handle = HANDLE.get().expect("set by the task").lock().expect("no panic").take();
    assert_eq!(handle.expect("it is there").get()??, 2);
    end_pools();
    Ok(())
}

type Handle = pool_api::AsyncResult<Result<u8, String>>;
struct Kept(std::sync::Mutex<Option<Handle>>);
static HANDLE: OnceLock<Kept> = OnceLock::new();

impl From<Handle> for Kept {
    fn from(handle: Handle) -> Self {
        Self(Some(handle).into())
    }
}

impl std::ops::Deref for Kept {
    type Target = std::sync::Mutex<Option<Handle>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn stops_its_caller(method: StartMethod) -> Outcome {
    make_pools(method)?;
    let all = pools();
    let [outer, ..] = &*all;
    let threads = pool(StartMethod::Threads, 1)?;
    let stop = |_: u8| refused(pools()[0].stop_and_join());
    let mut seen = Vec::new();
    let input = (0..2u8).inspect(|x| seen.push(threads.apply(*x, stop).expect("another pool")));
    assert_eq!(outer.map(input, |x| x)?, [0, 1]);
    assert_eq!(seen, [true; 2]);
    // In place, the outer pool's worker waits for the callback as well.
    let map = |x: u8| refused(pools()[0].map([x], |x| x));
    let mut seen = Vec::new();
    outer.tasks([1u8]).for_each_view(|x| x, |_, _| seen.push(threads.apply(1, map)))?;
    assert!(seen.pop().expect("called once")?);
    assert!(!threads.apply(1u8, stop)?, "no call waits for it");
    assert_eq!(outer.map([1u8], |x| x)?, [1]);
    outer.stop_and_join()?;
    end_pools();
    Ok(())
}

fn crossing_stops(method: StartMethod) -> Outcome {
    let pools = [pool(method, 1)?, pool(method, 1)?].map(Arc::new);
    let both = Arc::new(std::sync::Barrier::new(2));
    let (to, told) = mpsc::channel();
    for at in 0..2 {
        let (other, both, to) = (pools[1 - at].clone(), both.clone(), to.clone());
        pools[at].apply_async(1u8, |x| x)?.callback(move |_| {
            both.wait();
            to.send(other.stop_and_join()).expect("the case listens");
        });
    }
    let said = [told.recv_timeout(LONG)?, told.recv_timeout(LONG)?];
    let well = said.iter().filter(|said| said.is_ok()).count();
    let nested = said.iter().filter(|said| matches!(said, Err(Error::NestedUse))).count();
    assert!(nested >= 1 && well + nested == 2, "{said:?}");
    let after = thread::scope(|scope| scope.spawn(|| pools[0].map([1u8], |x| x)).join());
    assert_eq!(after.expect("no panic")?, [1]);
    Ok(())
}
