//! Proxies in processes of each start method, and what processes leave that are killed.

use std::{
    process,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{ForkResult, Pid, alarm, fork},
};
use pool_core::{Process, StartMethod};
use pool_manager::{
    DictProxy, Error, EventProxy, ListProxy, LockError, LockProxy, Manager, ManagerClient,
    QueueProxy, SemaphoreProxy, manager,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

manager! {
    /// Adds up.
    trait Sum => SumProxy {
        fn add(&self, n: u64) -> u64;
    }
}

struct Adder(std::sync::Mutex<u64>);

impl Sum for Adder {
    fn add(&self, n: u64) -> u64 {
        let mut sum = self.0.lock().expect("no method panics");
        *sum += n;
        *sum
    }
}

const METHODS: [StartMethod; 4] =
    [StartMethod::Fork, StartMethod::ForkServer, StartMethod::Spawn, StartMethod::Threads];

fn main() -> Outcome {
    // The end of a test that hangs.
    alarm::set(120);
    let descriptors = descriptors();
    for method in METHODS {
        println!("{method}");
        in_processes(method)?;
        served_by(method)?;
        if method != StartMethod::Threads {
            killed_holders(method)?;
            killed_waiters(method)?;
        }
    }
    forked_clients()?;
    killed_server()?;
    assert_eq!(descriptors, self::descriptors(), "descriptors are left");
    Ok(())
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the server is there").count()
}

/// Proxies as arguments and results.
fn in_processes(method: StartMethod) -> Outcome {
    let manager = Manager::start()?;
    let dict = manager.dict::<u64, String>()?;
    let fill = |(client, dict, n): (ManagerClient, DictProxy<u64, String>, u64)| {
        dict.insert(n, format!("from {n}")).expect("the server is there");
        // Made here, and kept by what is returned.
        client.list([n]).expect("the server is there")
    };
    let builder = Process::builder().start_method(method);
    let processes = (0..3).map(|n| builder.spawn(fill, (manager.client(), dict.clone(), n)));
    let processes = processes.collect::<Result<Vec<_>, _>>()?;
    for (n, process) in processes.into_iter().enumerate() {
        let list = process.join()?;
        list.append(7)?;
        assert_eq!(list.to_vec()?, [n as u64, 7]);
    }
    let mut items = dict.items()?;
    items.sort();
    assert_eq!(items, [0, 1, 2].map(|n| (n, format!("from {n}"))));
    manager.shutdown()?;
    Ok(())
}

/// The server's process under each start method, with an own type.
fn served_by(method: StartMethod) -> Outcome {
    let manager = Manager::builder().start_method(method).start_with(|server| {
        server.register::<SumProxy, u64>(|from| Box::new(Adder(from.into()))).serve();
    })?;
    let sum: SumProxy = manager.create(5u64)?;
    let add = |sum: SumProxy| (0..10).map(|n| sum.add(n).expect("the server is there")).max();
    let process = Process::builder().spawn(add, sum.clone())?;
    assert_eq!(process.join()?, Some(50));
    let twice = Manager::builder().start_method(method).address(manager.address().clone()).start();
    assert!(matches!(twice, Err(Error::Bind { .. })), "{twice:?}");
    let idle = Manager::builder().start_method(method).start_with(drop);
    assert!(matches!(idle, Err(Error::InvalidInput(_))), "{idle:?}");
    drop(manager);
    let gone = sum.add(1).expect_err("the server is gone");
    assert!(matches!(gone, Error::Disconnected | Error::Connect { .. }), "{gone:?}");
    Ok(())
}

/// What a process held that is killed goes to the next one.
fn killed_holders(method: StartMethod) -> Outcome {
    let manager = Manager::start()?;
    let (lock, seats) = (manager.lock()?, manager.semaphore(1)?);
    let ready = manager.event()?;
    let hold = |(lock, seats, ready): (LockProxy, SemaphoreProxy, EventProxy)| {
        let _guard = lock.lock().expect("the server is there");
        let _permit = seats.acquire().expect("the server is there");
        ready.set().expect("the server is there");
        loop {
            std::thread::park();
        }
    };
    let builder = Process::builder().start_method(method);
    let argument = (lock.clone(), seats.clone(), ready.clone());
    let process = builder.spawn::<_, ()>(hold, argument)?;
    ready.wait()?;
    assert!(lock.is_locked()? && seats.available()? == 0);
    let start = Instant::now();
    process.kill()?;
    let told = lock.lock();
    println!("  told of the holder's death after {:?}", start.elapsed());
    let Err(LockError::HolderDied(guard)) = told else { panic!("{told:?}") };
    drop(seats.acquire()?);
    guard.unlock()?;
    // One is told, not all.
    drop(lock.lock()?);
    assert!(process.join().is_err());
    Ok(())
}

/// A process that is killed while it waits takes nothing with it.
fn killed_waiters(method: StartMethod) -> Outcome {
    let manager = Manager::start()?;
    let (queue, list) = (manager.queue::<u64>(0)?, manager.list::<u64>([])?);
    let wait = |(queue, list): (QueueProxy<u64>, ListProxy<u64>)| {
        list.append(1).expect("the server is there");
        queue.get().expect("the server is there")
    };
    let builder = Process::builder().start_method(method);
    let process = builder.spawn(wait, (queue.clone(), list.clone()))?;
    while list.is_empty()? {
        std::thread::yield_now();
    }
    process.kill()?;
    assert!(process.join().is_err());
    queue.put(&3)?;
    assert_eq!(queue.get_timeout(Duration::from_secs(60))?, 3);
    Ok(())
}

/// A forked copy of a client has a session of its own, and its end is none of the original's.
fn forked_clients() -> Outcome {
    let manager = Manager::start()?;
    let lock = manager.lock()?;
    let list = manager.list::<u64>([])?;
    let guard = lock.lock()?;
    // SAFETY: this process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            alarm::set(60);
            let is_locked = lock.try_lock().is_err();
            list.append(u64::from(is_locked)).expect("the server is there");
            drop((guard, lock, manager));
            process::exit(0);
        }
        ForkResult::Parent { child } => {
            nix::sys::wait::waitpid(child, None)?;
        }
    }
    assert_eq!(list.to_vec()?, [1]);
    assert!(lock.is_locked()?);
    guard.unlock()?;

    // A client whose socket is still open in a process that it has forked.
    let ready = manager.event()?;
    let hold = |(lock, ready, list): (LockProxy, EventProxy, ListProxy<u64>)| {
        let guard = lock.lock().expect("the server is there");
        // SAFETY: this process has one thread.
        let forked = unsafe { fork() }.expect("there is room for a process");
        if let ForkResult::Parent { child } = forked {
            list.append(child.as_raw() as u64).expect("the server is there");
            ready.set().expect("the server is there");
        }
        alarm::set(60);
        while lock.is_locked().is_ok() {
            nix::unistd::pause();
        }
        drop(guard);
    };
    let builder = Process::builder().start_method(StartMethod::Spawn);
    let process = builder.spawn(hold, (lock.clone(), ready.clone(), list.clone()))?;
    ready.wait()?;
    process.kill()?;
    assert!(matches!(lock.lock(), Err(LockError::HolderDied(_))));
    kill(Pid::from_raw(list.get(1)? as i32), Signal::SIGKILL)?;
    let _ = process.join();
    Ok(())
}

/// A server that is killed is an error for its clients, at once.
fn killed_server() -> Outcome {
    let manager = Manager::start()?;
    let list = manager.list([1u64])?;
    let pid = manager.server_pid().expect("it is a process");
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL)?;
    let end = loop {
        match list.len() {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, Error::Disconnected | Error::Connect { .. }), "{end:?}");
    assert!(matches!(manager.shutdown(), Err(Error::Ended(_))));
    Ok(())
}
