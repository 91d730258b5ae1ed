//! The examples of guides to `multiprocessing.Process`, in the terms of this crate.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use pool_api::{
    Error, Process, ProcessStatus, Runnable, SharedArray, SharedEvent, SharedMutex,
    SharedSemaphore, SharedValue, StartMethod, WorkerPool, active_children, cpu_count, usable_cpus,
    wire,
};

use super::processes::{SOON, builder, sleep};
use crate::{
    case::{Case, Outcome},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("guide_processes_of_functions_and_of_classes", functions_and_classes),
    Case::new("guide_processes_from_start_to_join", start_to_join),
    Case::new("guide_processes_are_terminated_by_sigterm", terminated).processes(),
    Case::new("guide_processes_share_what_is_shared_only", shared_only),
    Case::new("guide_processes_are_listed_until_they_end", listed),
    Case::new("guide_pools_have_as_many_workers_as_cpus", pools_of_all_cpus),
];

wire! {
    struct Greeting { name: String, times: u32 }
}

impl Runnable for Greeting {
    type Output = String;

    fn run(self) -> String {
        greet((self.name, self.times))
    }
}

fn greet((name, times): (String, u32)) -> String {
    vec![format!("hello {name}"); times as usize].join(", ")
}

/// Both forms do the same.
fn functions_and_classes(method: StartMethod) -> Outcome {
    let of_function = builder(method).spawn(greet, ("bob".into(), 2))?;
    let of_class = builder(method).spawn_runnable(Greeting { name: "bob".into(), times: 2 })?;
    assert_eq!(of_function.join()?, "hello bob, hello bob");
    assert_eq!(of_class.join()?, "hello bob, hello bob");
    Ok(())
}

/// The start does not wait for the function; the process is alive until it was joined.
fn start_to_join(method: StartMethod) -> Outcome {
    let (gate, begun) = (SharedEvent::new()?, SharedEvent::new()?);
    let wait = |(gate, begun): (SharedEvent, SharedEvent)| {
        begun.set();
        gate.wait();
    };
    let mut process = builder(method).spawn(wait, (gate.clone(), begun.clone()))?;
    begun.wait();
    assert!(process.is_alive());
    assert_eq!(process.exit_status().exit_code(), None);
    let early = process.join_timeout(Duration::from_millis(5));
    assert!(matches!(early, Err(Error::NotReady)), "{early:?}");
    gate.set();
    process.join_timeout(SOON)?;
    assert!(!process.is_alive());
    assert_eq!(process.exit_status().exit_code(), Some(0));
    Ok(())
}

fn terminated(method: StartMethod) -> Outcome {
    for (signal, kill) in [(15, false), (9, true)] {
        let mut process = builder(method).spawn(sleep, ())?;
        let pid = process.pid().ok_or("it has an id")?;
        assert!(process.is_alive() && !sys::has_ended(pid));
        if kill {
            process.kill()?;
        } else {
            process.terminate()?;
        }
        assert!(matches!(process.join_timeout(SOON), Err(Error::Process(_))));
        assert!(!process.is_alive());
        assert_eq!(process.exit_status(), ProcessStatus::Signal(signal));
        assert_eq!(process.exit_status().exit_code(), Some(-signal));
    }
    Ok(())
}

/// Changed by a process: its own, unless it is a thread.
static COUNT: AtomicU32 = AtomicU32::new(0);

type Shared = (SharedValue<u32>, SharedArray<f64>, SharedMutex<u64>, SharedSemaphore, Vec<u32>);

/// What a process changes is seen here if it is a shared object, and not otherwise.
fn shared_only(method: StartMethod) -> Outcome {
    let (value, array, mutex, semaphore) = (
        SharedValue::new(0u32)?,
        SharedArray::<f64>::new(3)?,
        SharedMutex::new(0u64)?,
        SharedSemaphore::with_limit(0, 1)?,
    );
    let change = |(value, array, mutex, semaphore, mut list): Shared| {
        COUNT.fetch_add(1, SeqCst);
        list.push(1);
        value.fetch_add(1);
        array.set(2, 1.5);
        *mutex.lock().expect("no holder dies") += 1;
        semaphore.add_permit().expect("there is room");
        list.len()
    };
    let list = Vec::new();
    let shared = (value.clone(), array.clone(), mutex.clone(), semaphore.clone(), list.clone());
    let process = builder(method).spawn(change, shared)?;
    semaphore.acquire_timeout(SOON)?.consume();
    assert_eq!(process.join()?, 1);
    assert_eq!((value.get(), array.get(2)), (1, 1.5));
    assert_eq!(*mutex.lock().map_err(|error| error.give_up())?, 1);
    assert!(list.is_empty());
    assert_eq!(COUNT.load(SeqCst) == 1, method == StartMethod::Threads);
    Ok(())
}

fn listed(method: StartMethod) -> Outcome {
    let gate = SharedEvent::new()?;
    let wait = |gate: SharedEvent| gate.wait();
    let start = |name: &str| builder(method).name(name).spawn(wait, gate.clone());
    let processes = [start("one")?, start("two")?];
    let names: BTreeSet<String> =
        active_children().iter().map(|child| child.name().to_string()).collect();
    assert!(names.iter().eq(["one", "two"]), "{names:?}");
    gate.set();
    processes.into_iter().try_for_each(Process::join)?;
    assert!(active_children().is_empty());
    Ok(())
}

fn pools_of_all_cpus(method: StartMethod) -> Outcome {
    assert!((1..=cpu_count()).contains(&usable_cpus()));
    let pool = WorkerPool::builder().start_method(method).worker_init(|w| w.id()).build()?;
    let ids = pool.workers().broadcast(|w| *w.state)?;
    assert!(ids.into_iter().eq(0..usable_cpus() as u32));
    Ok(())
}
