//! Processes that were stopped (SIGSTOP): no call waits for ever for one that holds no item, or
//! that has a limit. (The runner ends a case that waits.)

use std::{
    thread,
    time::{Duration, Instant},
};

use pool_api::{Cause, Error, StartMethod};

use super::futures_told::begun_until_told;
use crate::{
    case::{Case, Outcome, builder, pool},
    footprint::children_of,
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("stopped_at_building_what_is_shared", at_shared).processes(),
    Case::new("stopped_without_a_task", when_joined).processes(),
    Case::new("stopped_without_a_task_and_keep_alive", between_calls).processes(),
    Case::new("stopped_before_a_call", before_a_call).processes(),
    Case::new("stopped_at_its_exit", at_exit).processes(),
    Case::new("stopped_while_a_chunk_is_for_it_alone", awaited).processes(),
    Case::new("stopped_as_a_whole_beside_a_time_limit", stopped_group).processes(),
    Case::new("stopped_before_the_alarm_of_a_time_limit_is_seen", stopped_before).processes(),
];

fn is_stopped(pid: u32) -> bool {
    sys::state_of(pid) == Some('T')
}

fn stop(pid: u32) {
    sys::kill(pid, sys::SIGSTOP);
    wait_until("it is stopped", || is_stopped(pid));
}

fn at_shared(method: StartMethod) -> Outcome {
    let limit = Duration::from_millis(50);
    let stops = || {
        sys::raise(sys::SIGSTOP);
        1u8
    };
    let pool = builder(method, 2).shared_built(stops).shared_timeout(limit).build()?;
    let late = pool.tasks(0..9u8).with_worker().map(|w, x| *w.shared + x);
    let cause = Cause::Timeout { limit };
    assert!(matches!(&late, Err(Error::SharedFailed(c)) if *c == cause), "{late:?}");
    pool.set_shared(7)?;
    assert_eq!(pool.tasks([1u8]).with_worker().map(|w, x| *w.shared + x)?, [8]);
    Ok(())
}

fn when_joined(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    pool.map(0..9u8, |x| x)?;
    stop(pool.worker_pids()[0]);
    pool.stop_and_join()?;
    assert!(pool.worker_pids().is_empty());
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn between_calls(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).keep_alive(false).build()?;
    let mut values = pool.imap(0..9u8, |x| x);
    // The call is not over before the iterator has returned its end.
    for x in 0..9 {
        assert_eq!(values.next().expect("a value")?, x);
    }
    stop(pool.worker_pids()[0]);
    drop(values);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

/// No worker is left that can take an item.
fn before_a_call(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    let pids = pool.broadcast(|_| std::process::id())?;
    pids.iter().for_each(|pid| stop(*pid));
    assert_eq!(pool.map(0..9u8, |x| x)?.len(), 9);
    Ok(())
}

/// The user's own exit function has no limit by default.
fn at_exit(method: StartMethod) -> Outcome {
    let stops = |_: &mut pool_api::Worker<'_, (), ()>| {
        sys::raise(sys::SIGSTOP);
        7u8
    };
    let pool = builder(method, 1).worker_exit(stops).build()?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    let pid = pool.worker_pids()[0];
    thread::scope(|scope| -> Outcome {
        let end = scope.spawn(|| pool.stop_and_join());
        wait_until("it is at its exit", || is_stopped(pid));
        thread::sleep(Duration::from_secs(3));
        assert!(is_stopped(pid) && !end.is_finished(), "it is waited for");
        sys::kill(pid, sys::SIGCONT);
        Ok(end.join().expect("no panic")?)
    })?;
    assert_eq!(pool.exit_results(), [7]);
    Ok(())
}

fn awaited(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).build()?;
    let pids = pool.broadcast(|_| std::process::id())?;
    stop(pids[1]);
    // Other calls need not wait, and nothing is lost by the worker's end.
    assert_eq!(pool.task(()).on_worker(2).with_worker().apply(|w, ()| w.id())?, 2);
    let after = pool.broadcast(|_| std::process::id())?;
    assert_eq!([after[0], after[2]], [pids[0], pids[2]]);
    assert_ne!(after[1], pids[1]);
    Ok(())
}

/// A program that is stopped as a whole (Ctrl-Z) has its full time when it goes on.
fn stopped_group(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    pool.apply((), |()| ())?;
    let scratch = Scratch::new();
    let limit = Duration::from_secs(3);
    thread::scope(|scope| -> Outcome {
        let call = scope.spawn(|| {
            let tasks = pool.tasks([scratch.path()]).task_timeout(limit);
            tasks.map(|path| {
                append(&path, 1);
                let begun = Instant::now();
                let nap = || {
                    let asleep = Instant::now();
                    thread::sleep(Duration::from_millis(10));
                    asleep.elapsed()
                };
                while nap() < Duration::from_secs(2) {}
                // The item was stopped, and has some time of its own left.
                for _ in 0..20 {
                    nap();
                }
                begun.elapsed().as_millis() as u64
            })
        });
        wait_until("it is begun", || !scratch.numbers().is_empty());
        let pids = family();
        for pid in &pids {
            sys::kill(*pid, sys::SIGSTOP);
        }
        thread::sleep(Duration::from_secs(4));
        for pid in &pids {
            sys::kill(*pid, sys::SIGCONT);
        }
        let took = call.join().expect("no panic")?;
        assert!(took[0] > 3000, "it was not stopped");
        Ok(())
    })
}

/// The process that watches the limits is stopped when the item begins, and sees its clock only
/// when the time is over: the item has its time once more.
fn stopped_before(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let worker = pool.apply((), |()| std::process::id())?;
    let zygote = sys::parent_of(worker).ok_or("the worker has a parent")?;
    let (begun, gate) = (Scratch::new(), Scratch::new());
    let limit = Duration::from_secs(1);
    thread::scope(|scope| -> Outcome {
        sys::kill(zygote, sys::SIGSTOP);
        let call = scope.spawn(|| {
            let tasks = pool.tasks([(begun.path(), gate.path())]).task_timeout(limit);
            tasks.map(begun_until_told)
        });
        wait_until("it is begun", || !begun.numbers().is_empty());
        thread::sleep(2 * limit);
        sys::kill(zygote, sys::SIGCONT);
        thread::sleep(limit / 4);
        append(&gate.path(), 1);
        assert_eq!(call.join().expect("no panic")?, [7]);
        Ok(())
    })
}

/// All processes below this one.
fn family() -> Vec<u32> {
    let mut family = vec![std::process::id()];
    let mut at = 0;
    while at < family.len() {
        family.extend(children_of(family[at]));
        at += 1;
    }
    family.split_off(1)
}
