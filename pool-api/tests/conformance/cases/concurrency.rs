//! One pool in many threads, and many pools at once.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use pool_api::{Error, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("map_beside_an_unfinished_imap", beside_imap),
    Case::new("several_lazy_calls_interleaved", interleaved),
    Case::new("several_threads_on_one_pool", several_threads),
    Case::new("several_threads_without_keep_alive", without_keep_alive),
    Case::new("pool_moved_to_another_thread", moved),
    Case::new("thread_that_made_the_pool_has_ended", maker_ended),
    Case::new("pool_used_at_the_very_end_of_its_thread", used_at_the_end),
    Case::new("two_pools_at_once_of_any_methods", two_pools),
    Case::new("terminate_from_another_thread", terminated_elsewhere),
    Case::new("stop_from_another_thread_lets_a_map_finish", stopped_elsewhere),
];

fn square(x: u64) -> u64 {
    x * x
}

fn squares(n: u64) -> Vec<u64> {
    (0..n).map(square).collect()
}

fn beside_imap(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut lazy = pool.tasks(0..500u64).chunk_size(2).imap(square);
    for (index, expected) in squares(500).into_iter().enumerate() {
        assert_eq!(lazy.next().transpose()?, Some(expected));
        if index % 50 == 0 {
            assert_eq!(pool.map(0..200u64, square)?, squares(200));
            assert_eq!(pool.apply(3u64, square)?, 9);
        }
    }
    assert!(lazy.next().is_none());
    Ok(())
}

fn interleaved(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut calls: Vec<_> = (0..20).map(|n| pool.imap(n..n + 100u64, square)).collect();
    for step in 0..100 {
        for (n, call) in calls.iter_mut().enumerate() {
            assert_eq!(call.next().transpose()?, Some(square(n as u64 + step)));
        }
    }
    assert!(calls.iter_mut().all(|call| call.next().is_none()));
    Ok(())
}

fn several_threads(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 2)?);
    let users: Vec<_> = (0..4u64)
        .map(|user| {
            let pool = pool.clone();
            thread::spawn(move || -> Result<(), Error> {
                for round in 0..sized(60, 20) as u64 {
                    let n = 100 + 10 * user + round;
                    assert_eq!(pool.map(0..n, square)?, squares(n));
                    let lazy: Result<Vec<u64>, Error> =
                        pool.tasks(0..n).chunk_size(3).imap(square).collect();
                    assert_eq!(lazy?, squares(n));
                    let failed = pool.tasks(0..n).map(|x| assert!(x != 50));
                    assert!(matches!(failed, Err(Error::Task(task)) if task.index() == 50));
                }
                Ok(())
            })
        })
        .collect();
    for user in users {
        user.join().expect("no assertion failed")?;
    }
    Ok(())
}

/// Each call has fresh workers, which end in order; a call that only begins, or goes on, never
/// loses its workers to the end of another call.
fn without_keep_alive(method: StartMethod) -> Outcome {
    let rounds = if method == StartMethod::Threads { 100 } else { 5 };
    let builder = builder(method, 2).keep_alive(false).worker_init(|_| 0u64);
    let pool = builder.worker_exit(|w| *w.state).build()?;
    thread::scope(|scope| -> Result<(), Error> {
        let user = |user: u64| {
            let pool = &pool;
            move || -> Result<(), Error> {
                for round in 0..rounds {
                    let n = 20 + user + round;
                    assert_eq!(pool.map(0..n, square)?, squares(n));
                    pool.set_keep_alive((user + round).is_multiple_of(3))?;
                }
                Ok(())
            }
        };
        let users = [1, 2, 3].map(|number| scope.spawn(user(number)));
        users.into_iter().try_for_each(|user| user.join().expect("no assertion failed"))
    })?;
    pool.stop_and_join()?;
    Ok(())
}

fn moved(method: StartMethod) -> Outcome {
    let fresh = pool(method, 2)?;
    let used = pool(method, 2)?;
    if method != StartMethod::Fork {
        assert_eq!(used.map(0..10u64, square)?, squares(10));
    }
    let back = thread::spawn(move || -> Result<WorkerPool, Error> {
        assert_eq!(fresh.map(0..100u64, square)?, squares(100));
        assert_eq!(used.map(0..100u64, square)?, squares(100));
        drop(fresh);
        Ok(used)
    });
    let used = back.join().expect("no assertion failed")?;
    assert_eq!(used.map(0..100u64, square)?, squares(100));
    Ok(())
}

