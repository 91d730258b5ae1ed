//! What locks do within one process, threads standing for processes: a thread that ends is a dead holder too.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use pool_shm::{
    LockError, SharedBarrier, SharedCondvar, SharedEvent, SharedMutex, SharedRwLock,
    SharedSemaphore, SharedValue, exclusive_borrows,
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

/// Runs `holds` in a thread that ends at once: whatever it forgot there belongs to the dead.
fn in_a_thread_that_ends(holds: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(holds).join().expect("no panic"));
}

#[test]
fn a_mutex_is_held_by_one() {
    let mutex = SharedMutex::new(0u64).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let mutex = mutex.clone();
            scope.spawn(move || {
                for _ in 0..10_000 {
                    *mutex.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(*mutex.lock().unwrap(), 40_000);
}

#[test]
fn a_mutex_that_is_held_is_not_waited_for_longer_than_asked() {
    let mutex = SharedMutex::new(1u8).unwrap();
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
            assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
        });
    });
    assert!(matches!(mutex.lock(), Err(LockError::WouldDeadlock)));
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldDeadlock)));
    drop(guard);
    assert_eq!(*mutex.try_lock().unwrap(), 1);
    assert_eq!(*mutex.lock_timeout(Duration::MAX).unwrap(), 1);
}

#[test]
fn slices_and_nothing_at_all_can_be_locked() {
    let slice = SharedMutex::from_slice(&[1u16, 2, 3]).unwrap();
    slice.lock().unwrap()[1] = 7;
    assert_eq!(*slice.lock().unwrap(), [1, 7, 3]);

    let zeroed = SharedMutex::<[f64]>::zeroed(100_000).unwrap();
    assert!(zeroed.lock().unwrap().iter().all(|value| *value == 0.0));
    assert_eq!(SharedMutex::<[u8]>::zeroed(0).unwrap().lock().unwrap().len(), 0);
    assert!(SharedMutex::<[u64]>::zeroed(usize::MAX / 8).is_err());

    let lock_alone = SharedMutex::new(()).unwrap();
    drop(lock_alone.lock().unwrap());

    let rows = SharedRwLock::from_slice(&[[1u8; 3], [2; 3]]).unwrap();
    assert_eq!(rows.read().unwrap()[1], [2; 3]);
    assert_eq!(SharedRwLock::<[u32]>::zeroed(1, 5).unwrap().write().unwrap().len(), 5);
}

#[test]
fn handles_lead_to_the_same_lock() {
    let mutex = SharedMutex::new([1u32, 2]).unwrap();
    let (segment, slot) = (mutex.block().segment().clone(), mutex.block().slot());
    let again = SharedMutex::<[u32; 2]>::open(segment.clone(), slot).unwrap();
    again.lock().unwrap()[0] = 9;
    assert_eq!(*mutex.lock().unwrap(), [9, 2]);
    assert!(SharedMutex::<[u16; 4]>::open(segment.clone(), slot).is_err());
    assert!(SharedRwLock::<[u32; 2]>::open(segment.clone(), slot).is_err());
    assert!(SharedEvent::open(segment, slot).is_err());
}

#[test]
fn a_dead_holder_is_reported_and_what_it_left_can_be_repaired() {
    let mutex = SharedMutex::new(5u64).unwrap();
    in_a_thread_that_ends(|| {
        let mut guard = mutex.lock().unwrap();
        *guard = 6;
        mem::forget(guard);
    });
    // Those who do not wait look, too.
    let mut guard = loop {
        match mutex.try_lock() {
            Err(LockError::HolderDied(guard)) => break guard,
            Err(LockError::WouldBlock) => {} // the system has not quite forgotten the thread
            other => panic!("{other:?}"),
        }
    };
    assert!(guard.is_unrepaired());
    assert_eq!(*guard, 6);
    guard.mark_repaired();
    drop(guard);
    assert_eq!(*mutex.lock().unwrap(), 6);
}

