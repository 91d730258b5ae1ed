//! Items whose worker died are tried again, as often as the call says; no other item runs twice.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pool_api::{Cause, Error, ExitStatus, SharedArray, SharedValue, StartMethod, TaskError};

use crate::{
    case::{Case, Outcome, builder, kill_in_turn, pool, sized},
    scratch::{Scratch, append, read_numbers},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("retry_until_it_works", until_it_works).processes(),
    Case::new("retry_ends_and_says_how_often", gives_up).processes(),
    Case::new("retry_of_no_panic", no_panic),
    Case::new("retry_in_every_form_of_a_call", forms).processes(),
    Case::new("retry_while_workers_are_killed_at_random", killed_at_random).processes(),
    Case::new("retry_of_an_item_whose_worker_was_killed_at_init", killed_at_init).processes(),
];

const ITEMS: u64 = 300;

/// Dies at the first two tries of every item with `n % 50 == 17`.
fn third_time_lucky(path: &String, n: u64) -> u64 {
    append(path, n);
    if n % 50 == 17 && read_numbers(path).iter().filter(|m| **m == n).count() < 3 {
        sys::raise(sys::SIGKILL);
    }
    3 * n
}

fn task<T: std::fmt::Debug>(result: Result<T, Error>) -> TaskError {
    match result {
        Err(Error::Task(task)) => task,
        other => panic!("no task failed: {other:?}"),
    }
}

fn until_it_works(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 20, 300] {
        let scratch = Scratch::new();
        let tasks = pool.tasks(0..ITEMS).chunk_size(chunk_size).retry(2).with(scratch.path());
        let values = tasks.map(third_time_lucky)?;
        assert_eq!(values, (0..ITEMS).map(|n| 3 * n).collect::<Vec<_>>());
        let tries = |n: u64| if n % 50 == 17 { 3 } else { 1 };
        let wanted = (0..ITEMS).flat_map(|n| std::iter::repeat_n(n, tries(n)));
        assert_eq!(scratch.numbers(), wanted.collect::<Vec<_>>());
    }
    Ok(())
}

fn gives_up(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..ITEMS).chunk_size(20).retry(1).with(scratch.path());
    let results = tasks.map_results(third_time_lucky)?;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(value == 3 * n && n % 50 != 17),
            Err(task) => {
                assert_eq!((task.index(), task.tries(), n % 50), (n, 2, 17));
                assert_eq!(*task.cause(), Cause::Death(ExitStatus::Signal(sys::SIGKILL)));
                let text = format!(
                    "task {n} on worker {}: its worker was killed by SIGKILL (signal 9); it was tried 2 times",
                    task.worker()
                );
                assert_eq!(task.to_string(), text);
            }
        }
    }
    let failed = task(pool.tasks([1u8]).retry(0).map(|_| sys::raise(sys::SIGKILL)));
    assert_eq!((failed.tries(), failed.to_string().contains("tried")), (1, false));
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn no_panic(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..40u64).chunk_size(4).retry(5).with(scratch.path());
    let results = tasks.map_results(|path, n| {
        append(path, n);
        assert!(n != 9);
    })?;
    let failed = results.iter().filter_map(|result| result.as_ref().err()).collect::<Vec<_>>();
    assert_eq!((failed.len(), failed[0].index(), failed[0].tries()), (1, 9, 1));
    assert_eq!(scratch.numbers(), (0..40).collect::<Vec<_>>());
    Ok(())
}

/// Dies at the first try of item 20.
fn second_time_lucky(path: &String, n: u32) -> u32 {
    append(path, n.into());
    if n == 20 && read_numbers(path).iter().filter(|m| **m == 20).count() < 2 {
        sys::raise(sys::SIGKILL);
    }
    n
}

