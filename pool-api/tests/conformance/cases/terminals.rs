//! Every form of a call gives the same answers.

use std::cell::RefCell;

use pool_api::{Error, StartMethod};

use crate::{
    case::{Case, Outcome, builder, pool},
    footprint::Footprint,
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("map", map),
    Case::new("map_unordered", map_unordered),
    Case::new("imap", imap),
    Case::new("imap_unordered", imap_unordered),
    Case::new("imap_results", imap_results),
    Case::new("map_results", map_results),
    Case::new("map_with_worker_ids", map_with),
    Case::new("map_view", map_view),
    Case::new("for_each_view", for_each_view),
    Case::new("map_scoped_or_refusal", map_scoped),
    Case::new("map_scoped_ends_with_its_failure", map_scoped_fails),
    Case::new("apply", apply),
    Case::new("apply_fails", apply_fails),
    Case::new("empty_input_in_every_form", empty),
];

fn tripled() -> Vec<u32> {
    (0..2000).map(|x| 3 * x).collect()
}

fn sorted(mut values: Vec<u32>) -> Vec<u32> {
    values.sort_unstable();
    values
}

fn map(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    assert_eq!((pool.n_jobs(), pool.start_method()), (2, method));
    assert_eq!(pool.map(0..2000u32, |x| 3 * x)?, tripled());
    assert_eq!(pool.map(vec![1u8, 2], |x| x == 1)?, [true, false]);
    let workers = if method == StartMethod::Threads { 0 } else { 2 };
    // One worker may still be starting.
    wait_until("all workers run", || pool.worker_pids().len() == workers);
    let pids = pool.worker_pids();
    assert!(!pids.contains(&std::process::id()));
    Ok(())
}

fn map_unordered(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    assert_eq!(sorted(pool.map_unordered(0..2000u32, |x| 3 * x)?), tripled());
    assert_eq!(sorted(pool.tasks(0..2000u32).chunk_size(3).map_unordered(|x| 3 * x)?), tripled());
    Ok(())
}

fn imap(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let values: Result<Vec<u32>, Error> = pool.imap(0..2000u32, |x| 3 * x).collect();
    assert_eq!(values?, tripled());
    let mut values = pool.tasks(0..4u32).chunk_size(2).imap(|x| 3 * x);
    for expected in [0, 3, 6, 9] {
        assert_eq!(values.next().transpose()?, Some(expected));
    }
    assert!(values.next().is_none() && values.next().is_none());
    Ok(())
}

fn imap_unordered(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let values: Result<Vec<u32>, Error> = pool.imap_unordered(0..2000u32, |x| 3 * x).collect();
    assert_eq!(sorted(values?), tripled());
    Ok(())
}

fn imap_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let results = pool.tasks(0..50u32).chunk_size(4).imap_results(|x| {
        assert!(x % 10 != 7, "seven");
        x
    });
    let mut seen = Vec::new();
    for (index, result) in results.enumerate() {
        match result {
            Ok(value) => assert_eq!(value as usize, index),
            Err(Error::Task(task)) => {
                assert_eq!(task.index(), index as u64);
                seen.push(index);
            }
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(seen, [7, 17, 27, 37, 47]);
    Ok(())
}

fn map_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let results = pool.tasks(0..50u32).map_results(|x| {
        assert!(x != 20, "twenty");
        2 * x
    })?;
    assert_eq!(results.len(), 50);
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value as usize, 2 * index),
            Err(task) => assert_eq!((task.index(), index), (20, 20)),
        }
    }
    Ok(())
}

fn map_with(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let ids = pool.tasks(0..500u32).chunk_size(1).with_worker().map(|worker, x| {
        let ((), ()) = (*worker.shared, *worker.state);
        (worker.id(), worker.is_cancelled(), x)
    })?;
    for (index, (id, cancelled, item)) in ids.into_iter().enumerate() {
        assert!(id < 3 && !cancelled && item as usize == index);
    }
    Ok(())
}

fn map_view(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let words: Vec<String> = (0..500).map(|n| "w".repeat(n)).collect();
    let lens = pool.tasks(words).view().map(|word| word.as_str().len())?;
    assert_eq!(lens, (0..500).collect::<Vec<_>>());
    let sums = pool.tasks(vec![vec![1u64, 2], vec![], vec![40, 2]]).chunk_size(2);
    let sums = sums.view().map(|v| v.iter().map(|n| n.to_native()).sum::<u64>())?;
    assert_eq!(sums, [3, 0, 42]);
    assert_eq!(pool.tasks(0..300u64).view().map(|n| n.to_native() + 1)?[299], 300);
    Ok(())
}

