//! Ends of workers' lives: their results, and their successors.

use std::collections::BTreeMap;

use pool_api::{Cause, Error, ExitStatus, SharedArray, SharedValue, StartMethod};

use crate::{
    case::{Case, Outcome, builder, sized, words},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("exit_results_of_mpires_example", mpires_example),
    Case::new("exit_only_of_those_who_had_a_task", only_those_with_tasks),
    Case::new("exit_results_stay_until_workers_start_anew", stay),
    Case::new("exit_without_state", without_state),
    Case::new("exit_results_without_keep_alive", without_keep_alive),
    Case::new("exit_results_of_failed_calls_without_keep_alive", failed_calls),
    Case::new("exit_results_of_iterators_without_keep_alive", lazily),
    Case::new("exit_results_are_large", large),
    Case::new("exit_results_have_a_bound", bounded),
    Case::new("exit_results_with_handles", handles),
    Case::new("exit_beside_unread_results", beside_unread),
    Case::new("exit_does_not_come_when_workers_are_killed", killed),
    Case::new("exit_panics", panics),
    Case::new("exit_panics_without_keep_alive", panics_without_keep_alive),
    Case::new("exit_ends_the_process", ends).processes(),
    Case::new("exit_forks", forks).processes(),
    Case::new("exit_before_init_is_refused", out_of_order),
    Case::new("drop_of_a_state_panics", drop_panics),
    Case::new("lifespan_of_one", one_task_each),
    Case::new("lifespan_is_looked_at_between_chunks", between_chunks),
    Case::new("lifespan_and_failures", and_failures),
    Case::new("lifespan_and_deaths", and_deaths).processes(),
    Case::new("lifespan_and_a_full_arena", and_full_arena),
    Case::new("lifespan_ends_in_a_panic", ends_in_a_panic),
    Case::new("lifespan_begins_the_next_anew", begins_anew),
    Case::new("lifespan_of_zero_is_refused", of_zero),
];

fn mpires_example(method: StartMethod) -> Outcome {
    let pool = builder(method, 4).worker_init(|_| 0u64).worker_exit(|w| *w.state).build()?;
    let squares = pool.tasks(0..100u64).with_worker().map(|w, x| {
        *w.state += u64::from(x % 2 == 0);
        x * x
    })?;
    assert_eq!(squares, (0..100).map(|x| x * x).collect::<Vec<u64>>());
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().iter().sum::<u64>(), 50);
    assert!((1..=4).contains(&pool.exit_results().len()));
    Ok(())
}

fn only_those_with_tasks(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 4).worker_init(|_| 0u32).worker_exit(|w| (w.id(), *w.state)).build()?;
    pool.tasks(0..2u32).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
    pool.stop_and_join()?;
    let results = pool.exit_results();
    assert_eq!(results.iter().map(|(_, tasks)| tasks).sum::<u32>(), 2);
    assert!(results.len() <= 2 && results.iter().all(|(id, tasks)| *id < 4 && *tasks > 0));
    Ok(())
}

fn stay(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .shared(String::from("worker"))
        .worker_exit(|w| format!("{} {}", w.shared, w.id()))
        .build()?;
    for _ in 0..3 {
        for _ in 0..4 {
            pool.tasks(0..40u32).chunk_size(1).map(|x| x)?;
            assert!(pool.exit_results().is_empty(), "no worker has ended");
        }
        pool.stop_and_join()?;
        let results = pool.exit_results();
        assert!(
            (1..=2).contains(&results.len()) && results.iter().all(|r| r.starts_with("worker "))
        );
        assert_eq!(pool.exit_results(), results);
        pool.stop_and_join()?;
        assert_eq!(pool.exit_results(), results);
    }
    Ok(())
}

fn without_state(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_exit(|w| w.id()).build()?;
    assert_eq!(pool.map(0..10u32, |x| x)?.len(), 10);
    pool.stop_and_join()?;
    let ids = pool.exit_results();
    assert!((1..=2).contains(&ids.len()) && ids.iter().all(|id| *id < 2), "{ids:?}");
    let nothing = builder(method, 2).build()?;
    nothing.map(0..10u32, |x| x)?;
    nothing.stop_and_join()?;
    assert!(nothing.exit_results().is_empty());
    Ok(())
}

