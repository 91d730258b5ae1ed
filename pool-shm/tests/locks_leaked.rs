//! References that outlive the thread that locked: a guard was leaked where they stay valid, and
//! the thread has ended. No thread may get the data then if its access conflicts with the other
//! reference.

use std::{mem, thread, time::Duration};

use pool_shm::{LockError, SharedMutex, SharedReentrantMutex, SharedRwLock, exclusive_borrows};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The value that `leak` returns from a thread that has ended.
fn from_the_dead<T: Send>(leak: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(leak).join().expect("no panic"))
}

fn a_leaked_writer_has_the_data_for_ever() {
    let mutex = SharedMutex::new([1u64, 2]).expect("a mutex");
    let lock = SharedRwLock::new([1u64, 2]).expect("a lock");
    let (data, others): (&mut [u64; 2], &mut [u64; 2]) = from_the_dead(|| {
        let guard = Box::leak(Box::new(mutex.lock().expect("had")));
        let other = Box::leak(Box::new(lock.write().expect("had")));
        (&mut **guard, &mut **other)
    });
    data[0] = 7;
    others[0] = 7;
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::Unrecoverable)));
    assert!(matches!(mutex.lock(), Err(LockError::Unrecoverable)));
    assert!(matches!(lock.read_timeout(LONG), Err(LockError::Unrecoverable)));
    assert!(matches!(lock.write(), Err(LockError::Unrecoverable)));
    assert_eq!((data[0], others[0]), (7, 7));
    // A fork would give both references to a second process.
    assert!(exclusive_borrows() >= 2);
}

fn a_leaked_reader_can_be_read_beside() {
    let lock = SharedRwLock::with_readers(2, 5u64).expect("a lock");
    let data: &u64 = from_the_dead(|| &**Box::leak(Box::new(lock.read().expect("had"))));
    assert!(matches!(lock.write_timeout(LONG), Err(LockError::Unrecoverable)));
    assert!(matches!(lock.write(), Err(LockError::Unrecoverable)));
    assert_eq!((*lock.read().expect("one place is left"), *data), (5, 5));
    assert_eq!(lock.dead_readers(), 0);
}

fn a_leaked_guard_has_no_owner() {
    let (mutex, lock) =
        (SharedMutex::new(0u8).expect("mutex"), SharedRwLock::new(0u8).expect("lock"));
    from_the_dead(|| {
        let mut guard = mutex.lock().expect("had");
        *guard = 1; // the reference ends here, since the guard moves on
        mem::forget(guard);
        mem::forget(lock.read().expect("had"));
    });
    assert!(matches!(mutex.lock(), Err(LockError::HolderDied(_))));
    assert!(lock.write().is_ok());
    // Boxed, but given back.
    from_the_dead(|| **Box::new(lock.write().expect("had")) = 2);
    assert_eq!(*lock.read().expect("had"), 2);
}

/// What it lends is a `&Cell`, which ends with its thread, wherever the guard was leaked.
fn a_leaked_reentrant_guard_can_be_inherited() {
    let mutex = SharedReentrantMutex::new(0u8).expect("mutex");
    from_the_dead(|| {
        let guards = Box::leak(Box::new([(); 2].map(|()| mutex.lock().expect("had"))));
        guards[1].set(1);
    });
    match mutex.lock_timeout(LONG) {
        Err(LockError::HolderDied(guard)) => {
            assert_eq!(guard.get(), 1);
            guard.mark_repaired();
        }
        other => panic!("{other:?}"),
    }
    assert!(mutex.lock().is_ok());
}

fn main() {
    // Leaks count for ever, so the tests do not run side by side.
    a_leaked_guard_has_no_owner();
    a_leaked_reentrant_guard_can_be_inherited();
    assert_eq!(exclusive_borrows(), 0);
    a_leaked_reader_can_be_read_beside();
    a_leaked_writer_has_the_data_for_ever();
    println!("test result: ok. 4 passed; 0 failed");
}
