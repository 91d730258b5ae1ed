//! One thread at a time, with up to three guards: the two halves of the data agree, and the worker
//! that finds a dead holder, with however many guards, makes them agree again.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pool_shm::{LockError, SharedReentrantMutex, SharedReentrantMutexGuard};

use crate::{Run, board::Board, mutex::kill_holders, processes::Chance, report::Report};

type Mutex = SharedReentrantMutex<[u64; 2]>;

pub(crate) fn run(run: &mut Run) -> Report {
    let mutex = Mutex::new([0; 2]).expect("a mutex");
    kill_holders(run, |board, worker, chance| change(&mutex, board, worker, chance))
}

/// A further guard of the calling thread, which is told of a death until the data are repaired.
fn again(mutex: &Mutex, is_unrepaired: bool) -> SharedReentrantMutexGuard<'_, [u64; 2]> {
    match mutex.lock() {
        Ok(guard) if !is_unrepaired => guard,
        Err(LockError::HolderDied(guard)) if is_unrepaired => guard,
        taken => panic!("{taken:?}"),
    }
}

fn change(mutex: &Mutex, board: &Board, worker: usize, chance: &mut Chance) {
    let outer = match mutex.lock() {
        Ok(guard) => guard,
        Err(LockError::HolderDied(guard)) => {
            board.note_report();
            let inner = again(mutex, true);
            inner.update(|[left, _]| [left, left]);
            inner.mark_repaired();
            guard
        }
        Err(error) => panic!("{error}"),
    };
    board.inside[worker].store(1, SeqCst);
    board.note_entry(worker);
    let [left, right] = outer.get();
    assert_eq!(left, right, "another thread was inside");
    let inner = again(mutex, false);
    inner.set([left + 1, right]);
    chance.dawdle(Duration::from_micros(20));
    let innermost = again(mutex, false);
    // Not in the order in which they were made; the last one still holds the lock.
    drop(outer);
    assert_eq!(inner.get(), [left + 1, right], "another thread was inside");
    drop(inner);
    innermost.set([left + 1, right + 1]);
    board.inside[worker].store(0, SeqCst);
}
