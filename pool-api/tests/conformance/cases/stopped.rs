//! Processes that were stopped (SIGSTOP): no call waits for ever for one that holds no item, or
//! that has a limit. (The runner ends a case that waits.)

use std::{fs, thread, time::Duration};

use pool_api::{Cause, Error, StartMethod};

use crate::{
    case::{Case, Outcome, builder},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("stopped_at_building_what_is_shared", at_shared).processes(),
    Case::new("stopped_without_a_task", when_joined).processes(),
    Case::new("stopped_without_a_task_and_keep_alive", between_calls).processes(),
    Case::new("stopped_before_a_call", before_a_call).processes(),
    Case::new("stopped_at_its_exit", at_exit).processes(),
    Case::new("stopped_while_a_chunk_is_for_it_alone", awaited).processes(),
];

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
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
