//! Streams of results, polled by the smallest executor.

use std::{
    cell::Cell,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_core::Stream;
use pool_api::{CancelToken, Cause, Error, StartMethod};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome, builder, pool, sized},
    executor::block_on,
    scratch::{Scratch, append},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("stream_in_order", in_order),
    Case::new("stream_reads_little_ahead", read_ahead),
    Case::new("stream_fails", fails),
    Case::new("stream_of_a_dying_worker", dying).processes(),
    Case::new("stream_overdue_or_cancelled", overdue),
    Case::new("streams_side_by_side", side_by_side),
    Case::new("stream_dropped_in_the_middle", dropped),
    Case::new("stream_whose_consumer_panics", consumer_panics),
    Case::new("stream_ends_with_its_pool", ends),
    Case::new("stream_with_little_room", little_room),
    Case::new("stream_of_results_goes_on", results_go_on),
    Case::new("stream_of_results_dropped_or_cancelled", results_end),
    Case::new("stream_in_a_forked_child_is_refused", forked),
];

/// The next value of a stream.
pub(crate) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// All values of a stream.
pub(crate) fn all<T, S: Stream<Item = Result<T, Error>> + Unpin>(
    mut stream: S,
) -> Result<Vec<T>, Error> {
    block_on(async {
        let mut values = Vec::new();
        while let Some(value) = next(&mut stream).await {
            values.push(value?);
        }
        assert!(next(&mut stream).await.is_none());
        Ok(values)
    })
}

fn in_order(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(5u32).build()?;
    let count = sized(50_000, 5_000) as u32;
    assert_eq!(all(pool.tasks(0..count).imap_stream(|x| x))?, (0..count).collect::<Vec<_>>());
    let words = pool.tasks((0..300).map(|n| "w".repeat(n))).chunk_size(7);
    assert_eq!(all(words.imap_stream(|word| word.len()))?, (0..300).collect::<Vec<_>>());
    let mut values = all(pool.tasks(0..999u64).chunk_size(2).imap_unordered_stream(|x| x + 1))?;
    values.sort_unstable();
    assert_eq!(values, (1..1000).collect::<Vec<_>>());
    assert_eq!(all(pool.tasks(0..3u64).with(10).imap_stream(|c, x| c * x))?, [0, 10, 20]);
    assert_eq!(
        all(pool.tasks(0..3u32).with_worker().imap_stream(|w, x| *w.shared + x))?,
        [5, 6, 7]
    );
    assert!(all(pool.tasks(0..0u8).imap_stream(|x| x))?.is_empty());
    Ok(())
}

fn read_ahead(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let read = Rc::new(Cell::new(0));
    let count = read.clone();
    // The input is not `Send`, and is pulled where the stream is polled.
    let input = (0u64..).inspect(move |_| count.set(count.get() + 1));
    let mut stream = pool.tasks(input).max_tasks_active(20).imap_stream(|x| x);
    assert_eq!(read.get(), 0, "nothing runs before it is polled");
    for taken in 1..200 {
        assert_eq!(block_on(next(&mut stream)).transpose()?, Some(taken - 1));
        assert!(read.get() <= taken as usize + 20, "{} read, {taken} taken", read.get());
    }
    drop(stream);
    let mut stream = pool.tasks(0u64..).imap_stream(|x| x);
    assert_eq!(block_on(next(&mut stream)).transpose()?, Some(0));
    Ok(())
}

fn fails(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut stream = pool.tasks(0..100u32).chunk_size(3).imap_stream(|n| {
        assert!(n != 50, "fifty");
        n
    });
    block_on(async {
        let mut seen = 0;
        let error = loop {
            match next(&mut stream).await.expect("it fails before its end") {
                Ok(n) => assert_eq!((n, seen), (seen, n), "in order"),
                Err(error) => break error,
            }
            seen += 1;
        };
        assert!(matches!(error, Error::Task(task) if task.index() == 50) && seen <= 50);
        assert!(next(&mut stream).await.is_none());
    });
    let refused = all(pool.tasks(0..3u8).chunk_size(0).imap_stream(|x| x));
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    // An input that panics.
    for at in [0, 1, 500] {
        let input = (0..1000u64).inspect(move |n| assert!(*n != at, "input"));
        let stream = AssertUnwindSafe(pool.tasks(input).imap_stream(|x| x));
        assert!(catch_unwind(move || all({ stream }.0)).is_err());
        assert_eq!(pool.map(0..100u64, |x| x)?.len(), 100);
    }
    Ok(())
}

