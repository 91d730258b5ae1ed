//! What a zygote is told at its birth.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;
use pool_affinity::CpuSet;
use pool_ipc::board::Shape;

use crate::{
    hooks::{Bounds, HookOffsets},
    os::DescriptorLimit,
    shared::{SharedConfig, SharedSpec},
    worker::WorkerConfig,
};

/// Everything about a zygote that is not a descriptor.
#[derive(Debug, Clone)]
pub(crate) struct ZygoteConfig {
    /// Whether workers are fresh copies of the executable; otherwise they are forked.
    pub(crate) fresh_workers: bool,
    pub(crate) shape: Shape,
    pub(crate) arena_limit: u64,
    pub(crate) spin: u32,
    /// For each place the CPUs that its worker runs on.
    pub(crate) cpus: Vec<Option<CpuSet>>,
    /// Functions that the user wants called first in every worker, by their offsets in the image.
    pub(crate) first: Vec<u64>,
    pub(crate) shared: SharedConfig,
    pub(crate) life: HookOffsets,
    pub(crate) bounds: Bounds,
    /// What the zygote has raised for itself, once it is there.
    pub(crate) descriptors: DescriptorLimit,
}

/// The descriptors of a zygote.
#[derive(Debug)]
pub(crate) struct ZygoteFds {
    pub(crate) control: OwnedFd,
    pub(crate) board: OwnedFd,
    pub(crate) items: OwnedFd,
    pub(crate) bell: OwnedFd,
    /// Of the segments that the configuration's recipe names.
    pub(crate) shared: Vec<OwnedFd>,
}

const FIXED_WORDS: usize = 7;

impl ZygoteConfig {
    /// The configuration as numbers, to be told to a fresh copy of the executable.
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = vec![
            u64::from(self.fresh_workers),
            self.shape.places as u64,
            self.shape.slots as u64,
            self.arena_limit,
            u64::from(self.spin),
            self.first.len() as u64,
            u64::from(matches!(self.shared, SharedConfig::Recipe(_))),
        ];
        words.extend(self.life.to_words());
        words.extend(self.bounds.to_words());
        words.extend(&self.first);
        if let SharedConfig::Recipe(recipe) = &self.shared {
            words.extend(recipe.to_words());
        }
        if self.cpus.iter().any(Option::is_some) {
            for cpus in &self.cpus {
                let ids = cpus.iter().flat_map(CpuSet::iter);
                words.push(ids.clone().count() as u64);
                words.extend(ids.map(|id| id as u64));
            }
        }
        words
    }

    /// The configuration from their numbers; `None` when they are none.
    pub(crate) fn from_words(words: &[u64]) -> Option<Self> {
        let (fixed, rest) = words.split_at_checked(FIXED_WORDS)?;
        let (life, rest) = HookOffsets::split_from(rest)?;
        let (bounds, rest) = Bounds::split_from(rest)?;
        let (first, mut rest) = rest.split_at_checked(usize::try_from(fixed[5]).ok()?)?;
        let mut shared = SharedConfig::Nothing;
        if fixed[6] != 0 {
            let (recipe, behind) = SharedSpec::split_from(rest)?;
            (shared, rest) = (SharedConfig::Recipe(recipe), behind);
        }
        let mut cpus = Vec::new();
        while let Some((count, behind)) = rest.split_first() {
            let (ids, behind) = behind.split_at_checked(*count as usize)?;
            let ids = ids.iter().map(|id| *id as usize);
            cpus.push((*count > 0).then(|| CpuSet::from_ids(ids).ok()).flatten());
            rest = behind;
        }
        Some(Self {
            fresh_workers: fixed[0] != 0,
            shape: Shape { places: fixed[1] as usize, slots: fixed[2] as usize },
            arena_limit: fixed[3],
            spin: fixed[4] as u32,
            cpus,
            first: first.to_vec(),
            shared,
            life,
            bounds,
            descriptors: DescriptorLimit::default(),
        })
    }

    /// The configuration of the worker `incarnation` at `place`, a child of this zygote.
    pub(crate) fn worker(&self, place: u32, incarnation: u32, zygote: Pid) -> WorkerConfig {
        WorkerConfig {
            place,
            incarnation,
            zygote: zygote.as_raw(),
            shape: self.shape,
            arena_limit: self.arena_limit,
            spin: self.spin,
            cpus: self.cpus.get(place as usize).copied().flatten(),
            first: self.first.clone(),
            shared: self.shared.clone(),
            life: self.life,
            bounds: self.bounds,
            descriptors: self.descriptors,
        }
    }
}

impl ZygoteFds {
    /// The descriptors in the order in which a fresh copy gets them.
    pub(crate) fn in_order(&self) -> Vec<BorrowedFd<'_>> {
        let fixed = [&self.control, &self.board, &self.items, &self.bell];
        fixed.into_iter().chain(&self.shared).map(AsFd::as_fd).collect()
    }

    /// The same from their order.
    pub(crate) fn from_vec(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (control, board) = (fds.next()?, fds.next()?);
        let (items, bell) = (fds.next()?, fds.next()?);
        Some(Self { control, board, items, bell, shared: fds.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_survives_its_words() {
        for cpus in [vec![], vec![None, Some(CpuSet::from_ids([1, 900]).unwrap())]] {
            let config = ZygoteConfig {
                fresh_workers: true,
                shape: Shape { places: 2, slots: 64 },
                arena_limit: 1 << 33,
                spin: 7,
                cpus,
                first: vec![1 << 40],
                shared: SharedConfig::Nothing,
                life: HookOffsets::default(),
                bounds: Bounds::default(),
                descriptors: DescriptorLimit::default(),
            };
            let back = ZygoteConfig::from_words(&config.to_words()).unwrap();
            assert_eq!(format!("{config:?}"), format!("{back:?}"));
        }
        assert!(ZygoteConfig::from_words(&[1, 2]).is_none());
        assert!(ZygoteConfig::from_words(&[1, 2, 3, 4, 5, 60]).is_none());
    }
}
