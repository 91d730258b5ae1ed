//! Tasks and programs that close all descriptors, as daemons do, and open files: the pool writes
//! nothing into those.

use std::{
    fs::{File, OpenOptions},
    time::Duration,
};

use pool_api::{CancelToken, Error, StartMethod};

use crate::{
    case::{Case, Outcome, pool},
    scratch::Scratch,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("task_that_closes_all_descriptors", in_a_task).processes(),
    Case::new("program_that_closes_all_descriptors", in_the_program),
];

/// The numbers of the descriptors of this process.
fn open_now() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a list of descriptors");
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Closes all descriptors but `kept`, and opens so many files that they have the numbers of all
/// that were closed.
fn close_and_open(path: &str, kept: &[i32]) -> Vec<File> {
    sys::close_all_but(kept);
    let open = |_| OpenOptions::new().append(true).create(true).open(path).expect("a file");
    (0..64).map(open).collect()
}

fn in_a_task(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    for round in 0..3u64 {
        let items = (0..6).map(|n| (n == 0, n, scratch.path()));
        // Long enough for the parent to sleep, so that it has to be woken.
        let results = pool.tasks(items).chunk_size(1).map(|(closes, n, path)| {
            if closes {
                std::mem::forget(close_and_open(&path, &[]));
            }
            std::thread::sleep(Duration::from_millis(2));
            n
        })?;
        assert_eq!(results, [0, 1, 2, 3, 4, 5], "round {round}");
    }
    pool.stop_and_join()?;
    assert_eq!(std::fs::metadata(scratch.path())?.len(), 0, "bytes in the file of a task");
    Ok(())
}

fn in_the_program(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    // The descriptors that this process was started with.
    let before = open_now();
    let (pool, token) = (pool(method, 2)?, CancelToken::new()?);
    assert_eq!(pool.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    let files = close_and_open(&scratch.path(), &before);
    token.cancel();
    for _ in 0..2 {
        match pool.map(0..4u64, |x| x + 1) {
            // The call may need nothing but a look at memory.
            Ok(values) => assert_eq!(values, [1, 2, 3, 4]),
            Err(Error::PoolBroken) if method != StartMethod::Threads => {}
            other => panic!("{other:?}"),
        }
    }
    drop((pool, token));
    for file in &files {
        assert_eq!(file.metadata()?.len(), 0, "bytes in a file of the program");
    }
    Ok(())
}
