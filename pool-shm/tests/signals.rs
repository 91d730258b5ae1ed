//! Semaphores, events, conditions and barriers within one process, threads standing for processes.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use pool_shm::{
    LockError, SharedBarrier, SharedCondvar, SharedEvent, SharedMutex, SharedSemaphore, SharedValue,
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

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
fn a_leader_acts_before_any_party_goes_on() {
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
    // The leader panics; the others are told.
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

    // Often enough that the round numbers in slots begin again.
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
