//! Calls that name the worker for each item.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use pool_api::{CancelToken, Error, SharedEvent, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("broadcast_runs_once_on_every_worker", once_each),
    Case::new("broadcast_beside_a_long_map", beside_a_map),
    Case::new("broadcast_from_two_threads", two_threads),
    Case::new("scatter_and_gather", scattered),
    Case::new("apply_on_runs_there_and_nowhere_else", there_only),
    Case::new("apply_on_a_busy_worker_holds_up_no_other_call", busy),
    Case::new("worker_id_that_the_pool_does_not_have", no_such_worker),
    Case::new("direct_calls_are_cancelled_and_terminated", ended),
    Case::new("direct_calls_without_keep_alive", fresh_workers),
    Case::new("direct_calls_with_a_lifespan_of_one", short_lives),
];

/// The numbers of a pool's workers.
fn ids(n: u32) -> Vec<u32> {
    (0..n).collect()
}

fn once_each(method: StartMethod) -> Outcome {
    for n in [1, 2, 5] {
        let pool = builder(method, n as usize)
            .shared(1000u64)
            .worker_init(|w| (w.id(), 0u64))
            .worker_exit(|w| w.state.1)
            .build()?;
        for round in 1..=20 {
            let counts = pool.broadcast(|w| {
                w.state.1 += 1;
                (w.state.0 == w.id(), w.state.1 + w.shared)
            })?;
            assert_eq!(counts, vec![(true, 1000 + round); n as usize]);
        }
        assert_eq!(pool.broadcast(|w| w.id())?, ids(n));
        let pids = pool.broadcast(|_| std::process::id())?;
        match method {
            StartMethod::Threads => assert!(pids.iter().all(|pid| *pid == std::process::id())),
            _ => wait_until("all are known to run", || pids == pool.worker_pids()),
        }
        let failed = pool.broadcast(|w| assert!(w.id() != 0));
        assert!(matches!(failed, Err(Error::Task(t)) if (t.index(), t.worker()) == (0, 0)));
        let results = pool.direct().broadcast_results(|w| assert!(w.id() != 1))?;
        for (id, result) in ids(n).into_iter().zip(results) {
            let failed = result.err().map(|task| (task.index(), task.worker()));
            assert_eq!(failed, (id == 1).then_some((1, 1)));
        }
        pool.stop_and_join()?;
        assert_eq!(pool.exit_results(), vec![20; n as usize]);
    }
    Ok(())
}

fn beside_a_map(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|_| 0u64).build()?;
    let over = AtomicBool::new(false);
    let (mapped, broadcasts) = thread::scope(|scope| {
        let map = scope.spawn(|| {
            let mapped = pool.tasks(0..150u64).chunk_size(1).map(|n| {
                thread::sleep(Duration::from_millis(4)); // every worker is busy
                n
            });
            over.store(true, Ordering::Relaxed);
            mapped
        });
        let mut broadcasts = 0;
        while !over.load(Ordering::Relaxed) {
            let counts = pool.broadcast(|w| {
                *w.state += 1;
                (w.id(), *w.state)
            });
            broadcasts += 1;
            let wanted = ids(3).into_iter().map(|id| (id, broadcasts)).collect::<Vec<_>>();
            assert_eq!(counts.expect("no task fails"), wanted);
        }
        (map.join().expect("the map does not panic"), broadcasts)
    });
    assert_eq!(mapped?, (0..150).collect::<Vec<_>>());
    assert!(broadcasts > 3, "{broadcasts} broadcasts: they waited for the map");
    Ok(())
}

fn two_threads(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|_| 0u64).build()?;
    let rounds = sized(400, 100) as u64;
    thread::scope(|scope| {
        let users = [(); 3].map(|()| {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let seen = pool.broadcast(|w| {
                        *w.state += 1;
                        w.id()
                    });
                    assert_eq!(seen.expect("no task fails"), ids(3));
                }
            })
        });
        users.into_iter().for_each(|user| user.join().expect("no assertion failed"));
    });
    assert_eq!(pool.gather(|w| vec![*w.state])?, [3 * rounds; 3]);
    Ok(())
}

