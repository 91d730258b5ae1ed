//! Workers beyond the last name that the board has for them: 2^28 - 1.

use pool_api::{Builder, StartMethod};

use crate::{
    case::{Case, Outcome, builder},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("one_call_uses_names_again", one_call).processes(),
    Case::new("calls_of_all_kinds_use_names_again", all_kinds).processes(),
    Case::new("names_are_used_again_beside_old_results", beside_old_results).processes(),
    Case::new("retired_workers_have_later_names", retired).processes(),
    Case::new("number_of_the_first_worker_is_checked", checked),
];

/// A pool that reaches the last name after so many more workers.
fn before_the_end(method: StartMethod, lives: u64) -> Builder {
    builder(method, 2).first_serial((1 << 28) - lives)
}

fn one_call(method: StartMethod) -> Outcome {
    let pool = before_the_end(method, 12).worker_lifespan(1).build()?;
    let wanted: Vec<u64> = (0..40).map(|x| x * x).collect();
    assert_eq!(pool.tasks(0..40u64).chunk_size(1).map(|x| x * x)?, wanted);
    assert_eq!(pool.tasks(0..40u64).chunk_size(1).map(|x| x * x)?, wanted);
    Ok(())
}

fn all_kinds(method: StartMethod) -> Outcome {
    for lives in [3, 9, 15, 21, 30] {
        let pool = before_the_end(method, lives)
            .worker_lifespan(1)
            .worker_init(|_| 0u32)
            .worker_exit(|w| *w.state)
            .build()?;
        let results = pool.tasks(0..10u32).chunk_size(1).map_results(|x| {
            if x % 5 == 3 {
                sys::raise(sys::SIGKILL);
            }
            x
        })?;
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), n % 5 == 3, "{n}: {result:?}");
        }
        let ids =
            pool.tasks(0..8u32).chunk_size(1).order_tasks(true).with_worker().map(|w, _| {
                *w.state += 1;
                w.id()
            })?;
        assert_eq!(ids, [0, 1, 0, 1, 0, 1, 0, 1]);
        let futures = (0..6u32).map(|n| pool.apply_async(n, |x| x + 1));
        let futures = futures.collect::<Result<Vec<_>, _>>()?;
        for (n, future) in (1..).zip(futures) {
            assert_eq!(future.get()?, n);
        }
        let ids =
            pool.tasks(0..4u32).chunk_size(1).order_tasks(true).with_worker().map(|w, _| {
                *w.state += 1;
                w.id()
            })?;
        assert_eq!(ids, [0, 1, 0, 1]);
        pool.stop_and_join()?;
        assert_eq!(pool.exit_results().iter().sum::<u32>(), 12);
    }
    Ok(())
}

fn beside_old_results(method: StartMethod) -> Outcome {
    let pool = before_the_end(method, 4).worker_lifespan(1).build()?;
    let old = pool.tasks(0..8u64).chunk_size(1).map_async(|x| vec![x; 1000])?;
    let mut lazy = pool.tasks(0..30u64).chunk_size(1).imap(|x| vec![x; 1000]);
    for n in 0..15 {
        assert_eq!(lazy.next().transpose()?, Some(vec![n; 1000]));
    }
    assert_eq!(pool.map(0..10u64, |x| x)?, (0..10).collect::<Vec<_>>());
    for n in 15..30 {
        assert_eq!(lazy.next().transpose()?, Some(vec![n; 1000]));
    }
    assert_eq!(old.get()?, (0..8).map(|x| vec![x; 1000]).collect::<Vec<_>>());
    Ok(())
}

/// Without `keep_alive` each call is for later workers than the present ones.
fn retired(method: StartMethod) -> Outcome {
    let pool = before_the_end(method, 7)
        .keep_alive(false)
        .worker_init(|_| 0u64)
        .worker_exit(|w| *w.state)
        .build()?;
    for round in 1..=10u64 {
        pool.tasks(0..4 * round).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
        let results = pool.exit_results();
        assert_eq!(results.iter().sum::<u64>(), 4 * round, "of this call alone: {results:?}");
    }
    Ok(())
}

fn checked(method: StartMethod) -> Outcome {
    for serial in [0, (1 << 47) + 1, u64::MAX] {
        let refused = builder(method, 1).first_serial(serial).build().map(drop);
        let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("first_serial must be from 1 to 2^47"), "{text:?}");
    }
    let last = builder(method, 1).first_serial(1 << 47).build()?;
    assert_eq!(last.map(0..3u8, |x| x)?, [0, 1, 2]);
    Ok(())
}
