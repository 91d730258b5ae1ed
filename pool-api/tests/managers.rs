//! Proxies of a server in pools of each start method: as contexts, items, results, and in what is
//! shared.
//!
//! Without libtest, since Fork needs a process with one thread: the server is a process.

use pool_api::{
    Process, StartMethod, WorkerPool,
    managers::{
        Address, AuthKey, Client, DictProxy, ListProxy, LockError, LockProxy, Manager,
        ManagerClient, QueueProxy, manager,
    },
    wire,
};

#[path = "support/each_method.rs"]
mod each_method;
#[allow(dead_code)]
#[path = "conformance/footprint.rs"]
mod footprint;
#[allow(dead_code)]
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/sys.rs"]
mod sys;

use each_method::{Case, Outcome, pool, run_all};

manager! {
    /// Adds up.
    trait Sum => SumProxy {
        fn add(&self, n: u64) -> u64;
    }
}

impl Sum for std::sync::atomic::AtomicU64 {
    fn add(&self, n: u64) -> u64 {
        self.fetch_add(n, std::sync::atomic::Ordering::SeqCst) + n
    }
}

fn main() -> Outcome {
    run_all(&CASES)
}

const CASES: [(&str, Case); 5] = [
    ("proxies_are_contexts_and_items", contexts_and_items),
    ("objects_made_by_workers_are_results", results),
    ("proxies_are_in_what_is_shared", shared),
    ("keys_cross_with_proxies", keys),
    ("a_killed_worker_leaves_its_lock", killed_worker),
];

fn contexts_and_items(method: StartMethod) -> Outcome {
    let manager = Manager::start()?;
    let dict = manager.dict::<u64, u64>()?;
    let lists = [manager.list::<u64>([])?, manager.list([])?];
    let pool = pool(method)?;
    let items = (0..40u64).map(|n| (n, lists[n as usize % 2].clone()));
    pool.tasks(items).with(dict.clone()).map(|dict: &DictProxy<u64, u64>, (n, list)| {
        dict.insert(n, n * n).expect("the server is there");
        list.append(n).expect("the server is there");
    })?;
    assert_eq!((dict.len()?, dict.get(&7)?), (40, Some(49)));
    let mut even = lists[0].to_vec()?;
    even.sort_unstable();
    assert_eq!(even, (0..20).map(|n| 2 * n).collect::<Vec<_>>());
    drop(pool);
    Ok(manager.shutdown()?)
}

fn results(method: StartMethod) -> Outcome {
    let manager = Manager::start()?;
    let pool = pool(method)?;
    let make = |client: &ManagerClient, n: u64| client.list(0..n).expect("the server is there");
    let lists: Vec<ListProxy<u64>> = pool.tasks(0..6u64).with(manager.client()).map(make)?;
    for (n, list) in lists.iter().enumerate() {
        assert_eq!(list.to_vec()?, (0..n as u64).collect::<Vec<_>>());
    }
    // And back again, inside of another object.
    let queue = manager.queue::<ListProxy<u64>>(0)?;
    let put =
        |queue: &QueueProxy<ListProxy<u64>>, list| queue.put(&list).expect("the server is there");
    pool.tasks(lists).with(queue.clone()).map(put)?;
    let mut lens = (0..6).map(|_| queue.get()?.len()).collect::<Result<Vec<_>, _>>()?;
    lens.sort_unstable();
    assert_eq!(lens, [0, 1, 2, 3, 4, 5]);
    drop(pool);
    Ok(())
}

wire! {
    struct Tools {
        sum: SumProxy,
        lock: LockProxy,
    }
}

fn shared(method: StartMethod) -> Outcome {
    let manager = Manager::builder().start_with(|server| {
        let make = |from| Box::new(std::sync::atomic::AtomicU64::new(from)) as Box<_>;
        server.register::<SumProxy, u64>(make).serve();
    })?;
    let tools = Tools { sum: manager.create(100u64)?, lock: manager.lock()? };
    let sum = tools.sum.clone();
    let pool = WorkerPool::builder().start_method(method).n_jobs(2).shared(tools).build()?;
    pool.tasks(0..10u64).with_worker().map(|worker, n| {
        let _guard = worker.shared.lock.lock().expect("the server is there");
        worker.shared.sum.add(n).expect("the server is there");
    })?;
    assert_eq!(sum.add(0)?, 145);
    drop(pool);
    Ok(())
}

fn keys(method: StartMethod) -> Outcome {
    let key = AuthKey::random()?;
    let address = Address::tcp("127.0.0.1:0");
    let manager = Manager::builder().address(address).key(key.clone()).start()?;
    let list = manager.list([1u64])?;
    let pool = pool(method)?;
    pool.tasks(2..5u64)
        .with(list.clone())
        .map(|list: &ListProxy<u64>, n| list.append(n).expect("the server is there"))?;
    assert_eq!(list.len()?, 4);
    manager.publish("numbers", &list)?;
    // A program that knows address and key finds it by its name.
    let look = |(address, key): (String, Vec<u8>)| {
        let client = Client::builder().key(AuthKey::new(key).expect("a key"));
        let client = client
            .connect_manager(&address.parse().expect("an address"))
            .expect("the server is there");
        client
            .lookup::<ListProxy<u64>>("numbers")
            .expect("the server is there")
            .len()
            .expect("the server is there")
    };
    let argument = (manager.address().to_string(), key.as_bytes().to_vec());
    let process = Process::builder().start_method(method).spawn(look, argument)?;
    assert_eq!(process.join()?, 4);
    drop(pool);
    Ok(())
}

fn killed_worker(method: StartMethod) -> Outcome {
    if method == StartMethod::Threads {
        return Ok(());
    }
    let manager = Manager::start()?;
    let lock = manager.lock()?;
    let pool = pool(method)?;
    let results = pool.tasks([0u64]).with(lock.clone()).map_results(|lock: &LockProxy, _| {
        let _guard = lock.lock().expect("the server is there");
        std::process::abort();
        #[allow(unreachable_code)]
        ()
    })?;
    assert!(results[0].is_err());
    let told = lock.lock();
    assert!(matches!(told, Err(LockError::HolderDied(_))), "{told:?}");
    drop(told);
    drop(pool);
    Ok(())
}