#[test]
fn who_does_not_repair_gives_up_for_all() {
    let mutex = SharedMutex::new(5u64).unwrap();
    in_a_thread_that_ends(|| mem::forget(mutex.lock().unwrap()));
    thread::scope(|scope| {
        let waiters = [(); 3].map(|()| {
            scope.spawn(|| match mutex.lock() {
                Err(LockError::HolderDied(guard)) => {
                    assert_eq!(exclusive_borrows(), 1);
                    drop(guard);
                    assert_eq!(exclusive_borrows(), 0);
                    true
                }
                Err(LockError::Unrecoverable) => false,
                other => panic!("{other:?}"),
            })
        });
        let told = waiters.map(|waiter| waiter.join().expect("no panic"));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
    });
    assert!(matches!(mutex.lock(), Err(LockError::Unrecoverable)));
    assert!(matches!(mutex.try_lock(), Err(LockError::Unrecoverable)));
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::Unrecoverable)));
}

#[test]
fn a_panic_unlocks() {
    let mutex = SharedMutex::new(1u64).unwrap();
    let panicked = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _guard = mutex.lock().unwrap();
            panic!("while it is locked");
        });
        thread.join().is_err()
    });
    assert!(panicked);
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn guards_are_counted() {
    let (mutex, lock) = (SharedMutex::new(0u8).unwrap(), SharedRwLock::new(0u8).unwrap());
    let guard = mutex.lock().unwrap();
    let writer = lock.write().unwrap();
    assert_eq!(exclusive_borrows(), 2);
    drop((guard, writer));
    let readers = (lock.read().unwrap(), lock.read().unwrap());
    assert_eq!(exclusive_borrows(), 2);
    drop(readers);
    assert!(mutex.lock().is_ok() && lock.read().is_ok());
    assert_eq!(exclusive_borrows(), 0);
}

#[test]
fn readers_share_and_writers_do_not() {
    let lock = SharedRwLock::new([0u64; 2]).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let mut both = lock.write().unwrap();
                    both[0] += 1;
                    both[1] += 1;
                }
            });
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let both = lock.read().unwrap();
                    assert_eq!(both[0], both[1]);
                }
            });
        }
    });
    assert_eq!(*lock.read().unwrap(), [10_000; 2]);

    let reader = lock.read().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(lock.try_read().unwrap());
            assert!(matches!(lock.try_write(), Err(LockError::WouldBlock)));
            assert!(matches!(lock.write_timeout(SHORT), Err(LockError::TimedOut)));
            drop(lock.read_timeout(LONG).unwrap());
        });
    });
    assert!(matches!(lock.write(), Err(LockError::WouldDeadlock)));
    drop(reader);
    let writer = lock.write().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(lock.try_read(), Err(LockError::WouldBlock)));
            assert!(matches!(lock.read_timeout(SHORT), Err(LockError::TimedOut)));
        });
    });
    assert!(matches!(lock.read(), Err(LockError::WouldDeadlock)));
    assert!(matches!(lock.write(), Err(LockError::WouldDeadlock)));
    drop(writer);
}

#[test]
fn one_that_reads_twice_does_not_wait_for_the_writer_that_waits_for_it() {
    let lock = SharedRwLock::new(0u8).unwrap();
    let reader = lock.read().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| drop(lock.write().unwrap()));
        loop {
            match lock.read() {
                Ok(again) => drop(again), // the writer has not come yet
                Err(LockError::WouldDeadlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
        drop(reader);
        writer.join().expect("no panic");
    });
}

#[test]
fn a_dead_writer_is_reported_to_readers_too() {
    for writes in [true, false] {
        let lock = SharedRwLock::new(1u8).unwrap();
        in_a_thread_that_ends(|| mem::forget(lock.write().unwrap()));
        let taken = if writes { lock.write().map(drop) } else { lock.read().map(drop) };
        let Err(LockError::HolderDied(mut guard)) = taken else { panic!("{taken:?}") };
        *guard = 2;
        guard.mark_repaired();
        drop(guard);
        assert_eq!(*lock.read().unwrap(), 2);

        in_a_thread_that_ends(|| mem::forget(lock.write().unwrap()));
        assert!(matches!(lock.read().map_err(LockError::give_up), Err(LockError::Unrecoverable)));
        assert!(matches!(lock.read(), Err(LockError::Unrecoverable)));
        assert!(matches!(lock.write(), Err(LockError::Unrecoverable)));
    }
}

