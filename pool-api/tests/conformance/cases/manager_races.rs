//! What threads, forks and ends do to a manager beside its own calls.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use pool_api::{Error, ManagerError, PoolManager, StartMethod, wire};

use super::{futures_told::until_told, manager::take};
use crate::{
    case::{Case, Outcome, sized},
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("manager_takes_back_beside_a_get", taken_back),
    Case::new("manager_try_put_beyond_the_room_of_the_pool", beyond_room),
    Case::new("manager_puts_behind_many_that_were_taken_back", behind_taken_back).threads(),
    Case::new("manager_feeder_that_another_thread_joins", joined_feeder),
    Case::new("manager_in_a_forked_child", forked),
    Case::new("manager_dropped_in_children_forked_beside_calls", forked_beside_calls),
    Case::new("manager_of_results_whose_drop_panics", bad_drops),
    Case::new("manager_puts_beyond_the_room_of_the_pool_beside_gets", beyond_beside_gets),
    Case::new("manager_closes_beside_a_feeder_and_a_get", close_beside_feeder_and_get),
];

/// An item that was taken back has no result, also where a thread waits for one.
fn taken_back(method: StartMethod) -> Outcome {
    let count = sized(100_000, 10_000);
    let manager =
        PoolManager::builder(|x: usize| x).start_method(method).size(2).queue_size(32).start()?;
    let (over, cleared) = (AtomicBool::new(false), AtomicUsize::new(0));
    let got = thread::scope(|scope| {
        let getting = scope.spawn(|| {
            let mut got = 0;
            loop {
                match manager.get() {
                    Ok(_) => got += 1,
                    Err(ManagerError::NothingOutstanding) if over.load(SeqCst) => return Ok(got),
                    Err(ManagerError::NothingOutstanding) => thread::yield_now(),
                    Err(error) => return Err(error),
                }
            }
        });
        let clearing = scope.spawn(|| {
            while !over.load(SeqCst) {
                cleared.fetch_add(manager.clear_tasks(), SeqCst);
                thread::yield_now();
            }
        });
        let put = (0..count).try_for_each(|x| manager.put(x));
        over.store(true, SeqCst);
        clearing.join().expect("it returns");
        put.map_err(|error| error.to_string()).expect("open");
        getting.join().expect("it returns")
    })?;
    assert_eq!(got + cleared.load(SeqCst), count);
    Ok(())
}

/// The pool has room for fewer items than the manager: `try_put` does not wait for either.
fn beyond_room(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = PoolManager::builder(until_told)
        .start_method(method)
        .size(1)
        .queue_size(usize::MAX)
        .start()?;
    let item = |n| (gate.path(), n);
    let mut count = 0;
    let full = loop {
        match manager.try_put(item(count)) {
            Ok(()) => count += 1,
            Err(full) => break full,
        }
    };
    let Err(ManagerError::Full((_, n))) = Err::<(), _>(full) else { panic!("not full") };
    assert_eq!(n, count);
    assert!(count >= 4096, "{count}");
    let limit = Duration::from_millis(5);
    assert!(matches!(manager.put_timeout(item(0), limit), Err(ManagerError::Full((_, 0)))));
    thread::scope(|scope| {
        let putting = scope.spawn(|| manager.put(item(count)));
        append(&gate.path(), 1);
        putting.join().expect("it returns")
    })?;
    let mut got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    got.sort_unstable();
    assert!(got.into_iter().eq(0..=count));
    Ok(())
}

static IS_BEGUN: AtomicBool = AtomicBool::new(false);
static IS_LET: AtomicBool = AtomicBool::new(false);
static IS_GONE: AtomicBool = AtomicBool::new(false);

wire! {
    /// Its drop ends when [`IS_GONE`] is set.
    struct Lasting {
        value: u32,
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        wait_until("it may go", || self.value == 0 || IS_GONE.load(SeqCst));
    }
}

