//! Random streams and hash keys that the parent has used before: no two workers draw the same.

use std::{
    cell::Cell,
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    io::Read,
};

use pool_api::{Builder, StartMethod};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("random_streams_and_hash_keys", differ),
    Case::new("random_streams_after_building", differ_after_building),
    Case::new("random_streams_of_fork_without_a_line", repeat).only_fork(),
];

thread_local! {
    /// A generator like those of the usual crates: seeded by the system when a thread uses it
    /// first.
    static GENERATOR: Cell<u64> = Cell::new(seed());
    /// The numbers that this thread has drawn for the test.
    static DRAWN: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    let system = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    system.expect("random bytes");
    u64::from_ne_bytes(bytes) | 1
}

fn draw() -> u64 {
    let mut x = GENERATOR.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    GENERATOR.set(x);
    x
}

/// The first number and the first hash key that this worker draws.
fn first_drawn(_: u64) -> (u32, (u64, u64)) {
    let drawn = DRAWN.get().unwrap_or_else(|| (draw(), RandomState::new().hash_one(0)));
    DRAWN.set(Some(drawn));
    (worker(), drawn)
}

/// The calling thread's id for the system.
fn worker() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc");
    let id = link.file_name().and_then(|id| id.to_str()?.parse().ok());
    id.expect("a thread's id")
}

/// The numbers that all three workers of the pool draw.
fn drawn_by_all<S>(builder: Builder<S>) -> Result<Vec<(u64, u64)>, Box<dyn std::error::Error>> {
    let _ = (draw(), RandomState::new());
    let pool = builder.build()?;
    // In turn: one free worker could take all tasks that any may run.
    let tasks = pool.tasks(0..9u64).chunk_size(1).order_tasks(true);
    let drawn: BTreeMap<_, _> = tasks.map(first_drawn)?.into_iter().collect();
    assert_eq!(drawn.len(), 3);
    Ok(drawn.into_values().collect())
}

fn all_differ(drawn: &[(u64, u64)]) {
    for (n, (number, key)) in drawn.iter().enumerate() {
        assert!(drawn[..n].iter().all(|(x, y)| x != number && y != key), "{drawn:?}");
    }
}

/// The line of the guide for Fork.
fn reseed() {
    GENERATOR.set(seed());
    // The standard library gives each map of a thread the next key after the one before.
    (0..std::process::id()).for_each(|_| drop(RandomState::new()));
}

fn differ(method: StartMethod) -> Outcome {
    let mut pool = builder(method, 3);
    if method == StartMethod::Fork {
        pool = pool.at_worker_start(reseed);
    }
    all_differ(&drawn_by_all(pool)?);
    Ok(())
}

fn differ_after_building(method: StartMethod) -> Outcome {
    let mut pool = builder(method, 3).shared_built(|| (draw(), RandomState::new()));
    if method == StartMethod::Fork {
        pool = pool.at_worker_start(reseed);
    }
    all_differ(&drawn_by_all(pool)?);
    Ok(())
}

fn repeat(method: StartMethod) -> Outcome {
    let drawn = drawn_by_all(builder(method, 3))?;
    assert!(drawn.iter().all(|seen| *seen == drawn[0]), "as the guide says: {drawn:?}");
    Ok(())
}
