//! What a worker is told at its start.

use std::{io, os::fd::OwnedFd, sync::Arc};

use pool_affinity::CpuSet;
use pool_ipc::board::{Incarnation, Shape};
use pool_shm::{Mapping, Segment};

use crate::{
    hooks::{Bounds, HookOffsets},
    ids::WorkerId,
    os::{self, DescriptorLimit},
    output::{OutputConfig, OutputFds},
    shared::{SharedConfig, SharedSpec},
};

/// What all workers of a pool are told.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) shape: Shape,
    pub(crate) arena_limit: u64,
    pub(crate) spin: u32,
    /// Functions that the user wants called first, by their offsets in the image.
    pub(crate) first: Vec<u64>,
    /// Functions that make the texts of arguments, likewise.
    pub(crate) describers: Vec<u64>,
    pub(crate) shared: SharedConfig,
    pub(crate) life: HookOffsets,
    pub(crate) bounds: Bounds,
    /// Where on the board's segment the rings of captured logs begin; 0: there are none.
    pub(crate) log_area: u64,
    /// Where on that segment the times of workers lie; 0: they are not recorded.
    pub(crate) insights_area: u64,
    pub(crate) output: OutputConfig,
    /// What the zygote has raised for itself, once it is there.
    pub(crate) descriptors: DescriptorLimit,
}

/// What one worker is told.
#[derive(Debug, Clone)]
pub(crate) struct WorkerStart {
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: Incarnation,
    /// The zygote's process id: the worker dies with it.
    pub(crate) zygote: i32,
    pub(crate) cpus: Option<CpuSet>,
    pub(crate) config: WorkerConfig,
}

/// What all workers of a pool have mapped. A process that forks them maps it once for all.
#[derive(Debug, Clone)]
pub(crate) struct SharedMappings {
    pub(crate) board: Arc<Mapping>,
    /// The parent's arena, read-only.
    pub(crate) items: Arc<Mapping>,
}

/// What a worker alone has.
#[derive(Debug)]
pub(crate) struct WorkerFds {
    pub(crate) arena: Segment,
    pub(crate) wake_counter: OwnedFd,
    /// Where it introduces itself to those who know the segments of handles.
    pub(crate) handshake_socket: OwnedFd,
    pub(crate) output: OutputFds,
    /// Of the segments that the configuration's specification names.
    pub(crate) shared: Vec<OwnedFd>,
}

impl WorkerConfig {
    const FIXED_WORDS: usize = 11;

    /// The configuration as numbers, for a fresh copy of the executable. (A value that a fork
    /// inherits does not get there.)
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = vec![
            self.shape.places as u64,
            self.shape.slots as u64,
            self.arena_limit,
            u64::from(self.spin),
            self.first.len() as u64,
            u64::from(matches!(self.shared, SharedConfig::Constructed(_))),
            self.descriptors.to_word(),
            self.log_area,
            self.output.to_word(),
            self.insights_area,
            self.describers.len() as u64,
        ];
        words.extend(self.life.to_words());
        words.extend(self.bounds.to_words());
        words.extend(&self.first);
        words.extend(&self.describers);
        if let SharedConfig::Constructed(shared_spec) = &self.shared {
            words.extend(shared_spec.to_words());
        }
        words
    }

    /// The configuration, and the numbers behind it; `None` when there are too few.
    pub(crate) fn split_from(words: &[u64]) -> Option<(Self, &[u64])> {
        let (fixed, rest) = words.split_first_chunk::<{ Self::FIXED_WORDS }>()?;
        let [
            places,
            slots,
            arena_limit,
            spin,
            first,
            shared_spec,
            descriptors,
            log_area,
            output,
            insights_area,
            describers,
        ] = *fixed;
        let (life, rest) = HookOffsets::split_from(rest)?;
        let (bounds, rest) = Bounds::split_from(rest)?;
        let (first, rest) = rest.split_at_checked(usize::try_from(first).ok()?)?;
        let (describers, rest) = rest.split_at_checked(usize::try_from(describers).ok()?)?;
        let (shared, rest) = if shared_spec == 0 {
            (SharedConfig::Nothing, rest)
        } else {
            let (shared_spec, rest) = SharedSpec::split_from(rest)?;
            (SharedConfig::Constructed(shared_spec), rest)
        };
        let config = Self {
            shape: Shape { places: places as usize, slots: slots as usize },
            arena_limit,
            spin: spin as u32,
            first: first.to_vec(),
            describers: describers.to_vec(),
            shared,
            life,
            bounds,
            log_area,
            insights_area,
            output: OutputConfig::from_word(output),
            descriptors: DescriptorLimit::from_word(descriptors),
        };
        Some((config, rest))
    }
}

