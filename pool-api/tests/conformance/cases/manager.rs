//! A pool that is fed with single items and asked for single results.

use std::{process, thread, time::Duration};

use pool_api::{
    Cause, Error, ManagerBuilder, ManagerError, PoolManager, PoolProcess, StartMethod, Wire,
};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("manager_answers_each_put_once", each_once),
    Case::new("manager_in_order_of_puts", in_order),
    Case::new("manager_has_so_much_room", room),
    Case::new("manager_before_its_start_and_after_its_end", stages),
    Case::new("manager_options_out_of_range", refused_options),
    Case::new("manager_static_args_and_classes", classes),
    Case::new("manager_of_a_worker_that_dies", deaths).processes(),
    Case::new("manager_of_tasks_that_panic", panics),
    Case::new("manager_takes_back_what_is_not_begun", cleared),
    Case::new("manager_feeder", feeder),
    Case::new("manager_feeder_of_a_closed_manager", feeder_of_closed),
    Case::new("manager_map_beside_puts", map_beside),
    Case::new("manager_refuses_what_cannot_cross", refused_items),
    Case::new("manager_wakes_a_get_by_terminate", get_until_terminate),
    Case::new("manager_that_is_no_daemon_finishes", no_daemon),
    Case::new("manager_between_many_threads", many_threads),
];

/// No case waits so long.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) fn of<A: Wire, R: Wire>(
    method: StartMethod,
    size: usize,
    f: fn(A) -> R,
) -> ManagerBuilder<A, R> {
    PoolManager::builder(f).start_method(method).size(size)
}

/// Takes one result, also where another thread has yet to put the item.
pub(super) fn take<A: Wire, R: Wire>(manager: &PoolManager<A, R>) -> Result<R, ManagerError> {
    loop {
        match manager.get_timeout(LONG) {
            Err(ManagerError::NothingOutstanding) => thread::yield_now(),
            got => return got,
        }
    }
}

fn each_once(method: StartMethod) -> Outcome {
    let manager = of(method, 2, |x: u64| x * x).queue_size(64).start()?;
    (0..50).try_for_each(|x| manager.put(x))?;
    let mut got = (0..50).map(|_| manager.get()).collect::<Result<Vec<_>, _>>()?;
    got.sort_unstable();
    assert!(got.into_iter().eq((0..50).map(|x| x * x)));
    for nothing in [manager.get(), manager.try_get(), manager.get_timeout(LONG)] {
        assert!(matches!(nothing, Err(ManagerError::NothingOutstanding)), "{nothing:?}");
    }
    Ok(())
}

fn in_order(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = of(method, 2, until_told).ordered(true).start()?;
    let free = Scratch::new();
    append(&free.path(), 1);
    manager.put((gate.path(), 0))?;
    (1..4).try_for_each(|n| manager.put((free.path(), n)))?;
    let first = manager.get_timeout(Duration::from_millis(5));
    assert!(matches!(first, Err(ManagerError::Empty)), "{first:?}");
    append(&gate.path(), 1);
    let got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(got, [0, 1, 2, 3]);
    Ok(())
}

fn room(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = of(method, 2, until_told).queue_size(1).start()?;
    for n in 0..3 {
        manager.try_put((gate.path(), n))?;
    }
    for full in [
        manager.try_put((gate.path(), 3)),
        manager.put_timeout((gate.path(), 3), Duration::ZERO),
        manager.put_timeout((gate.path(), 3), Duration::from_millis(5)),
    ] {
        let Err(ManagerError::Full((path, 3))) = full else { panic!("{full:?}") };
        assert_eq!(path, gate.path());
    }
    assert!(matches!(manager.try_get(), Err(ManagerError::Empty)));
    thread::scope(|scope| {
        let putting = scope.spawn(|| manager.put_timeout((gate.path(), 3), LONG));
        append(&gate.path(), 1);
        putting.join().expect("it returns")
    })?;
    let mut got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
    Ok(())
}

