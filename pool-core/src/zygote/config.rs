//! What a zygote is told at its start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;
use pool_affinity::CpuSet;
use pool_ipc::board::Incarnation;

use crate::{
    ids::WorkerId,
    output::OutputConfig,
    worker::{WorkerConfig, WorkerStart},
};

/// Everything about a zygote that is not a descriptor.
#[derive(Debug, Clone)]
pub(crate) struct ZygoteConfig {
    /// Whether workers are fresh copies of the executable; otherwise they are forked.
    pub(crate) fresh_workers: bool,
    /// For each place the CPUs that its worker runs on.
    pub(crate) cpus: Vec<Option<CpuSet>>,
    pub(crate) workers: WorkerConfig,
}

/// The descriptors of a zygote.
#[derive(Debug)]
pub(crate) struct ZygoteFds {
    pub(crate) control: OwnedFd,
    pub(crate) board: OwnedFd,
    pub(crate) items: OwnedFd,
    pub(crate) wake_counter: OwnedFd,
    /// Those of the output of workers, as its configuration sorts them.
    pub(crate) output: Vec<OwnedFd>,
    /// Of the segments that the configuration's specification names.
    pub(crate) shared: Vec<OwnedFd>,
}

impl ZygoteConfig {
    /// The configuration as numbers, for a fresh copy of the executable.
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = vec![u64::from(self.fresh_workers)];
        words.extend(self.workers.to_words());
        if self.cpus.iter().any(Option::is_some) {
            for cpus in &self.cpus {
                let ids = cpus.iter().flat_map(CpuSet::iter);
                words.push(ids.clone().count() as u64);
                words.extend(ids.map(|id| id as u64));
            }
        }
        words
    }

    /// What the numbers say; `None` when they say nothing.
    pub(crate) fn from_words(words: &[u64]) -> Option<Self> {
        let (fresh_workers, rest) = words.split_first()?;
        let (workers, mut rest) = WorkerConfig::split_from(rest)?;
        let mut cpus = Vec::new();
        while let Some((count, behind)) = rest.split_first() {
            let (ids, behind) = behind.split_at_checked(usize::try_from(*count).ok()?)?;
            let ids = ids.iter().map(|id| *id as usize);
            cpus.push((*count > 0).then(|| CpuSet::from_ids(ids).ok()).flatten());
            rest = behind;
        }
        Some(Self { fresh_workers: *fresh_workers != 0, cpus, workers })
    }

    /// What the worker `incarnation` at `place` is told, a child of this zygote.
    pub(crate) fn worker(
        &self,
        worker: WorkerId,
        incarnation: Incarnation,
        zygote: Pid,
    ) -> WorkerStart {
        let cpus = self.cpus.get(worker.index()).copied().flatten();
        let config = self.workers.clone();
        WorkerStart { worker, incarnation, zygote: zygote.as_raw(), cpus, config }
    }
}

impl ZygoteFds {
    /// The descriptors in the order in which a fresh copy gets them.
    pub(crate) fn in_order(&self) -> Vec<BorrowedFd<'_>> {
        let fixed = [&self.control, &self.board, &self.items, &self.wake_counter];
        fixed.into_iter().chain(&self.output).chain(&self.shared).map(AsFd::as_fd).collect()
    }

    /// The descriptors of a fresh copy, from the order in which it got them.
    pub(crate) fn from_vec(fds: Vec<OwnedFd>, output: OutputConfig) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (control, board) = (fds.next()?, fds.next()?);
        let (items, wake_counter) = (fds.next()?, fds.next()?);
        let output = fds.by_ref().take(output.descriptors()).collect();
        Some(Self { control, board, items, wake_counter, output, shared: fds.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_survives_its_words() {
        for cpus in [vec![], vec![None, Some(CpuSet::from_ids([1, 900]).unwrap())]] {
            let config =
                ZygoteConfig { fresh_workers: true, cpus, workers: WorkerConfig::sample() };
            let words = config.to_words();
            let back = ZygoteConfig::from_words(&words).unwrap();
            assert_eq!(format!("{config:?}"), format!("{back:?}"));
            assert!(ZygoteConfig::from_words(&words[..words.len() / 2]).is_none());
        }
        assert!(ZygoteConfig::from_words(&[]).is_none());
    }
}
