//! The state that a worker makes before its first chunk and keeps from task to task.

use std::collections::BTreeSet;

use pool_api::{Cause, Error, ExitStatus, SharedValue, StartMethod, Worker};

use crate::{
    case::{Case, Outcome, builder},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("state_lives_as_long_as_its_worker", lives_on),
    Case::new("state_sees_what_is_shared", sees_shared),
    Case::new("state_is_made_for_the_first_chunk", lazily),
    Case::new("state_of_any_type", any_type),
    Case::new("state_is_dropped_with_its_worker", dropped).threads(),
    Case::new("state_stays_when_a_task_panics", stays),
    Case::new("state_of_a_replaced_worker_is_fresh", replaced).processes(),
    Case::new("state_without_keep_alive", without_keep_alive),
    Case::new("init_panics", panics),
    Case::new("init_fails_in_some_workers", fails_in_some),
    Case::new("init_fails_once", fails_once),
    Case::new("init_ends_the_process", ends).processes(),
    Case::new("init_fails_beside_other_calls", beside),
    Case::new("init_forks", forks).processes(),
    Case::new("init_and_what_is_shared_later", shared_later),
    Case::new("init_before_what_is_shared_is_refused", out_of_order),
];

fn count(w: &mut Worker<'_, (), u64>, _: u32) -> (u32, u64) {
    *w.state += 1;
    (w.id(), *w.state)
}

/// The highest count of each worker, where every count from 1 on was seen once.
fn highest(counts: &[(u32, u64)]) -> Vec<(u32, u64)> {
    let ids: BTreeSet<u32> = counts.iter().map(|(id, _)| *id).collect();
    let of = |id: u32| counts.iter().filter(move |(i, _)| *i == id).map(|(_, count)| *count);
    ids.into_iter()
        .map(|id| {
            let mut seen: Vec<u64> = of(id).collect();
            seen.sort_unstable();
            assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "worker {id}");
            (id, seen.len() as u64)
        })
        .collect()
}

fn lives_on(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|_| 0u64).build()?;
    let mut counts = Vec::new();
    for _ in 0..20 {
        counts.extend(pool.tasks(0..50u32).chunk_size(1).with_worker().map(count)?);
        assert_eq!(pool.map(0..5u32, |x| x + 1)?, [1, 2, 3, 4, 5]);
    }
    let highest = highest(&counts);
    assert_eq!(highest.iter().map(|(_, count)| count).sum::<u64>(), 1000);
    assert!(highest.iter().all(|(id, _)| *id < 3));
    pool.stop_and_join()?;
    let again = pool.tasks(0..50u32).with_worker().map(count)?;
    assert!(again.iter().any(|(_, count)| *count == 1), "fresh workers, fresh state");
    Ok(())
}

fn sees_shared(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .shared(vec![3u64, 4])
        .worker_init(|w| w.shared.iter().sum::<u64>() + u64::from(w.id()))
        .build()?;
    let seen = pool.tasks(0..40u64).chunk_size(1).with_worker().map(|w, x| {
        assert_eq!(*w.state, 7 + u64::from(w.id()));
        w.shared[0] * x
    })?;
    assert_eq!(seen, (0..40).map(|x| 3 * x).collect::<Vec<u64>>());
    Ok(())
}

fn lazily(method: StartMethod) -> Outcome {
    let made = SharedValue::new(0u32)?;
    let pool =
        builder(method, 8).shared(made.clone()).worker_init(|w| w.shared.fetch_add(1)).build()?;
    for n in 0..3u32 {
        assert_eq!(pool.apply(n, |n| n + 1)?, n + 1);
        assert!((1..=n + 1).contains(&made.get()), "only those who had a task have made it");
    }
    let seen = pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, _| *w.state)?;
    assert!(seen.iter().all(|made_as| *made_as < 8));
    assert!(made.get() <= 8, "once in a life");
    Ok(())
}

struct Model {
    /// Neither `Send` nor `Wire`.
    weights: std::rc::Rc<Vec<u32>>,
    buffer: Vec<u32>,
}

fn any_type(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .worker_init(|w| Model { weights: std::rc::Rc::new(vec![w.id(), 7]), buffer: Vec::new() })
        .build()?;
    let seen = pool.tasks(0..30u32).with_worker().map(|w, x| {
        assert_eq!(w.state.weights[0], w.id());
        w.state.buffer.push(x);
        w.state.weights[1] * w.state.buffer[w.state.buffer.len() - 1]
    })?;
    assert_eq!(seen, (0..30).map(|x| 7 * x).collect::<Vec<u32>>());
    Ok(())
}

fn dropped(method: StartMethod) -> Outcome {
    struct Counted(SharedValue<u32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1);
        }
    }
    let (made, dropped) = (SharedValue::new(0u32)?, SharedValue::new(0u32)?);
    let pool = builder(method, 3)
        .shared((made.clone(), dropped.clone()))
        .worker_init(|w| {
            w.shared.0.fetch_add(1);
            Counted(w.shared.1.clone())
        })
        .build()?;
    pool.tasks(0..50u32).chunk_size(1).with_worker().map(|_, x| x)?;
    assert_eq!(dropped.get(), 0);
    pool.stop_and_join()?;
    assert_eq!(dropped.get(), made.get());
    pool.tasks(0..50u32).chunk_size(1).with_worker().map(|_, x| x)?;
    drop(pool);
    assert_eq!(dropped.get(), made.get());
    Ok(())
}

fn stays(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).worker_init(|_| 0u64).build()?;
    let odd = pool.tasks(0..10u32).with_worker().map_results(|w, x| {
        *w.state += 1;
        assert!(x % 2 == 0, "odd");
        *w.state
    })?;
    let seen: Vec<u64> = odd.into_iter().flatten().collect();
    assert_eq!(seen, [1, 3, 5, 7, 9]);
    Ok(())
}

