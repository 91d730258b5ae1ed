//! Uses of a pool by the user's code that the pool runs: in the thread that completes a future, in
//! the thread of callbacks, in a call. A table of caller × act, and the answer of each cell:
//! refused (it would wait for itself), or done. No cell waits for ever, nor makes others do so.

use std::{
    fmt, process,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use pool_api::{
    AsyncResult, Error, SharedEvent, StartMethod, WaitFor, WorkerPool, as_completed,
    rkyv::{Archive, Deserialize, Place, Serialize, rancor::Fallible},
    wait,
};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("nested_use_in_a_waker", |method| row(WAKER, method)),
    Case::new("nested_use_in_a_callback", |method| row(CALLBACK, method)),
    Case::new("nested_use_in_the_clone_of_a_result", |method| row(CLONE, method)),
    Case::new("nested_use_in_the_drop_of_a_result", |method| row(DROP, method)),
    Case::new("nested_use_in_the_input", |method| row(INPUT, method)),
    Case::new("nested_use_in_the_decoding_of_a_result", |method| row(DECODING, method)).processes(),
];

/// How long a cell may take.
const WATCHDOG: Duration = Duration::from_secs(5);

const WAKER: u8 = 0;
const CALLBACK: u8 = 1;
const CLONE: u8 = 2;
const DROP: u8 = 3;
const INPUT: u8 = 4;
const DECODING: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Stop,
    Terminate,
    Map,
    Get,
    Wait,
    AsCompleted,
    Poll,
    DropPool,
    /// Waits for the very result for which the code runs.
    WaitForItself,
}

const ACTS: [Act; 9] = [
    Act::Stop,
    Act::Terminate,
    Act::Map,
    Act::Get,
    Act::Wait,
    Act::AsCompleted,
    Act::Poll,
    Act::DropPool,
    Act::WaitForItself,
];

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    NestedUse,
    Done,
}

/// The kind of call for which the code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    One,
    Map,
}

/// One cell of the table while it runs.
struct Cell {
    process: u32,
    who: u8,
    act: Act,
    pool: Arc<WorkerPool>,
    /// Another future, handed in together with the one for which the code runs.
    other: AsyncResult<u64>,
    own: Box<dyn Fn() -> Result<(), Error> + Send>,
    to: mpsc::Sender<Result<(), Error>>,
}

static CELL: Mutex<Option<Cell>> = Mutex::new(None);

fn cell() -> MutexGuard<'static, Option<Cell>> {
    CELL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by the user's code of this kind: does the act of the cell, once.
fn act(who: u8) {
    let mut there = cell();
    let is_it = |cell: &Cell| cell.who == who && cell.process == process::id();
    let Some(Cell { act, pool, other, own, to, .. }) = there.take_if(|cell| is_it(cell)) else {
        return;
    };
    drop(there);
    let said = (|| {
        let fresh = || pool.apply_async(1u64, |x| x);
        match act {
            Act::Stop => pool.stop_and_join(),
            Act::Terminate => pool.terminate(),
            Act::Map => pool.map(0..3u64, |x| x + 1).map(|sums| assert_eq!(sums, [1, 2, 3])),
            Act::Get => other.get().and_then(|_| fresh()?.get()).map(drop),
            Act::Wait => wait(&[other, fresh()?], WaitFor::All, None).map(drop),
            Act::AsCompleted => {
                as_completed([other, fresh()?])?.try_for_each(|(_, handle)| handle.get().map(drop))
            }
            Act::Poll => {
                let mut fresh = fresh()?;
                match Future::poll(
                    std::pin::Pin::new(&mut fresh),
                    &mut Context::from_waker(Waker::noop()),
                ) {
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
                }
            }
            Act::DropPool => Ok(()),
            Act::WaitForItself => own(),
        }
    })();
    drop(pool);
    let _ = to.send(said);
}

/// A result whose own code does the act.
struct Probe;

