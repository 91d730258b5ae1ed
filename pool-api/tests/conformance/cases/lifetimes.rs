//! Ends of pools and of calls, and new beginnings.

use pool_api::{Error, StartMethod};

use crate::case::{Case, Outcome, builder, pool, sized};

pub(crate) const CASES: &[Case] = &[
    Case::new("ends_twice_and_reuse", ends_and_reuse),
    Case::new("pool_never_used", never_used),
    Case::new("drop_in_the_middle_of_an_imap", dropped_midway),
    Case::new("many_failed_calls", many_failures),
    Case::new("pools_made_and_dropped", made_and_dropped),
    Case::new("iterator_never_asked", never_asked),
];

fn ends_and_reuse(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..3 {
        assert_eq!(pool.map(0..100u64, |x| x + 1)?.len(), 100);
        pool.stop_and_join()?;
        assert!(pool.worker_pids().is_empty());
        pool.stop_and_join()?;
        assert_eq!(pool.map(0..100u64, |x| x + 1)?.len(), 100);
        pool.terminate()?;
        assert!(pool.worker_pids().is_empty());
        pool.terminate()?;
        pool.stop_and_join()?;
    }
    assert_eq!(pool.map(0..100u64, |x| x + 1)?.len(), 100);
    Ok(())
}

fn never_used(method: StartMethod) -> Outcome {
    drop(pool(method, 3)?);
    let pool = pool(method, 3)?;
    assert!(pool.worker_pids().is_empty());
    pool.terminate()?;
    pool.stop_and_join()?;
    Ok(())
}

fn dropped_midway(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for taken in 0..40 {
        let mut lazy = pool.tasks(0..1000usize).chunk_size(3).imap(|n| vec![n; 100]);
        for n in 0..taken {
            assert_eq!(lazy.next().transpose()?, Some(vec![n; 100]));
        }
        drop(lazy);
        assert_eq!(pool.map(0..10u64, |x| x)?.len(), 10);
    }
    for taken in [0, 1, 5] {
        let one_more = builder(method, 2).build();
        // A Fork pool can be built now: no pool of threads exists, so the program has one thread.
        let one_more = one_more?;
        let mut lazy = one_more.imap_unordered(0u64.., |x| x);
        for _ in 0..taken {
            lazy.next().transpose()?;
        }
    }
    Ok(())
}

fn many_failures(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for round in 0..sized(500, 150) as u64 {
        let bad = round % 100;
        let items = (0..100u64).map(|n| (n, bad));
        let failed = pool.tasks(items).chunk_size(1).map(|(n, bad)| {
            std::panic::resume_unwind(Box::new(if n == bad { "bad" } else { return vec![n; 200] }))
        });
        assert!(matches!(&failed, Err(Error::Task(task)) if task.index() == bad), "{failed:?}");
    }
    assert_eq!(pool.tasks(0..5000u64).chunk_size(1).map(|x| x)?.len(), 5000);
    Ok(())
}

fn made_and_dropped(method: StartMethod) -> Outcome {
    for round in 0..sized(60, 20) {
        let pool = pool(method, 1 + round % 4)?;
        if round % 2 == 0 {
            assert_eq!(pool.map(0..50u64, |x| x)?.len(), 50);
        } else {
            let mut lazy = pool.imap(0u64.., |x| x);
            assert_eq!(lazy.next().transpose()?, Some(0));
        }
    }
    Ok(())
}

fn never_asked(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let lazy = pool.imap((0..10u64).inspect(|_| panic!("no result was asked for")), |x| x);
    drop(lazy);
    let results =
        pool.tasks((0..10u64).inspect(|_| panic!("no result was asked for"))).imap_results(|x| x);
    drop(results);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}
