//! The value that a pool shares: seen by every worker, made in the right process, and changed
//! between calls.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use pool_api::{
    Error, StartMethod, View,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
};

use crate::{
    case::{Case, Outcome, builder},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("shared_value", value),
    Case::new("shared_value_decoded_where_it_should_be", decoded_where),
    Case::new("shared_view", view),
    Case::new("shared_view_is_one_memory", view_in_place),
    Case::new("shared_built", built),
    Case::new("shared_changed_between_calls", changed),
    Case::new("shared_changed_beside_an_unfinished_imap", changed_beside),
    Case::new("shared_changed_beside_a_thread", changed_beside_a_thread).only_fork(),
    Case::new("shared_of_another_type", retyped),
    Case::new("shared_and_fresh_workers", fresh_workers),
    Case::new("shared_and_replaced_workers", replaced).processes(),
    Case::new("shared_value_not_encodable", not_encodable).processes(),
];

/// Which process has decoded a [`Table`] last, and how often that happened.
static DECODED_BY: AtomicU32 = AtomicU32::new(0);
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
        DECODED_BY.store(std::process::id(), Ordering::Relaxed);
        Ok(Table { number: self.number.to_native(), rows: self.rows.deserialize(decoder)? })
    }
}

fn table(number: u64) -> Table {
    Table { number, rows: (0..100).map(|n| format!("{number}/{n}")).collect() }
}

fn value(method: StartMethod) -> Outcome {
    let shared = (vec![1.5f64, 2.5], String::from("word"), Some(7u8));
    let pool = builder(method, 3).shared(shared).build()?;
    let sums = pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, x| {
        assert!(w.id() < 3);
        w.shared.0.iter().sum::<f64>() + f64::from(x) + w.shared.1.len() as f64
    })?;
    assert_eq!(sums, (0..100).map(|x| 8.0 + f64::from(x)).collect::<Vec<_>>());
    // Calls that do not use it are as ever.
    assert_eq!(pool.map(0..10u64, |x| x + 1)?.len(), 10);
    assert_eq!(pool.tasks(0..10u64).with(3u64).map(|k, x| k * x)?[9], 27);
    let last = pool.tasks([()]).with_worker().map(|w, ()| w.shared.2)?;
    assert_eq!(last, [Some(7)]);
    // A pool without one shares a unit.
    let plain = crate::case::pool(method, 2)?;
    assert_eq!(plain.tasks(0..3u8).with_worker().map(|w, x| (*w.shared, x))?[2], ((), 2));
    Ok(())
}

fn decoded_where(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).shared(table(9)).build()?;
    for _ in 0..3 {
        let seen = pool.tasks(0..300usize).chunk_size(1).with_worker().map(|w, n| {
            assert_eq!(w.shared.rows[n % 100], format!("{}/{}", w.shared.number, n % 100));
            let decoded = (DECODED.load(Ordering::Relaxed), DECODED_BY.load(Ordering::Relaxed));
            (std::process::id(), decoded)
        })?;
        for &(worker, (times, by)) in &seen {
            match method {
                // Inherited, or shared as it is.
                StartMethod::Fork | StartMethod::Threads => assert_eq!((times, by), (0, 0)),
                StartMethod::Spawn => assert_eq!((times, by), (1, worker)),
                _ => {
                    assert_eq!((times, by), (1, seen[0].1.1), "once, for all");
                    assert!(by != worker && by != std::process::id());
                }
            }
        }
    }
    Ok(())
}

fn view(method: StartMethod) -> Outcome {
    let shared = (vec![String::from("a"), String::from("bcd")], HashMap::from([(7u32, 1.5f64)]));
    let pool = builder(method, 3).shared_view(shared).build()?;
    let lens = pool.tasks(0..100usize).chunk_size(1).with_worker().map(|w, n| {
        let (words, numbers) = (&w.shared.0, &w.shared.1);
        let number = numbers.get(&7.into()).map(|n| n.to_native());
        (words[n % 2].len(), number)
    })?;
    for (n, seen) in lens.into_iter().enumerate() {
        assert_eq!(seen, ([1, 3][n % 2], Some(1.5)));
    }
    pool.set_shared_view((vec![String::from("long"), String::new()], HashMap::new()))?;
    let lens =
        pool.tasks(0..2usize).with_worker().map(|w, n| w.shared.0[n].len() + w.shared.1.len())?;
    assert_eq!(lens, [4, 0]);
    Ok(())
}

/// The device and inode of the file mapped at an address of this process.
fn mapped_at(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let bounds =
            range.map(|(a, b)| (usize::from_str_radix(a, 16), usize::from_str_radix(b, 16)));
        matches!(bounds, Some((Ok(a), Ok(b))) if (a..b).contains(&address))
    })?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(format!("{} {} {}", fields[1], fields[3], fields[4]))
}