/// In threads, items that were taken back fill the pool until a worker has passed them: a put that
/// waits meanwhile goes on then, although no call ends.
fn behind_taken_back(method: StartMethod) -> Outcome {
    let until_let = |item: Lasting| {
        IS_BEGUN.store(true, SeqCst);
        wait_until("it is let", || item.value > 0 || IS_LET.load(SeqCst));
    };
    let manager =
        PoolManager::builder(until_let).start_method(method).size(1).queue_size(8).start()?;
    manager.put(Lasting { value: 0 })?;
    wait_until("it begins", || IS_BEGUN.load(SeqCst));
    let mut filling = (1..).map(|value| {
        let put = manager.try_put(Lasting { value });
        if put.is_ok() {
            assert_eq!(manager.clear_tasks(), 1);
        }
        put
    });
    let full = filling.find(Result::is_err);
    IS_LET.store(true, SeqCst);
    manager.get()?;
    let limit = Duration::from_millis(5);
    let full_still = manager.put_timeout(Lasting { value: 1 }, limit);
    thread::scope(|scope| {
        let putting = scope.spawn(|| manager.put(Lasting { value: 1 }));
        let also_full = manager.put_timeout(Lasting { value: 1 }, limit);
        IS_GONE.store(true, SeqCst);
        for refused in [full, Some(full_still), Some(also_full)] {
            assert!(matches!(refused, Some(Err(ManagerError::Full(_)))), "{refused:?}");
        }
        putting.join().expect("it returns")
    })?;
    Ok(manager.get()?)
}

/// The items come from a channel, so they end when the test says so.
fn joined_feeder(method: StartMethod) -> Outcome {
    let manager = PoolManager::builder(|x: u64| x).start_method(method).size(1).start()?;
    let (sender, items) = mpsc::channel();
    manager.put_async(items)?;
    thread::scope(|scope| {
        let joining = scope.spawn(|| manager.join_async());
        for _ in 0..sized(10_000, 1000) {
            let second = manager.put_async([9]);
            assert!(matches!(second, Err(ManagerError::FeederRunning)), "{second:?}");
            thread::yield_now();
        }
        sender.send(1).expect("the thread takes items");
        assert_eq!(manager.get()?, 1);
        drop(sender);
        joining.join().expect("it returns")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })
    .expect("each item is taken");
    manager.put_async([2])?;
    assert_eq!(manager.get()?, 2);
    manager.join_async()?;
    // Closed while the thread waits for its iterator: nothing further comes.
    let (sender, items) = mpsc::channel();
    manager.put_async(items)?;
    sender.send(3)?;
    assert_eq!(manager.get()?, 3);
    manager.close();
    assert!(matches!(manager.get(), Err(ManagerError::NothingOutstanding)));
    assert!(manager.get_all().is_empty());
    drop(sender);
    Ok(())
}

