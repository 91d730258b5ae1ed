//! A context for one call: encoded once, decoded once per worker.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use pool_api::{
    Error, StartMethod,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
    wire,
};

use crate::{
    case::{Case, Outcome, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("context_in_every_form", every_form),
    Case::new("context_decoded_once_per_worker", decoded_once),
    Case::new("contexts_of_two_calls_side_by_side", two_at_once),
    Case::new("context_whose_drop_panics_in_the_caller", panics_at_its_drop),
];

wire! {
    /// Panics at its drop in the process that made it.
    struct Bomb { made_by: u32 }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.made_by == std::process::id() && !std::thread::panicking() {
            panic!("as it was told");
        }
    }
}

fn bomb() -> Bomb {
    Bomb { made_by: std::process::id() }
}

/// How often this process has decoded a [`Table`].
static DECODED: AtomicUsize = AtomicUsize::new(0);

#[derive(Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct Table {
    number: u64,
    rows: Vec<String>,
}

impl<D: Fallible + ?Sized> Deserialize<Table, D> for ArchivedTable
where
    rkyv::vec::ArchivedVec<rkyv::string::ArchivedString>: Deserialize<Vec<String>, D>,
{
    fn deserialize(&self, decoder: &mut D) -> Result<Table, D::Error> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        Ok(Table { number: self.number.to_native(), rows: self.rows.deserialize(decoder)? })
    }
}

fn table(number: u64) -> Table {
    Table { number, rows: (0..100).map(|n| format!("{number}/{n}")).collect() }
}

fn every_form(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let with = || pool.tasks(0..100usize).with(table(7));
    let rows = table(7).rows;
    assert_eq!(with().map(|t, n| t.rows[n].clone())?, rows);
    let mut unordered = with().map_unordered(|t, n| t.rows[n].clone())?;
    unordered.sort();
    let mut expected = rows.clone();
    expected.sort();
    assert_eq!(unordered, expected);
    let lazy: Result<Vec<String>, Error> = with().imap(|t, n| t.rows[n].clone()).collect();
    assert_eq!(lazy?, rows);
    let lazy: Result<Vec<String>, Error> =
        with().imap_unordered(|t, n| t.rows[n].clone()).collect();
    assert_eq!(lazy?.len(), 100);
    let results = pool.tasks(0..101usize).with(table(7)).map_results(|t, n| t.rows[n].len())?;
    assert!(results[..100].iter().all(Result::is_ok));
    assert_eq!(results[100].as_ref().map_err(|task| task.index()), Err(100));
    let results: Vec<_> =
        pool.tasks(0..101usize).with(table(7)).imap_results(|t, n| t.rows[n].len()).collect();
    assert!(results.len() == 101 && results[100].is_err() && results[99].is_ok());
    // A context of no size, and a large one.
    assert_eq!(pool.tasks(0..3u8).with(()).map(|(), n| n)?, [0, 1, 2]);
    let large = vec![7u8; 3 << 20];
    let sum = pool.tasks(0..3usize).with(large).map(|bytes, n| bytes[n << 20])?;
    assert_eq!(sum, [7, 7, 7]);
    Ok(())
}

fn decoded_once(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut pids_before = Vec::new();
    for call in 1..=3 {
        let seen = pool
            .tasks(0..1000u32)
            .chunk_size(1)
            .with(table(call))
            .map(|t, _| (t.number, std::process::id(), DECODED.load(Ordering::Relaxed)))?;
        for &(number, pid, decoded) in &seen {
            assert_eq!(number, call);
            // A worker that had no task of an earlier call has decoded less often.
            let most = if method == StartMethod::Threads { 0 } else { call as usize };
            assert!(decoded <= most, "worker {pid} decoded {decoded} times in {call} calls");
        }
        let mut pids: Vec<u32> = seen.iter().map(|seen| seen.1).collect();
        pids.sort_unstable();
        pids.dedup();
        if method == StartMethod::Threads {
            assert_eq!(pids, [std::process::id()]);
        } else {
            wait_until("both workers run", || pool.worker_pids().len() == 2);
            let workers = pool.worker_pids();
            assert!(pids.iter().all(|pid| workers.contains(pid)), "no worker was restarted");
            assert!(pids_before.is_empty() || pids_before == workers, "no worker was restarted");
            pids_before = workers;
        }
    }
    Ok(())
}

fn two_at_once(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let first = pool.tasks(0..200u64).chunk_size(1).with(1000u64).imap(|c, x| c + x);
    let second = pool.tasks(0..200u64).chunk_size(1).with(2000u64).imap(|c, x| c + x);
    for (index, (a, b)) in first.zip(second).enumerate() {
        assert_eq!((a?, b?), (1000 + index as u64, 2000 + index as u64));
    }
    Ok(())
}

/// The call may panic, but it is over then: the pool stops.
fn panics_at_its_drop(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let calls: [&dyn Fn(); 6] = [
        &|| drop(pool.tasks(0..10u64).with(bomb()).map(|_, x| x + 1)),
        &|| drop(pool.task(1u64).with(bomb()).apply(|_, x| x + 1)),
        &|| drop(pool.tasks(0..10u64).with(bomb()).map_results(|_, x| x + 1)),
        &|| drop(pool.tasks(0..10u64).with(bomb()).imap(|_, x| x + 1)),
        &|| drop(pool.tasks(0..10u64).with(bomb()).map_async(|_, x| x + 1)),
        &|| drop(pool.workers().with(bomb()).broadcast(|_, _| 1u64)),
    ];
    for call in calls {
        let _ = catch_unwind(AssertUnwindSafe(call));
    }
    assert_eq!(pool.map(0..10u64, |x| x + 1)?, (1..11).collect::<Vec<_>>());
    pool.stop_and_join()?;
    Ok(())
}
