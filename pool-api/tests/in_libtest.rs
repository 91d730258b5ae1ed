//! Pools inside `#[test]` functions, where the test program has threads of its own: Fork refuses
//! unless its caller answers for it, the others work.

use pool_api::{Error, ForkWithThreads, StartMethod, WorkerPool};

const METHODS: [StartMethod; 3] =
    [StartMethod::ForkServer, StartMethod::Spawn, StartMethod::Threads];

#[test]
fn the_default_works() {
    let pool = WorkerPool::new(2).expect("a pool");
    assert_eq!(pool.start_method(), StartMethod::ForkServer);
    let squares = pool.map(0..1000u64, |x| x * x).expect("a map");
    assert_eq!(squares, (0..1000).map(|x| x * x).collect::<Vec<u64>>());
}

#[test]
fn every_method_but_fork_works() {
    for method in METHODS {
        let pool = WorkerPool::builder().n_jobs(2).start_method(method).build().expect("a pool");
        let expected: Vec<String> = (0..500).map(|n| format!("{n}!")).collect();
        let values = pool.map(0..500u32, |n| format!("{n}!")).expect("a map");
        assert_eq!(values, expected, "{method}");
        let lazy: Result<Vec<u32>, Error> = pool.imap(0..500u32, |n| n + 1).collect();
        assert_eq!(lazy.expect("an imap"), (1..501).collect::<Vec<_>>(), "{method}");
        let failed = pool.map(0..100u32, |n| assert!(n != 7));
        assert!(matches!(failed, Err(Error::Task(task)) if task.index() == 7), "{method}");
        pool.stop_and_join().expect("an end");
    }
}

#[test]
fn fork_is_refused_beside_threads() {
    // With any runner, this test has a second thread.
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let second = std::thread::spawn(move || wait.recv());
    let refused = WorkerPool::builder().n_jobs(2).start_method(StartMethod::Fork).build();
    let error = refused.expect_err("there are other threads");
    let Error::ForkWithThreads { threads } = error else { panic!("{error:?}") };
    assert!(threads >= 2);
    let text = error.to_string();
    let expected = format!("needs a process with one thread, this one has {threads}:");
    assert!(text.contains(&expected), "{text}");
    drop(done);
    assert!(second.join().expect("no panic").is_err());
}

#[test]
fn fork_works_for_who_answers_for_it() {
    // Libtest's threads use the outputs all the time, and a worker needs them for its last flush:
    // while this thread holds them no other one does.
    let _outputs = (std::io::stdout().lock(), std::io::stderr().lock());
    // SAFETY: the tasks below take no lock; the thread that forks holds the outputs, and it goes on
    // in the workers.
    let word = unsafe { ForkWithThreads::assume_safe() };
    let pool = WorkerPool::builder().n_jobs(2).start_method(StartMethod::Fork);
    let pool = pool.allow_fork_with_threads(word).build().expect("a pool");
    let squares = pool.map(0..1000u64, |x| x * x).expect("a map");
    assert_eq!(squares, (0..1000).map(|x| x * x).collect::<Vec<u64>>());
    let offset = std::hint::black_box(3);
    let shifted = pool.tasks(0..100u64).map_scoped(|x| x + offset).expect("a map");
    assert_eq!(shifted, (3..103).collect::<Vec<u64>>());
}

#[test]
fn several_tests_use_one_pool() {
    let pool = WorkerPool::new(2).expect("a pool");
    std::thread::scope(|scope| {
        for user in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                let values = pool.map(user..user + 300, |x| x + 1).expect("a map");
                assert_eq!(values, (user + 1..user + 301).collect::<Vec<u64>>());
            });
        }
    });
}
