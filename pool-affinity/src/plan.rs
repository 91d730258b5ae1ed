//! `Plan`: says which worker runs on which CPUs.
//!
//! Invariant: no sets at all, or one per worker, none of them empty.
//! Plans come from the user's ids (`ids.rs`) or from the topology (`placement.rs`).

use std::fmt;

use crate::CpuSet;

/// Says for each worker, numbered from 0, which CPUs it runs on. Plain data: nothing is pinned
/// until a worker calls [`CpuSet::pin_current_thread`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    n_workers: usize,
    sets: Vec<CpuSet>,
}

impl Plan {
    /// Workers that run wherever the kernel puts them.
    pub fn unpinned(n_workers: usize) -> Self {
        Self { n_workers, sets: Vec::new() }
    }

    /// Gives each worker the next of `sets`, and begins again when they run out.
    pub(crate) fn cycling(n_workers: usize, sets: &[CpuSet]) -> Self {
        debug_assert!(!sets.is_empty() && sets.iter().all(|set| !set.is_empty()));
        Self { n_workers, sets: sets.iter().copied().cycle().take(n_workers).collect() }
    }

    /// The CPUs of a worker; `None` when it is not pinned, or when there is no such worker.
    pub fn cpus_of(&self, worker: usize) -> Option<&CpuSet> {
        self.sets.get(worker)
    }

    /// Number of workers that the plan was made for.
    pub fn n_workers(&self) -> usize {
        self.n_workers
    }

    /// Whether workers are pinned.
    pub fn is_pinned(&self) -> bool {
        !self.sets.is_empty()
    }

    /// The CPUs of each worker in turn, `None` for all when they are not pinned.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&CpuSet>> {
        (0..self.n_workers).map(|worker| self.cpus_of(worker))
    }
}

/// One line per worker: `worker 0: CPUs 0-1`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (worker, cpus) in self.iter().enumerate() {
            match cpus {
                Some(cpus) => writeln!(f, "worker {worker}: CPUs {cpus}")?,
                None => writeln!(f, "worker {worker}: any CPU")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpinned_workers_have_no_set() {
        let plan = Plan::unpinned(2);
        assert!(!plan.is_pinned());
        assert_eq!((plan.n_workers(), plan.iter().len()), (2, 2));
        assert_eq!(plan.cpus_of(0), None);
        assert_eq!(plan.to_string(), "worker 0: any CPU\nworker 1: any CPU\n");
    }

    #[test]
    fn sets_go_round() {
        let sets = ["0-1", "2"].map(|text| text.parse().unwrap());
        let plan = Plan::cycling(3, &sets);
        assert_eq!(plan.cpus_of(2), Some(&sets[0]));
        assert_eq!(plan.cpus_of(3), None);
        assert_eq!(plan.to_string(), "worker 0: CPUs 0-1\nworker 1: CPUs 2\nworker 2: CPUs 0-1\n");
    }
}
