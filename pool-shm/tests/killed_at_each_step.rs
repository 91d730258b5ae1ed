//! Kills a process after its first instruction, its second, its third … while it locks, changes and
//! unlocks.
//!
//! `cargo test -p pool-shm --release --test killed_at_each_step -- --all` tries every instruction,
//! where those are not too many; without `--all` it is a sample of them. Whatever the moment: the
//! next thread gets the lock, data are whole unless a death was reported, permits are all there,
//! and every sleeper wakes.

#[path = "support/processes.rs"]
mod processes;
#[path = "killed_at_each_step/scenario.rs"]
mod scenario;

use std::{cell::Cell, mem, time::Duration};

use nix::unistd::Pid;
use pool_shm::{
    LockError, SharedBarrier, SharedCondvar, SharedEvent, SharedMutex, SharedMutexGuard,
    SharedReentrantMutex, SharedRwLock, SharedSemaphore,
};
use processes::{finish, run, start};
use scenario::{Scenario, asleep, can_trace};

/// No process may wait so long.
const LIMIT: Duration = Duration::from_secs(2);

type Pair = [u64; 2];

const TESTS: &[(&str, fn())] = &[
    ("a_mutex", mutex),
    ("a_mutex_that_another_waits_for", mutex_with_waiter),
    ("a_mutex_inherited_from_the_dead", inherited_mutex),
    ("a_mutex_taken_twice", reentrant_mutex),
    ("a_mutex_taken_twice_inherited_from_the_dead", inherited_reentrant_mutex),
    ("a_lock_to_read", read_lock),
    ("a_lock_to_write", write_lock),
    ("a_lock_to_write_inherited_from_the_dead", inherited_write_lock),
    ("a_permit", permit),
    ("a_permit_inherited_from_the_dead", inherited_permit),
    ("an_event_that_another_waits_for", event),
    ("a_condition_that_another_waits_for", condition),
    ("a_barrier_at_which_another_waits", barrier),
];

fn main() {
    if can_trace() {
        run(TESTS);
    } else {
        println!("skipped: processes cannot be traced here");
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", TESTS.len());
    }
}

/// Adds one to both halves.
fn change(pair: &mut Pair) {
    pair[0] += 1;
    pair[1] += 1;
}

fn mutex() {
    let mutex = SharedMutex::new([0; 2]).expect("a mutex");
    let (whole, reported) = (Cell::new(0), Cell::new(0));
    Scenario {
        work: &|()| change(&mut mutex.lock().expect("lock")),
        after: &|| match mutex.lock_timeout(LIMIT) {
            Err(LockError::HolderDied(mut pair)) => {
                pair[1] = pair[0];
                pair.mark_repaired();
                reported.set(reported.get() + 1);
            }
            taken => {
                let pair = taken.expect("the lock of the dead");
                assert_eq!(pair[0], pair[1]);
                whole.set(whole.get() + 1);
            }
        },
        ..Scenario::new(&|| ())
    }
    .run();
    assert!(whole.get() > 0 && reported.get() > 0, "{} {}", whole.get(), reported.get());
}

/// Locks; the halves agree, or the lock reports a death, and the caller repairs them.
fn repaired(mutex: &SharedMutex<Pair>) -> SharedMutexGuard<'_, Pair> {
    match mutex.lock_timeout(LIMIT) {
        Err(LockError::HolderDied(mut pair)) => {
            pair[1] = pair[0];
            pair.mark_repaired();
            pair
        }
        taken => {
            let pair = taken.expect("the lock of the dead");
            assert_eq!(pair[0], pair[1]);
            pair
        }
    }
}

fn mutex_with_waiter() {
    let mutex = SharedMutex::new([0; 2]).expect("a mutex");
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    Scenario {
        meanwhile: &|| waiter.set(Some(asleep(start(|| change(&mut repaired(&mutex)))))),
        work: &|mut pair: SharedMutexGuard<'_, Pair>| change(&mut pair),
        after: &|| finish(waiter.take().expect("started")),
        ..Scenario::new(&|| mutex.lock().expect("lock"))
    }
    .run();
    assert!(mutex.lock().is_ok());
}

