//! How much memory a manager takes when results come faster than they are taken, or out of turn.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use pool_api::{ManagerError, StartMethod};

use super::{
    futures_told::until_told,
    manager::{LONG, of, take},
};
use crate::{
    case::{Case, Outcome, sized, tenth_of},
    footprint::resident_bytes,
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("manager_keeps_little_of_many_puts", many_puts).alone(),
    Case::new("manager_keeps_little_before_a_slow_first", slow_first).alone(),
];

/// A thread puts as fast as it can, another one takes slowly.
fn many_puts(method: StartMethod) -> Outcome {
    let count = tenth_of(sized(1_000_000, 100_000) as u64);
    let manager = of(method, 2, |x: u64| x).queue_size(4).start()?;
    (0..1000).try_for_each(|x| manager.put(x))?;
    assert_eq!(manager.get_all().len(), 1000);
    let before = resident_bytes();
    let sum = thread::scope(|scope| {
        let putting = scope.spawn(|| (0..count).try_for_each(|x| manager.put(x)));
        let mut sum = 0;
        for n in 0..count {
            sum += take(&manager)?;
            if n % 1000 == 0 {
                thread::yield_now();
            }
        }
        putting.join().expect("it returns").map_err(|_| ManagerError::Empty)?;
        Ok::<_, ManagerError>(sum)
    })?;
    assert_eq!(sum, count * (count - 1) / 2);
    let more = resident_bytes().saturating_sub(before);
    assert!(more < 48 << 20, "{more} bytes more");
    Ok(())
}

const BIG: usize = 4 << 20;

/// The first task ends last, and the results of the others are large.
fn slow_first(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let f = |(gate, n): (String, u32)| {
        if n == 0 {
            until_told((gate, n));
        }
        vec![u64::from(n); BIG / 8]
    };
    let manager = of(method, 2, f)
        .ordered(true)
        .queue_size(2)
        .pool_options(|pool| pool.max_result_bytes(4 * BIG as u64))
        .start()?;
    let put = AtomicUsize::new(0);
    thread::scope(|scope| {
        let putting = scope.spawn(|| {
            (0..40).try_for_each(|n| {
                manager.put_timeout((gate.path(), n), LONG).map_err(|_| ManagerError::Empty)?;
                put.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ManagerError>(())
            })
        });
        // What is held when results are refused: 4, those under way, and those that wait.
        wait_until("some are put", || put.load(Ordering::SeqCst) >= 5);
        assert!(matches!(manager.try_get(), Err(ManagerError::Empty)));
        append(&gate.path(), 1);
        for n in 0..40 {
            assert_eq!(take(&manager)?[0], n);
            let ahead = put.load(Ordering::SeqCst) as u64 - n;
            assert!(ahead <= 16, "{ahead} results of 4 MiB were ahead of number {n}");
        }
        putting.join().expect("it returns")
    })?;
    Ok(())
}