fn forms(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let all: Vec<u32> = (0..60).collect();
    let tasks = || pool.tasks(0..60u32).chunk_size(7).retry(1);
    let with = |scratch: &Scratch| tasks().with(scratch.path());
    let mut values = with(&Scratch::new()).map_unordered(second_time_lucky)?;
    values.sort_unstable();
    assert_eq!(values, all);
    let scratch = Scratch::new();
    let values: Result<Vec<u32>, _> = with(&scratch).imap(second_time_lucky).collect();
    assert_eq!(values?, all);
    let scratch = Scratch::new();
    let values: Result<Vec<u32>, _> = with(&scratch).imap_results(second_time_lucky).collect();
    assert_eq!(values?, all);
    let scratch = Scratch::new();
    let tried = with(&scratch).try_map(|path, n| Ok::<_, String>(second_time_lucky(path, n)));
    assert_eq!(tried?, all);
    if method == StartMethod::Fork {
        let scratch = Scratch::new();
        let path = scratch.path();
        assert_eq!(tasks().map_scoped(|n| second_time_lucky(&path, n))?, all);
    }
    Ok(())
}

fn killed_at_random(method: StartMethod) -> Outcome {
    let items = sized(20_000, 4_000) as u64;
    let begun = SharedArray::<u32>::new(3)?;
    let pool = pool(method, 3)?;
    pool.apply((), |()| ())?; // a fork comes before there is a second thread
    let scratch = Scratch::new();
    let over = AtomicBool::new(false);
    let (values, killed) = thread::scope(|scope| {
        let killer = scope.spawn(|| kill_in_turn(&begun, &over));
        let context = (scratch.path(), begun.clone());
        let tasks = pool.tasks(0..items).retry(100).with(context).with_worker();
        let values = tasks.map(|w, (path, begun), n| {
            begun.set(w.id() as usize, std::process::id());
            append(path, u64::from(std::process::id()) << 32 | n);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(20 + n * 7 % 150) {}
            n + 1
        });
        over.store(true, Ordering::Relaxed);
        (values, killer.join().expect("the killer does not panic"))
    });
    assert_eq!(values?, (1..=items).collect::<Vec<_>>());
    assert!(killed.len() > 5, "{} kills", killed.len());
    // Each item ran, and again only if its process was killed while it ran: the item that the
    // process began last.
    let entries = read_numbers(scratch.path());
    let process = |entry: u64| (entry >> 32) as u32;
    let last: HashMap<_, _> = entries.iter().map(|entry| (process(*entry), *entry)).collect();
    let mut runs = vec![(0, 0); items as usize];
    for entry in entries {
        let (all, in_vain) = &mut runs[entry as u32 as usize];
        *all += 1;
        let is_last = last[&process(entry)] == entry;
        *in_vain += usize::from(is_last && killed.contains(&process(entry)));
    }
    for (item, (all, in_vain)) in runs.into_iter().enumerate() {
        assert!(all > 0 && all - in_vain <= 1, "item {item}: {all} runs, {in_vain} in vain");
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

/// A kill during `worker_init` is a try of the item whose turn it was; without tries left the call
/// ends with it.
fn killed_at_init(method: StartMethod) -> Outcome {
    let kills = SharedValue::new(3u32)?;
    let pool = builder(method, 2)
        .shared(kills.clone())
        .worker_init(|w| {
            if w.shared.fetch_update(|left| left.checked_sub(1)).is_ok() {
                sys::raise(sys::SIGKILL);
            }
        })
        .build()?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..60u64).retry(3).with(scratch.path());
    let values = tasks.map(|path, n| {
        append(path, n);
        n
    })?;
    assert_eq!((values, kills.get()), ((0..60).collect(), 0));
    assert_eq!(scratch.numbers(), (0..60).collect::<Vec<_>>());
    for (retries, killed) in [(0, 1), (2, 3)] {
        pool.terminate()?;
        kills.set(1000);
        match pool.tasks([1u8]).retry(retries).map(|x| x) {
            Err(Error::WorkerInitFailed { cause: Cause::Death(status), .. }) => {
                assert_eq!(status, ExitStatus::Signal(sys::SIGKILL));
            }
            other => panic!("{other:?}"),
        }
        // (The other worker may have claimed the item before the call knew.)
        let begun = 1000 - kills.get();
        assert!((killed..=killed + 2).contains(&begun), "not for ever: {begun} of {killed}");
        kills.set(0);
        assert_eq!(pool.map([1u8], |x| x)?, [1]);
    }
    Ok(())
}