fn scattered(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|_| Vec::<u64>::new()).build()?;
    let keep = |pool: &WorkerPool<(), Vec<u64>>, items: &[u64]| {
        pool.scatter(items, |w, part| {
            *w.state = part;
            (w.id(), w.state.len())
        })
    };
    for len in [0, 1, 2, 3, 7, 300, sized(3_000_000, 300_000)] {
        let items: Vec<u64> = (0..len as u64).collect();
        let lens: Vec<_> = keep(&pool, &items)?;
        let part = |id: u32| (id, len / 3 + usize::from((id as usize) < len % 3));
        assert_eq!(lens, ids(3).into_iter().map(part).collect::<Vec<_>>());
        pool.broadcast(|w| w.state.iter_mut().for_each(|x| *x += 1))?;
        let gathered = pool.gather(|w| w.state.clone())?;
        assert!(gathered.into_iter().eq(1..=len as u64));
    }
    // Parts may be of any type that crosses, and have any number of results.
    let words: Vec<String> = ["a", "bc", "def", "gh"].map(String::from).to_vec();
    assert_eq!(pool.scatter(&words, |_, part| part.concat())?, ["abc", "def", "gh"]);
    assert_eq!(pool.gather(|w| vec![w.id(); w.id() as usize])?, [1, 2, 2]);
    Ok(())
}

fn there_only(method: StartMethod) -> Outcome {
    let pool = builder(method, 4).worker_init(|w| vec![w.id()]).build()?;
    let pids = pool.broadcast(|_| std::process::id())?;
    for n in 0..200u32 {
        let id = n * 7 % 4;
        assert_eq!(pool.apply_on(id, n, |n| n + 1)?, n + 1);
        assert_eq!(pool.apply_on(id, (), |()| std::process::id())?, pids[id as usize]);
        let seen = pool.apply_on_with(id, n, |w, n| {
            w.state.push(n);
            (w.id(), w.state[0], w.state.len())
        })?;
        assert_eq!(seen, (id, id, n as usize / 4 + 2));
    }
    let seen = pool.tasks(0..100u32).on_worker(2).map_with(|w, n| (w.id(), n))?;
    assert!(seen.into_iter().eq((0..100).map(|n| (2, n))));
    let seen = pool.tasks(0..100u32).on_worker(3).chunk_size(7).imap_with(|w, n| (w.id(), n));
    assert!(seen.map(|seen| seen.expect("no task fails")).eq((0..100).map(|n| (3, n))));
    let pids_there = pool.tasks(0..9u32).on_worker(1).with(5u32).map(|_, _| std::process::id())?;
    assert_eq!(pids_there, [pids[1]; 9]);
    let failed = pool.apply_on(3, 1u32, |n| assert!(n != 1));
    assert!(matches!(failed, Err(Error::Task(t)) if (t.index(), t.worker()) == (0, 3)));
    Ok(())
}

fn busy(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (begun, end) = (SharedEvent::new()?, SharedEvent::new()?);
    thread::scope(|scope| {
        let (begun_there, end_there) = (begun.clone(), end.clone());
        let pool = &pool;
        let long = scope.spawn(move || {
            pool.apply_on(0, (begun_there, end_there), |(begun, end)| {
                begun.set();
                end.wait();
            })
        });
        begun.wait();
        // More chunks than the whole board has room for.
        let waiting = scope.spawn(|| {
            let tasks = pool.tasks(0..600u32).on_worker(0).chunk_size(1).max_tasks_active(1000);
            tasks.map_with(|w, n| (w.id(), n))
        });
        let applied = scope.spawn(|| pool.apply_on_with(0, 7u32, |w, n| (w.id(), n)));
        for n in 0..50u64 {
            assert_eq!(pool.apply(n, |n| n + 1).expect("the other worker is free"), n + 1);
            assert_eq!(pool.apply_on(1, n, |n| n + 2).expect("it is free"), n + 2);
            let mapped = pool.tasks(0..400u64).chunk_size(1).map(|n| n);
            assert!(mapped.expect("no task fails").into_iter().eq(0..400));
        }
        assert!(!waiting.is_finished() && !applied.is_finished());
        end.set();
        long.join().expect("no panic").expect("it ends");
        let seen = waiting.join().expect("no panic").expect("no task fails");
        assert!(seen.into_iter().eq((0..600).map(|n| (0, n))));
        assert_eq!(applied.join().expect("no panic").expect("no task fails"), (0, 7));
    });
    Ok(())
}