impl WorkerStart {
    /// All of it as numbers, for a fresh copy of the executable.
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let own = [
            u64::from(self.worker.number()),
            u64::from(self.incarnation.number()),
            self.zygote as u64,
        ];
        let cpus = self.cpus.iter().flat_map(CpuSet::iter).map(|id| id as u64);
        own.into_iter().chain(self.config.to_words()).chain(cpus).collect()
    }

    /// What the numbers say; `None` when there are too few.
    pub(crate) fn from_words(words: &[u64]) -> Option<Self> {
        let ([worker, incarnation, zygote], rest) = words.split_first_chunk()?;
        let (config, cpus) = WorkerConfig::split_from(rest)?;
        let cpus = (!cpus.is_empty())
            .then(|| CpuSet::from_ids(cpus.iter().map(|id| *id as usize)).ok())
            .flatten();
        let (worker, incarnation) =
            (WorkerId::new(*worker as u32), Incarnation::new(*incarnation as u32));
        Some(Self { worker, incarnation, zygote: *zygote as i32, cpus, config })
    }
}

impl SharedMappings {
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
pub(crate) fn from_descriptors(
    fds: Vec<OwnedFd>,
    config: &WorkerConfig,
) -> Option<(SharedMappings, WorkerFds)> {
    let mut fds = fds.into_iter();
    let mappings = SharedMappings::new(fds.next()?, fds.next()?).ok()?;
    let arena = Segment::from_fd(fds.next()?).ok()?;
    let (wake_counter, handshake_socket) = (fds.next()?, fds.next()?);
    let output = config.output.sort(fds.by_ref().take(config.output.descriptors()));
    let shared = fds.collect();
    Some((mappings, WorkerFds { arena, wake_counter, handshake_socket, output, shared }))
}

#[cfg(test)]
use crate::output::Target;

#[cfg(test)]
impl WorkerConfig {
    /// One with some value in each place.
    pub(crate) fn sample() -> Self {
        Self {
            shape: Shape { places: 4, slots: 64 },
            arena_limit: 1 << 33,
            spin: 7,
            first: vec![5, 1 << 40],
            describers: vec![6],
            shared: SharedConfig::Nothing,
            life: HookOffsets::default(),
            bounds: Bounds::default(),
            log_area: 1 << 20,
            insights_area: 1 << 21,
            output: OutputConfig { targets: [Target::Piped, Target::File] },
            descriptors: DescriptorLimit::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_survive_their_words() {
        for cpus in [None, Some(CpuSet::from_ids([1, 900]).unwrap())] {
            let config = WorkerConfig::sample();
            let start = WorkerStart {
                worker: WorkerId::new(3),
                incarnation: Incarnation::new(9),
                zygote: 4711,
                cpus,
                config,
            };
            let words = start.to_words();
            let back = WorkerStart::from_words(&words).unwrap();
            assert_eq!(format!("{start:?}"), format!("{back:?}"));
            let enough = words.len() - cpus.map_or(0, |_| 2);
            assert!((0..enough).all(|len| WorkerStart::from_words(&words[..len]).is_none()));
        }
    }
}