#[test]
fn dead_readers_give_their_places_back() {
    let lock = SharedRwLock::with_readers(2, 0u8).unwrap();
    for _ in 0..3 {
        in_a_thread_that_ends(|| mem::forget(lock.read().unwrap()));
    }
    drop(lock.write_timeout(LONG).unwrap());
    assert_eq!(lock.dead_readers(), 3);

    let _both = (lock.read().unwrap(), lock.read().unwrap());
    assert!(matches!(lock.read(), Err(LockError::TooManyReaders { limit: 2 })));
    assert!(SharedRwLock::with_readers(0, 0u8).is_err());
}

#[test]
fn permits_are_as_many_as_there_are() {
    let semaphore = SharedSemaphore::new(3).unwrap();
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let _permit = semaphore.acquire().unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!((semaphore.available(), semaphore.limit()), (3, 3));

    let all = [(); 3].map(|()| semaphore.acquire().unwrap());
    assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock)));
    assert!(matches!(semaphore.acquire_timeout(SHORT), Err(LockError::TimedOut)));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| semaphore.acquire().map(drop));
        drop(all); // permits belong to the process
        waiter.join().expect("no panic").unwrap();
    });
    assert!(matches!(semaphore.add_permit(), Err(LockError::TooManyPermits { limit: 3 })));
    assert!(SharedSemaphore::new(0).is_err());
}

#[test]
fn permits_can_be_made_and_used_up() {
    let semaphore = SharedSemaphore::with_limit(1, 2).unwrap();
    assert_eq!((semaphore.available(), semaphore.limit()), (1, 2));
    semaphore.acquire().unwrap().consume();
    assert_eq!(semaphore.available(), 0);
    thread::scope(|scope| {
        let consumer =
            scope.spawn(|| (0..1_000).for_each(|_| semaphore.acquire().unwrap().consume()));
        for _ in 0..1_000 {
            while semaphore.add_permit().is_err() {
                thread::yield_now();
            }
        }
        consumer.join().expect("no panic");
    });
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn an_event_lets_all_go_on() {
    let event = SharedEvent::new().unwrap();
    assert!(!event.is_set() && !event.wait_timeout(SHORT));
    thread::scope(|scope| {
        let waiters = [(); 4].map(|()| scope.spawn(|| event.wait_timeout(LONG)));
        event.set();
        assert!(waiters.into_iter().all(|waiter| waiter.join().expect("no panic")));
    });
    event.wait();
    event.clear();
    assert!(!event.is_set() && !event.wait_timeout(Duration::ZERO));
}

#[test]
fn a_condition_is_waited_for() {
    const ROUNDS: u64 = 1_000;
    let (turn, changed) = (SharedMutex::new(0u64).unwrap(), SharedCondvar::new().unwrap());
    thread::scope(|scope| {
        for mine in 0..2 {
            let (turn, changed) = (&turn, &changed);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let guard = turn.lock().unwrap();
                    let mut guard = changed.wait_while(guard, |turn| *turn % 2 != mine).unwrap();
                    *guard += 1;
                    changed.notify_one();
                }
            });
        }
    });
    let guard = turn.lock().unwrap();
    assert_eq!(*guard, 2 * ROUNDS);
    let (guard, over) = changed.wait_timeout(guard, SHORT).unwrap();
    assert!(over);
    let (guard, over) = changed.wait_timeout_while(guard, SHORT, |_| true).unwrap();
    assert!(over);
    assert!(!changed.wait_timeout_while(guard, SHORT, |_| false).unwrap().1);
}

