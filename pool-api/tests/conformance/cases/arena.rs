//! Limits of memory and address space are typed errors, and small arenas are enough for large jobs.

use std::{
    fs,
    process::{Command, ExitCode},
    thread,
};

use pool_api::{Cause, Error, StartMethod};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("items_beyond_the_limit", large_items),
    Case::new("results_beyond_the_limit", large_results),
    Case::new("results_larger_than_the_arena_together", many_large_results),
    Case::new("items_larger_than_the_arena_together", many_large_items),
    Case::new("default_chunks_of_large_results", default_chunks),
    Case::new("slow_consumer_of_large_results", slow_consumer),
    Case::new("reader_in_place_that_waits_for_another_call", waiting_reader),
    Case::new("idle_workers_give_back_memory_of_results", given_back),
    Case::new("little_address_space", little_space).processes(),
];

/// The word before a method and a number of workers.
pub(crate) const LITTLE_SPACE: &str = "--in-little-space";

const LIMIT: u64 = 8 << 20;

fn large_items(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(LIMIT).build()?;
    let items = |large: usize| (0..4).map(move |n| vec![1u8; if n == 2 { large } else { 10 }]);
    let sum = |bytes: Vec<u8>| bytes.len();
    assert_eq!(pool.map(items(5 << 20), sum)?, [10, 10, 5 << 20, 10]);
    let beyond = pool.map(items(9 << 20), sum);
    if method == StartMethod::Threads {
        // Nothing is encoded, so nothing is too large.
        assert_eq!(beyond?, [10, 10, 9 << 20, 10]);
        return Ok(());
    }
    let error = beyond.expect_err("too large");
    let Error::ItemTooLarge { bytes, limit } = error else { panic!("{error:?}") };
    assert!(bytes >= 9 << 20 && limit <= LIMIT, "{error}");
    assert_eq!(
        error.to_string(),
        format!("an encoded item takes {bytes} bytes, the arena limit is {limit}")
    );
    let context = pool.tasks(0..3u8).with(vec![1u8; 9 << 20]).map(|_, x| x);
    assert!(matches!(context, Err(Error::ItemTooLarge { .. })), "{context:?}");
    let mut lazy = pool.imap(items(9 << 20), sum);
    assert!(lazy.any(|value| matches!(value, Err(Error::ItemTooLarge { .. }))));
    drop(lazy);
    assert_eq!(pool.map(items(5 << 20), sum)?.len(), 4, "the pool is usable");
    Ok(())
}

/// The results of the other call do not fit beside the one that is read, which stays until its
/// reader has taken it.
fn waiting_reader(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).arena_limit(1 << 20).build()?;
    let make = |n: usize| vec![n as u8; 700_000];
    let right = |values: &[Vec<u8>]| {
        let mut numbered = values.iter().enumerate();
        numbered.all(|(n, value)| value.len() == 700_000 && value.iter().all(|x| *x == n as u8))
    };
    let mut seen = 0;
    pool.tasks([7usize, 8]).for_each_view(make, |index, view| {
        let lent = view.as_slice();
        thread::scope(|scope| {
            let other = scope.spawn(|| pool.tasks(0..4usize).map(make));
            let values = other.join().expect("no panic").expect("a result");
            assert!(right(&values));
            let too_large = scope.spawn(|| pool.apply(1 << 20, |n| vec![0u8; n]));
            let too_large = too_large.join().expect("no panic");
            assert_eq!(too_large.is_err(), method != StartMethod::Threads, "{too_large:?}");
        });
        assert!(lent.iter().all(|x| usize::from(*x) == 7 + index), "what is lent stays");
        seen += 1;
    })?;
    assert_eq!(seen, 2);
    assert!(right(&pool.map(0..4usize, make)?));
    Ok(())
}

fn large_results(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(LIMIT).build()?;
    let make = |n: usize| vec![1u8; if n == 2 { 9 << 20 } else { n }];
    if method == StartMethod::Threads {
        assert_eq!(pool.map(0..4, make)?[2].len(), 9 << 20);
        return Ok(());
    }
    for chunk_size in [1, 4] {
        let failed = pool.tasks(0..4).chunk_size(chunk_size).map(make);
        let Err(Error::Task(task)) = failed else { panic!("{failed:?}") };
        assert_eq!(task.index(), 2);
        let Cause::ResultTooLarge { bytes, limit } = *task.cause() else { panic!("{task}") };
        assert!(bytes >= 9 << 20 && limit <= LIMIT, "{task}");
        let text = format!("its result takes {bytes} bytes, the arena limit is {limit}");
        assert!(task.to_string().ends_with(&text), "{task}");
        let results = pool.tasks(0..4).chunk_size(chunk_size).map_results(make)?;
        let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, true, false, true]);
    }
    Ok(())
}

fn mebibyte(n: u64) -> Vec<u64> {
    vec![n; (1 << 20) / size_of::<u64>()]
}

fn is_mebibyte_of(values: &[u64], n: u64) -> bool {
    values.len() == (1 << 20) / size_of::<u64>() && values.iter().all(|value| *value == n)
}