fn without_keep_alive(method: StartMethod) -> Outcome {
    let pool = builder(method, 3)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    for round in 1..=10u64 {
        pool.tasks(0..10 * round).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
        let results = pool.exit_results();
        assert_eq!(results.iter().sum::<u64>(), 10 * round, "of this call alone: {results:?}");
        assert_eq!(pool.exit_results(), results);
    }
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().iter().sum::<u64>(), 100);
    Ok(())
}

fn failed_calls(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    for _ in 0..10 {
        let failed = pool.tasks(0..50u32).chunk_size(1).with_worker().map(|w, x| {
            *w.state += 1;
            assert!(x < 20, "too large");
        });
        assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
        // (The call does not wait for a worker that still runs a task.)
        assert!(pool.exit_results().iter().sum::<u64>() <= 50);
        let counted = pool.tasks(0..30u32).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
        assert_eq!(counted.len(), 30);
        assert_eq!(pool.exit_results().iter().sum::<u64>(), 30, "nothing of the call before");
    }
    Ok(())
}

fn lazily(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    for _ in 0..5 {
        let counts = pool.tasks(0..30u32).with_worker().imap(|w, _| *w.state += 1);
        assert_eq!(counts.collect::<Result<Vec<()>, _>>()?.len(), 30);
        assert_eq!(pool.exit_results().iter().sum::<u64>(), 30);
    }
    let mut lazy = pool.tasks(0u32..).with_worker().imap(|w, _| *w.state += 1);
    lazy.next().transpose()?;
    drop(lazy);
    assert!(pool.exit_results().iter().sum::<u64>() > 0, "workers had an end");
    Ok(())
}

fn large(method: StartMethod) -> Outcome {
    let pool = builder(method, 3)
        .worker_init(|w| words(10 << 20, w.id() as u64))
        .worker_exit(|w| std::mem::take(w.state))
        .build()?;
    pool.tasks(0..60u32).chunk_size(1).with_worker().map(|w, _| w.state.len())?;
    pool.stop_and_join()?;
    let results = pool.exit_results();
    assert!(!results.is_empty());
    for result in results {
        assert_eq!(result, words(10 << 20, result[0]));
    }
    Ok(())
}

fn handles(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .worker_init(|_| SharedArray::<u32>::new(1000).expect("memory"))
        .worker_exit(|w| (w.id(), w.state.clone(), vec![SharedValue::new(7u8).expect("memory")]))
        .build()?;
    pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, x| w.state.set(x as usize, x + 1))?;
    pool.stop_and_join()?;
    for _ in 0..2 {
        let results = pool.exit_results();
        let marks = |n: usize| results.iter().map(|(_, array, _)| array.get(n)).sum::<u32>();
        assert!((0..100).all(|n| marks(n) == n as u32 + 1));
        assert!(results.iter().all(|(_, _, values)| values[0].get() == 7));
    }
    pool.map(0..10u8, |x| x)?;
    Ok(())
}

/// An exit finds room although unread results fill the arena.
fn beside_unread(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .arena_limit(1 << 20)
        .worker_lifespan(3)
        .worker_exit(|_| words(200_000, 5))
        .build()?;
    let mut lazy = pool.tasks(0..100u32).max_tasks_active(9).imap(|_| words(300_000, 1));
    assert_eq!(lazy.next().transpose()?, Some(words(300_000, 1)));
    assert_eq!(pool.map(0..20u32, |x| x)?, (0..20).collect::<Vec<u32>>());
    assert!(lazy.all(|result| result.is_ok_and(|result| result == words(300_000, 1))));
    let results = pool.exit_results();
    assert!(results.len() > 5 && results.iter().all(|result| *result == words(200_000, 5)));
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    let exits = SharedValue::new(0u32)?;
    let pool =
        builder(method, 2).shared(exits.clone()).worker_exit(|w| w.shared.fetch_add(1)).build()?;
    pool.map(0..20u32, |x| x)?;
    pool.terminate()?;
    assert!(pool.exit_results().is_empty());
    pool.map(0..20u32, |x| x)?;
    drop(pool);
    assert_eq!(exits.get(), 0);
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 2).worker_exit(|w| assert!(w.id() > 7, "no end for {}", w.id())).build()?;
    for _ in 0..3 {
        pool.tasks(0..40u32).chunk_size(1).map(|x| x)?;
        match pool.stop_and_join() {
            Err(Error::WorkerExitFailed {
                worker,
                cause: Cause::Panic { message, location, .. },
            }) => {
                assert_eq!(message, format!("no end for {worker}"));
                assert!(location.is_some_and(|place| place.contains("worker_exit.rs")));
            }
            other => panic!("{other:?}"),
        }
        assert!(pool.worker_pids().is_empty() && pool.exit_results().is_empty());
        pool.stop_and_join()?; // told once
    }
    Ok(())
}

