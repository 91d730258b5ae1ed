//! Pinned threads run where they were told, as the kernel reports it.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{fs, thread};

use pool_affinity::{CpuIds, CpuSet, Error, Machine, Plan, Topology, current_cpus};

/// The mask of the calling thread, by another way than the one under test.
fn kernel_says() -> CpuSet {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.parse().unwrap()
}

/// Runs `check` in a thread of its own, so that no pin outlives a test.
fn in_thread<T: Send>(check: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(check).join().unwrap())
}

#[test]
fn the_mask_is_read() {
    assert_eq!(current_cpus().unwrap(), kernel_says());
}

#[test]
fn every_single_cpu_can_be_pinned() {
    for id in kernel_says() {
        let one = CpuSet::from_ids([id]).unwrap();
        in_thread(|| {
            one.pin_current_thread().unwrap();
            assert_eq!(kernel_says(), one);
            assert_eq!(current_cpus().unwrap(), one);
        });
    }
}

#[test]
fn sets_can_be_pinned_narrowed_and_widened() {
    let all = kernel_says();
    let one = CpuSet::from_ids(all.first()).unwrap();
    in_thread(|| {
        for cpus in [all, one, all] {
            cpus.pin_current_thread().unwrap();
            assert_eq!(kernel_says(), cpus);
        }
    });
}

#[test]
fn a_pin_stays_in_its_thread_and_its_children() {
    let before = kernel_says();
    let one = CpuSet::from_ids(before.last()).unwrap();
    in_thread(|| {
        one.pin_current_thread().unwrap();
        assert_eq!(in_thread(kernel_says), one);
    });
    assert_eq!(kernel_says(), before);
}

#[test]
fn cpus_that_are_not_there_are_refused() {
    let before = kernel_says();
    let Some(id) = (0..CpuSet::CAPACITY).rfind(|&id| !before.contains(id)) else {
        return;
    };
    let absent = CpuSet::from_ids([id]).unwrap();
    in_thread(|| {
        let error = absent.pin_current_thread().unwrap_err();
        assert!(matches!(error, Error::Pin { .. }), "{error}");
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(kernel_says(), before);
    });
}

#[test]
fn a_set_that_the_kernel_cuts_is_reported() {
    let before = kernel_says();
    let mut wide = before;
    if !wide.insert(CpuSet::CAPACITY - 1).unwrap() {
        return;
    }
    in_thread(|| match wide.pin_current_thread().unwrap_err() {
        Error::PinDiffers { cpus, actual } => {
            assert_eq!((*cpus, *actual), (wide, before));
            assert_eq!(kernel_says(), before);
        }
        other => panic!("{other}"),
    });
}

#[test]
fn workers_follow_their_plan() {
    let machine = Topology::read().unwrap();
    let plans = [
        Plan::spread(4, &machine).unwrap(),
        Plan::compact(4, &machine).unwrap(),
        Plan::one_core_each(1, &machine).unwrap(),
        CpuIds::from(current_cpus().unwrap()).plan_here(3).unwrap(),
    ];
    for plan in plans {
        for cpus in plan.iter() {
            let cpus = cpus.unwrap();
            in_thread(|| {
                cpus.pin_current_thread().unwrap();
                assert_eq!(kernel_says(), *cpus);
            });
        }
    }
}

#[test]
fn a_pinned_thread_cannot_plan_beyond_its_mask() {
    let all = kernel_says();
    let (Some(first), Some(last)) = (all.first(), all.last()) else { unreachable!() };
    if first == last {
        return;
    }
    in_thread(|| {
        CpuSet::from_ids([first]).unwrap().pin_current_thread().unwrap();
        assert_eq!(Topology::read().unwrap().cpus().len(), 1);
        let error = CpuIds::from([last]).plan(1, &Machine::read().unwrap()).unwrap_err();
        assert!(matches!(error, Error::CpuNotAllowed { id, .. } if id == last), "{error}");
    });
}