fn stages(method: StartMethod) -> Outcome {
    let manager = of(method, 1, |x: u64| x + 1).build()?;
    assert!(!manager.is_alive());
    assert!(matches!(manager.put(1), Err(ManagerError::NotStarted(1))));
    assert!(matches!(manager.get(), Err(ManagerError::NotStarted(()))));
    assert!(matches!(manager.map([1]), Err(ManagerError::NotStarted(()))));
    assert!(matches!(manager.put_async([1]), Err(ManagerError::NotStarted(()))));
    assert_eq!((manager.clear_tasks(), manager.get_all().len()), (0, 1));
    manager.start()?;
    assert!(matches!(manager.start(), Err(ManagerError::AlreadyStarted)));
    assert!(manager.is_alive());
    manager.put(1)?;
    manager.close();
    manager.close();
    assert!(matches!(manager.put(2), Err(ManagerError::Closed(2))));
    assert!(matches!(manager.try_put(2), Err(ManagerError::Closed(2))));
    assert!(matches!(manager.put_async([2]), Err(ManagerError::Closed(()))));
    assert!(matches!(manager.map([2]), Err(ManagerError::Closed(()))));
    manager.join()?;
    manager.join()?;
    assert!(!manager.is_alive());
    assert!(matches!(manager.start(), Err(ManagerError::Closed(()))));
    assert_eq!(manager.get()?, 2, "what was put before the end is answered");
    assert!(matches!(manager.get(), Err(ManagerError::NothingOutstanding)));
    manager.terminate()?;
    manager.terminate()?;
    assert!(matches!(manager.get(), Err(ManagerError::WorkersGone)));
    assert!(matches!(manager.get_all()[..], [Err(ManagerError::WorkersGone)]));
    assert!(matches!(manager.join(), Err(ManagerError::WorkersGone)));
    assert!(matches!(manager.put(2), Err(ManagerError::Closed(2))));

    let terminated = of(method, 2, |x: u64| x).start()?;
    (0..4).try_for_each(|x| terminated.put(x))?;
    terminated.terminate()?;
    assert!(matches!(terminated.get(), Err(ManagerError::WorkersGone)));
    Ok(())
}

fn refused_options(method: StartMethod) -> Outcome {
    let plain = || of(method, 1, |x: u64| x);
    for builder in [plain().size(0), plain().size(4097), plain().queue_size(0)] {
        let refused = builder.build();
        assert!(
            matches!(&refused, Err(ManagerError::Failed(Error::InvalidInput(_)))),
            "{refused:?}"
        );
    }
    let manager = plain().queue_size(usize::MAX).start()?;
    manager.put(3)?;
    assert_eq!(manager.get()?, 3);
    Ok(())
}

struct Counter {
    step: u64,
    sum: u64,
}

impl PoolProcess for Counter {
    type Args = (u64, String);
    type Item = u64;
    type Output = (u64, u32);

    fn init((step, _): &(u64, String)) -> Self {
        Self { step: *step, sum: 0 }
    }

    fn run(&mut self, item: u64) -> (u64, u32) {
        self.sum += self.step * item;
        (self.sum, process::id())
    }
}

fn classes(method: StartMethod) -> Outcome {
    let args = vec![String::from("tea"), String::from("cake")];
    let manager = PoolManager::with_static_args(args, |w, index: usize| w.shared[index].len())
        .start_method(method)
        .size(2)
        .ordered(true)
        .start()?;
    (0..2).try_for_each(|index| manager.put(index))?;
    assert_eq!((manager.get()?, manager.get()?), (3, 4));

    let manager = PoolManager::process::<Counter>((10, "unused".to_owned()))
        .start_method(method)
        .size(1)
        .ordered(true)
        .start()?;
    (1..4).try_for_each(|item| manager.put(item))?;
    let got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(got.iter().map(|(sum, _)| *sum).eq([10, 30, 60]), "{got:?}");
    assert_eq!(got.iter().all(|(_, pid)| *pid == process::id()), method == StartMethod::Threads);
    Ok(())
}

fn deaths(method: StartMethod) -> Outcome {
    let f = |x: u64| {
        if x % 10 == 3 {
            process::abort();
        }
        x
    };
    let manager = of(method, 2, f).queue_size(64).start()?;
    (0..40).try_for_each(|x| manager.put(x))?;
    let (well, failed): (Vec<_>, Vec<_>) = manager.get_all().into_iter().partition(Result::is_ok);
    let mut well = well.into_iter().collect::<Result<Vec<_>, _>>()?;
    well.sort_unstable();
    assert!(well.into_iter().eq((0..40).filter(|x| x % 10 != 3)));
    assert_eq!(failed.len(), 4);
    for failure in failed {
        let Err(ManagerError::Failed(Error::Task(error))) = failure else { panic!("{failure:?}") };
        assert!(error.to_string().contains("SIGABRT (signal 6)"), "{error}");
    }
    assert!(manager.is_alive());
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let f = |x: u64| {
        assert!(x != 1, "one is refused");
        x
    };
    let manager = of(method, 1, f).ordered(true).start()?;
    (0..3).try_for_each(|x| manager.put(x))?;
    assert_eq!(manager.get()?, 0);
    let failure = manager.get();
    let Err(ManagerError::Failed(Error::Task(error))) = &failure else { panic!("{failure:?}") };
    assert!(matches!(error.cause(), Cause::Panic { .. }));
    assert_eq!(manager.get()?, 2);
    Ok(())
}

/// The tasks hold until all are taken back that were not begun.
fn cleared(method: StartMethod) -> Outcome {
    let (begun, gate) = (Scratch::new(), Scratch::new());
    let f = |(begun, gate, n): (String, String, u32)| {
        append(&begun, u64::from(n));
        until_told((gate, n))
    };
    let manager = of(method, 4, f).queue_size(64).start()?;
    let item = |n| (begun.path(), gate.path(), n);
    for n in 0..10 {
        manager.put(item(n))?;
    }
    wait_until("four hold", || begun.numbers().len() == 4);
    assert_eq!(manager.clear_tasks(), 6);
    assert_eq!(manager.clear_tasks(), 0);
    append(&gate.path(), 1);
    let got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(got.len(), 4, "{got:?}");
    manager.put(item(11))?;
    assert_eq!(manager.get()?, 11);
    Ok(())
}

