//! Mutexes that their own thread may take again, within one process, threads standing for
//! processes: a thread that ends is a dead holder too.

#[path = "support/ended_thread.rs"]
mod ended_thread;

use std::{mem, thread, time::Duration};

use pool_shm::{
    LockError, SharedMutex, SharedReentrantMutex, SharedReentrantMutexGuard, exclusive_borrows,
};

use ended_thread::in_a_thread_that_ends;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

/// Whether another thread gets the lock at once; it gives it back.
fn is_free(mutex: &SharedReentrantMutex<u64>) -> bool {
    let attempt = || match mutex.try_lock() {
        Ok(_guard) => true,
        Err(LockError::WouldBlock) => false,
        Err(error) => panic!("{error}"),
    };
    thread::scope(|scope| scope.spawn(attempt).join().expect("no panic"))
}

/// The guard that reports a dead holder.
fn reported(mutex: &SharedReentrantMutex<u64>) -> SharedReentrantMutexGuard<'_, u64> {
    match mutex.lock_timeout(LONG) {
        Err(LockError::HolderDied(guard)) => guard,
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_thread_takes_it_again_and_others_after_the_last_guard() {
    let mutex = SharedReentrantMutex::new(5u64).unwrap();
    let first = mutex.lock().unwrap();
    let second = mutex.try_lock().unwrap();
    let third = mutex.clone().lock_timeout(Duration::ZERO).map(|guard| guard.get()).unwrap();
    assert_eq!(third, 5);
    first.set(6);
    assert_eq!(second.get(), 6);
    assert_eq!(second.replace(7), 6);
    assert_eq!((first.get(), format!("{first:?}")), (7, String::from("7")));
    assert!(!is_free(&mutex));
    // Not in the order in which they were made.
    drop(first);
    assert!(!is_free(&mutex));
    let last = mutex.lock().unwrap();
    drop(second);
    assert!(!is_free(&mutex));
    assert_eq!(last.get(), 7);
    drop(last);
    assert!(is_free(&mutex));
}

#[test]
fn one_thread_holds_it_at_a_time_at_every_depth() {
    /// Adds as many as `depth`, one with each guard.
    fn add(mutex: &SharedReentrantMutex<u64>, depth: u64) {
        let guard = mutex.lock_timeout(LONG).unwrap();
        let before = guard.get();
        guard.set(before + 1);
        if depth > 1 {
            add(mutex, depth - 1);
        }
        assert_eq!(guard.get(), before + depth, "another thread was inside");
    }
    let mutex = SharedReentrantMutex::new(0u64).unwrap();
    thread::scope(|scope| {
        for depth in 1..5 {
            let mutex = mutex.clone();
            scope.spawn(move || (0..5_000).for_each(|_| add(&mutex, depth)));
        }
    });
    assert_eq!(mutex.lock().unwrap().get(), 5_000 * (1 + 2 + 3 + 4));
}

#[test]
fn a_waiter_gets_it_when_the_last_guard_is_gone() {
    let mutex = SharedReentrantMutex::new(0u64).unwrap();
    let (first, second) = (mutex.lock().unwrap(), mutex.lock().unwrap());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| mutex.lock_timeout(LONG).unwrap().get());
        first.set(1);
        drop(first);
        second.set(2);
        drop(second);
        assert_eq!(waiter.join().expect("no panic"), 2);
    });
}

#[test]
fn others_do_not_wait_longer_than_asked() {
    let mutex = SharedReentrantMutex::new(1u64).unwrap();
    let _both = (mutex.lock().unwrap(), mutex.lock().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
            assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
            assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(LockError::TimedOut)));
        });
    });
    assert_eq!(mutex.lock_timeout(Duration::MAX).unwrap().get(), 1);
}

#[test]
fn slices_structs_and_nothing_at_all_can_be_locked() {
    let slice = SharedReentrantMutex::from_slice(&[1u16, 2, 3]).unwrap();
    let (first, second) = (slice.lock().unwrap(), slice.lock().unwrap());
    first[1].set(7);
    first[0].swap(&second[2]);
    assert_eq!(format!("{second:?}"), "[3, 7, 1]");
    drop((first, second));

    let zeroed = SharedReentrantMutex::<[f64]>::zeroed(100_000).unwrap();
    assert!(zeroed.lock().unwrap().iter().all(|value| value.get() == 0.0));
    assert_eq!(SharedReentrantMutex::<[u8]>::zeroed(0).unwrap().lock().unwrap().len(), 0);
    assert!(SharedReentrantMutex::<[u64]>::zeroed(usize::MAX / 8).is_err());

    let lock_alone = SharedReentrantMutex::new(()).unwrap();
    drop((lock_alone.lock().unwrap(), lock_alone.lock().unwrap()));

    let pair = SharedReentrantMutex::new([1i64, -1]).unwrap();
    let guard = pair.lock().unwrap();
    pair.lock().unwrap().update(|[left, right]| [left + 4, right - 4]);
    assert_eq!(guard.get(), [5, -5]);
}