fn panics_without_keep_alive(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 2).keep_alive(false).worker_exit(|_| -> u8 { panic!("no end") }).build()?;
    for _ in 0..3 {
        let failed = pool.map(0..40u32, |x| x);
        assert!(matches!(failed, Err(Error::WorkerExitFailed { .. })), "{failed:?}");
        let mut lazy = pool.imap(0..3u32, |x| x);
        assert_eq!(lazy.by_ref().take(3).collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
        assert!(matches!(lazy.next(), Some(Err(Error::WorkerExitFailed { .. }))));
        assert!(lazy.next().is_none());
    }
    Ok(())
}

fn ends(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_exit(|_| -> u8 { std::process::exit(9) }).build()?;
    pool.map(0..40u32, |x| x)?;
    let code = Cause::Death(ExitStatus::Code(9));
    let ended = pool.stop_and_join();
    assert!(
        matches!(&ended, Err(Error::WorkerExitFailed { cause, .. }) if *cause == code),
        "{ended:?}"
    );
    assert_eq!(pool.map(0..3u32, |x| x)?, [0, 1, 2]);
    Ok(())
}

fn forks(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_exit(|_| sys::fork() > 0).build()?;
    pool.map(0..40u32, |x| x)?;
    pool.stop_and_join()?;
    let parents = pool.exit_results();
    assert!((1..=2).contains(&parents.len()) && parents.iter().all(|parent| *parent));
    Ok(())
}

fn out_of_order(method: StartMethod) -> Outcome {
    // Where the types are the same, only `build` can see it.
    let refused = builder(method, 2).worker_exit(|_| ()).worker_init(|_| 1u8).build();
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    Ok(())
}

fn drop_panics(method: StartMethod) -> Outcome {
    struct Spiteful;
    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic!("spite");
        }
    }
    let pool = builder(method, 1).worker_init(|_| Spiteful).build()?;
    pool.map(0..4u32, |x| x)?;
    let ended = pool.stop_and_join();
    assert!(matches!(ended, Err(Error::WorkerExitFailed { worker: 0, .. })), "{ended:?}");
    // With a failing exit function, too: the first failure is reported.
    let pool = builder(method, 1)
        .worker_init(|_| Spiteful)
        .worker_exit(|_| -> u8 { panic!("no end") })
        .build()?;
    pool.map(0..4u32, |x| x)?;
    let told = pool.stop_and_join().expect_err("it panics").to_string();
    assert!(told.contains("no end"), "{told}");
    Ok(())
}

fn one_task_each(method: StartMethod) -> Outcome {
    let tasks = sized(2000, 300) as u64;
    let pool = builder(method, 2)
        .worker_lifespan(1)
        .worker_init(|_| 0u64)
        .worker_exit(|w| (w.id(), *w.state))
        .build()?;
    let seen = pool.tasks(0..tasks).with_worker().map(|w, x| {
        *w.state += x;
        (w.id(), x)
    })?;
    assert!(seen.iter().zip(0..tasks).all(|((id, x), n)| *id < 2 && *x == n));
    let mut results = pool.exit_results();
    results.sort_unstable_by_key(|(_, x)| *x);
    assert_eq!(results, seen, "one life, one task");
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().len() as u64, tasks);
    Ok(())
}

fn between_chunks(method: StartMethod) -> Outcome {
    let lives = SharedValue::new(0u32)?;
    let pool = builder(method, 2)
        .shared(lives)
        .worker_init(|w| (w.shared.fetch_add(1), 0u32))
        .worker_lifespan(5)
        .build()?;
    let counts = pool.tasks(0..100u32).chunk_size(4).with_worker().map(|w, _| {
        w.state.1 += 1;
        *w.state
    })?;
    let mut lives = BTreeMap::new();
    counts.iter().for_each(|(life, count)| {
        let most = lives.entry(*life).or_insert(0);
        *most = (*count).max(*most);
    });
    assert!(lives.values().all(|tasks| *tasks <= 8), "two chunks at most: {lives:?}");
    assert!(lives.values().filter(|tasks| **tasks == 8).count() >= 10, "{lives:?}");
    Ok(())
}