fn replaced(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_init(|_| 0usize).build()?;
    for _ in 0..10 {
        let results = pool.tasks(0..40u32).chunk_size(1).with_worker().map_results(|w, x| {
            *w.state += 1;
            if x == 20 {
                sys::raise(sys::SIGKILL);
            }
            (w.id(), *w.state)
        })?;
        let died = results[20].as_ref().expect_err("it was killed").worker();
        let counts = results.into_iter().flatten().filter(|(id, _)| *id == died);
        let mut seen = [0; 41];
        counts.for_each(|(_, count)| seen[count] += 1);
        // Two lives, each of which has counted from 1 on.
        assert!(seen.iter().all(|times| *times <= 2), "{seen:?}");
        pool.stop_and_join()?;
    }
    Ok(())
}

fn without_keep_alive(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).keep_alive(false).worker_init(|_| 0u64).build()?;
    for _ in 0..5 {
        let counts = pool.tasks(0..50u32).chunk_size(1).with_worker().map(count)?;
        let sum: u64 = highest(&counts).iter().map(|(_, count)| count).sum();
        assert_eq!(sum, 50, "one map, one state");
    }
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let tries = SharedValue::new(0u32)?;
    let pool = builder(method, 3)
        .shared(tries.clone())
        .worker_init(|w| -> u8 {
            w.shared.fetch_add(1);
            panic!("no model for worker {}", w.id())
        })
        .build()?;
    for _ in 0..5 {
        match pool.tasks(0..50u32).chunk_size(1).map(|x| x) {
            Err(Error::WorkerInitFailed {
                worker,
                cause: Cause::Panic { message, location, .. },
            }) => {
                assert_eq!(message, format!("no model for worker {worker}"));
                assert!(location.is_some_and(|place| place.contains("worker_state.rs")));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut lazy = pool.imap(0..10u32, |x| x);
    assert!(matches!(lazy.next(), Some(Err(Error::WorkerInitFailed { .. }))));
    assert!(lazy.next().is_none());
    assert!(tries.get() < 60, "not tried for ever: {}", tries.get());
    let text = pool.map([1u8], |x| x).expect_err("it always fails").to_string();
    assert!(text.contains("worker_init of worker ") && text.contains("no model for"), "{text}");
    Ok(())
}

fn fails_in_some(method: StartMethod) -> Outcome {
    let pool = builder(method, 4).worker_init(|w| assert!(w.id() != 2, "not here")).build()?;
    for _ in 0..20 {
        match pool.tasks(0..200u32).chunk_size(1).map(|x| x) {
            Ok(values) => assert_eq!(values.len(), 200),
            Err(Error::WorkerInitFailed { worker, .. }) => {
                assert_eq!(worker, 2, "and that one only if it came to a chunk");
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn fails_once(method: StartMethod) -> Outcome {
    let ready = SharedValue::new(0u32)?;
    let pool = builder(method, 2)
        .shared(ready.clone())
        .worker_init(|w| {
            assert!(w.shared.get() == 1, "not yet");
            5u32
        })
        .build()?;
    for _ in 0..3 {
        let failed = pool.tasks(0..20u32).with_worker().map(|w, x| *w.state + x);
        assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
    }
    ready.set(1);
    // A worker that is still failing has a chunk of a call that is over.
    assert_eq!(
        pool.tasks(0..20u32).with_worker().map(|w, x| *w.state + x)?,
        (5..25).collect::<Vec<_>>()
    );
    Ok(())
}

fn ends(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|_| std::process::exit(4)).build()?;
    let code = Cause::Death(ExitStatus::Code(4));
    for _ in 0..3 {
        let ended = pool.map(0..20u8, |x| x);
        assert!(
            matches!(&ended, Err(Error::WorkerInitFailed { cause, .. }) if *cause == code),
            "{ended:?}"
        );
    }
    Ok(())
}

fn beside(method: StartMethod) -> Outcome {
    let ready = SharedValue::new(0u32)?;
    let pool = builder(method, 3)
        .shared(ready.clone())
        .worker_init(|w| assert!(w.shared.get() == 1, "not yet"))
        .build()?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let failed = pool.tasks(0..30u32).chunk_size(1).map(|x| x);
                    assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
                }
            });
        }
    });
    ready.set(1);
    assert_eq!(pool.map(0..30u32, |x| x)?.len(), 30);
    Ok(())
}

fn forks(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_init(|_| sys::fork()).build()?;
    let seen = pool.tasks(0..40u32).chunk_size(1).with_worker().map(|w, x| (*w.state > 0, x))?;
    assert_eq!(seen, (0..40).map(|x| (true, x)).collect::<Vec<_>>());
    Ok(())
}

fn shared_later(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(1u64).worker_init(|w| *w.shared).build()?;
    assert_eq!(pool.tasks(0..2u64).with_worker().map(|w, x| *w.state + x)?, [1, 2]);
    pool.set_shared(10)?;
    let seen = pool.tasks(0..2u64).with_worker().map(|w, x| (*w.shared, *w.state >= 1, x))?;
    assert_eq!(seen, [(10, true, 0), (10, true, 1)]);
    Ok(())
}

fn out_of_order(method: StartMethod) -> Outcome {
    // Where the types are the same, only `build` can see it.
    let pool = builder(method, 2).worker_init(|_| ()).shared(7u64).build();
    let refused = pool.expect_err("the hook takes ()").to_string();
    assert!(refused.contains("takes a worker that shares `()`"), "{refused}");
    let pool = builder(method, 2).worker_init(|_| ()).build()?;
    assert!(matches!(pool.with_shared(7u64), Err(Error::InvalidInput(_))));
    Ok(())
}