fn inherited_mutex() {
    let mutex = SharedMutex::new([0; 2]).expect("a mutex");
    Scenario {
        work: &|()| change(&mut repaired(&mutex)),
        after: &|| drop(repaired(&mutex)),
        ..Scenario::new(&|| finish(start(|| mem::forget(mutex.lock().expect("lock")))))
    }
    .run();
}

/// Adds one to both halves, each with a guard of its own; repairs them if a death is reported to
/// the outer call, and so to the inner one. Returns whether it was.
fn change_twice(mutex: &SharedReentrantMutex<Pair>) -> bool {
    let (outer, died) = match mutex.lock_timeout(LIMIT) {
        Err(LockError::HolderDied(pair)) => (pair, true),
        taken => (taken.expect("the lock of the dead"), false),
    };
    let inner = match mutex.lock_timeout(LIMIT) {
        Err(LockError::HolderDied(pair)) => {
            assert!(died);
            pair.update(|[left, _]| [left, left]);
            pair.mark_repaired();
            pair
        }
        taken => {
            assert!(!died);
            taken.expect("held already")
        }
    };
    let [left, right] = inner.get();
    assert_eq!(left, right);
    inner.set([left + 1, right]);
    drop(inner);
    outer.set([left + 1, right + 1]);
    died
}

fn reentrant_mutex() {
    let mutex = SharedReentrantMutex::new([0; 2]).expect("a mutex");
    let (whole, reported) = (Cell::new(0), Cell::new(0));
    Scenario {
        work: &|()| {
            change_twice(&mutex);
        },
        after: &|| {
            let count = if change_twice(&mutex) { &reported } else { &whole };
            count.set(count.get() + 1);
            // All guards of the heir are gone, and none of the dead one count.
            finish(start(|| drop(mutex.try_lock().expect("given back"))));
        },
        ..Scenario::new(&|| ())
    }
    .run();
    assert!(whole.get() > 0 && reported.get() > 0, "{} {}", whole.get(), reported.get());
}

fn inherited_reentrant_mutex() {
    let mutex = SharedReentrantMutex::new([0; 2]).expect("a mutex");
    let forget_two = || mem::forget((mutex.lock().expect("lock"), mutex.lock().expect("lock")));
    Scenario {
        work: &|()| {
            change_twice(&mutex);
        },
        after: &|| {
            change_twice(&mutex);
        },
        ..Scenario::new(&|| finish(start(forget_two)))
    }
    .run();
    assert!(mutex.lock().is_ok());
}

fn read_lock() {
    let lock = SharedRwLock::with_readers(2, 0u8).expect("a lock");
    Scenario {
        work: &|()| drop(lock.read().expect("lock")),
        // A reader that died is no reason for a warning.
        after: &|| drop(lock.write_timeout(LIMIT).expect("the lock of the dead")),
        ..Scenario::new(&|| ())
    }
    .run();
    assert!(lock.dead_readers() > 0);
    assert!(lock.read().is_ok());
}

/// Writes, or reads; the halves agree, or the lock reports a death, and the caller repairs them.
fn see_to(lock: &SharedRwLock<Pair>, writes: bool) {
    let taken = if writes {
        lock.write_timeout(LIMIT).map(|pair| assert_eq!(pair[0], pair[1]))
    } else {
        lock.read_timeout(LIMIT).map(|pair| assert_eq!(pair[0], pair[1]))
    };
    match taken {
        Err(LockError::HolderDied(mut pair)) => {
            pair[1] = pair[0];
            pair.mark_repaired();
        }
        taken => taken.expect("the lock of the dead"),
    }
}

