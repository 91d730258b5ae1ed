//! What a worker is told at its birth.

use std::{io, os::fd::OwnedFd, sync::Arc};

use pool_affinity::CpuSet;
use pool_ipc::board::Shape;
use pool_shm::{Mapping, Segment};

use crate::{
    hooks::{Bounds, HookOffsets},
    os::{self, DescriptorLimit},
    shared::{SharedConfig, SharedSpec},
};

/// Everything about a worker that is not a descriptor.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) place: u32,
    pub(crate) incarnation: u32,
    /// The zygote's process id: whose death is the worker's.
    pub(crate) zygote: i32,
    pub(crate) shape: Shape,
    pub(crate) arena_limit: u64,
    pub(crate) spin: u32,
    pub(crate) cpus: Option<CpuSet>,
    /// Functions that the user wants called first, by their offsets in the image.
    pub(crate) first: Vec<u64>,
    pub(crate) shared: SharedConfig,
    pub(crate) life: HookOffsets,
    pub(crate) bounds: Bounds,
    pub(crate) descriptors: DescriptorLimit,
}

/// What all workers of a pool have mapped. A process that forks them maps it once for all.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) board: Arc<Mapping>,
    /// The parent's arena, read-only.
    pub(crate) items: Arc<Mapping>,
}

/// What a worker alone has.
#[derive(Debug)]
pub(crate) struct WorkerFds {
    pub(crate) arena: Segment,
    pub(crate) bell: OwnedFd,
    /// Where it introduces itself to those who know the segments of handles.
    pub(crate) door: OwnedFd,
    /// Of the segments that the configuration's recipe names.
    pub(crate) shared: Vec<OwnedFd>,
}

const FIXED_WORDS: usize = 10;

impl WorkerConfig {
    /// The configuration as numbers, to be told to a fresh copy of the executable.
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = vec![
            u64::from(self.place),
            u64::from(self.incarnation),
            self.zygote as u64,
            self.shape.places as u64,
            self.shape.slots as u64,
            self.arena_limit,
            u64::from(self.spin),
            self.first.len() as u64,
            u64::from(matches!(self.shared, SharedConfig::Recipe(_))),
            self.descriptors.to_word(),
        ];
        words.extend(self.life.to_words());
        words.extend(self.bounds.to_words());
        words.extend(&self.first);
        if let SharedConfig::Recipe(recipe) = &self.shared {
            words.extend(recipe.to_words());
        }
        words.extend(self.cpus.iter().flat_map(CpuSet::iter).map(|id| id as u64));
        words
    }

    /// The configuration from their numbers; `None` when there are too few.
    pub(crate) fn from_words(words: &[u64]) -> Option<Self> {
        let (fixed, rest) = words.split_at_checked(FIXED_WORDS)?;
        let (life, rest) = HookOffsets::split_from(rest)?;
        let (bounds, rest) = Bounds::split_from(rest)?;
        let (first, rest) = rest.split_at_checked(usize::try_from(fixed[7]).ok()?)?;
        let (shared, cpus) = if fixed[8] == 0 {
            (SharedConfig::Nothing, rest)
        } else {
            let (recipe, rest) = SharedSpec::split_from(rest)?;
            (SharedConfig::Recipe(recipe), rest)
        };
        let cpus = (!cpus.is_empty())
            .then(|| CpuSet::from_ids(cpus.iter().map(|id| *id as usize)).ok())
            .flatten();
        Some(Self {
            place: fixed[0] as u32,
            incarnation: fixed[1] as u32,
            zygote: fixed[2] as i32,
            shape: Shape { places: fixed[3] as usize, slots: fixed[4] as usize },
            arena_limit: fixed[5],
            spin: fixed[6] as u32,
            cpus,
            first: first.to_vec(),
            shared,
            life,
            bounds,
            descriptors: DescriptorLimit::from_word(fixed[9]),
        })
    }
}

impl Ground {
    /// Maps board and items.
    pub(crate) fn new(board: OwnedFd, items: OwnedFd) -> Result<Self, pool_shm::Error> {
        Ok(Self {
            board: Arc::new(Segment::from_fd(board)?.map()?),
            items: Arc::new(Segment::from_fd(items)?.map_read_only_unlocked()?),
        })
    }
}

/// The arena that came with an order to start a worker.
pub(crate) fn arena_from(descriptor: Option<OwnedFd>) -> io::Result<Segment> {
    let descriptor = descriptor.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    Segment::from_fd(descriptor).map_err(|e| io::Error::from_raw_os_error(os::errno_of(&e)))
}

/// What a fresh copy makes of its descriptors.
pub(crate) fn from_descriptors(fds: Vec<OwnedFd>) -> Option<(Ground, WorkerFds)> {
    let mut fds = fds.into_iter();
    let ground = Ground::new(fds.next()?, fds.next()?).ok()?;
    let arena = Segment::from_fd(fds.next()?).ok()?;
    let (bell, door) = (fds.next()?, fds.next()?);
    Some((ground, WorkerFds { arena, bell, door, shared: fds.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_survives_its_words() {
        let config = WorkerConfig {
            place: 3,
            incarnation: 9,
            zygote: 4711,
            shape: Shape { places: 4, slots: 64 },
            arena_limit: 1 << 33,
            spin: 7,
            cpus: Some(CpuSet::from_ids([1, 900]).unwrap()),
            first: vec![5, 6],
            shared: SharedConfig::Nothing,
            life: HookOffsets::default(),
            bounds: Bounds::default(),
            descriptors: DescriptorLimit::default(),
        };
        let back = WorkerConfig::from_words(&config.to_words()).unwrap();
        assert_eq!(format!("{config:?}"), format!("{back:?}"));
        assert!(WorkerConfig::from_words(&[1, 2]).is_none());
    }
}
