//! The examples of the guide to `better.multiprocessing`, in the terms of this crate.

use std::{collections::BTreeSet, process, time::Duration};

use pool_api::{
    Error, ManagerError, PoolManager, PoolProcess, SharedBarrier, StartMethod, WorkerPool,
    usable_cpus,
};

use super::{
    futures_told::until_told,
    manager::{LONG, of},
    processes::sleep,
};
use crate::{
    case::{Case, Outcome},
    scratch::{Scratch, append, read_numbers, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("guide_managers_of_100_workers", more_than_cpus),
    Case::new("guide_managers_by_default", by_default),
    Case::new("guide_managers_start_their_workers_once", start_once),
    Case::new("guide_managers_items_of_several_parts", several_parts),
    Case::new("guide_managers_have_one_copy_of_static_args", one_copy),
    Case::new("guide_managers_in_the_order_of_ends", order_of_ends),
    Case::new("guide_managers_map_in_the_order_of_input", map_in_order),
    Case::new("guide_managers_forget_nothing_at_a_full_put", full_put),
    Case::new("guide_managers_wait_in_time", wait_in_time),
    Case::new("guide_managers_get_all_of_puts_and_feeder", get_all),
    Case::new("guide_managers_as_scopes", scopes),
    Case::new("guide_managers_end_their_processes", ends).processes(),
    Case::new("guide_managers_that_are_daemonic", daemonic).processes(),
];

/// There may be more workers than CPUs: here all of them have an item at the same time.
fn more_than_cpus(method: StartMethod) -> Outcome {
    const SIZE: usize = 100;
    let manager = PoolManager::with_static_args(SharedBarrier::new(SIZE)?, |w, x: u64| {
        w.shared.wait().expect("all come");
        x * x
    })
    .start_method(method)
    .size(SIZE)
    .ordered(true)
    .start()?;
    (0..SIZE as u64).try_for_each(|x| manager.put(x))?;
    let got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(got.into_iter().eq((0..SIZE as u64).map(|x| x * x)));
    Ok(())
}

/// There are as many workers as usable CPUs, and there is room for twice as many items that wait.
fn by_default(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = PoolManager::builder(until_told).start_method(method).start()?;
    let mut put = 0;
    let full = loop {
        match manager.try_put((gate.path(), put)) {
            Ok(()) => put += 1,
            Err(full) => break full,
        }
    };
    assert!(matches!(full, ManagerError::Full((_, n)) if n == put));
    assert_eq!(put as usize, 3 * usable_cpus());
    append(&gate.path(), 1);
    assert_eq!(manager.get_all().len(), put as usize);
    Ok(())
}

/// Says when a worker is made, and by which process an item is run.
struct Worker;

impl PoolProcess for Worker {
    type Args = String;
    type Item = u64;
    type Output = u32;

    fn init(made: &String) -> Self {
        append(made, u64::from(process::id()));
        Self
    }

    fn run(&mut self, _: u64) -> u32 {
        process::id()
    }
}

fn start_once(method: StartMethod) -> Outcome {
    let made = Scratch::new();
    let manager =
        PoolManager::process::<Worker>(made.path()).start_method(method).size(3).build()?;
    assert!(made.numbers().is_empty() && !manager.is_alive());
    manager.start()?;
    let workers = made.numbers();
    assert_eq!(workers.len(), 3, "each can take an item");
    let are_processes = workers.iter().all(|pid| *pid != u64::from(process::id()));
    assert_eq!(are_processes, method != StartMethod::Threads);
    (0..20).try_for_each(|x| manager.put(x))?;
    for pid in manager.get_all() {
        assert!(workers.contains(&u64::from(pid?)));
    }
    assert_eq!(made.numbers(), workers, "the arguments crossed once, and each is made once");
    Ok(())
}

fn several_parts(method: StartMethod) -> Outcome {
    let manager = of(method, 2, |(a, b): (i64, i64)| a + b).ordered(true).start()?;
    manager.put((10, 20))?;
    manager.put((14, 25))?;
    assert_eq!((manager.get()?, manager.get()?), (30, 39));
    // The static arguments come beside the item, whatever parts that has.
    let manager =
        PoolManager::with_static_args((100, String::from("!")), |w, (a, b): (i64, i64)| {
            format!("{}{}", a + b + w.shared.0, w.shared.1)
        })
        .start_method(method)
        .size(1)
        .start()?;
    manager.put((10, 20))?;
    assert_eq!(manager.get()?, "130!");
    Ok(())
}

fn one_copy(method: StartMethod) -> Outcome {
    let manager = PoolManager::with_static_args(vec![7u8; 1 << 20], |w, x: usize| {
        (w.id(), w.shared.as_ptr().addr(), w.shared[x])
    })
    .start_method(method)
    .size(2)
    .queue_size(100)
    .start()?;
    (0..100).try_for_each(|x| manager.put(x))?;
    let mut places = BTreeSet::new();
    for got in manager.get_all() {
        let (worker, place, byte) = got?;
        places.insert((worker, place));
        assert_eq!(byte, 7);
    }
    assert!((1..=2).contains(&places.len()), "one place in each worker: {places:?}");
    Ok(())
}

/// Results come in the order in which tasks end, unless the manager is ordered.
fn order_of_ends(method: StartMethod) -> Outcome {
    let (gate, free) = (Scratch::new(), Scratch::new());
    append(&free.path(), 1);
    let manager = of(method, 2, until_told).start()?;
    manager.put((gate.path(), 1))?;
    manager.put((free.path(), 2))?;
    manager.put((free.path(), 3))?;
    let mut first = [manager.get()?, manager.get()?];
    first.sort_unstable();
    assert_eq!(first, [2, 3], "the first one still runs");
    assert!(matches!(manager.try_get(), Err(ManagerError::Empty)));
    append(&gate.path(), 1);
    assert_eq!(manager.get()?, 1);
    Ok(())
}

/// The first task ends last, and its value is the first one all the same.
fn map_in_order(method: StartMethod) -> Outcome {
    let ended = Scratch::new();
    let task = |(ended, waits): (String, bool)| {
        if waits {
            wait_until("the others have ended", || read_numbers(&ended).len() == 3);
        } else {
            append(&ended, 1);
        }
        waits
    };
    let manager = of(method, 2, task).start()?;
    let items = [true, false, false, false].map(|waits| (ended.path(), waits));
    assert_eq!(manager.map(items)?, [true, false, false, false]);
    assert!(manager.map([])?.is_empty());
    Ok(())
}

/// An item for which there was no room in time is not outstanding.
fn full_put(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = of(method, 1, until_told).queue_size(1).start()?;
    for n in 0..2 {
        manager.put((gate.path(), n))?;
    }
    let refused = manager.put_timeout((gate.path(), 2), Duration::from_millis(5));
    let Err(ManagerError::Full((path, 2))) = refused else { panic!("{refused:?}") };
    append(&path, 1);
    let mut got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    got.sort_unstable();
    assert_eq!(got, [0, 1]);
    assert!(matches!(manager.get(), Err(ManagerError::NothingOutstanding)));
    Ok(())
}

fn wait_in_time(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = of(method, 1, until_told).start()?;
    manager.put((gate.path(), 5))?;
    assert!(matches!(manager.try_get(), Err(ManagerError::Empty)));
    let early = manager.get_timeout(Duration::from_millis(5));
    assert!(matches!(early, Err(ManagerError::Empty)), "{early:?}");
    append(&gate.path(), 1);
    assert_eq!(manager.get_timeout(LONG)?, 5, "a wait that was over loses nothing");
    assert!(matches!(manager.get_timeout(LONG), Err(ManagerError::NothingOutstanding)));
    Ok(())
}

/// All that is outstanding: what was put, and what the feeder has yet to put.
fn get_all(method: StartMethod) -> Outcome {
    for is_ordered in [false, true] {
        let manager = of(method, 2, |x: u64| x + 1).queue_size(2).ordered(is_ordered).start()?;
        manager.put(100)?;
        manager.put_async(0..50)?;
        let mut got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
        if is_ordered {
            assert_eq!(got[0], 101);
        }
        got.sort_unstable();
        assert!(got.into_iter().eq((1..51).chain([101])));
        manager.join_async()?;
        assert!(manager.get_all().is_empty());
    }
    Ok(())
}

fn scopes(method: StartMethod) -> Outcome {
    let f = |x: u64| x * 2;
    let sum = of(method, 2, f).scope(|manager| {
        (0..10).try_for_each(|x| manager.put(x)).map_err(ManagerError::without_item)?;
        manager.get_all().into_iter().sum::<Result<u64, _>>()
    })??;
    assert_eq!(sum, 90);
    // By hand.
    let manager = of(method, 2, f).ordered(true).build()?;
    manager.start()?;
    manager.put(1)?;
    manager.close();
    assert_eq!(manager.get()?, 2);
    manager.join()?;
    // What was put and not taken is finished, or dropped with a daemonic manager.
    let done = Scratch::new();
    let note = |(path, n): (String, u64)| append(&path, n);
    let finishing = of(method, 2, note).daemon(false).queue_size(100);
    finishing.scope(|manager| {
        (0..100).try_for_each(|n| manager.put((done.path(), n))).map_err(ManagerError::without_item)
    })??;
    assert_eq!(done.numbers().len(), 100);
    Ok(())
}

/// After the end of a manager none of its processes is left, whether it was joined, terminated
/// while a task runs, or dropped.
fn ends(method: StartMethod) -> Outcome {
    let task = |(begun, waits): (String, bool)| {
        append(&begun, u64::from(process::id()));
        if waits {
            sleep(());
        }
    };
    for end in 0..3 {
        let (begun, waits) = (Scratch::new(), end > 0);
        let manager = of(method, 2, task).start()?;
        (0..2).try_for_each(|_| manager.put((begun.path(), waits)))?;
        wait_until("they have begun", || begun.numbers().len() == 2);
        let workers = begun.numbers();
        match end {
            0 => manager.join()?,
            1 => manager.terminate()?,
            _ => drop(manager),
        }
        for pid in workers {
            let pid = u32::try_from(pid)?;
            wait_until("it has ended", || sys::has_ended(pid));
        }
    }
    Ok(())
}

/// The workers of a daemonic manager, which is the default, start no pool; those of others do.
fn daemonic(method: StartMethod) -> Outcome {
    let inner = |x: u64| match WorkerPool::new(1) {
        Ok(pool) => pool.apply(x, |x| x + 1).ok(),
        Err(Error::NestedPool) => None,
        Err(error) => panic!("{error}"),
    };
    for (manager, expected) in [
        (of(method, 1, inner), None),
        (of(method, 1, inner).daemon(true), None),
        (of(method, 1, inner).daemon(false), Some(8)),
    ] {
        let manager = manager.start()?;
        manager.put(7)?;
        assert_eq!(manager.get()?, expected);
        manager.join()?;
    }
    Ok(())
}
