//! Values move to threads as they are: their `Drop` may panic anywhere, and a fork copies them.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use pool_api::{
    Error, StartMethod, Worker, WorkerPool,
    rkyv::{self, Archive, Deserialize, Serialize},
};

use crate::{
    case::{Case, Outcome, builder, pool},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("drops_that_panic_in_items_and_results", items_and_results).threads(),
    Case::new("drop_that_panics_in_a_context", context).threads(),
    Case::new("drop_that_panics_in_a_payload", payload).threads(),
    Case::new("terminate_ends_a_map_scoped", scoped).threads(),
    Case::new("drop_that_panics_in_what_was_shared", shared).threads(),
    Case::new("stream_in_a_forked_child", forked).threads(),
    Case::new("threads_that_cannot_be_had", fewer).threads(),
];

/// A value that panics when it is dropped.
#[derive(Debug, Archive, Serialize, Deserialize)]
#[rkyv(crate = rkyv)]
struct Bomb {
    number: u32,
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed, "bomb {} went off", self.number);
    }
}

/// The first ten are armed.
fn bombs(n: u32) -> impl Iterator<Item = Bomb> {
    (0..n).map(|number| Bomb { number, armed: number < 10 })
}

/// A call for which both workers have to be there.
fn both_work(pool: &WorkerPool) -> Outcome {
    static BOTH: Barrier = Barrier::new(2);
    pool.tasks(0..10u8).chunk_size(1).map(|_| {
        BOTH.wait();
    })?;
    Ok(())
}

fn wait_for(flag: &AtomicBool) {
    while !flag.load(SeqCst) {
        thread::yield_now();
    }
}

/// Item 0 returns when its chunk is cancelled, and leaves nine items; item 10 fails when 0 has
/// begun.
fn hold_or_fail(worker: &mut Worker<'_, (), ()>, bomb: Bomb) -> Bomb {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    match bomb.number {
        0 => {
            BEGUN.store(true, SeqCst);
            while !worker.is_cancelled() {
                thread::yield_now();
            }
            BEGUN.store(false, SeqCst);
        }
        10 => {
            wait_for(&BEGUN);
            panic!("as it should");
        }
        _ => {}
    }
    bomb
}

fn items_and_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..10 {
        let failed = pool.tasks(bombs(20)).chunk_size(10).with_worker().map(hold_or_fail);
        assert!(matches!(&failed, Err(Error::Task(task)) if task.index() == 10), "{failed:?}");
        both_work(&pool)?;
    }
    Ok(())
}

fn context(method: StartMethod) -> Outcome {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    let pool = pool(method, 2)?;
    let bomb = Bomb { number: 0, armed: true };
    let mut lazy = pool.tasks(0..2u32).chunk_size(1).with(bomb).imap_unordered(|_, n| {
        if n == 0 {
            BEGUN.store(true, SeqCst);
            wait_for(&GO);
        }
        n
    });
    assert_eq!(lazy.next().transpose()?, Some(1));
    wait_for(&BEGUN);
    drop(lazy);
    // The worker is the last owner of the context now.
    GO.store(true, SeqCst);
    both_work(&pool)
}

fn payload(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let throw = |number| -> u32 { std::panic::panic_any(Bomb { number, armed: true }) };
    let results = pool.tasks(0..20u32).chunk_size(5).map_results(throw)?;
    assert!(results.iter().all(Result::is_err));
    let failed = pool.tasks(0..20u32).map_scoped(throw);
    assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
    both_work(&pool)
}

/// Items that were begun return before the call does; the result and the items left over all panic.
fn scoped(method: StartMethod) -> Outcome {
    static TOLD: AtomicBool = AtomicBool::new(false);
    static WATCHING: AtomicBool = AtomicBool::new(false);
    let pool = pool(method, 2)?;
    for _ in 0..5 {
        TOLD.store(false, SeqCst);
        WATCHING.store(false, SeqCst);
        let ended = AtomicU32::new(0);
        let (begun, wait) = mpsc::channel();
        thread::scope(|scope| {
            let pool = &pool;
            // This later call is told later; it lets the item of the first one go on.
            let watch = scope.spawn(move || {
                let () = wait.recv().expect("the call begins");
                pool.tasks([0u8]).with_worker().map(|worker, _| {
                    WATCHING.store(true, SeqCst);
                    while !worker.is_cancelled() {
                        thread::yield_now();
                    }
                    TOLD.store(true, SeqCst);
                })
            });
            let end = scope.spawn(move || {
                wait_for(&WATCHING);
                pool.terminate()
            });
            let result = pool.tasks(bombs(10)).chunk_size(10).map_scoped(|bomb| {
                begun.send(()).expect("waited for");
                wait_for(&TOLD);
                ended.fetch_add(1, SeqCst);
                bomb
            });
            assert!(matches!(result, Err(Error::Terminated)), "{result:?}");
            assert_eq!(ended.load(SeqCst), 1);
            end.join().expect("no panic")?;
            let watched = watch.join().expect("no panic");
            assert!(matches!(watched, Err(Error::Terminated)), "{watched:?}");
            both_work(pool)
        })?;
    }
    Ok(())
}

fn shared(method: StartMethod) -> Outcome {
    let armed = |armed| Bomb { number: 0, armed };
    let pool = WorkerPool::builder().start_method(method).n_jobs(1).shared(armed(true));
    let pool = pool.worker_init(|_| 7u8).worker_exit(|w| *w.state);
    let pool = pool.worker_exit_timeout(Duration::from_millis(50)).build()?;
    for _ in 0..2 {
        assert_eq!(pool.tasks([1u8]).with_worker().map(|w, x| *w.state + x)?, [8]);
        // The worker thread is the last owner of the old value.
        pool.set_shared(armed(true))?;
        pool.stop_and_join()?;
        assert_eq!(pool.exit_results(), [7]);
    }
    assert_eq!(pool.tasks([1u8]).with_worker().map(|w, x| *w.state + x)?, [8]);
    pool.set_shared(armed(false))?;
    pool.terminate()?;
    Ok(())
}

fn forked(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut lazy = pool.imap(0u64.., |n| n);
    assert_eq!(lazy.next().transpose()?, Some(0));
    let child = sys::fork();
    if child == 0 {
        let refused = lazy.find_map(Result::err);
        let refused = matches!(refused, Some(Error::ForeignProcess));
        drop(lazy);
        drop(pool);
        std::process::exit(if refused { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0);
    assert_eq!(lazy.next().transpose()?, Some(1));
    drop(lazy);
    both_work(&pool)
}

/// Each thread takes a gigabyte of addresses, of which there are few.
fn fewer(method: StartMethod) -> Outcome {
    let pool = builder(method, 8).stack_size(1 << 30).build()?;
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    sys::limit_address_space(pages * 4096 + (7 << 29));
    let ids = pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, x| (w.id(), x))?;
    assert!(ids.iter().map(|(_, x)| *x).eq(0..100));
    assert!(ids.iter().all(|(id, _)| *id < 4), "{ids:?}");
    assert_eq!(pool.tasks(0..3u8).on_worker(0).map(|x| x)?, [0, 1, 2]);
    // An item for a thread that is not there cannot run, and its error says why; the call waits for
    // its other items.
    for _ in 0..2 {
        match pool.broadcast(|w| w.id()) {
            Err(Error::Resources { what, .. }) => assert!(what.contains("worker thread")),
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.apply(1u8, |x| x)?, 1);
    }
    pool.stop_and_join()?;
    sys::limit_address_space(u64::MAX);
    assert_eq!(pool.broadcast(|w| w.id())?.len(), 8);
    Ok(())
}