impl Clone for Probe {
    fn clone(&self) -> Self {
        act(CLONE);
        Self
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        act(DROP);
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl Archive for Probe {
    type Archived = u8;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<u8>) {
        out.write(1);
    }
}

impl<S: Fallible + ?Sized> Serialize<S> for Probe {
    fn serialize(&self, _: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl<D: Fallible + ?Sized> Deserialize<Probe, D> for u8 {
    fn deserialize(&self, _: &mut D) -> Result<Probe, D::Error> {
        act(DECODING);
        Ok(Probe)
    }
}

struct Acts;

impl Wake for Acts {
    fn wake(self: Arc<Self>) {
        act(WAKER);
    }
}

/// The expected answer of a cell.
fn expected(who: u8, way: Way, act: Act, method: StartMethod) -> Answer {
    // A thread of the pool completes a call of one item itself.
    let in_worker =
        method == StartMethod::Threads && way == Way::One && matches!(who, WAKER | CLONE | DROP);
    match act {
        Act::DropPool => Answer::Done,
        _ if in_worker && !(act == Act::WaitForItself && who != CLONE) => Answer::NestedUse,
        // A stop waits for no iterator: it ends those.
        Act::Stop if who == INPUT && way == Way::Map => Answer::Done,
        Act::Stop => Answer::NestedUse,
        Act::WaitForItself if matches!(who, CLONE | DECODING) => Answer::NestedUse,
        _ => Answer::Done,
    }
}

fn row(who: u8, method: StartMethod) -> Outcome {
    for act in ACTS {
        for way in [Way::One, Way::Map] {
            let what = format!("{act:?} in {who}, {way:?}, {method}");
            let said = run(who, way, act, method).map_err(|error| format!("{what}: {error}"))?;
            assert_eq!(said, expected(who, way, act, method), "{what}");
        }
    }
    Ok(())
}

/// Waits for the gate, so that nothing ends before all is ready.
fn probe(gate: SharedEvent) -> Probe {
    gate.wait();
    Probe
}

fn run(
    who: u8,
    way: Way,
    act_: Act,
    method: StartMethod,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let pool = Arc::new(pool(method, 2)?);
    let gate = SharedEvent::new()?;
    let waits = |gate: SharedEvent| {
        gate.wait();
        7u64
    };
    let (to, told) = mpsc::channel();
    let (other, beside) =
        (pool.apply_async(gate.clone(), waits)?, pool.apply_async(gate.clone(), waits)?);
    // Until the handle is known, nothing of the cell runs: the gate is closed.
    let mut own: Box<dyn Fn() -> Result<(), Error> + Send> = Box::new(|| Ok(()));
    let mut kept = None;
    if who != INPUT {
        match way {
            Way::One => hold(pool.apply_async(gate.clone(), probe)?, who, &mut own, &mut kept),
            Way::Map => hold(pool.map_async([gate.clone()], probe)?, who, &mut own, &mut kept),
        }
    }
    let shared = pool.clone();
    *cell() = Some(Cell { process: process::id(), who, act: act_, pool: shared, other, own, to });
    let pool = if act_ == Act::DropPool && who != INPUT {
        drop(pool);
        None
    } else {
        Some(pool)
    };
    gate.set();
    if let (Some(pool), true) = (&pool, who == INPUT) {
        let input = (0..3u64).inspect(|_| act(INPUT));
        let ended = match way {
            Way::One => pool.map(input, |x| x).map(drop),
            Way::Map => pool.imap(input, |x| x).try_for_each(|value| value.map(drop)),
        };
        assert!(ended.is_ok() || matches!(ended, Err(Error::Terminated)), "{ended:?}");
    }
    let said = told.recv_timeout(WATCHDOG).map_err(|_| "the code has not come back")?;
    let answer = match said {
        Ok(()) => Answer::Done,
        Err(Error::NestedUse) => Answer::NestedUse,
        Err(other) => return Err(other.into()),
    };
    // The other future must end, too.
    if !beside.wait_timeout(WATCHDOG)? {
        return Err("another future has not ended".into());
    }
    if let Some(ended) = kept
        && !ended()?
    {
        return Err("the future itself has not ended".into());
    }
    if let Some(pool) = pool {
        assert_eq!(pool.map([1u64, 2], |x| x + 1)?, [2, 3]);
        pool.stop_and_join()?;
    }
    Ok(answer)
}

type Ended = Box<dyn FnOnce() -> Result<bool, Error>>;

/// Makes the code run when the future ends.
fn hold<R: Clone + Send + Sync + 'static>(
    handle: AsyncResult<R>,
    who: u8,
    own: &mut Box<dyn Fn() -> Result<(), Error> + Send>,
    kept: &mut Option<Ended>,
) {
    let mut handle = handle;
    match who {
        WAKER => {
            let waker = Waker::from(Arc::new(Acts));
            let polled = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        CALLBACK => handle.callback(|_| act(CALLBACK)),
        CLONE => handle.callback(drop),
        // The handle is gone when the result comes.
        DROP => return,
        _ => {}
    }
    let handle = Arc::new(handle);
    let itself = handle.clone();
    *own = Box::new(move || itself.wait());
    *kept = Some(Box::new(move || handle.wait_timeout(WATCHDOG)));
}