fn view_in_place(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared_view(vec![7u64; 100_000]).build()?;
    let seen = pool.tasks(0..50u8).chunk_size(1).with_worker().map(|w, _| {
        assert!(w.shared.iter().all(|x| *x == 7));
        let address = w.shared.as_slice().as_ptr().addr();
        (mapped_at(address), address)
    })?;
    let (memory, address) = &seen[0];
    let memory = memory.as_ref().expect("it is mapped");
    assert!(memory.starts_with("r--s "), "shared, and for reading only: {memory}");
    assert!(seen.iter().all(|(m, _)| m.as_ref() == Some(memory)), "the same file everywhere");
    if method == StartMethod::Threads {
        assert!(seen.iter().all(|(_, a)| a == address));
    }
    Ok(())
}

static BUILT_BY: AtomicU32 = AtomicU32::new(0);
static BUILT: AtomicUsize = AtomicUsize::new(0);

/// Neither `Wire` nor `Clone`.
struct Model {
    weights: Box<dyn Fn(f64) -> f64 + Send + Sync>,
    lock: std::sync::Mutex<Vec<u32>>,
}

fn load() -> Model {
    BUILT.fetch_add(1, Ordering::Relaxed);
    BUILT_BY.store(std::process::id(), Ordering::Relaxed);
    let factor = 3.0;
    // Threads that end in time are no trouble.
    let parts: Vec<_> = (0..3).map(|n| std::thread::spawn(move || n)).collect();
    let parts = parts.into_iter().map(|part| part.join().expect("no panic")).collect();
    Model { weights: Box::new(move |x| x * factor), lock: std::sync::Mutex::new(parts) }
}

fn built(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).shared_built(load).build()?;
    assert_eq!(BUILT.load(Ordering::Relaxed), 0, "not before it is needed");
    for _ in 0..2 {
        let seen = pool.tasks(0..100u32).chunk_size(1).with_worker().map(|w, x| {
            assert_eq!((w.shared.weights)(f64::from(x)), 3.0 * f64::from(x));
            assert_eq!(w.shared.lock.lock().expect("unlocked").len(), 3);
            let built = (BUILT.load(Ordering::Relaxed), BUILT_BY.load(Ordering::Relaxed));
            (std::process::id(), built)
        })?;
        for &(worker, (times, by)) in &seen {
            assert_eq!(times, 1, "once where it is seen");
            match method {
                StartMethod::Threads => assert_eq!(by, std::process::id()),
                StartMethod::Spawn => assert_eq!(by, worker),
                _ => assert!(by == seen[0].1.1 && by != worker && by != std::process::id()),
            }
        }
        if method == StartMethod::Threads {
            pool.stop_and_join()?;
        }
    }
    Ok(())
}

fn changed(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(1u64).build()?;
    pool.set_shared(5)?; // nothing runs yet
    let sums = || pool.tasks(0..50u64).chunk_size(1).with_worker().map(|w, x| w.shared + x);
    assert_eq!(sums()?[49], 54);
    for round in 0..5u64 {
        pool.set_shared(100 * round)?;
        assert_eq!(sums()?, (0..50).map(|x| 100 * round + x).collect::<Vec<_>>());
        let mut ids = pool.tasks(0..50u64).chunk_size(1).with_worker().map(|w, _| w.id())?;
        ids.sort_unstable();
        ids.dedup();
        assert!(ids.iter().all(|id| *id < 2));
    }
    pool.stop_and_join()?;
    pool.set_shared(7)?;
    assert_eq!(sums()?[0], 7);
    pool.terminate()?;
    assert_eq!(sums()?[0], 7);
    pool.set_shared_built(|| 9)?;
    assert_eq!(sums()?[0], 9);
    Ok(())
}

fn changed_beside(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(1u64).build()?;
    let mut lazy = pool.imap(0..1000u64, |x| x);
    for n in 0..10 {
        assert_eq!(lazy.next().transpose()?, Some(n));
    }
    pool.set_shared(2)?;
    assert_eq!(pool.tasks([()]).with_worker().map(|w, ()| *w.shared)?, [2]);
    for n in 10..500 {
        assert_eq!(lazy.next().transpose()?, Some(n), "a call that began before goes on");
    }
    // The end of the pool ends all its calls.
    pool.terminate()?;
    assert!(lazy.any(|next| matches!(next, Err(Error::Terminated))));
    assert_eq!(pool.tasks([()]).with_worker().map(|w, ()| *w.shared)?, [2]);
    let mut lazy = pool.imap(0..1000u64, |x| x);
    assert_eq!(lazy.next().transpose()?, Some(0));
    pool.set_shared(3)?;
    drop(lazy);
    pool.stop_and_join()?;
    Ok(())
}