#[test]
fn handles_lead_to_the_same_lock_and_to_no_other_kind() {
    let mutex = SharedReentrantMutex::new([1u32, 2]).unwrap();
    let (segment, slot) = (mutex.block().segment().clone(), mutex.block().slot());
    let again = SharedReentrantMutex::<[u32; 2]>::open(segment.clone(), slot).unwrap();
    let guard = mutex.lock().unwrap();
    again.lock().unwrap().set([9, 2]); // another handle, the same holder
    assert_eq!(guard.get(), [9, 2]);
    assert!(SharedReentrantMutex::<[u16; 4]>::open(segment.clone(), slot).is_err());
    assert!(SharedMutex::<[u32; 2]>::open(segment, slot).is_err());
    let plain = SharedMutex::new([1u32, 2]).unwrap();
    let (segment, slot) = (plain.block().segment().clone(), plain.block().slot());
    assert!(SharedReentrantMutex::<[u32; 2]>::open(segment, slot).is_err());
    let text = format!("{mutex:?}");
    assert!(text.starts_with("SharedReentrantMutex { block: "), "{text}");
}

#[test]
fn a_holder_that_died_with_two_guards_is_reported_once_it_is_dead() {
    let mutex = SharedReentrantMutex::new(5u64).unwrap();
    in_a_thread_that_ends(|| {
        let both = (mutex.lock().unwrap(), mutex.lock().unwrap());
        both.0.set(6);
        mem::forget(both);
    });
    // Calls that do not wait look for dead holders, too.
    let guard = loop {
        match mutex.try_lock() {
            Err(LockError::HolderDied(guard)) => break guard,
            Err(LockError::WouldBlock) => {} // the system has not quite forgotten the thread
            other => panic!("{other:?}"),
        }
    };
    assert!(guard.is_unrepaired());
    assert_eq!(guard.get(), 6);
    // Code that the heir calls is told as well, until the data are repaired.
    let inner = reported(&mutex);
    assert!(inner.is_unrepaired());
    inner.set(5);
    inner.mark_repaired();
    assert!(!guard.is_unrepaired());
    let third = mutex.lock().unwrap();
    // It counts its own guards, and none of the dead one.
    drop((guard, inner));
    assert!(!is_free(&mutex));
    drop(third);
    assert!(is_free(&mutex));
    assert_eq!(mutex.lock().unwrap().get(), 5);
}

#[test]
fn the_last_guard_decides_whether_the_lock_is_given_up() {
    let leave = |mutex: &SharedReentrantMutex<u64>| {
        in_a_thread_that_ends(|| mem::forget((mutex.lock().unwrap(), mutex.lock().unwrap())));
    };
    // An inner call gives up, and the outer one repairs.
    let mutex = SharedReentrantMutex::new(5u64).unwrap();
    leave(&mutex);
    let outer = reported(&mutex);
    assert!(matches!(mutex.lock().map_err(LockError::give_up), Err(LockError::Unrecoverable)));
    assert!(outer.is_unrepaired());
    outer.mark_repaired();
    drop(outer);
    assert!(is_free(&mutex));

    // The outer guard goes first, and the inner one is not marked.
    leave(&mutex);
    let outer = reported(&mutex);
    let inner = reported(&mutex);
    drop(outer);
    assert!(!is_free(&mutex));
    drop(inner);
    for again in [mutex.lock(), mutex.try_lock(), mutex.lock_timeout(LONG)] {
        assert!(matches!(again, Err(LockError::Unrecoverable)));
    }
    in_a_thread_that_ends(|| assert!(matches!(mutex.lock(), Err(LockError::Unrecoverable))));
}

#[test]
fn one_of_several_waiters_is_the_heir() {
    let mutex = SharedReentrantMutex::new(5u64).unwrap();
    in_a_thread_that_ends(|| mem::forget((mutex.lock().unwrap(), mutex.lock().unwrap())));
    thread::scope(|scope| {
        let waiters = [(); 3].map(|()| {
            scope.spawn(|| match mutex.lock_timeout(LONG) {
                Err(LockError::HolderDied(_guard)) => true,
                Err(LockError::Unrecoverable) => false,
                other => panic!("{other:?}"),
            })
        });
        let told = waiters.map(|waiter| waiter.join().expect("no panic"));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
    });
}

#[test]
fn a_panic_unlocks_at_every_depth() {
    let mutex = SharedReentrantMutex::new(1u64).unwrap();
    let panicked = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _both = (mutex.lock().unwrap(), mutex.lock().unwrap());
            panic!("while it is locked");
        });
        thread.join().is_err()
    });
    assert!(panicked);
    assert_eq!(mutex.try_lock().unwrap().get(), 1);
}

#[test]
fn every_guard_keeps_the_thread_from_being_forked() {
    let mutex = SharedReentrantMutex::new(1u64).unwrap();
    let first = mutex.lock().unwrap();
    let second = mutex.lock().unwrap();
    assert_eq!(exclusive_borrows(), 2);
    drop(first);
    assert_eq!(exclusive_borrows(), 1);
    drop(second);
    assert_eq!(exclusive_borrows(), 0);
}