fn and_failures(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_lifespan(2).worker_exit(|w| w.id()).build()?;
    for _ in 0..5 {
        let results = pool.tasks(0..60u32).map_results(|x| {
            assert!(x % 3 != 0, "third");
            x
        })?;
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), n % 3 == 0, "{n}: {result:?}");
        }
        let failed = pool.map(0..60u32, |x| assert!(x != 30, "thirty"));
        assert!(matches!(&failed, Err(Error::Task(task)) if task.index() == 30), "{failed:?}");
    }
    Ok(())
}

fn and_deaths(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_lifespan(3).worker_exit(|w| w.id()).build()?;
    let results = pool.tasks(0..90u32).map_results(|x| {
        if x % 10 == 0 {
            sys::raise(sys::SIGKILL);
        }
        x
    })?;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n % 10 == 0, "{n}: {result:?}");
    }
    assert_eq!(pool.map(0..30u32, |x| x)?.len(), 30);
    Ok(())
}

fn and_full_arena(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(1 << 20).worker_lifespan(2).build()?;
    let results = pool.tasks(0..40u64).chunk_size(4).map(|n| words(400_000, n))?;
    assert!((0..).zip(&results).all(|(n, result)| *result == words(400_000, n)));
    Ok(())
}

fn ends_in_a_panic(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .worker_lifespan(2)
        .worker_exit(|_| -> u8 { panic!("no end") })
        .build()?;
    let failed = pool.tasks(0..200u32).chunk_size(1).map(|x| x);
    assert!(matches!(failed, Err(Error::WorkerExitFailed { .. })), "{failed:?}");
    pool.terminate()?;
    pool.stop_and_join()?;
    Ok(())
}

fn begins_anew(method: StartMethod) -> Outcome {
    let starts = SharedValue::new(0u32)?;
    let pool = builder(method, 1)
        .shared(starts.clone())
        .at_worker_start(|| STARTED.set(STARTED.get() + 1))
        .worker_init(|w| w.shared.fetch_add(1))
        .worker_exit(|w| *w.state)
        .worker_lifespan(4)
        .build()?;
    // One after the other: chunks of one call may be claimed in any order.
    for n in 0..20u32 {
        let life = pool.task(n).with_worker().apply(|w, _| {
            assert!(STARTED.get() > 0);
            *w.state
        })?;
        assert_eq!(life, n / 4);
    }
    assert_eq!(pool.exit_results(), [0, 1, 2, 3, 4]);
    Ok(())
}

thread_local! {
    static STARTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn of_zero(method: StartMethod) -> Outcome {
    let refused = builder(method, 2).worker_lifespan(0).build().expect_err("it means nothing");
    assert!(refused.to_string().contains("worker_lifespan must be at least 1"), "{refused}");
    Ok(())
}

/// Exit results have a bound, even where workers come and go for as long as the pool lives.
fn bounded(method: StartMethod) -> Outcome {
    let pool = builder(method, 1)
        .worker_lifespan(1)
        .max_result_bytes(1_000_000)
        .worker_exit(|_| vec![7u8; 100_000])
        .build()?;
    for n in 0..20u8 {
        assert_eq!(pool.apply(n, |n| n)?, n);
    }
    let stopped = pool.stop_and_join();
    let Err(Error::WorkerExitFailed { worker: 0, cause }) = &stopped else { panic!("{stopped:?}") };
    let Cause::ExitResultsUnread { bytes, limit } = *cause else { panic!("{stopped:?}") };
    assert!(limit == 1_000_000 && bytes > limit, "{cause}");
    assert!(cause.to_string().contains("max_result_bytes is 1000000"), "{cause}");
    let kept: Vec<Vec<u8>> = pool.exit_results();
    assert!(kept.len() == 9 && kept.iter().all(|bytes| *bytes == [7; 100_000]), "{}", kept.len());
    // The next life begins without old exit results.
    pool.apply(1u8, |n| n)?;
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().len(), 1);
    Ok(())
}
