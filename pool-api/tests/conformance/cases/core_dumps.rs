//! Core dumps: they contain none of the pool's memory, in any process, and shared objects only if
//! that is asked for.

use std::{fs, path::Path};

use pool_api::{Cause, ExitStatus, StartMethod};
use pool_shm::{SharedArray, SharedMutex};

use crate::{
    case::{Case, Outcome, builder, pool},
    footprint::processes,
    scratch::Scratch,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("core_dumps_contain_no_shared_memory", no_shared_memory),
    Case::new("core_dumps_contain_shared_objects_on_request", shared_objects_on_request),
    Case::new("core_of_a_worker_is_small", core_of_a_worker).processes(),
];

/// Labels of the mappings of pools and of shared objects.
const OURS: [&str; 4] =
    ["/memfd:pool-board", "/memfd:pool-items", "/memfd:pool-arena", "/memfd:pool-shm"];
const SIGSEGV: i32 = 11;

/// For each mapping of ours in a process: its label, and whether core dumps leave it out.
fn mappings(pid: u32) -> Vec<(&'static str, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut found = Vec::new();
    let mut label = None;
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let kept_out = flags.split_whitespace().any(|flag| flag == "dd");
            found.extend(label.take().map(|label| (label, kept_out)));
        } else if let Some(ours) = OURS.iter().find(|ours| line.contains(*ours)) {
            label = Some(*ours);
        }
    }
    found
}

/// The mappings of this process, as values that a task can return.
fn own_mappings() -> Vec<(String, bool)> {
    let found = mappings(std::process::id()).into_iter();
    found.map(|(label, kept_out)| (label.to_string(), kept_out)).collect()
}

/// This process and the processes of its pools.
fn all_processes() -> impl Iterator<Item = u32> {
    let own = sys::group_of(std::process::id());
    processes().filter(move |pid| sys::group_of(*pid) == own)
}

fn no_shared_memory(method: StartMethod) -> Outcome {
    let array = SharedArray::<u64>::new(1 << 20)?;
    let counter = SharedMutex::new(0u64)?;
    let pool = builder(method, 2).shared((array.clone(), counter.clone())).build()?;
    let seen = pool.tasks([1u64, 2]).chunk_size(1).with_worker().map(|w, n| {
        let (array, counter) = w.shared;
        array.fetch_add(0, n);
        if let Ok(mut counter) = counter.lock() {
            *counter += n;
        }
        own_mappings()
    })?;
    let counted = counter.lock().map_err(|error| error.to_string()).map(|counter| *counter)?;
    assert_eq!((array.get(0), counted), (3, 3));
    for seen in seen {
        assert!(seen.len() >= if method == StartMethod::Threads { 2 } else { 5 }, "{seen:?}");
        assert!(seen.iter().all(|(_, kept_out)| *kept_out), "in a worker: {seen:?}");
    }
    let mut labels = Vec::new();
    for pid in all_processes() {
        let found = mappings(pid);
        assert!(found.iter().all(|(_, kept_out)| *kept_out), "process {pid}: {found:?}");
        labels.extend(found.into_iter().map(|(label, _)| label));
    }
    let expected = if method == StartMethod::Threads { &OURS[3..] } else { &OURS };
    assert!(expected.iter().all(|label| labels.contains(label)), "{labels:?}");
    Ok(())
}

fn shared_objects_on_request(method: StartMethod) -> Outcome {
    let before = SharedArray::<u64>::new(1 << 20)?;
    let pool = builder(method, 2).dump_shared_memory(true).build()?;
    let after = SharedArray::<u64>::new(1 << 20)?;
    let seen = pool.map([before.clone(), after.clone()], |array| {
        array.fetch_add(0, 1);
        own_mappings()
    })?;
    for seen in seen.into_iter().chain([own_mappings()]) {
        let objects = seen.iter().filter(|(label, _)| label.ends_with("pool-shm"));
        assert!(objects.clone().count() > 0, "{seen:?}");
        assert!(seen.iter().all(|(label, kept_out)| *kept_out != label.ends_with("pool-shm")));
    }
    assert_eq!((before.get(0), after.get(0)), (1, 1));
    Ok(())
}

/// Whether the system writes cores to files in the working directory.
fn cores_are_files() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = pattern.trim();
    !pattern.is_empty() && !pattern.contains('/') && !pattern.starts_with(['|', '@'])
}

fn core_of_a_worker(method: StartMethod) -> Outcome {
    /// More than the rest of a worker takes; also the limit of a core, so that a failure fills no
    /// disk.
    const LARGE: u64 = 64 << 20;
    const CUT: u64 = 256 << 20;

    let folder = Scratch::new();
    let path = folder.path();
    fs::create_dir(&path)?;
    std::env::set_current_dir(&path)?;
    let written = cores_are_files() && sys::limit_core(CUT);
    let pool = pool(method, 2)?;
    let results = pool.tasks([0u64, 1]).chunk_size(1).map_results(|n| {
        if n == 1 {
            // The first signal may end at the handler of the standard library.
            loop {
                sys::raise(SIGSEGV);
            }
        }
        n
    })?;
    drop(pool);
    std::env::set_current_dir("/")?;
    let cores: Vec<_> = fs::read_dir(Path::new(&path))?.collect::<Result<_, _>>()?;
    let sizes = cores.iter().map(|core| core.metadata().map(|metadata| metadata.len()));
    let sizes = sizes.collect::<Result<Vec<_>, _>>();
    fs::remove_dir_all(&path)?;
    assert_eq!(results[0], Ok(0));
    let failed = results[1].as_ref().expect_err("a task that crashed");
    assert_eq!(*failed.cause(), Cause::Death(ExitStatus::Signal(SIGSEGV)));
    assert!(failed.to_string().contains("SIGSEGV"), "{failed}");
    let sizes = sizes?;
    if written {
        assert_eq!(sizes.len(), 1, "one core");
        assert!(sizes[0] > 0 && sizes[0] < LARGE, "a core of {} bytes", sizes[0]);
    }
    Ok(())
}
