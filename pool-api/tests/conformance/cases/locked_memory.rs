//! Programs that lock their memory (`mlockall` with `MCL_FUTURE`): arenas are not locked, nor taken
//! before they are used.

use std::fs;

use pool_api::{Error, StartMethod};

use crate::{
    case::{Case, Outcome, builder, pool, words},
    footprint::resident_bytes,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("pools_of_a_program_that_locks_its_memory", of_a_privileged_program),
    Case::new("pools_of_a_program_that_may_lock_little", of_an_ordinary_program).processes(),
    Case::new("program_that_locks_its_memory_later", locked_later).processes(),
    Case::new("pool_that_may_lock_nothing_says_so", with_no_room).processes(),
];

const MIB: u64 = 1 << 20;

/// The flags of the arenas that are mapped here.
fn flags_of_arenas() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut flags = Vec::new();
    let mut wanted = false;
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("VmFlags:") {
            flags.extend(std::mem::take(&mut wanted).then(|| found.to_string()));
        } else {
            wanted |= line.contains("/memfd:pool-items") || line.contains("/memfd:pool-arena");
        }
    }
    flags
}

/// Makes calls that use arenas, and checks how much more memory this process has than before.
fn use_it(method: StartMethod, pool: &pool_api::WorkerPool, bytes: usize) -> Outcome {
    let before = resident_bytes();
    assert_eq!(pool.map(0..100u64, |x| x + 1)?, (1..101).collect::<Vec<u64>>());
    let back = pool.map([words(bytes, 7), words(bytes, 8)], |words| words)?;
    assert_eq!(back, [words(bytes, 7), words(bytes, 8)]);
    drop(back);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB + 8 * bytes as u64, "{grown} bytes more");
    let flags = flags_of_arenas();
    assert_eq!(flags.len(), if method == StartMethod::Threads { 0 } else { 3 });
    let locked = |flags: &String| flags.split_whitespace().any(|flag| flag == "lo");
    assert!(!flags.iter().any(locked), "{flags:?}");
    Ok(())
}

fn of_a_privileged_program(method: StartMethod) -> Outcome {
    if !sys::lock_future_memory() {
        println!("this process may lock no memory at all");
        return Ok(());
    }
    for _ in 0..2 {
        let pool = pool(method, 2)?;
        use_it(method, &pool, 4 << 20)?;
    }
    let pool = builder(method, 2).arena_limit(MIB).build()?;
    use_it(method, &pool, 64 << 10)?;
    drop(pool);
    sys::unlock_memory();
    Ok(())
}

fn of_an_ordinary_program(method: StartMethod) -> Outcome {
    assert!(sys::limit_locked_memory(8 * MIB));
    assert!(sys::lock_future_memory());
    let pool = pool(method, 2)?;
    use_it(method, &pool, 128 << 10)?;
    drop(pool);
    let pool = builder(method, 2).arena_limit(MIB).build()?;
    use_it(method, &pool, 64 << 10)?;
    drop(pool);
    sys::unlock_memory();
    Ok(())
}

fn locked_later(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_lifespan(1).build()?;
    assert_eq!(pool.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    assert!(sys::limit_locked_memory(8 * MIB));
    assert!(sys::lock_future_memory());
    // Pools built now have smaller arenas.
    for _ in 0..3 {
        assert_eq!(pool.map(0..8u64, |x| x + 1)?, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
    drop(pool);
    sys::unlock_memory();
    Ok(())
}

fn with_no_room(method: StartMethod) -> Outcome {
    assert!(sys::limit_locked_memory(2 * MIB));
    assert!(sys::lock_future_memory());
    let refused =
        builder(method, 2).arena_limit(4 * MIB).build().expect_err("4 MiB for each arena");
    assert!(matches!(refused, Error::Resources { .. }), "{refused}");
    assert!(refused.to_string().contains("mlockall"), "{refused}");
    assert!(refused.to_string().contains("ulimit -l"), "{refused}");
    // An arena with this limit may be small enough.
    let small = builder(method, 1).arena_limit(MIB).build()?;
    assert_eq!(small.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    drop(small);
    sys::unlock_memory();
    let pool = pool(method, 2)?;
    assert_eq!(pool.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    Ok(())
}