#[test]
fn a_waiter_hears_of_a_holder_that_died() {
    let (mutex, changed) = (SharedMutex::new(0u8).unwrap(), SharedCondvar::new().unwrap());
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut guard = mutex.lock().unwrap(); // not before the other waits
            *guard = 1;
            changed.notify_all();
            mem::forget(guard);
        });
        match changed.wait_while(guard, |value| *value == 0) {
            Err(LockError::HolderDied(mut guard)) => guard.mark_repaired(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn a_barrier_has_a_leader_in_every_round() {
    const ROUNDS: usize = 500;
    let barrier = SharedBarrier::new(4).unwrap();
    let (led, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let leads = barrier.wait().unwrap().is_leader();
                    assert!(arrived.load(Ordering::SeqCst) >= 4 * (round + 1));
                    led.fetch_add(usize::from(leads), Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(led.load(Ordering::SeqCst), ROUNDS);
    assert_eq!((barrier.parties(), barrier.waiting()), (4, 0));
}

#[test]
fn more_than_the_parties_meet_in_several_rounds() {
    let barrier = SharedBarrier::new(2).unwrap();
    thread::scope(|scope| {
        let waiters = [(); 8].map(|()| scope.spawn(|| barrier.wait().unwrap().is_leader()));
        let leaders = waiters.map(|waiter| usize::from(waiter.join().expect("no panic")));
        assert_eq!(leaders.iter().sum::<usize>(), 4);
    });
    assert!(SharedBarrier::new(1).unwrap().wait().unwrap().is_leader());
    assert!(SharedBarrier::new(0).is_err());
}

#[test]
fn a_leader_acts_before_anybody_goes_on() {
    let barrier = SharedBarrier::new(4).unwrap();
    let acts = SharedValue::new(0u32).unwrap();
    let leaders: u32 = thread::scope(|scope| {
        let parties = [(); 4].map(|()| {
            scope.spawn(|| {
                (1..=100)
                    .map(|round| {
                        let result = barrier.wait_and_lead(|| acts.set(round)).unwrap();
                        assert_eq!(acts.get(), round);
                        barrier.wait().unwrap();
                        u32::from(result.is_leader())
                    })
                    .sum::<u32>()
            })
        });
        parties.into_iter().map(|party| party.join().unwrap()).sum()
    });
    assert_eq!((leaders, acts.get()), (100, 100));
    // Whoever leads panics; the others are told.
    thread::scope(|scope| {
        let parties = [(); 4].map(|()| scope.spawn(|| barrier.wait_and_lead(|| panic!("leads"))));
        let ends = parties.map(|party| party.join());
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1);
        assert!(ends.into_iter().flatten().all(|end| matches!(end, Err(LockError::Broken))));
    });
}

#[test]
fn so_many_are_notified() {
    let (waiting, changed) = (SharedMutex::new([0u32; 2]).unwrap(), SharedCondvar::new().unwrap());
    thread::scope(|scope| {
        let waiters = [(); 5].map(|()| {
            scope.spawn(|| {
                let mut guard = waiting.lock().unwrap();
                guard[0] += 1;
                let mut guard = changed.wait_while(guard, |both| both[1] == 0).unwrap();
                guard[1] -= 1;
            })
        });
        while waiting.lock().unwrap()[0] < 5 {
            thread::yield_now();
        }
        changed.notify(0);
        for most in [3, 2] {
            waiting.lock().unwrap()[1] = most;
            changed.notify(most);
            while waiting.lock().unwrap()[1] > 0 {
                thread::yield_now();
            }
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
    changed.notify(u32::MAX);
}

#[test]
fn a_broken_barrier_stays_broken_until_it_is_reset() {
    let barrier = SharedBarrier::new(2).unwrap();
    assert!(matches!(barrier.wait_timeout(SHORT), Err(LockError::TimedOut)));
    assert!(barrier.is_broken());
    assert!(matches!(barrier.wait(), Err(LockError::Broken)));

    // Often enough for the rounds that seats remember to begin again.
    for _ in 0..1_500 {
        barrier.reset();
    }
    assert!(!barrier.is_broken());
    for end in [SharedBarrier::abort, SharedBarrier::reset] {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.wait());
            while barrier.waiting() == 0 {
                thread::yield_now();
            }
            end(&barrier);
            assert!(matches!(waiter.join().expect("no panic"), Err(LockError::Broken)));
        });
        barrier.reset();
    }
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait().unwrap().is_leader());
        assert_ne!(barrier.wait().unwrap().is_leader(), waiter.join().expect("no panic"));
    });
}
