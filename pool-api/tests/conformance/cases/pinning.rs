//! `cpu_ids` in its five forms, as rules and as plans: each worker's mask as the system and the
//! worker itself see it, also after it was replaced; and the refusals.

use std::{cell::RefCell, collections::BTreeMap, fs};

use pool_affinity::current_cpus;
use pool_api::{
    CpuIds, CpuSet, Error, Placement, Plan, StartMethod, Topology, WorkerPool, usable_cpus,
};

use crate::{
    case::{Case, Outcome, builder},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("cpu_ids_in_five_forms", five_forms),
    Case::new("cpu_ids_by_placement_and_plan", placements_and_plans),
    Case::new("cpu_ids_before_any_thread_starts", before_any_thread),
    Case::new("cpu_ids_kept_by_killed_workers_replacements", kept_after_kills).processes(),
    Case::new("cpu_ids_kept_over_lifespans", kept_over_lifespans),
    Case::new("cpu_ids_kept_by_fresh_workers", kept_by_fresh_workers),
    Case::new("cpu_ids_refused", refused),
    Case::new("cpu_ids_keep_to_the_mask_of_the_builder", kept_to_the_mask),
];

/// The mask of each worker, by its id.
type Masks = BTreeMap<u32, String>;

/// The masks of all workers, as tasks see them; a thread that a task starts has the same.
fn seen_from_inside(pool: &WorkerPool) -> Result<Masks, Error> {
    let mut masks = Masks::new();
    // In turn: one free worker could take all tasks that any may run.
    let tasks = pool.tasks(0..64u32).chunk_size(1).order_tasks(true);
    let said = tasks.with_worker().map(|worker, _| {
        let cpus = current_cpus().expect("a mask");
        let inherited = std::thread::spawn(current_cpus).join().expect("no panic");
        assert_eq!(inherited.expect("a mask"), cpus);
        (worker.id(), cpus.to_string())
    })?;
    for (id, cpus) in said {
        let before = masks.insert(id, cpus.clone());
        assert!(before.is_none_or(|before| before == cpus), "worker {id} moved");
    }
    assert_eq!(masks.len(), pool.n_jobs());
    Ok(masks)
}

/// The masks of all workers, as the system tells them for each of their threads.
fn seen_from_outside(pool: &WorkerPool) -> Masks {
    let folders = match pool.start_method() {
        StartMethod::Threads => vec!["/proc/self/task".to_string()],
        _ => pool.worker_pids().iter().map(|pid| format!("/proc/{pid}/task")).collect(),
    };
    let threads = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let mut masks = Masks::new();
    for thread in threads.flatten() {
        let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let Some(id) = read("comm").trim().strip_prefix("worker-").and_then(|id| id.parse().ok())
        else {
            continue;
        };
        let status = read("status");
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        // A thread that a task had started may end between the two looks.
        let Some(cpus) = cpus.map(|cpus| cpus.trim().to_string()) else { continue };
        let before = masks.insert(id, cpus.clone());
        assert!(before.is_none_or(|before| before == cpus), "threads of worker {id} differ");
    }
    masks
}

fn assert_masks<S: ToString>(pool: &WorkerPool, expected: impl IntoIterator<Item = S>) -> Outcome {
    let expected: Masks = (0..).zip(expected.into_iter().map(|cpus| cpus.to_string())).collect();
    assert_eq!(seen_from_inside(pool)?, expected);
    assert_eq!(seen_from_outside(pool), expected);
    Ok(())
}

fn check(method: StartMethod, ids: impl Into<CpuIds>, expected: [&str; 2]) -> Outcome {
    let here = current_cpus()?;
    let pool = builder(method, 2).cpu_ids(ids).build()?;
    assert_masks(&pool, expected)?;
    assert_eq!(current_cpus()?, here, "the caller is not pinned");
    Ok(())
}

/// The first and the last CPU that may be used: the same one on a machine with one.
fn two_cpus() -> Result<(usize, usize), pool_affinity::Error> {
    let here = current_cpus()?;
    let first = here.first().expect("this thread runs somewhere");
    Ok((first, here.last().unwrap_or(first)))
}

