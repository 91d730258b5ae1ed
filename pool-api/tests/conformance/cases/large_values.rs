//! Calls with values of half a megabyte work from threads whose stacks have room for no more than
//! three, also without optimisations, where each function that a value goes through has a copy.

use std::{hint::black_box, panic, sync::mpsc, thread, time::Duration};

use pool_api::{Cause, Error, ForkWithThreads, Process, StartMethod, TaskError, WorkerPool, wire};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("large_items_and_results_of_one_call", one_call),
    Case::new("large_items_and_results_of_futures", futures),
    Case::new("large_items_and_results_of_maps", maps),
    Case::new("large_items_and_results_of_iterators", iterators),
    Case::new("large_values_in_a_process", in_a_process),
    Case::new("large_items_come_back", refused),
    Case::new("large_calls_end_by_a_panic", panics),
    Case::new("large_calls_in_large_calls", in_one_another),
    Case::new("large_calls_of_tasks_overflow_and_are_told", overflows).processes(),
    Case::new("large_calls_while_a_pool_is_forked", forked_meanwhile).only_fork(),
];

const LEN: usize = 512 << 10;
type Array = [u8; LEN];

wire! {
    /// A type whose archive differs from the value.
    struct Named { name: String, array: Array }
}

fn array(byte: u8) -> Array {
    [byte; LEN]
}

fn last(array: Array) -> u8 {
    array[LEN - 1]
}

/// Runs `run` in a thread with 2 MiB of stack.
fn small<R>(pool: &WorkerPool, run: impl FnOnce(&WorkerPool) -> Result<R, Error> + Send) -> R
where
    R: Send,
{
    thread::scope(|scope| {
        let small = thread::Builder::new().stack_size(2 << 20);
        let small = small.spawn_scoped(scope, || run(pool)).expect("a thread");
        small.join().expect("no panic").expect("a value")
    })
}

/// The byte in the array of a result.
fn seen<E>(result: Result<Array, E>) -> Result<u8, E> {
    match result {
        Ok(ref array) => Ok(array[LEN - 1]),
        Err(error) => Err(error),
    }
}

fn one_call(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    assert_eq!(small(&pool, |pool| pool.apply(array(3), last)), 3);
    assert_eq!(small(&pool, |pool| seen(pool.apply(4, array))), 4);
    assert_eq!(small(&pool, |pool| seen(pool.apply(array(5), |array| array))), 5);
    assert_eq!(small(&pool, |pool| pool.task(array(6)).on_worker(1).apply(last)), 6);
    assert_eq!(
        small(&pool, |pool| pool
            .task(array(7))
            .on_worker(0)
            .with_worker()
            .apply(|_, array| last(array))),
        7
    );
    assert_eq!(small(&pool, |pool| pool.task(array(8)).apply(last)), 8);
    assert_eq!(
        small(&pool, |pool| pool.task(array(9)).with_worker().apply(|_, array| last(array))),
        9
    );
    let named = |byte: u8| Named { name: byte.to_string(), array: [byte; LEN] };
    let named = small(&pool, |pool| match pool.apply(10, named) {
        Ok(ref named) => Ok((named.name.clone(), named.array[LEN - 1])),
        Err(error) => Err(error),
    });
    assert_eq!(named, ("10".to_string(), 10));
    // The calls before have left nothing behind.
    assert_eq!(small(&pool, |pool| pool.apply(11, |x: u8| x)), 11);
    Ok(())
}

fn futures(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (tell, told) = mpsc::channel();
    let with_callback = |pool: &WorkerPool| {
        let handle = pool.apply_async(array(3), |array| array)?;
        let early = tell.clone();
        handle.callback(move |array| early.send(last(array)).expect("the receiver is there"));
        handle.wait()?;
        handle.callback(move |array| tell.send(last(array)).expect("the receiver is there"));
        seen(handle.get())
    };
    assert_eq!(small(&pool, with_callback), 3);
    assert_eq!(told.iter().collect::<Vec<_>>(), [3, 3]);
    assert_eq!(small(&pool, |pool| pool.apply_async(array(4), last)?.get()), 4);
    assert_eq!(small(&pool, |pool| seen(pool.apply_async(5, array)?.get())), 5);
    let limit = Duration::from_secs(60);
    let timed = |pool: &WorkerPool| seen(pool.apply_async(6, array)?.get_timeout(limit));
    assert_eq!(small(&pool, timed), 6);
    assert_eq!(small(&pool, |pool| pool.task(array(7)).apply_async(last)?.get()), 7);
    // A thread that waits for one result takes the others in, too.
    let many = |pool: &WorkerPool| {
        let handles = (0..6).map(|byte| Ok(pool.apply_async(byte, array)?));
        let handles = handles.collect::<Result<Vec<_>, Error>>()?;
        assert_eq!(pool.apply_async(9, |x: u8| x)?.get()?, 9);
        handles.into_iter().map(|handle| seen(handle.get())).collect::<Result<Vec<_>, Error>>()
    };
    assert_eq!(small(&pool, many), [0, 1, 2, 3, 4, 5]);
    let items = |pool: &WorkerPool| pool.map_async((0..4).map(array), last)?.get();
    assert_eq!(small(&pool, items), [0, 1, 2, 3]);
    let results = |pool: &WorkerPool| Ok(pool.map_async(0..4, array)?.get()?.len());
    assert_eq!(small(&pool, results), 4);
    Ok(())
}

