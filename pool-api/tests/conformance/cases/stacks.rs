//! Stacks are as large as they shall be, and a used-up stack is reported as such.

use std::{hint::black_box, sync::mpsc, thread};

use pool_api::{Cause, Error, ExitStatus, ForkWithThreads, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("stack_overflows_are_told", overflows).processes(),
    Case::new("stack_overflows_before_an_item_begins", before_an_item).processes(),
    Case::new("stack_overflows_beside_tasks", beside_tasks).processes(),
    Case::new("stack_size_holds", as_set),
    Case::new("stack_size_that_cannot_be", refused),
    Case::new("stacks_are_those_of_main_in_any_building_thread", from_a_small_thread),
    Case::new("large_arrays_between_small_threads", large_arrays),
    Case::new("stacks_of_nested_pools", nested).processes(),
];

const MIB: usize = 1 << 20;

/// Uses about `kib` KiB of stack.
fn deep(kib: u64) -> u64 {
    let frame = black_box([kib; 96]);
    if kib == 0 { frame[5] } else { deep(kib - 1) + frame[7] - kib + 1 }
}

fn endless(n: u64) -> u64 {
    deep(if n % 10 == 3 { u64::MAX } else { 10 })
}

fn cause_of<R>(result: Result<R, Error>) -> Cause {
    match result {
        Err(Error::Task(task)) => {
            assert_eq!(task.tries(), 1);
            task.cause().clone()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it has a value"),
    }
}

fn overflows(method: StartMethod) -> Outcome {
    for size in [None, Some(MIB)] {
        let mut builder = builder(method, 2);
        if let Some(size) = size {
            builder = builder.stack_size(size);
        }
        let pool = builder.build()?;
        for chunk_size in [1, 7] {
            let results = pool.tasks(0..30u64).chunk_size(chunk_size).map_results(endless)?;
            for (index, result) in (0..).zip(results) {
                match result {
                    Ok(value) => assert_eq!(value, 10),
                    Err(error) => {
                        assert_eq!((error.index(), error.tries()), (index, 1));
                        assert_eq!((index % 10, error.cause()), (3, &Cause::StackOverflow));
                    }
                }
            }
        }
        let twice = pool.tasks([3u64]).retry(1).map_results(endless)?.remove(0);
        let twice = twice.expect_err("it overflows");
        assert_eq!((twice.tries(), twice.cause()), (2, &Cause::StackOverflow));
        assert!(twice.to_string().contains("raise stack_size"), "{twice}");
        let handle = pool.apply_async(3u64, endless)?;
        assert_eq!(cause_of(handle.get()), Cause::StackOverflow);
        // Other faults are reported as themselves.
        let wild = |address: usize| {
            // SAFETY: none: it is what kills the worker.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
        };
        let signal = Cause::Death(ExitStatus::Signal(11));
        assert_eq!(cause_of(pool.apply(16, wild)), signal);
        assert_eq!(cause_of(pool.apply((), |()| sys::raise(11))), signal);
        assert_eq!(pool.map(4..8u64, endless)?, [10; 4]);
    }
    Ok(())
}

/// The result has no room in the frames of the worker, whatever the task does.
fn before_an_item(method: StartMethod) -> Outcome {
    type Large = [u8; 2 * MIB];
    let make = |byte: u8| -> Large { [byte; 2 * MIB] };
    let pool = builder(method, 2).stack_size(512 << 10).build()?;
    // The caller has room for it.
    let run = move || -> Result<(), Error> {
        assert_eq!(cause_of(pool.apply(3u8, make).map(|_| ())), Cause::StackOverflow);
        let handle = pool.apply_async(3u8, make).map_err(|refused| refused.error)?;
        assert_eq!(cause_of(handle.get().map(|_| ())), Cause::StackOverflow);
        let results = pool.tasks(0..4u8).chunk_size(2).map_results(make)?;
        assert_eq!(results.len(), 4);
        for (index, result) in (0..).zip(results) {
            let error = result.map(|_| ()).expect_err("it overflows");
            assert_eq!((error.index(), error.cause()), (index, &Cause::StackOverflow));
        }
        assert_eq!(pool.map(0..9u64, |x| x)?.len(), 9);
        Ok(())
    };
    let large = thread::Builder::new().stack_size(64 * MIB).spawn(run)?;
    Ok(large.join().expect("no panic")?)
}

fn beside_tasks(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).worker_init(|_| deep(u64::MAX)).build()?;
    match pool.apply((), |()| ()) {
        Err(Error::WorkerInitFailed { cause, .. }) => assert_eq!(cause, Cause::StackOverflow),
        other => panic!("{other:?}"),
    }
    let pool = builder(method, 1).at_worker_start(|| _ = deep(u64::MAX)).build()?;
    match pool.apply((), |()| ()) {
        Err(Error::WorkerStartFailed(cause)) => assert_eq!(cause, Cause::StackOverflow),
        other => panic!("{other:?}"),
    }
    let pool = builder(method, 1).worker_exit(|_| deep(u64::MAX)).build()?;
    pool.apply((), |()| ())?;
    match pool.stop_and_join() {
        Err(Error::WorkerExitFailed { cause, .. }) => assert_eq!(cause, Cause::StackOverflow),
        other => panic!("{other:?}"),
    }
    Ok(())
}

