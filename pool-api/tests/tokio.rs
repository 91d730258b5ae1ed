//! Handles and streams in tokio: tasks wait without blocking its thread, and a runtime that is
//! dropped in the middle does no harm.
//!
//! Without libtest, since Fork needs a process with one thread: the runtimes here have none of
//! their own.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use futures_sink::Sink;
use pool_api::{
    Error, ImapStream, StartMethod, WorkerPool,
    channel::{RecvStream, SendSink, channel},
};
use tokio::{runtime::Runtime, task::yield_now, time::timeout};

#[path = "support/each_method.rs"]
mod each_method;
#[allow(dead_code)]
#[path = "conformance/footprint.rs"]
mod footprint;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/sys.rs"]
mod sys;

use each_method::{Case, Outcome, pool, run_all};
use scratch::{Scratch, append, read_numbers, wait_until};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() -> Outcome {
    run_all(&CASES)
}

const CASES: [(&str, Case); 4] = [
    ("tasks_await_handles_and_streams", awaited),
    ("a_waiting_task_does_not_block_the_others", does_not_block),
    ("a_dropped_runtime_harms_no_other", dropped_runtime),
    ("tasks_await_channels", channels),
];

/// A runtime that runs its tasks in the thread that blocks on it.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Blocks until the future is ready, within the deadline.
fn run<F: Future>(runtime: &Runtime, future: F) -> Outcome<F::Output> {
    Ok(runtime.block_on(async { timeout(DEADLINE, future).await })?)
}

/// Returns its second part when the file is no longer empty.
fn until_told((path, n): (String, u64)) -> u64 {
    wait_until("it is told", || !read_numbers(&path).is_empty());
    n
}

fn awaited(method: StartMethod) -> Outcome {
    let (pool, runtime) = (pool(method)?, runtime()?);
    let sums: Vec<_> = (1..9u64)
        .map(|n| {
            let mut stream = pool.tasks(0..200 * n).imap_stream(|x| x);
            let map = pool.map_async(0..200 * n, |x| x);
            let one = pool.apply_async(n, |n| 200 * n);
            // A task owns the handle and the stream: neither borrows the pool.
            runtime.spawn(async move {
                let mut sum = 0;
                while let Some(value) = next(&mut stream).await {
                    sum += value?;
                }
                assert_eq!(map?.await?.into_iter().sum::<u64>(), sum);
                assert_eq!(sum, (0..one?.await?).sum::<u64>());
                Ok::<u64, Error>(sum)
            })
        })
        .collect();
    for sum in sums {
        assert!(run(&runtime, sum)??? > 0);
    }
    let fails = pool.tasks(0..9u32).imap_stream(|n| assert!(n != 5));
    let failed = run(&runtime, async move {
        let mut stream: ImapStream<_, _> = fails;
        while let Some(value) = next(&mut stream).await {
            value?;
        }
        Ok(())
    })?;
    assert!(matches!(failed, Err(Error::Task(task)) if task.index() == 5));
    Ok(())
}

fn does_not_block(method: StartMethod) -> Outcome {
    let (gate, pool, runtime) = (Scratch::new(), pool(method)?, runtime()?);
    let mut stream = pool.tasks([(gate.path(), 7), (gate.path(), 8)]).imap_stream(until_told);
    let handle = pool.apply_async((gate.path(), 9), until_told)?;
    let waits = runtime.spawn(async move {
        let first = next(&mut stream).await.ok_or(Error::Cancelled)??;
        let second = next(&mut stream).await.ok_or(Error::Cancelled)??;
        Ok::<_, Error>((first, second, handle.await?))
    });
    run(&runtime, async {
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!waits.is_finished());
        // Only another task of the same thread lets the first one go on.
        append(&gate.path(), 1);
        assert_eq!(waits.await??, (7, 8, 9));
        Ok(())
    })?
}

fn dropped_runtime(method: StartMethod) -> Outcome {
    // Tasks read these files until the pool has ended.
    let gates: Vec<_> = (0..5).map(|_| Scratch::new()).collect();
    let pool = pool(method)?;
    for (round, gate) in gates.iter().enumerate() {
        let (first, second) = (runtime()?, runtime()?);
        let mut stream = pool.tasks(0u64..).imap_stream(|x| x);
        let mut stuck = pool.tasks([(gate.path(), 7)]).imap_stream(until_told);
        let handle = pool.apply_async((gate.path(), 9), until_told)?;
        let mut numbers = first.spawn(async move {
            while let Some(value) = next(&mut stream).await {
                value?;
                yield_now().await;
            }
            Ok::<(), Error>(())
        });
        first.spawn(async move { next(&mut stuck).await });
        first.spawn(handle);
        let early = first.block_on(async { timeout(Duration::from_millis(2), &mut numbers).await });
        assert!(early.is_err(), "it has no end");
        drop(first);
        append(&gate.path(), 1);
        assert_eq!(pool.map(0..100 + round, |x| x)?.len(), 100 + round);
        let handle = pool.apply_async(round, |x| x)?;
        assert_eq!(run(&second, handle)??, round);
    }
    Ok(())
}

/// A task sends by a sink, a worker doubles, another task receives by a stream; both wait again and
/// again, since the channels hold few messages.
fn channels(method: StartMethod) -> Outcome {
    let pool = WorkerPool::builder().start_method(method).n_jobs(1).build()?;
    let (sender, numbers) = channel::<u64>(2)?;
    let (doubled, receiver) = channel::<u64>(2)?;
    let work = pool.apply_async((numbers, doubled), |(numbers, doubled)| {
        numbers.iter().for_each(|n| doubled.send(2 * n.expect("whole")).expect("it is open"));
    })?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let send = async {
            let mut sink = SendSink::new(sender);
            for number in 0..1000 {
                poll_fn(|context| Pin::new(&mut sink).poll_ready(context)).await?;
                Pin::new(&mut sink).start_send(number)?;
            }
            poll_fn(|context| Pin::new(&mut sink).poll_flush(context)).await?;
            Outcome::Ok(())
        };
        let receive = async {
            let (mut stream, mut sum) = (RecvStream::new(receiver), 0);
            while let Some(number) =
                poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await
            {
                sum += number?;
            }
            Outcome::Ok(sum)
        };
        let both = futures_util::future::join(send, receive);
        let (sent, sum) = timeout(DEADLINE, both).await?;
        sent?;
        assert_eq!(sum?, 2 * (0..1000u64).sum::<u64>());
        Outcome::Ok(())
    })?;
    work.get()?;
    Ok(())
}