fn maps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    assert_eq!(small(&pool, |pool| pool.map((0..5).map(array), last)), [0, 1, 2, 3, 4]);
    assert_eq!(small(&pool, |pool| pool.map(std::iter::once_with(|| array(6)), last)), [6]);
    // An input that is large itself.
    assert_eq!(small(&pool, |pool| pool.map(Some(array(7)), last)), [7]);
    let values = small(&pool, |pool| pool.map(0..5, array));
    assert!(values.len() == 5 && (0..).zip(&values).all(|(n, array)| array[LEN - 1] == n));
    assert_eq!(small(&pool, |pool| pool.map_unordered(0..5, array)).len(), 5);
    let results = small(&pool, |pool| {
        let tasks = pool.tasks(0..4).chunk_size(1);
        tasks.map_results(|byte| if byte == 2 { panic!("it is 2") } else { array(byte) })
    });
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    let tried = |byte| if byte < 9 { Ok(array(byte)) } else { Err(byte) };
    let tried = |pool: &WorkerPool| pool.try_map(0..4, tried).map_err(|_| Error::Cancelled);
    assert_eq!(small(&pool, tried).len(), 4);
    let with = |pool: &WorkerPool| {
        let tasks = pool.tasks((0..4).map(array)).with(10);
        tasks.map(|ten: &u8, array: Array| ten + last(array))
    };
    assert_eq!(small(&pool, with), [10, 11, 12, 13]);
    let on_worker =
        |pool: &WorkerPool| pool.tasks((0..4).map(array)).with_worker().map(|_, array| array);
    assert_eq!(small(&pool, on_worker).len(), 4);
    assert_eq!(small(&pool, |pool| pool.broadcast(|w| array(w.id() as u8))).len(), 2);
    let mut views = 0;
    small(&pool, |pool| pool.tasks(0..4).for_each_view(array, |_, _| views += 1));
    assert_eq!(views, 4);
    let view = |pool: &WorkerPool| pool.tasks((0..4).map(array)).view().map(|array| array[LEN - 1]);
    assert_eq!(small(&pool, view), [0, 1, 2, 3]);
    Ok(())
}

fn iterators(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let items =
        |pool: &WorkerPool| pool.imap((0..5).map(array), last).collect::<Result<Vec<_>, _>>();
    assert_eq!(small(&pool, items), [0, 1, 2, 3, 4]);
    let results = |pool: &WorkerPool| {
        let results = pool.imap(0..5, array);
        let mut bytes = Vec::new();
        for ref next in results {
            bytes.extend(next.as_ref().ok().map(|array| array[LEN - 1]));
        }
        Ok(bytes)
    };
    assert_eq!(small(&pool, results), [0, 1, 2, 3, 4]);
    let each = |pool: &WorkerPool| {
        let results = pool.tasks(0..5).imap_results(array);
        let mut bytes = Vec::new();
        for ref next in results {
            bytes.extend(next.as_ref().ok().map(|array| array[LEN - 1]));
        }
        Ok(bytes)
    };
    assert_eq!(small(&pool, each), [0, 1, 2, 3, 4]);
    Ok(())
}

