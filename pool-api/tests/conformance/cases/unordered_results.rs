//! One result per item in the order in which items were done, each with its position in the input.

use std::{cell::Cell, collections::BTreeMap};

use pool_api::{CancelToken, Cause, Error, Result, StartMethod, TaskError};

use super::futures_told::{begun_until_told, until_told};
use crate::{
    case::{Case, Outcome, pool},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("unordered_results_go_on", go_on),
    Case::new("unordered_results_come_as_done", as_done),
    Case::new("unordered_results_of_a_dying_worker", dying).processes(),
    Case::new("unordered_results_cancelled", cancelled),
];

/// All results by position; each position comes once.
fn by_index<T>(
    results: impl Iterator<Item = Result<(u64, T)>>,
) -> Result<BTreeMap<u64, Result<T, TaskError>>> {
    let mut all = BTreeMap::new();
    for result in results {
        let (index, outcome) = match result {
            Ok((index, value)) => (index, Ok(value)),
            Err(Error::Task(task)) => (task.index(), Err(task)),
            Err(other) => return Err(other),
        };
        assert!(all.insert(index, outcome).is_none(), "{index} came twice");
    }
    Ok(all)
}

fn go_on(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 4, 50] {
        let tasks = pool.tasks(100..150u64).chunk_size(chunk_size);
        let all = by_index(tasks.imap_unordered_results(|x| {
            assert!(x % 10 != 7, "seven");
            x
        }))?;
        assert!(all.keys().copied().eq(0..50));
        for (index, outcome) in all {
            match outcome {
                Ok(value) => assert!(value == index + 100 && index % 10 != 7),
                Err(task) => {
                    assert!(index % 10 == 7 && matches!(task.cause(), Cause::Panic { .. }))
                }
            }
        }
    }
    assert_eq!(pool.tasks(0..0u8).imap_unordered_results(|x| x).count(), 0);
    let mut refused = pool.tasks(0..3u8).chunk_size(0).imap_unordered_results(|x| x);
    assert!(matches!(refused.next(), Some(Err(Error::InvalidInput(_)))));
    assert!(refused.next().is_none());
    Ok(())
}

fn as_done(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let gate = Scratch::new();
    let items = (0..100).map(|n| (if n == 0 { gate.path() } else { String::new() }, n));
    let mut results = pool.tasks(items).chunk_size(1).imap_unordered_results(|(gate, n)| {
        if gate.is_empty() { n } else { until_told((gate, n)) }
    });
    let mut seen: Vec<_> = results.by_ref().take(99).collect::<Result<_>>()?;
    append(&gate.path(), 1);
    assert_eq!(results.next().transpose()?, Some((0, 0)), "it is the last one");
    assert!(results.next().is_none());
    seen.sort_unstable();
    assert!(seen.into_iter().eq((1..100).map(|n| (u64::from(n), n))));
    Ok(())
}

fn dying(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let dies = |n: u32| if n == 20 { std::process::abort() } else { n };
    let all = by_index(pool.tasks(0..60u32).chunk_size(3).imap_unordered_results(dies))?;
    assert!(all.keys().copied().eq(0..60));
    let lost: Vec<_> = all.into_values().filter_map(Result::err).collect();
    assert!(matches!(&lost[..], [task] if task.index() == 20), "{lost:?}");
    Ok(())
}

/// Each item that was read has a value or was cancelled, and nothing more is read.
fn cancelled(method: StartMethod) -> Outcome {
    let (begun, gate, token) = (Scratch::new(), Scratch::new(), CancelToken::new()?);
    let pool = pool(method, 2)?;
    let read = Cell::new(0);
    let items = (0u64..).inspect(|_| read.set(read.get() + 1));
    let items = items.map(|n| (if n == 5 { gate.path() } else { String::new() }, begun.path()));
    let tasks = pool.tasks(items).chunk_size(1).cancel_token(&token);
    let mut results = tasks.imap_unordered_results(|(gate, begun)| {
        if gate.is_empty() { 1 } else { begun_until_told((begun, gate)) }
    });
    let mut taken = Vec::new();
    while begun.numbers().is_empty() || taken.len() < 20 {
        taken.extend(results.next());
    }
    wait_until("it holds", || begun.numbers().len() == 1);
    token.cancel();
    let all = by_index(taken.into_iter().chain(results.by_ref()))?;
    append(&gate.path(), 1);
    assert!(results.next().is_none());
    assert!(all.keys().copied().eq(0..read.get()), "{} read, {:?}", read.get(), all.keys());
    let cut: Vec<_> =
        all.into_iter().filter_map(|(at, outcome)| Some((at, outcome.err()?))).collect();
    assert!(cut.iter().any(|(at, _)| *at == 5));
    for (at, task) in cut {
        assert_eq!((task.index(), task.cause()), (at, &Cause::Cancelled));
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}