fn write_lock() {
    for writes in [true, false] {
        let lock = SharedRwLock::with_readers(2, [0; 2]).expect("a lock");
        Scenario {
            work: &|()| change(&mut lock.write().expect("lock")),
            after: &|| see_to(&lock, writes),
            ..Scenario::new(&|| ())
        }
        .run();
        assert!(lock.write().is_ok());
    }
}

fn inherited_write_lock() {
    for writes in [true, false] {
        let lock = SharedRwLock::with_readers(2, [0; 2]).expect("a lock");
        Scenario {
            work: &|()| see_to(&lock, writes),
            after: &|| see_to(&lock, !writes),
            ..Scenario::new(&|| finish(start(|| mem::forget(lock.write().expect("lock")))))
        }
        .run();
        assert!(lock.write().is_ok());
    }
}

fn permit() {
    let semaphore = SharedSemaphore::new(2).expect("a semaphore");
    Scenario {
        work: &|()| drop(semaphore.acquire().expect("acquire")),
        after: &|| {
            let both = [(); 2].map(|()| semaphore.acquire_timeout(LIMIT).expect("both are left"));
            assert!(semaphore.try_acquire().is_err());
            drop(both);
        },
        ..Scenario::new(&|| ())
    }
    .run();
    assert!(semaphore.reclaimed() > 0);
}

fn inherited_permit() {
    let semaphore = SharedSemaphore::new(1).expect("a semaphore");
    Scenario {
        work: &|()| drop(semaphore.acquire_timeout(LIMIT).expect("acquire")),
        after: &|| {
            let permit = semaphore.acquire_timeout(LIMIT).expect("it is left");
            assert!(semaphore.try_acquire().is_err());
            drop(permit);
        },
        ..Scenario::new(&|| finish(start(|| mem::forget(semaphore.acquire().expect("acquire")))))
    }
    .run();
}

fn event() {
    let event = SharedEvent::new().expect("an event");
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    Scenario {
        meanwhile: &|| waiter.set(Some(asleep(start(|| assert!(event.wait_timeout(LIMIT)))))),
        work: &|()| event.set(),
        after: &|| {
            if !event.is_set() {
                event.set();
            }
            finish(waiter.take().expect("started"));
            event.clear();
        },
        ..Scenario::new(&|| ())
    }
    .run();
}

fn condition() {
    let (mutex, changed) =
        (SharedMutex::new([0; 2]).expect("a mutex"), SharedCondvar::new().expect("a condition"));
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    let waits = || match changed.wait_while(repaired(&mutex), |pair| pair[0] == 0) {
        Err(LockError::HolderDied(mut pair)) => {
            pair[1] = pair[0];
            pair.mark_repaired();
        }
        taken => drop(taken.expect("the lock of the dead")),
    };
    Scenario {
        meanwhile: &|| waiter.set(Some(asleep(start(waits)))),
        work: &|()| {
            change(&mut mutex.lock().expect("lock"));
            changed.notify_one();
        },
        after: &|| {
            let mut pair = repaired(&mutex);
            if pair[0] == 0 {
                change(&mut pair);
                changed.notify_one();
            }
            drop(pair);
            finish(waiter.take().expect("started"));
            *repaired(&mutex) = [0; 2];
        },
        ..Scenario::new(&|| ())
    }
    .run();
}

fn barrier() {
    let barrier = SharedBarrier::new(2).expect("a barrier");
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    let waits = || {
        barrier.wait_timeout(LIMIT).expect("both come");
        // The child is a party now, so this process is told if it dies.
        assert!(matches!(barrier.wait_timeout(LIMIT), Ok(_) | Err(LockError::Broken)));
    };
    Scenario {
        prepare: &|| waiter.set(Some(start(waits))),
        meanwhile: &|| {
            asleep(waiter.get().expect("started"));
        },
        work: &|()| drop(barrier.wait()),
        after: &|| {
            finish(waiter.take().expect("started"));
            barrier.reset();
        },
        ..Scenario::new(&|| {
            barrier.wait_timeout(LIMIT).expect("both come");
        })
    }
    .run();
}