fn dying(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let dies = |n: u32| if n == 70 { std::process::abort() } else { n };
    let error = all(pool.tasks(0..100u32).imap_stream(dies)).expect_err("one dies");
    assert!(matches!(error, Error::Task(task) if task.index() == 70));
    assert_eq!(all(pool.tasks(0..100u32).imap_stream(|x| x))?.len(), 100);
    Ok(())
}

fn overdue(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    let items = || [(scratch.path(), 1), (scratch.path(), 2)];
    let limit = Duration::from_millis(60);
    match all(pool.tasks(items()).task_timeout(limit).imap_stream(until_told)) {
        Err(Error::Task(task)) => assert_eq!(task.cause(), &Cause::Timeout { limit }),
        other => panic!("{other:?}"),
    }
    let token = CancelToken::new()?;
    let mut stream = pool.tasks(items()).cancel_token(&token).imap_stream(until_told);
    let pulls = token.clone();
    let ended = thread::scope(|scope| {
        scope.spawn(move || pulls.cancel());
        block_on(next(&mut stream))
    });
    assert!(matches!(ended, Some(Err(Error::Cancelled))), "{ended:?}");
    append(&scratch.path(), 1);
    assert_eq!(pool.map(0..100u8, |x| x)?.len(), 100);
    Ok(())
}

fn side_by_side(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    // The stream is not polled any more, and its worker waits for a long time.
    let mut idle = pool.tasks([(scratch.path(), 7)]).imap_stream(until_told);
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(&mut idle).poll_next(&mut context).is_pending());
    thread::scope(|scope| {
        let streams: Vec<_> = (1..5u64)
            .map(|n| {
                scope.spawn({
                    let pool = &pool;
                    move || all(pool.tasks(0..500 * n).imap_stream(|x| x))
                })
            })
            .collect();
        let map = pool.map_async(0..1000u64, |x| x)?;
        assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
        assert_eq!(pool.map(0..1000u64, |x| x)?.len(), 1000);
        assert_eq!(map.get()?.len(), 1000);
        for (n, stream) in (1..).zip(streams) {
            assert_eq!(stream.join().expect("no panic")?.len(), 500 * n);
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    append(&scratch.path(), 1);
    assert_eq!(block_on(next(&mut idle)).transpose()?, Some(7));
    Ok(())
}

fn dropped(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for taken in 0..20 {
        let mut stream = pool.tasks(0..1000usize).chunk_size(3).imap_stream(|n| vec![n; 100]);
        for n in 0..taken {
            assert_eq!(block_on(next(&mut stream)).transpose()?, Some(vec![n; 100]));
        }
        // A stream that waits just now is ended, too.
        let mut context = Context::from_waker(Waker::noop());
        let _: Poll<_> = pin!(&mut stream).poll_next(&mut context);
        drop(stream);
        assert_eq!(pool.map(0..10u64, |x| x)?.len(), 10);
    }
    drop(pool.tasks((0..9u8).inspect(|_| panic!("no result was asked for"))).imap_stream(|x| x));
    Ok(())
}

fn consumer_panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..5 {
        let ended = thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                let mut stream = pool.tasks(0..500u32).chunk_size(2).imap_stream(|x| x);
                block_on(async {
                    while let Some(Ok(n)) = next(&mut stream).await {
                        if n == 99 {
                            std::panic::resume_unwind(Box::new(n));
                        }
                    }
                });
            });
            consumer.join()
        });
        assert!(ended.is_err());
        assert_eq!(pool.map(0..1000u64, |x| x)?.len(), 1000);
    }
    Ok(())
}

fn ends(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    let mut stream = pool.tasks((0..50).map(|_| (scratch.path(), 1))).imap_stream(until_told);
    let begun = Cell::new(false);
    let stop = || {
        append(&scratch.path(), 1); // the end waits for running items
        pool.stop_and_join()
    };
    let mut ended = None;
    thread::scope(|scope| {
        let mut stops = None;
        ended = Some(block_on(async {
            loop {
                let value = poll_fn(|context| {
                    let polled = Pin::new(&mut stream).poll_next(context);
                    if !begun.replace(true) {
                        stops = Some(scope.spawn(stop));
                    }
                    polled
                });
                match value.await {
                    Some(Ok(value)) => assert_eq!(value, 1),
                    other => break other,
                }
            }
        }));
        stops.expect("it was begun").join().expect("no panic")
    })?;
    // The stream may have ended before.
    assert!(matches!(ended, Some(None | Some(Err(Error::Terminated)))), "{ended:?}");
    let mut left = pool.tasks(0u64..).imap_stream(|x| x);
    assert_eq!(block_on(next(&mut left)).transpose()?, Some(0));
    drop(pool);
    assert!(matches!(block_on(next(&mut left)), Some(Err(Error::Terminated))));
    assert!(block_on(next(&mut left)).is_none());
    Ok(())
}

