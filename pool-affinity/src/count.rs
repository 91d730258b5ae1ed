//! How many CPUs there are, and how many of them this program can keep busy.

use std::{fs, path::Path, thread};

use crate::{pin::current_cpus, quota::cpu_quota, sysfs, text::ranges};

/// Number of logical CPUs of the machine that are switched on, whether or not this program may use
/// them.
///
/// ```
/// # use pool_affinity as pool_api;
/// assert!(pool_api::usable_cpus() <= pool_api::cpu_count());
/// ```
pub fn cpu_count() -> usize {
    let online = fs::read_to_string(Path::new(sysfs::ROOT).join(sysfs::ONLINE)).ok();
    online
        .and_then(|text| count(&text))
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Number of CPUs that the calling thread can keep busy: those of its affinity mask and cpuset, and
/// no more than the CPU quota of its control groups (`cpu_quota`; a fraction is rounded up). At
/// least 1. The right default for a number of workers.
pub fn usable_cpus() -> usize {
    let allowed = current_cpus().ok().map(|cpus| cpus.len());
    // The mask of a machine with more CPUs than a set holds can be counted all the same.
    let status = || allowed_in(&fs::read_to_string("/proc/thread-self/status").ok()?);
    usable(allowed.or_else(status).unwrap_or_else(cpu_count), cpu_quota(Path::new("/")))
}

/// How many CPUs, out of `allowed`, a quota of so many CPUs lets a program keep busy.
fn usable(allowed: usize, quota: Option<usize>) -> usize {
    quota.map_or(allowed, |quota| quota.min(allowed)).max(1)
}

/// How many CPUs a thread may use, as `proc_pid_status(5)` says it.
fn allowed_in(status: &str) -> Option<usize> {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).and_then(count)
}

fn count(list: &str) -> Option<usize> {
    let cpus = ranges(list).ok()?.into_iter().map(Iterator::count).sum();
    (cpus > 0).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sparse_and_very_wide_machines() {
        assert_eq!(count("0-3,8\n"), Some(5));
        assert_eq!(count("0-1535\n"), Some(1536));
        assert_eq!(count("\n"), None);
        assert_eq!(count("what"), None);
    }

    #[test]
    fn counts_masks_that_no_set_holds() {
        let status = "Name:\twide\nCpus_allowed:\tff\nCpus_allowed_list:\t0-1,1500-1535\n";
        assert_eq!(allowed_in(status), Some(38));
        assert_eq!(allowed_in("Name:\told\n"), None);
    }

    #[test]
    fn a_quota_counts_below_the_mask() {
        // 150 % of a CPU is a quota of 2.
        for (allowed, quota, expected) in [
            (8, Some(2), 2),
            (2, Some(8), 2),
            (2, Some(2), 2),
            (8, None, 8),
            (8, Some(1), 1),
            (8, Some(0), 1),
            (0, None, 1),
            (0, Some(2), 1),
        ] {
            assert_eq!(usable(allowed, quota), expected, "{allowed} CPUs, quota {quota:?}");
        }
    }

    #[test]
    fn this_machine_is_asked_for_mask_and_quota() {
        let mask = current_cpus().expect("a mask").len();
        assert_eq!(usable_cpus(), usable(mask, cpu_quota(Path::new("/"))));
    }

    #[test]
    fn this_machine_has_cpus() {
        assert!(usable_cpus() >= 1);
        assert!(usable_cpus() <= cpu_count());
    }
}
