//! Mutexes and read-write locks within one process, threads standing for processes: a thread that
//! ends is a dead holder too.

#[path = "support/ended_thread.rs"]
mod ended_thread;

use std::{mem, thread, time::Duration};

use pool_shm::{LockError, SharedEvent, SharedMutex, SharedRwLock, exclusive_borrows};

use ended_thread::in_a_thread_that_ends;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

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
    // Calls that do not wait look for dead holders, too.
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