fn maker_ended(method: StartMethod) -> Outcome {
    // The thread that starts the workers ends before the next call.
    let pool = match method {
        // Under Fork the maker must be the only thread; its workers' starter is another one.
        StartMethod::Fork => {
            let pool = pool(method, 2)?;
            let pool = thread::spawn(move || pool.map([1u64], square).map(|_| pool));
            pool.join().expect("no panic")?
        }
        _ => thread::spawn(move || {
            let pool = pool(method, 2)?;
            pool.map([1u64], square)?;
            Ok::<_, Error>(pool)
        })
        .join()
        .expect("no panic")?,
    };
    let workers = if method == StartMethod::Threads { 0 } else { 2 };
    wait_until("all workers run", || pool.worker_pids().len() == workers);
    let pids = pool.worker_pids();
    for _ in 0..20 {
        assert_eq!(pool.map(0..100u64, square)?, squares(100));
    }
    assert_eq!(pool.worker_pids(), pids, "the workers live on");
    Ok(())
}

/// A pool that a thread keeps for itself, and uses when it ends.
struct Farewell {
    pool: WorkerPool,
    told: Sender<pool_api::Result<(Vec<u64>, u64)>>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let ended = self.pool.map(0..20u64, square).and_then(|all| {
            let one = self.pool.apply_async(3u64, square)?.get()?;
            self.pool.stop_and_join()?;
            Ok((all, one))
        });
        self.told.send(ended).expect("the receiver is there");
    }
}

thread_local! {
    static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

fn used_at_the_end(method: StartMethod) -> Outcome {
    let (told, hear) = mpsc::channel();
    let farewell = Farewell { pool: pool(method, 2)?, told };
    thread::spawn(move || {
        FAREWELL.with_borrow_mut(|kept| {
            let farewell = kept.insert(farewell);
            // The first call comes after the thread-local of the farewell was made: the
            // thread-locals of the pool are dropped before it.
            assert_eq!(farewell.pool.map(0..20u64, square).expect("a map"), squares(20));
        });
    })
    .join()
    .expect("nothing panics");
    assert_eq!(hear.recv()??, (squares(20), 9));
    Ok(())
}

fn two_pools(method: StartMethod) -> Outcome {
    for other in StartMethod::ALL {
        // A Fork pool has to be there before the threads of a Threads pool.
        let mut methods = [method, other];
        methods.sort_by_key(|method| *method != StartMethod::Fork);
        let [first, second] = [pool(methods[0], 2)?, pool(methods[1], 2)?];
        let mut lazy = first.imap(0..100u64, square);
        assert_eq!(lazy.next().transpose()?, Some(0));
        assert_eq!(second.map(0..100u64, square)?, squares(100));
        assert_eq!(lazy.collect::<Result<Vec<u64>, _>>()?, squares(100)[1..]);
        let both: Result<Vec<(u64, u64)>, Error> = first
            .imap(0..300u64, square)
            .zip(second.imap(0..300u64, |x| x + 1))
            .map(|(a, b)| Ok((a?, b?)))
            .collect();
        assert!(
            both?
                .into_iter()
                .enumerate()
                .all(|(n, (a, b))| a == (n * n) as u64 && b == n as u64 + 1)
        );
        drop(first);
        assert_eq!(second.map(0..100u64, square)?, squares(100));
    }
    Ok(())
}

/// Calls `end` from another thread as soon as the endless `imap` of this one has begun.
fn end_while_lazy(pool: &WorkerPool, end: fn(&WorkerPool) -> Result<(), Error>) -> Outcome {
    let (begun, wait) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let ender = scope.spawn(move || {
            let () = wait.recv().expect("the consumer begins");
            end(pool)
        });
        let mut values = pool.imap(0u64.., square);
        assert_eq!(values.next().transpose()?, Some(0));
        begun.send(())?;
        // Endless: the call ends only because the pool does.
        let error = values.find_map(Result::err).expect("an endless call ends by an error");
        assert!(matches!(error, Error::Terminated), "{error}");
        assert!(values.next().is_none());
        ender.join().expect("no panic")?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    assert_eq!(pool.map(0..100u64, square)?, squares(100), "the pool can be used again");
    Ok(())
}

fn terminated_elsewhere(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    for _ in 0..5 {
        end_while_lazy(&pool, WorkerPool::terminate)?;
        end_while_lazy(&pool, WorkerPool::stop_and_join)?;
    }
    Ok(())
}

fn stopped_elsewhere(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for round in 0..10 {
        let (begun, wait) = std::sync::mpsc::channel();
        let items = (0..2000u64).inspect(move |&n| {
            if n == 20 {
                begun.send(()).expect("the other thread waits");
            }
        });
        thread::scope(|scope| {
            let pool = &pool;
            let ender = scope.spawn(move || {
                let () = wait.recv().expect("the call begins");
                pool.stop_and_join()
            });
            let values = pool.tasks(items).chunk_size(5).map(square);
            assert_eq!(values.expect("a blocking call finishes"), squares(2000), "round {round}");
            ender.join().expect("no panic")
        })?;
    }
    assert_eq!(pool.map(0..10u64, square)?, squares(10));
    Ok(())
}