fn little_room(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(1 << 20).build()?;
    let large = |n: u8| vec![n; 350 << 10];
    let mut streams: Vec<_> =
        (0..3).map(|n| pool.tasks((0..3).map(move |_| large(n))).imap_stream(|v| v)).collect();
    for _ in 0..3 {
        for (n, stream) in (0..).zip(&mut streams) {
            assert!(block_on(next(stream)).transpose()? == Some(large(n)));
        }
    }
    Ok(())
}

fn results_go_on(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let threads = method == StartMethod::Threads;
    let mut stream = pool
        .tasks((0..100u32).map(|n| (n, threads)))
        .chunk_size(3)
        .imap_results_stream(|(n, threads)| match n {
            7 | 50 => panic!("it fails"),
            70 if !threads => std::process::abort(),
            n => n,
        });
    block_on(async {
        let mut failed = Vec::new();
        for index in 0..100 {
            match next(&mut stream).await {
                Some(Ok(n)) => assert_eq!(n, index),
                Some(Err(Error::Task(task))) => {
                    assert_eq!(task.index(), u64::from(index));
                    failed.push(index);
                }
                other => panic!("{index}: {other:?}"),
            }
        }
        assert!(failed == if threads { vec![7, 50] } else { vec![7, 50, 70] }, "{failed:?}");
        assert!(next(&mut stream).await.is_none());
    });
    let refused = all(pool.tasks(0..3u8).chunk_size(0).imap_results_stream(|x| x));
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    Ok(())
}

fn results_end(method: StartMethod) -> Outcome {
    let (scratch, token) = (Scratch::new(), CancelToken::new()?);
    let pool = pool(method, 2)?;
    for taken in 0..10 {
        let mut stream = pool.tasks(0..1000u32).chunk_size(3).imap_results_stream(|n| {
            assert!(n % 2 == 0, "odd");
            n
        });
        for n in 0..taken {
            assert_eq!(block_on(next(&mut stream)).and_then(Result::ok), (n % 2 == 0).then_some(n));
        }
        drop(stream);
        assert_eq!(pool.map(0..10u64, |x| x)?.len(), 10);
    }
    // Items that hold are cancelled while the consumer waits for them.
    let items = [(scratch.path(), 1), (scratch.path(), 2)];
    let mut stream = pool.tasks(items).cancel_token(&token).imap_results_stream(until_told);
    let pulls = token.clone();
    thread::scope(|scope| {
        scope.spawn(move || pulls.cancel());
        // The token may be pulled before anything is read.
        let mut index = 0;
        while let Some(result) = block_on(next(&mut stream)) {
            match result {
                Err(Error::Task(task)) => {
                    assert_eq!((task.index(), task.cause()), (index, &Cause::Cancelled));
                }
                other => panic!("{other:?}"),
            }
            index += 1;
        }
        assert!(index <= 2);
    });
    append(&scratch.path(), 1);
    assert_eq!(pool.map(0..100u8, |x| x)?.len(), 100);
    Ok(())
}

fn forked(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let mut stream = pool.tasks(0..9u8).imap_stream(|x| x);
    assert_eq!(block_on(next(&mut stream)).transpose()?, Some(0));
    let child = sys::fork();
    if child == 0 {
        let refused = block_on(next(&mut stream));
        let refused = matches!(refused, None | Some(Ok(_) | Err(Error::ForeignProcess)));
        let fresh = block_on(next(&mut pool.tasks(0..9u8).imap_stream(|x| x)));
        let all = refused && matches!(fresh, Some(Err(Error::ForeignProcess)));
        drop((stream, pool));
        std::process::exit(if all { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0, "the child has seen something else");
    assert_eq!(block_on(next(&mut stream)).transpose()?, Some(1));
    Ok(())
}