/// Another value is another snapshot, for which the process has to have one thread.
fn changed_beside_a_thread(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(1u64).build()?;
    let see = || pool.tasks([()]).with_worker().map(|w, ()| *w.shared);
    assert_eq!(see()?, [1]);
    let (hold, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || wait.recv());
        let refused = pool.set_shared(2);
        assert!(matches!(refused, Err(Error::ForkWithThreads { threads: 2 })), "{refused:?}");
        assert_eq!(see().expect("what was shared before"), [1]);
        drop(hold);
        // The scope itself waits for the thread's closure, not until the thread is gone.
        assert!(other.join().expect("no panic").is_err());
    });
    pool.set_shared(2)?;
    assert_eq!(see()?, [2]);
    Ok(())
}

/// The CPUs of the calling thread, as the kernel lists them.
fn allowed_cpus() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_string()
}

fn retyped(method: StartMethod) -> Outcome {
    let first: usize = allowed_cpus().split(['-', ',']).next().unwrap_or_default().parse()?;
    let pool = builder(method, 2).cpu_ids([first]).build()?;
    let words = pool.map(0..3usize, |n| "x".repeat(n))?;
    let pool = pool.with_shared(words)?;
    let seen = pool
        .tasks(0..3usize)
        .with_worker()
        .map(|w, n| (w.id(), w.shared[n].len(), allowed_cpus()))?;
    for (n, (id, len, cpus)) in seen.into_iter().enumerate() {
        assert!(id < 2 && len == n && cpus == first.to_string());
    }
    assert_eq!(pool.n_jobs(), 2);
    assert_eq!(pool.start_method(), method);
    let pool = pool.with_shared_view(vec![0.5f64; 10])?;
    assert_eq!(pool.tasks([3usize]).with_worker().map(|w, n| w.shared[n].to_native())?, [0.5]);
    let _: &pool_api::WorkerPool<View<Vec<f64>>> = &pool;
    let pool = pool.with_shared_built(|| std::sync::Mutex::new(5u8))?;
    assert_eq!(
        pool.tasks([()]).with_worker().map(|w, ()| w.shared.lock().map(|x| *x).ok())?,
        [Some(5)]
    );
    let pool = pool.with_shared(())?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn fresh_workers(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).keep_alive(false).shared_built(load).build()?;
    let mut builders = Vec::new();
    for _ in 0..4 {
        let seen = pool.tasks(0..20u8).chunk_size(1).with_worker().map(|_, _| {
            (std::process::id(), BUILT_BY.load(Ordering::Relaxed), BUILT.load(Ordering::Relaxed))
        })?;
        assert!(seen.iter().all(|(_, _, times)| *times == 1));
        builders.extend(seen.into_iter().map(|(_, by, _)| by));
    }
    builders.sort_unstable();
    builders.dedup();
    match method {
        StartMethod::Spawn => assert!(builders.len() > 1),
        _ => assert_eq!(builders.len(), 1, "fresh workers come from the same template"),
    }
    Ok(())
}

fn replaced(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(table(4)).build()?;
    for _ in 0..3 {
        let died = pool.tasks(0..10u32).chunk_size(1).with_worker().map(|w, n| {
            if n == 5 {
                sys::raise(sys::SIGKILL);
            }
            w.shared.number
        });
        assert!(matches!(&died, Err(Error::Task(task)) if task.index() == 5), "{died:?}");
        let seen = pool
            .tasks(0..100usize)
            .chunk_size(1)
            .with_worker()
            .map(|w, n| w.shared.rows[n].clone())?;
        assert_eq!(seen, table(4).rows);
    }
    Ok(())
}

#[derive(Archive, Deserialize)]
#[rkyv(crate = rkyv)]
struct Mute(u8);

impl<S: Fallible<Error: rkyv::rancor::Source> + ?Sized> Serialize<S> for Mute {
    fn serialize(&self, _: &mut S) -> Result<Self::Resolver, S::Error> {
        Err(rkyv::rancor::Source::new(std::fmt::Error))
    }
}

fn not_encodable(method: StartMethod) -> Outcome {
    let refused = |error: Error| match error {
        Error::InvalidInput(text) => assert!(text.contains("shared"), "{text}"),
        other => panic!("{other:?}"),
    };
    refused(builder(method, 2).shared_view(Mute(1)).build().map(drop).expect_err("mute"));
    if method == StartMethod::Fork {
        // Nothing has to be encoded.
        let inherited = builder(method, 2).shared(Mute(3)).build()?;
        assert_eq!(inherited.tasks([()]).with_worker().map(|w, ()| w.shared.0)?, [3]);
    } else {
        refused(builder(method, 2).shared(Mute(1)).build().map(drop).expect_err("mute"));
    }
    let built = builder(method, 2).shared_built(|| Mute(7)).build()?;
    if method != StartMethod::Fork {
        refused(built.set_shared(Mute(2)).expect_err("mute"));
    }
    assert_eq!(built.tasks([()]).with_worker().map(|w, ()| w.shared.0)?, [7], "what it was before");
    Ok(())
}