/// The child has neither workers nor the thread that puts, and touches no lock of the manager.
fn forked(method: StartMethod) -> Outcome {
    fn is_foreign<A, T>(outcome: Result<T, ManagerError<A>>) -> bool {
        matches!(
            outcome,
            Err(ManagerError::Failed(Error::ForeignProcess)
                | ManagerError::Refused { error: Error::ForeignProcess, .. })
        )
    }
    let manager = PoolManager::builder(|x: u64| x).start_method(method).size(1).start()?;
    let (sender, items) = mpsc::channel();
    manager.put_async(items)?;
    sender.send(1)?;
    manager.put(1)?;
    let child = sys::fork();
    if child == 0 {
        let all = is_foreign(manager.put(2))
            && is_foreign(manager.try_put(2))
            && is_foreign(manager.put_timeout(2, Duration::MAX))
            && is_foreign(manager.get())
            && is_foreign(manager.try_get())
            && is_foreign(manager.get_timeout(Duration::MAX))
            && is_foreign(manager.map([2]))
            && is_foreign(manager.put_async([2]))
            && is_foreign(manager.join_async())
            && is_foreign(manager.start())
            && manager.get_all().into_iter().all(is_foreign)
            && manager.clear_tasks() == 0
            && !manager.is_alive()
            && is_foreign(manager.join())
            && is_foreign(manager.terminate());
        manager.close();
        drop(manager);
        std::process::exit(if all { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0, "the child has seen something else");
    drop(sender);
    assert_eq!(manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?, [1, 1]);
    Ok(())
}

/// The children drop what other threads of their parent were changing.
fn forked_beside_calls(method: StartMethod) -> Outcome {
    let manager = PoolManager::builder(|x: u64| x).start_method(method).size(2).start()?;
    let over = AtomicBool::new(false);
    let mut manager = std::mem::ManuallyDrop::new(manager);
    let seen = thread::scope(|scope| {
        let putting = scope.spawn(|| {
            while !over.load(SeqCst) {
                manager.put(1).map_err(ManagerError::into_item)?;
            }
            Ok::<_, Option<u64>>(())
        });
        let getting = scope.spawn(|| {
            while !over.load(SeqCst) {
                let _ = manager.get();
                thread::yield_now();
            }
        });
        let seen: Vec<_> = (0..sized(400, 40))
            .map(|_| {
                let child = sys::fork();
                if child == 0 {
                    let refused = manager.put(2).is_err() && manager.get().is_err();
                    // SAFETY: the child has no other thread, and drops its copy once.
                    drop(unsafe { std::ptr::read(&*manager) });
                    std::process::exit(if refused { 0 } else { 1 });
                }
                sys::wait_for(child)
            })
            .collect();
        over.store(true, SeqCst);
        putting.join().expect("it returns").expect("open");
        getting.join().expect("it returns");
        seen
    });
    // SAFETY: it is not used afterwards.
    unsafe { std::mem::ManuallyDrop::drop(&mut manager) };
    assert!(seen.iter().all(|status| *status == 0), "{seen:?}");
    Ok(())
}

/// Whether [`Fragile`] panics; the test's process says so.
static PANICS: AtomicBool = AtomicBool::new(false);

wire! {
    struct Fragile {
        value: u64,
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!PANICS.load(SeqCst), "the drop of a result");
    }
}

fn bad_drops(method: StartMethod) -> Outcome {
    for is_daemon in [false, true] {
        let manager = PoolManager::builder(|value: u64| Fragile { value })
            .start_method(method)
            .size(2)
            .daemon(is_daemon)
            .start()?;
        (0..4).try_for_each(|value| manager.put(value))?;
        manager.join()?;
        assert_eq!(manager.get()?.value / 4, 0);
        PANICS.store(true, SeqCst);
        drop(manager);
        PANICS.store(false, SeqCst);
    }
    Ok(())
}

/// More items than the pool lets wait: the thread that puts waits at the pool while the others take
/// answers in.
fn beyond_beside_gets(method: StartMethod) -> Outcome {
    const ITEMS: u64 = 12_000;
    let f = |x: u64| (0..500).fold(x, |x, _| std::hint::black_box(x));
    let manager =
        PoolManager::builder(f).start_method(method).size(2).queue_size(usize::MAX).start()?;
    let sum = thread::scope(|scope| {
        let putting = scope.spawn(|| (0..ITEMS).try_for_each(|x| manager.put(x)));
        let sums: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..ITEMS / 2).map(|_| take(&manager)).sum::<Result<u64, _>>()))
            .collect();
        putting.join().expect("no panic").map_err(ManagerError::without_item)?;
        sums.into_iter().map(|sum| sum.join().expect("no panic")).sum::<Result<u64, _>>()
    })?;
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
    Ok(())
}

/// The feeder has an item in hand while another thread closes the manager and a third one waits.
fn close_beside_feeder_and_get(method: StartMethod) -> Outcome {
    for round in 0..10u64 {
        let manager = PoolManager::builder(|x: u64| x)
            .start_method(method)
            .size(1)
            .queue_size(1)
            .pool_options(|pool| pool.task_timeout(Duration::from_secs(60)))
            .start()?;
        manager.put_async(0..)?;
        thread::scope(|scope| {
            let getting = scope.spawn(|| {
                while manager.get().is_ok() {}
                manager.try_get()
            });
            (0..30 * round).for_each(|_| thread::yield_now());
            manager.close();
            let last = getting.join().expect("no panic");
            assert!(matches!(last, Err(ManagerError::NothingOutstanding)), "{last:?}");
        });
        assert!(matches!(manager.join_async(), Err(ManagerError::Closed(_))));
    }
    Ok(())
}