fn no_such_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    let refused = |result: Result<(), Error>, text: &str| {
        let error = result.expect_err("there is no such worker");
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert_eq!(error.to_string(), text);
    };
    let text = "apply_on: worker id must be below 4, got 7";
    refused(pool.apply_on(7, (), |()| ()), text);
    refused(pool.apply_on_with(7, (), |_, ()| ()), text);
    let text = "on_worker: worker id must be below 4, got 4";
    refused(pool.tasks([()]).on_worker(4).map(|()| ()).map(drop), text);
    refused(pool.tasks([()]).on_worker(4).imap(|()| ()).next().expect("an error"), text);
    assert!(pool.worker_pids().is_empty(), "nothing was started");
    pool.apply_on(3, (), |()| ())?;
    Ok(())
}

fn ended(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (begun, end) = (SharedEvent::new()?, SharedEvent::new()?);
    let token = CancelToken::new()?;
    thread::scope(|scope| {
        let (begun_there, end_there) = (begun.clone(), end.clone());
        let pool = &pool;
        let long = scope.spawn(move || {
            pool.apply_on(1, (begun_there, end_there), |(begun, end)| {
                begun.set();
                end.wait();
            })
        });
        begun.wait();
        let waiting = scope.spawn(|| pool.direct().cancel_token(&token).broadcast(|w| w.id()));
        token.cancel();
        assert!(matches!(waiting.join().expect("no panic"), Err(Error::Cancelled)));
        assert_eq!(pool.apply(1u64, |x| x).expect("the other one is free"), 1);
        if method == StartMethod::Threads {
            end.set(); // a thread cannot be killed
            long.join().expect("no panic").expect("it ends");
            return;
        }
        let waiting = scope.spawn(|| pool.broadcast(|w| w.id()));
        let applied = scope.spawn(|| pool.apply_on(1, (), |()| ()));
        pool.terminate().expect("it can");
        assert!(matches!(long.join().expect("no panic"), Err(Error::Terminated)));
        // A call that came later than that began anew.
        let told = waiting.join().expect("no panic");
        assert!(matches!(&told, Err(Error::Terminated)) || told.is_ok_and(|ids| ids == [0, 1]));
        let told = applied.join().expect("no panic");
        assert!(matches!(told, Err(Error::Terminated) | Ok(())), "{told:?}");
    });
    assert_eq!(pool.broadcast(|w| w.id())?, ids(2));
    Ok(())
}

fn fresh_workers(method: StartMethod) -> Outcome {
    let pool = builder(method, 3)
        .keep_alive(false)
        .worker_init(|_| 0u32)
        .worker_exit(|w| (w.id(), *w.state))
        .build()?;
    for _ in 0..4 {
        assert_eq!(
            pool.broadcast(|w| {
                *w.state += 1;
                *w.state
            })?,
            [1; 3]
        );
        let mut exits = pool.exit_results();
        exits.sort_unstable();
        assert_eq!(exits, [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(
            pool.apply_on_with(2, (), |w, ()| {
                *w.state += 5;
                *w.state
            })?,
            5
        );
        assert_eq!(pool.exit_results(), [(2, 5)]);
    }
    Ok(())
}

fn short_lives(method: StartMethod) -> Outcome {
    let rounds = sized(60, 20);
    let pool = builder(method, 3)
        .worker_lifespan(1)
        .worker_init(|_| 0u32)
        .worker_exit(|w| w.id())
        .build()?;
    for round in 0..rounds as u32 {
        assert_eq!(
            pool.broadcast(|w| {
                *w.state += 1;
                (w.id(), *w.state)
            })?,
            [(0, 1), (1, 1), (2, 1)]
        );
        assert_eq!(pool.apply_on_with(round % 3, (), |w, ()| w.id())?, round % 3);
    }
    let ordered = pool.tasks(0..12u32).order_tasks(true).chunk_size(1).map_with(|w, _| w.id())?;
    assert!(ordered.into_iter().eq((0..12).map(|n| n % 3)));
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().len(), 4 * rounds + 12);
    Ok(())
}
