//! Processes of one function that know, start and await each other.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use pool_api::{
    ActiveChild, Error, Process, SharedEvent, StartMethod, active_children, current_process,
    parent_process,
};

use super::processes::{SOON, builder};
use crate::{
    case::{Case, Outcome},
    executor::block_on,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("processes_are_started_by_tasks", in_tasks),
    Case::new("processes_know_each_other", relatives),
    Case::new("processes_that_are_daemonic_start_none", daemons),
    Case::new("processes_are_awaited", awaited),
    Case::new("processes_are_started_while_others_are_awaited", awaited_beside_starts),
];

fn relatives(method: StartMethod) -> Outcome {
    type Seen = (String, bool, Option<(String, u32, bool)>);

    fn seen() -> Seen {
        let parent = parent_process().map(|p| (p.name().to_string(), p.pid(), p.is_alive()));
        let own = current_process();
        assert_eq!(own.pid(), std::process::id());
        (own.name().to_string(), own.is_daemon(), parent)
    }

    fn both(method: u8) -> (Seen, Seen, usize) {
        let method = StartMethod::ALL[usize::from(method)];
        let inner = builder(method).spawn(|()| seen(), ()).and_then(Process::join);
        (seen(), inner.expect("a value"), active_children().len())
    }

    let main = || ("MainProcess".to_string(), false, None);
    assert_eq!(seen(), main());
    assert!(active_children().is_empty());
    let number = StartMethod::ALL.iter().position(|m| *m == method).ok_or("unknown")? as u8;
    let mut process = builder(method).spawn(both, number)?;
    let pid = process.pid().unwrap_or(std::process::id());
    let listed = active_children();
    // Under Threads the inner one is a child of this process, too.
    let is_thread = method == StartMethod::Threads;
    let is_outer =
        |child: &ActiveChild| (child.name(), child.pid()) == ("Process-1", process.pid());
    assert!(listed.iter().all(|child| is_outer(child) || is_thread));
    let (outer, inner, children) = process.join_timeout(SOON)?;
    let own = std::process::id();
    assert_eq!(
        outer,
        ("Process-1".to_string(), false, Some(("MainProcess".to_string(), own, true)))
    );
    let name = if is_thread { "Process-1:2" } else { "Process-1:1" };
    assert_eq!(inner, (name.to_string(), false, Some(("Process-1".to_string(), pid, true))));
    assert_eq!(children, usize::from(is_thread));
    assert!(active_children().is_empty());
    assert!(listed.iter().all(|child| !child.is_alive()));
    assert_eq!(seen(), main());
    let pool = crate::case::pool(method, 1)?;
    let worker = pool.apply((), |()| current_process().name().to_string())?;
    assert_eq!(worker, if is_thread { "MainProcess" } else { "worker-0" });
    Ok(())
}

/// Tasks of workers that are not daemonic may start processes, of every kind.
fn in_tasks(method: StartMethod) -> Outcome {
    let start = |number: u8| {
        let method = StartMethod::ALL[usize::from(number)];
        let own = std::process::id();
        let seen = builder(method).name("inner").spawn(
            |own: u32| (current_process().name().to_string(), std::process::id() == own),
            own,
        );
        seen.and_then(Process::join).map_err(|error| error.to_string())
    };
    let outer = crate::case::builder(method, 2).daemon(false).build()?;
    for (number, inner) in (0..).zip(StartMethod::ALL) {
        let seen = outer.apply(number, start)?;
        if (method, inner) == (StartMethod::Threads, StartMethod::Fork) {
            assert!(seen.is_err_and(|text| text.contains("thread")));
            continue;
        }
        assert_eq!(seen, Ok(("inner".to_string(), inner == StartMethod::Threads)), "{inner}");
    }
    // And processes may start processes of every kind.
    for (number, inner) in (0..).zip(StartMethod::ALL) {
        let seen = builder(method).spawn(start, number)?.join()?;
        if (method, inner) == (StartMethod::Threads, StartMethod::Fork) {
            continue;
        }
        assert_eq!(seen, Ok(("inner".to_string(), inner == StartMethod::Threads)), "{inner}");
    }
    Ok(())
}

fn daemons(method: StartMethod) -> Outcome {
    let refused = |method: u8| {
        let method = StartMethod::ALL[usize::from(method)];
        let process = builder(method).spawn(|x: u8| x, 1).and_then(Process::join).map(drop);
        let pool = crate::case::pool(method, 1).map(drop);
        [process, pool].map(|result| matches!(result, Err(Error::NestedPool)))
    };
    let number = StartMethod::ALL.iter().position(|m| *m == method).ok_or("unknown")? as u8;
    let daemon = builder(method).daemon(true).spawn(refused, number)?;
    assert_eq!(daemon.join()?, [true, true]);
    assert_eq!(builder(method).spawn(refused, number)?.join()?, [false, false]);
    Ok(())
}

fn awaited(method: StartMethod) -> Outcome {
    let behind = |(gate, x): (SharedEvent, u64)| {
        gate.wait();
        assert!(x != 3, "it is {x}");
        x
    };
    let start = |gate: &SharedEvent, x| builder(method).spawn(behind, (gate.clone(), x));
    // Several at once, by one thread, in any order. All are awaited before the first one ends.
    let await_all = |numbers: std::ops::Range<u64>| -> Result<Vec<Result<u64, Error>>, Error> {
        let gate = SharedEvent::new()?;
        let started = numbers.map(|x| start(&gate, x)).collect::<Result<Vec<_>, _>>();
        let (mut processes, mut ended) = (started?, Vec::new());
        block_on(poll_fn(|context| {
            processes.retain_mut(|process| match Pin::new(process).poll(context) {
                Poll::Ready(value) => {
                    assert!(gate.is_set());
                    ended.push(value);
                    false
                }
                Poll::Pending => true,
            });
            gate.set();
            if processes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        Ok(ended)
    };
    assert_eq!(await_all(1..2)?.remove(0)?, 1);
    let panicked = await_all(3..4)?.remove(0);
    assert!(panicked.is_err_and(|error| error.to_string().contains("it is 3")));
    let several = await_all(10..20)?.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(several.into_iter().sum::<u64>(), (10..20).sum::<u64>());
    // What was awaited once is waited for as ever, and a future that is ready has no value more.
    let gate = SharedEvent::new()?;
    let mut process = builder(method).spawn(|gate: SharedEvent| gate.wait(), gate.clone())?;
    assert!(Pin::new(&mut process).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    gate.set();
    process.join_timeout(SOON)?;
    assert!(matches!(block_on(process), Err(Error::ResultTaken)));
    Ok(())
}

fn awaited_beside_starts(method: StartMethod) -> Outcome {
    let gate = SharedEvent::new()?;
    let wait = |gate: SharedEvent| gate.wait();
    let mut first = builder(method).spawn(wait, gate.clone())?;
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut first).poll(&mut context).is_pending());
    // Fork refuses a process with several threads, but not the one that watches.
    if method != StartMethod::Threads {
        assert_eq!(builder(method).spawn(|x: u64| x, 7)?.join()?, 7);
        let mut second = builder(method).spawn(wait, gate.clone())?;
        assert!(Pin::new(&mut second).poll(&mut context).is_pending());
        second.kill()?;
        assert!(block_on(second).is_err());
    }
    gate.set();
    block_on(first)?;
    Ok(())
}
