//! Results that together are larger than the arena that holds them: all arrive, each is computed
//! once.

#[path = "support/scenario.rs"]
mod scenario;

use std::{fs, io::Write};

use pool_core::{Cause, Error, JobOptions, Plain, Pool, StartMethod};
use scenario::{ask, options, process_methods, run};

fn main() {
    run(
        &[
            ("all_arrive_and_run_once", all_arrive_and_run_once),
            ("beside_a_stream_that_is_not_read", beside_an_unread_stream),
            ("a_dropped_stream_frees_its_workers", dropped_stream),
            ("too_large_is_a_typed_error", too_large),
        ],
        &[],
    );
}

fn small_arena(method: StartMethod) -> Pool {
    small_arena_of(method, 2)
}

fn small_arena_of(method: StartMethod, n_jobs: usize) -> Pool {
    let mut options = options(method, n_jobs);
    options.arena_limit = Some(1 << 20);
    Pool::build(&options).expect("a pool")
}

fn chunks(size: f64) -> JobOptions {
    let mut options = JobOptions::default();
    options.chunk_size = Some(size);
    options
}

/// A result of up to half an arena; each call leaves a byte in a file.
fn large(path: String) -> Vec<u64> {
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the file");
    file.write_all(b"x").expect("room");
    let number: u64 = path.rsplit('.').next().and_then(|n| n.parse().ok()).expect("a number");
    vec![number; (number as usize * 7919) % 65_000]
}

fn all_arrive_and_run_once() {
    const ITEMS: usize = 120;
    let folder = std::env::temp_dir().join(format!("pool-core-arena-{}", std::process::id()));
    for method in process_methods() {
        let pool = small_arena(method);
        for size in [1.0, 7.0] {
            fs::create_dir(&folder).expect("a folder");
            let path = |number| format!("{}/run.{number}", folder.display());
            (0..ITEMS).for_each(|number| fs::write(path(number), "").expect("a file"));
            let job = pool.job::<Plain<String, Vec<u64>>, _>(
                large,
                (),
                (0..ITEMS).map(path),
                &chunks(size),
                false,
            );
            for (number, result) in job.expect("a job").results(true).enumerate() {
                let value = result.expect("the pool lives").expect("a value");
                assert_eq!(value, vec![number as u64; (number * 7919) % 65_000], "{method}");
            }
            for number in 0..ITEMS {
                assert_eq!(fs::read(path(number)).expect("a file"), b"x", "{method}: one run each");
            }
            fs::remove_dir_all(&folder).expect("our folder");
        }
    }
}

fn half_an_arena(x: u64) -> Vec<u64> {
    vec![x; 60_000]
}

fn beside_an_unread_stream() {
    for method in process_methods() {
        // The only worker waits for room again and again.
        let pool = small_arena_of(method, 1);
        let job = pool.job::<Plain<u64, Vec<u64>>, _>(half_an_arena, (), 0..40, &chunks(3.0), true);
        let mut stream = job.expect("a job").results(true);
        assert_eq!(stream.next().expect("a result").expect("a pool").expect("a value")[0], 0);
        for x in 0..50 {
            assert_eq!(ask(&pool, |x: u64| x + 1, x).expect("a value"), x + 1, "{method}");
        }
        let left = stream.map(|result| result.expect("a pool").expect("a value")[0]);
        assert_eq!(left.collect::<Vec<_>>(), (1..40).collect::<Vec<_>>(), "{method}");
    }
}

fn dropped_stream() {
    for method in process_methods() {
        let pool = small_arena(method);
        let before = pool.worker_pids();
        for round in 0..10 {
            let job =
                pool.job::<Plain<u64, Vec<u64>>, _>(half_an_arena, (), 0..40, &chunks(5.0), true);
            let mut stream = job.expect("a job").results(round % 2 == 0);
            stream.next().expect("a result").expect("a pool").expect("a value");
            drop(stream);
            let job = pool.job::<Plain<u64, u64>, _>(|x| x, (), 0..10, &chunks(1.0), false);
            assert_eq!(job.expect("a job").values(true).expect("values").len(), 10, "{method}");
        }
        assert!(before.is_empty());
        let job = pool.job::<Plain<u64, Vec<u64>>, _>(half_an_arena, (), 0..40, &chunks(5.0), true);
        let mut stream = job.expect("a job").results(true);
        stream.next().expect("a result").expect("a pool").expect("a value");
        pool.stop_and_join().expect("it ends with results unread");
        drop(stream);
    }
}

fn too_large() {
    for method in process_methods() {
        let pool = small_arena(method);
        match ask(&pool, |x: u64| vec![x; 200_000], 1) {
            Err(Error::Task(error)) => match error.cause() {
                Cause::ResultTooLarge { bytes, limit } => {
                    assert!(*bytes >= 1_600_000 && *limit == 1 << 20, "{method}: {bytes}, {limit}");
                }
                other => panic!("{method}: {other:?}"),
            },
            other => panic!("{method}: {other:?}"),
        }
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
    }
}