fn feeder(method: StartMethod) -> Outcome {
    let manager = of(method, 2, |x: u64| x + 1).queue_size(1).ordered(true).start()?;
    manager.join_async()?; // there is none
    manager.put_async(0..500)?;
    let second = manager.put_async(0..5);
    assert!(matches!(second, Err(ManagerError::FeederRunning)), "{second:?}");
    let got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(got.into_iter().eq(1..501));
    manager.join_async()?;
    manager.put_async([7])?;
    manager.join_async()?;
    assert_eq!(manager.get()?, 8);
    Ok(())
}

fn feeder_of_closed(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let manager = of(method, 1, until_told).queue_size(1).ordered(true).start()?;
    let path = gate.path();
    manager.put_async((0..).map(move |n| (path.clone(), n)))?;
    manager.close();
    let closed = manager.join_async();
    assert!(matches!(closed, Err(ManagerError::Closed((_, n))) if n <= 2), "{closed:?}");
    append(&gate.path(), 1);
    manager.join()?;
    for (n, got) in manager.get_all().into_iter().enumerate() {
        assert_eq!(got?, n as u32);
    }
    // Dropped while its thread puts.
    let endless = of(method, 1, |x: u64| x).queue_size(1).start()?;
    endless.put_async(0..)?;
    drop(endless);
    Ok(())
}

fn map_beside(method: StartMethod) -> Outcome {
    let manager = of(method, 2, |x: u64| x * 2).start()?;
    (0..4).try_for_each(|x| manager.put(x))?;
    assert!(manager.map(100..200)?.into_iter().eq((100..200).map(|x| x * 2)));
    let mut got = manager.get_all().into_iter().collect::<Result<Vec<_>, _>>()?;
    got.sort_unstable();
    assert_eq!(got, [0, 2, 4, 6]);
    Ok(())
}

fn refused_items(method: StartMethod) -> Outcome {
    // Nested deeper than what crosses.
    type Deep = Vec<Option<Box<u8>>>;
    let manager = of(method, 1, |deep: Deep| deep.len()).start()?;
    manager.put(vec![None, Some(Box::new(1))])?;
    assert_eq!(manager.get()?, 2);
    let closed = of(method, 1, |x: u64| x).start()?;
    closed.terminate()?;
    assert_eq!(closed.put(9).map_err(ManagerError::into_item), Err(Some(9)));
    Ok(())
}

fn get_until_terminate(method: StartMethod) -> Outcome {
    let f = |w: &mut pool_api::Worker<'_, String, ()>, _: u64| {
        append(w.shared, 1);
        while !w.is_cancelled() {
            thread::yield_now();
        }
    };
    let begun = Scratch::new();
    let manager =
        PoolManager::with_static_args(begun.path(), f).start_method(method).size(1).start()?;
    manager.put(1)?;
    wait_until("the task has begun", || begun.numbers().len() == 1);
    let got = thread::scope(|scope| {
        let getting = scope.spawn(|| manager.get());
        manager.terminate()?;
        Ok::<_, ManagerError>(getting.join().expect("it returns"))
    })?;
    // The task's own end may be seen first.
    assert!(
        matches!(&got, Err(ManagerError::WorkersGone | ManagerError::Failed(Error::Terminated))),
        "{got:?}"
    );
    Ok(())
}

fn no_daemon(method: StartMethod) -> Outcome {
    let done = Scratch::new();
    let f = |(path, n): (String, u64)| append(&path, n);
    let manager = of(method, 2, f).daemon(false).start()?;
    (0..4).try_for_each(|n| manager.put((done.path(), n)))?;
    drop(manager);
    assert_eq!(done.numbers().len(), 4);
    let scoped = of(method, 2, f)
        .daemon(false)
        .scope(|manager| (0..4).try_for_each(|n| manager.put((done.path(), n))))?;
    scoped?;
    assert_eq!(done.numbers().len(), 8);
    Ok(())
}

fn many_threads(method: StartMethod) -> Outcome {
    const EACH: u64 = 300;
    let manager = of(method, 2, |x: u64| x).queue_size(2).start()?;
    let sum = thread::scope(|scope| {
        let putting: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..EACH).try_for_each(|x| manager.put_timeout(x, LONG))))
            .collect();
        let take = || (0..EACH).map(|_| take(&manager)).sum::<Result<u64, _>>();
        let getting: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
        for thread in putting {
            thread.join().expect("it returns").map_err(|_| ManagerError::Empty)?;
        }
        let mut sum = 0;
        for thread in getting {
            sum += thread.join().expect("it returns")?;
        }
        Ok::<_, ManagerError>(sum)
    })?;
    assert_eq!(sum, 3 * EACH * (EACH - 1) / 2);
    Ok(())
}