/// Each form of `cpu_ids`, and the masks that it gives to two workers.
fn forms() -> Result<[(CpuIds, [String; 2]); 5], pool_affinity::Error> {
    let all = current_cpus()?.to_string();
    let (first, last) = two_cpus()?;
    let both = CpuSet::from_ids([first, last])?.to_string();
    let (one, two) = (first.to_string(), last.to_string());
    Ok([
        (CpuIds::none(), [all.clone(), all]),
        ([last].into(), [two.clone(), two.clone()]),
        ([last, first].into(), [two.clone(), one]),
        ([[first, last]].into(), [both.clone(), both.clone()]),
        ([vec![first, last], vec![last]].into(), [both, two]),
    ])
}

fn five_forms(method: StartMethod) -> Outcome {
    for (ids, expected) in forms()? {
        check(method, ids, expected.each_ref().map(String::as_str))?;
    }
    Ok(())
}

thread_local! { static AT_START: RefCell<String> = const { RefCell::new(String::new()) } }

/// The mask of a thread that is started here.
fn of_a_thread() -> String {
    let started = std::thread::spawn(current_cpus).join().expect("no panic");
    started.expect("a mask").to_string()
}

/// The user's code of a worker finds it pinned, however early it is called, and so do threads that
/// it starts.
fn before_any_thread(method: StartMethod) -> Outcome {
    let (first, last) = two_cpus()?;
    let pool = builder(method, 2)
        .cpu_ids([last, first])
        .at_worker_start(|| AT_START.set(of_a_thread()))
        .shared_built(of_a_thread)
        .worker_init(|_| of_a_thread())
        .build()?;
    for _ in 0..2 {
        let seen = pool.broadcast(|w| {
            [AT_START.with_borrow(String::clone), w.state.clone(), w.shared.clone()]
        })?;
        for ([start, init, built], expected) in seen.into_iter().zip([last, first]) {
            assert_eq!([start, init], [(); 2].map(|()| expected.to_string()));
            // The other methods build it once, for all workers.
            assert!(method != StartMethod::Spawn || built == expected.to_string(), "{built}");
        }
        pool.terminate()?;
    }
    Ok(())
}

/// Every rule with as many workers as it can place on two cores, and the plan that it makes.
fn plans() -> Result<Vec<(Placement, Plan)>, pool_affinity::Error> {
    let topology = Topology::read()?;
    let plan = |placement| match placement {
        Placement::OneCoreEach => Plan::one_core_each(topology.cores().len().min(2), &topology),
        other => other.plan(3, &topology),
    };
    Placement::ALL.into_iter().map(|placement| Ok((placement, plan(placement)?))).collect()
}

fn placements_and_plans(method: StartMethod) -> Outcome {
    for (placement, plan) in plans()? {
        for ids in [CpuIds::from(placement), CpuIds::from(plan.clone())] {
            let pool = builder(method, plan.n_workers()).cpu_ids(ids).build()?;
            assert_masks(&pool, plan.iter().flatten())?;
        }
    }
    // Without a number of workers: as many as can have a core.
    let builder = WorkerPool::builder().start_method(method).cpu_ids(Placement::OneCoreEach);
    let pool = builder.build()?;
    assert_eq!(pool.n_jobs(), usable_cpus().min(Topology::read()?.cores().len()));
    Ok(())
}

fn kept_after_kills(method: StartMethod) -> Outcome {
    for (ids, expected) in forms()? {
        let pool = builder(method, 2).cpu_ids(ids).build()?;
        assert_masks(&pool, &expected)?;
        for _ in 0..2 {
            let killed = pool.worker_pids();
            for &pid in &killed {
                assert!(sys::kill(pid, sys::SIGKILL));
                wait_until("a killed worker is dead", || sys::has_ended(pid));
            }
            assert_masks(&pool, &expected)?;
            assert!(pool.worker_pids().iter().all(|pid| !killed.contains(pid)));
        }
        // The worker ends itself in the middle of a task.
        let died = pool.apply((), |()| -> u8 { std::process::abort() });
        assert!(matches!(died, Err(Error::Task(_))), "{died:?}");
        assert_masks(&pool, &expected)?;
    }
    for (placement, plan) in plans()? {
        let pool = builder(method, plan.n_workers()).cpu_ids(placement).build()?;
        assert_masks(&pool, plan.iter().flatten())?;
        for pid in pool.worker_pids() {
            assert!(sys::kill(pid, sys::SIGKILL));
            wait_until("a killed worker is dead", || sys::has_ended(pid));
        }
        assert_masks(&pool, plan.iter().flatten())?;
    }
    Ok(())
}