fn for_each_view(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut seen = vec![0; 300];
    pool.tasks(0..300usize).for_each_view(
        |n| (format!("{n}"), vec![n as u32; n]),
        |index, view| {
            assert_eq!(view.0.as_str(), index.to_string());
            assert!(
                view.1.len() == index && view.1.iter().all(|n| n.to_native() as usize == index)
            );
            seen[index] += 1;
        },
    )?;
    assert_eq!(seen, [1; 300]);
    let failed = pool.tasks(0..10u8).for_each_view(|n| assert!(n != 5), |_, _| {});
    assert!(matches!(failed, Err(Error::Task(task)) if task.index() == 5));
    Ok(())
}

fn map_scoped(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let before = Footprint::now();
    let table: Vec<String> = (0..100).map(|n| format!("row {n}")).collect();
    let offset = std::hint::black_box(5);
    let rows = pool.tasks(0..95usize).map_scoped(|n| table[n + offset].clone());
    if matches!(method, StartMethod::Fork | StartMethod::Threads) {
        assert_eq!(rows?, table[5..]);
        // Later calls see changes made since the pool was built.
        let newer: Vec<u64> = (0..50).map(|n| n * n).collect();
        assert_eq!(pool.tasks(0..50usize).chunk_size(3).map_scoped(|n| newer[n])?, newer);
    } else {
        let error = rows.expect_err("captures cannot cross");
        assert!(matches!(error, Error::NotSupported { method: m, .. } if m == method));
        let text = format!("start method {method} does not offer map_scoped");
        assert!(error.to_string().starts_with(&text), "{error}");
        assert_eq!(before.changes(), None, "nothing was started for it");
    }
    assert_eq!(pool.map([1u8], |x| x + 1)?, [2]);
    Ok(())
}

fn map_scoped_fails(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        let pool = pool(method, 2)?;
        let options = pool.tasks(0..3u8).chunk_size(0).map_scoped(|x| x);
        assert!(matches!(options, Err(Error::InvalidInput(_))), "{options:?}");
        return Ok(());
    }
    let pool = pool(method, 2)?;
    let bad = vec![30u32];
    let failed = pool.tasks(0..50u32).chunk_size(4).map_scoped(|x| {
        assert!(!bad.contains(&x), "bad");
        x
    });
    drop(bad);
    assert!(matches!(failed, Err(Error::Task(task)) if task.index() == 30));
    assert_eq!(pool.tasks(0..5u32).map_scoped(|x| x)?, [0, 1, 2, 3, 4]);
    Ok(())
}

fn apply(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for n in 0..100u64 {
        assert_eq!(pool.apply(n, |n| n * n)?, n * n);
    }
    assert_eq!(pool.apply(String::from("abc"), |text| text.len())?, 3);
    Ok(())
}

fn apply_fails(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let failed = pool.apply(4u64, |n| -> u64 { panic!("no {n}") });
    assert!(matches!(&failed, Err(Error::Task(task)) if task.index() == 0), "{failed:?}");
    assert_eq!(pool.apply(4u64, |n| n)?, 4);
    Ok(())
}

fn empty(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    let none = std::iter::empty::<u64>;
    assert!(pool.map(none(), |x| x)?.is_empty());
    assert!(pool.map_unordered(none(), |x| x)?.is_empty());
    assert_eq!(pool.imap(none(), |x| x).count(), 0);
    assert_eq!(pool.imap_unordered(none(), |x| x).count(), 0);
    assert_eq!(pool.tasks(none()).imap_results(|x| x).count(), 0);
    assert!(pool.tasks(none()).map_results(|x| x)?.is_empty());
    assert!(pool.tasks(none()).with_worker().map(|_, x| x)?.is_empty());
    assert!(pool.tasks(none()).view().map(|x| x.to_native())?.is_empty());
    assert!(pool.tasks(none()).n_splits(3).map(|x| x)?.is_empty());
    assert!(pool.tasks(none()).chunk_size(3).with(1u8).map(|_, x| x)?.is_empty());
    let calls = RefCell::new(0);
    pool.tasks(none()).for_each_view(|x| x, |_, _| *calls.borrow_mut() += 1)?;
    assert_eq!(calls.into_inner(), 0);
    Ok(())
}