fn as_set(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .stack_size(40 * MIB)
        .shared_built(|| deep(20 << 10))
        .worker_init(|_| deep(20 << 10))
        .build()?;
    let values = pool.tasks([20u64 << 10; 4]).with_worker().map(|w, kib| {
        assert_eq!(*w.shared + *w.state, 40 << 10);
        deep(kib)
    })?;
    assert_eq!(values, [20 << 10; 4]);
    // A small stack is enough for small tasks, for panics, and for pools that are stopped and start
    // anew.
    let pool = builder(method, 2).stack_size(256 << 10).build()?;
    for _ in 0..2 {
        assert_eq!(pool.map(0..100u64, |x| x + 1)?.len(), 100);
        let panics = pool.apply(1u64, |x| if x == 1 { panic!("{x}") } else { x });
        assert!(matches!(cause_of(panics), Cause::Panic { .. }));
        pool.stop_and_join()?;
    }
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    for size in [0, 1, (256 << 10) - 1, (64 << 30) + 1, usize::MAX] {
        match builder(method, 1).stack_size(size).build() {
            Err(Error::InvalidInput(text)) => {
                assert!(text.contains("stack_size") && text.contains(&size.to_string()), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The last setting counts. The largest stack is address space only, of which a thread may not
    // get as much as it asks for.
    let pool = builder(method, 1).stack_size(0).stack_size(64 << 30).build()?;
    match pool.apply(3u64, |x| x) {
        Err(Error::Resources { .. }) if method == StartMethod::Threads => {}
        other => assert_eq!(other?, 3),
    }
    Ok(())
}

/// A pool built in a thread of 2 MiB of stack, as tests are.
fn from_a_small_thread(method: StartMethod) -> Outcome {
    let run = move || -> Result<(), Error> {
        let mut builder = builder(method, 2);
        if method == StartMethod::Fork {
            // SAFETY: the other thread waits for this one, with no lock in hand.
            builder = builder.allow_fork_with_threads(unsafe { ForkWithThreads::assume_safe() });
        }
        let pool = builder.build()?;
        uses_three_mebibytes(&pool)?;
        if method == StartMethod::Fork {
            return Ok(());
        }
        // So do the workers of a pool that had workers before.
        pool.stop_and_join()?;
        uses_three_mebibytes(&pool)
    };
    let small = thread::Builder::new().stack_size(2 * MIB).spawn(run)?;
    Ok(small.join().expect("no panic")?)
}

fn uses_three_mebibytes(pool: &WorkerPool) -> Result<(), Error> {
    let frame = |x: u64| {
        let frame = black_box([x as u8; 3 * MIB]);
        u64::from(frame[MIB])
    };
    assert_eq!(pool.apply(7u64, frame)?, 7);
    assert_eq!(pool.map(0..4u64, frame)?, [0, 1, 2, 3]);
    assert_eq!(pool.apply_async(9u64, frame).map_err(|refused| refused.error)?.get()?, 9);
    Ok(())
}

/// Without optimisations an array is copied by each function that it goes through.
fn large_arrays(method: StartMethod) -> Outcome {
    const LEN: usize = MIB / 2;
    let run = move || -> Result<(), Error> {
        let mut builder = builder(method, 2);
        if method == StartMethod::Fork {
            // SAFETY: the other thread waits for this one, with no lock in hand.
            builder = builder.allow_fork_with_threads(unsafe { ForkWithThreads::assume_safe() });
        }
        let pool = builder.build()?;
        let (tell, told) = mpsc::channel();
        for byte in [3u8, 4] {
            let tell = tell.clone();
            let handle = pool.apply_async(byte, |byte| [byte; LEN]).map_err(|r| r.error)?;
            handle.callback(move |array| tell.send(array[LEN - 1]).expect("the receiver is there"));
            assert_eq!(told.recv().expect("it is called"), byte);
        }
        Ok(())
    };
    let small = thread::Builder::new().stack_size(2 * MIB).spawn(run)?;
    Ok(small.join().expect("no panic")?)
}

fn nested(method: StartMethod) -> Outcome {
    let outer = builder(method, 1).daemon(false).stack_size(16 * MIB).build()?;
    let inner = |n: u64| -> Vec<bool> {
        let method = StartMethod::ALL[n as usize];
        let pool = pool(method, 1).expect("a pool");
        assert_eq!(pool.apply(3u64 << 10, deep).expect("a value"), 3 << 10);
        let overflow = cause_of(pool.apply(3u64, endless)) == Cause::StackOverflow;
        vec![overflow, deep(6 << 10) == 6 << 10]
    };
    for (n, inner_method) in (0..).zip(StartMethod::ALL) {
        if inner_method != StartMethod::Threads {
            assert_eq!(outer.apply(n, inner)?, [true, true]);
        }
    }
    Ok(())
}