fn kept_over_lifespans(method: StartMethod) -> Outcome {
    for (ids, expected) in forms()? {
        let pool = builder(method, 2).cpu_ids(ids).worker_lifespan(2).build()?;
        // Six tasks each are three lives.
        for _ in 0..6 {
            assert_eq!(pool.broadcast(|_| of_a_thread())?, expected);
        }
    }
    Ok(())
}

fn kept_by_fresh_workers(method: StartMethod) -> Outcome {
    let (first, last) = two_cpus()?;
    let pool = builder(method, 2).cpu_ids([last, first]).build()?;
    assert_masks(&pool, [last, first])?;
    pool.stop_and_join()?;
    assert_masks(&pool, [last, first])?;
    pool.terminate()?;
    assert_masks(&pool, [last, first])?;
    drop(pool);

    // Every call has workers of its own, which live as long as it does.
    let pool = builder(method, 1).cpu_ids([[last]]).keep_alive(false).build()?;
    let expected = Masks::from([(0, last.to_string())]);
    for _ in 0..3 {
        assert_eq!(seen_from_inside(&pool)?, expected);
        let mut call = pool.imap(0..64u32, |x| x);
        assert_eq!(call.next().transpose()?, Some(0));
        wait_until("the worker is seen", || seen_from_outside(&pool) == expected);
    }
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let refusal = |ids: CpuIds, workers| match builder(method, workers).cpu_ids(ids).build() {
        Err(Error::InvalidInput(text)) => text,
        other => panic!("not refused: {other:?}"),
    };
    let (first, _) = two_cpus()?;
    let three = refusal(vec![first; 3].into(), 2);
    assert_eq!(three, "cpu_ids: Number of CPU IDs (3) does not match number of jobs (2)");
    let sets = refusal(vec![vec![first]; 2].into(), 4);
    assert_eq!(sets, "cpu_ids: Number of CPU IDs (2) does not match number of jobs (4)");
    let expected = "exceeds the maximum CPU ID available on your system: ";
    for id in [1024, 5000, 900_000, usize::MAX] {
        for ids in [CpuIds::from([id]), [first, id].into(), [[first, id]].into()] {
            let text = refusal(ids, 2);
            assert!(text.starts_with(&format!("cpu_ids: CPU ID {id} {expected}")), "{text}");
        }
    }
    let text = refusal([[first, 1023]].into(), 2);
    assert!(text.starts_with("cpu_ids: CPU ID 1023 "), "{text}");
    let none = refusal(Vec::<usize>::new().into(), 2);
    assert_eq!(none, "cpu_ids: The list of CPU IDs is empty; leave it out to run unpinned");
    let empty = refusal(vec![vec![first], vec![]].into(), 2);
    assert_eq!(empty, "cpu_ids: The set of CPU IDs at index 1 is empty");

    let topology = Topology::read()?;
    let cores = topology.cores().len();
    let text = refusal(Placement::OneCoreEach.into(), cores + 1);
    let expected = format!("cpu_ids: Cannot give {} workers a physical core each: ", cores + 1);
    assert!(text.starts_with(&expected), "{text}");
    let text = refusal(Placement::Spread.plan(1, &topology)?.into(), 2);
    assert_eq!(text, "cpu_ids: Number of CPU IDs (1) does not match number of jobs (2)");
    Ok(())
}

fn kept_to_the_mask(method: StartMethod) -> Outcome {
    let (first, last) = two_cpus()?;
    let all = current_cpus()?;
    let early = builder(method, 2).cpu_ids([last, first]).build()?;
    CpuSet::from_ids([first])?.pin_current_thread()?;
    if first != last {
        let refused = builder(method, 1).cpu_ids([last]).build();
        let Err(Error::InvalidInput(text)) = refused else { panic!("not refused: {refused:?}") };
        let reason = "is not among the CPUs that may be used here: ";
        assert_eq!(text, format!("cpu_ids: CPU ID {last} {reason}{first}"));
    }
    // A plan made before the caller pinned itself still holds.
    assert_masks(&early, [last, first])?;
    drop(early);
    let late = builder(method, 2).cpu_ids(Placement::Spread).build()?;
    assert_masks(&late, [first, first])?;
    all.pin_current_thread()?;
    Ok(())
}