fn in_a_process(method: StartMethod) -> Outcome {
    // Under Fork no other thread may be there.
    if method == StartMethod::Fork {
        let process = Process::spawn(method, array, 3)?;
        assert_eq!(seen(process.join())?, 3);
        return Ok(());
    }
    let pool = pool(method, 1)?;
    assert_eq!(small(&pool, |_| seen(Process::spawn(method, array, 3)?.join())), 3);
    assert_eq!(small(&pool, |_| Process::spawn(method, last, array(4))?.join()), 4);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).max_result_bytes(LEN as u64 - 1).build()?;
    let unread = pool.apply_async(3, array)?;
    unread.wait()?;
    let back = small(&pool, |pool| {
        let refused = pool.apply_async(array(4), last).expect_err("there is a result to be read");
        assert!(matches!(refused.error, Error::ResultsUnread { .. }), "{refused}");
        Ok(refused.item[LEN - 1])
    });
    assert_eq!((back, small(&pool, |_| seen(unread.get()))), (4, 3));
    assert_eq!(small(&pool, |pool| pool.apply_async(array(5), last)?.get()), 5);
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..2 {
        let said = small(&pool, |pool| {
            let items = (0..4).map(|byte| if byte == 3 { panic!("no third") } else { array(byte) });
            let call = panic::AssertUnwindSafe(|| pool.map(items, last));
            let payload = panic::catch_unwind(call).expect_err("the input panics");
            Ok(payload.downcast_ref::<&str>().map(|text| (*text).to_string()))
        });
        assert_eq!(said.as_deref(), Some("no third"));
        let task = |pool: &WorkerPool| match pool.apply(array(1), |_| -> Array { panic!("a task") })
        {
            Err(Error::Task(task)) => Ok(task),
            _ => panic!("the task has panicked"),
        };
        let task: TaskError = small(&pool, task);
        assert!(matches!(task.cause(), Cause::Panic { .. }), "{task}");
        assert_eq!(small(&pool, |pool| pool.apply(array(4), last)), 4);
    }
    Ok(())
}

/// The input of a call makes calls itself.
fn in_one_another(method: StartMethod) -> Outcome {
    let (outer, inner) = (pool(method, 1)?, pool(method, 1)?);
    let sums = small(&outer, |outer| {
        let items = (0..3).map(|byte| {
            let half = inner.apply(array(byte), last).expect("a value");
            array(half + seen(inner.apply(byte, array)).expect("a value"))
        });
        outer.map(items, last)
    });
    assert_eq!(sums, [0, 2, 4]);
    Ok(())
}

/// Uses up any stack.
fn endless(n: u64) -> u64 {
    let frame = black_box([n; 96]);
    if black_box(n) == u64::MAX { n } else { endless(n + 1) + frame[5] }
}

fn overflows(method: StartMethod) -> Outcome {
    let outer = builder(method, 1).daemon(false).build()?;
    // The input of the inner call runs on a stack that has room.
    let task = |method: u8| {
        let pool = pool(StartMethod::ALL[usize::from(method)], 1).expect("a pool");
        let items = (0..2).map(|n| array(if n == 1 { endless(0) as u8 } else { 0 }));
        pool.map(items, last).map(|values| values.len()).ok()
    };
    let at = StartMethod::ALL.iter().position(|other| *other == method).expect("it is one");
    for _ in 0..2 {
        match outer.apply(at as u8, task) {
            Err(Error::Task(task)) => assert_eq!(task.cause(), &Cause::StackOverflow),
            other => panic!("{other:?}"),
        }
    }
    // An overflow of the task's own stack is told afterwards, too.
    let afterwards = |method: u8| {
        let pool = pool(StartMethod::ALL[usize::from(method)], 1).expect("a pool");
        let values = pool.map((0..2).map(array), last).expect("values");
        endless(values.len() as u64)
    };
    match outer.apply(at as u8, afterwards) {
        Err(Error::Task(task)) => assert_eq!(task.cause(), &Cause::StackOverflow),
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// The copies of this process lie on the same stack, and overflow as others do.
fn forked_meanwhile(method: StartMethod) -> Outcome {
    let outer = pool(method, 1)?;
    let values = small(&outer, |outer| {
        let items = (0..3).map(|n| {
            // SAFETY: the other thread waits for this one, with no lock in hand.
            let beside = unsafe { ForkWithThreads::assume_safe() };
            let inner = builder(method, 2).allow_fork_with_threads(beside).build().expect("a pool");
            let values = inner.map(0..4, array).expect("values");
            let told = match inner.apply(0, endless) {
                Err(Error::Task(task)) => task.cause() == &Cause::StackOverflow,
                _ => false,
            };
            array(n + values.len() as u8 + u8::from(told))
        });
        outer.map(items, last)
    });
    assert_eq!(values, [5, 6, 7]);
    Ok(())
}