fn many_large_results(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(LIMIT).build()?;
    let items = sized(500, 30) as u64;
    for chunk_size in [1, 20, 500] {
        let values = pool.tasks(0..items).chunk_size(chunk_size).map(mebibyte)?;
        assert_eq!(values.len() as u64, items);
        assert!((0..).zip(&values).all(|(n, values)| is_mebibyte_of(values, n)));
    }
    let values = pool.map(0..items, mebibyte)?;
    assert!((0..items).zip(&values).all(|(n, values)| is_mebibyte_of(values, n)));
    Ok(())
}

fn many_large_items(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(LIMIT).build()?;
    let items = sized(500, 30) as u64;
    for chunk_size in [1, 20] {
        let tasks = pool.tasks((0..items).map(mebibyte)).chunk_size(chunk_size);
        assert_eq!(tasks.map(|values| values[1000])?, (0..items).collect::<Vec<_>>());
    }
    let lazy = pool.imap((0..items).map(mebibyte), |values| values[1000]);
    assert_eq!(lazy.collect::<Result<Vec<_>, _>>()?, (0..items).collect::<Vec<_>>());
    Ok(())
}

fn default_chunks(method: StartMethod) -> Outcome {
    let items = sized(10_000, 200) as u64;
    let pool = pool(method, 2)?;
    let mut seen = 0;
    pool.tasks(0..items).for_each_view(mebibyte, |index, values| {
        assert!(values.len() == 1 << 17 && values[index % 1000].to_native() == index as u64);
        seen += 1;
    })?;
    assert_eq!(seen, items);
    let some = items / 10;
    let values = pool.map(0..some, mebibyte)?;
    assert!((0..some).zip(&values).all(|(n, values)| is_mebibyte_of(values, n)));
    Ok(())
}

fn slow_consumer(method: StartMethod) -> Outcome {
    let items = sized(1500, 30) as u64;
    for limit in [None, Some(LIMIT)] {
        let mut options = builder(method, 2);
        if let Some(limit) = limit {
            options = options.arena_limit(limit);
        }
        let pool = options.build()?;
        for (n, values) in (0..).zip(pool.imap(0..items, mebibyte)) {
            // The consumer has more to do with a result than the worker had.
            let values = values?;
            let sum = (1..4).map(|k| values.iter().fold(k, |a, b| a ^ b.rotate_left(7))).max();
            assert!(sum.is_some() && is_mebibyte_of(&values, n));
        }
    }
    Ok(())
}

/// Memory of the workers' results that this process has mapped, in bytes.
fn resident_results() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut lines = text.lines();
    let mut bytes = 0;
    while lines.any(|line| line.contains("/memfd:pool-arena")) {
        let resident = lines.find_map(|line| line.strip_prefix("Rss:"));
        let kib = resident.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        bytes += kib.unwrap_or(0) << 10;
    }
    bytes
}

/// No call comes that could give back what the last one has left.
fn given_back(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut most = 0;
    pool.tasks(0..20u64).chunk_size(1).for_each_view(mebibyte, |index, values| {
        assert!(values.iter().all(|value| *value == index as u64));
        most = most.max(resident_results());
    })?;
    assert_eq!(most >= 1 << 20, method != StartMethod::Threads, "{most} bytes");
    wait_until("the memory of results is given back", || resident_results() <= 512 << 10);
    Ok(())
}

/// KiB of address space that this program has mapped.
fn address_space() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    Ok(line.and_then(|line| line.trim().strip_suffix("kB")).unwrap_or_default().trim().parse()?)
}

/// A pool under a limit of address space that is too small for it, and under one that is large
/// enough.
fn little_space(method: StartMethod) -> Outcome {
    let try_with = |kibibytes: u64, workers: usize| -> std::io::Result<String> {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -v {kibibytes} && exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe()?)
            .args([LITTLE_SPACE, &method.to_string(), &workers.to_string()])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        Ok(format!("{} {said}{complaints}", output.status))
    };
    // Little beside the program's own memory: an eighth of it, less than 16 MiB, is for arenas.
    let little = (address_space()? + (8 << 10)).min((128 << 10) - 1);
    for (kibibytes, workers) in [(300 << 10, 64), (little, 1)] {
        let told = try_with(kibibytes, workers)?;
        assert!(told.starts_with("exit status: 0 refused: reserving address space"), "{told}");
    }
    for (kibibytes, workers) in [(600 << 10, 2), (8 << 20, 64)] {
        assert_eq!(try_with(kibibytes, workers)?, "exit status: 0 worked\n");
    }
    Ok(())
}

pub(crate) fn in_little_space(method: &str, workers: &str) -> ExitCode {
    let method: StartMethod = method.parse().expect("a start method");
    let workers = workers.parse().expect("a number");
    let pool = match pool(method, workers) {
        Ok(pool) => pool,
        Err(error @ Error::Resources { .. }) => {
            println!("refused: {error}");
            return ExitCode::SUCCESS;
        }
        Err(other) => panic!("not a matter of resources: {other:?}"),
    };
    let values = pool.map(0..100u64, |x| vec![x; 1000]).expect("a pool that was built works");
    assert_eq!(values[99], vec![99; 1000]);
    println!("worked");
    ExitCode::SUCCESS
}
