//! How a shared value is described to another process of this executable, which constructs it.
//!
//! Invariant: a specification comes from the parent by a sealed record or by a fork, and all
//! processes of a pool run the same image; so an offset that the parent made of a function leads to
//! that function.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use pool_ipc::{SealedArchive, SegmentId, SharedObject, Wire, WireFault};
use pool_shm::SharedSegment;

use super::SharedValue;
use crate::{
    bootstrap,
    error::{FailureKind, Fault},
};

/// How long after its limit the one who makes the value may take to say so itself, which tells more
/// than its killer can.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the value.
pub(crate) type Constructor = fn(Inputs) -> Result<SharedValue, Fault>;

/// What a maker has to work with.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The address of the user's function, if the value is built.
    pub(super) function: usize,
    /// That of the value's archive, and those of the handles in it.
    pub(super) segments: Vec<SharedSegment>,
    /// Whether the value outlives its readers, so that its pages never belong to one process alone.
    pub(super) lasts: bool,
}

impl From<WireFault> for Fault {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::Segment(fault) => fault.into(),
            fault => Self::Task(FailureKind::of_item(fault)),
        }
    }
}

/// Decodes it.
pub(super) fn decode<S: Wire + Sync>(from: Inputs) -> Result<SharedValue, Fault> {
    Ok(Arc::new(SealedArchive::open::<S>(from.segments)?.decode::<S>()?))
}

/// Checks it, to be read in place.
pub(super) fn view<S: Wire<Archived: Sync>>(from: Inputs) -> Result<SharedValue, Fault> {
    let archive = SealedArchive::open::<S>(from.segments)?;
    if from.lasts {
        archive.touch();
    }
    Ok(Arc::new(SharedObject::<S>::read(archive)?))
}

/// Calls the user's function.
pub(super) fn build<S: Send + Sync + 'static>(from: Inputs) -> Result<SharedValue, Fault> {
    // SAFETY: a specification with this maker was made of a `fn() -> S` (`Shared::built`), and its
    // words lead to the same function.
    let function = unsafe { std::mem::transmute::<usize, fn() -> S>(from.function) };
    Ok(Arc::new(function()))
}

/// A constructor call as other processes are told of it; the descriptors of its segments come
/// beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedSpec {
    pub(super) maker: u64,
    pub(super) function: u64,
    pub(crate) in_place: bool,
    /// How long the user's code may take.
    pub(crate) limit: Option<Duration>,
    pub(super) segments: Vec<SegmentId>,
}

const FIXED_WORDS: usize = 5;

impl SharedSpec {
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let limit = self.limit.map_or(0, nanos);
        let count = self.segments.len() as u64;
        let mut words = vec![self.maker, self.function, u64::from(self.in_place), limit, count];
        words.extend(self.segments.iter().flat_map(|id| [id.0 as u64, (id.0 >> 64) as u64]));
        words
    }

    /// The limit that the zygote sets for the process that makes the value: a stopped process
    /// (SIGSTOP) does not see its own limit pass.
    pub(crate) fn limit_from_outside(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_add(GRACE))
    }

    /// A specification, and the words behind it.
    pub(crate) fn split_from(words: &[u64]) -> Option<(Self, &[u64])> {
        let (fixed, rest) = words.split_at_checked(FIXED_WORDS)?;
        let (ids, rest) = rest.split_at_checked(usize::try_from(fixed[4]).ok()?.checked_mul(2)?)?;
        let (pairs, _) = ids.as_chunks::<2>();
        let id = |[low, high]: &[u64; 2]| SegmentId(u128::from(*low) | u128::from(*high) << 64);
        let config = Self {
            maker: fixed[0],
            function: fixed[1],
            in_place: fixed[2] != 0,
            limit: (fixed[3] > 0).then(|| Duration::from_nanos(fixed[3])),
            segments: pairs.iter().map(id).collect(),
        };
        Some((config, rest))
    }

    /// Constructs the value. Runs code of the user.
    pub(crate) fn construct(&self, fds: Vec<OwnedFd>, lasts: bool) -> Result<SharedValue, Fault> {
        let lost =
            || Fault::Refused { why: "the description of it leads to no function".to_string() };
        let maker = bootstrap::address_of(self.maker).ok_or_else(lost)?;
        let function = if self.function == 0 {
            0
        } else {
            bootstrap::address_of(self.function).ok_or_else(lost)?
        };
        // SAFETY: see the module.
        let maker = unsafe { std::mem::transmute::<usize, Constructor>(maker) };
        // SAFETY: the process that wrote the words sent the descriptors of its own segments
        // (`Source::descriptors`).
        let open = |(fd, id): (OwnedFd, &SegmentId)| unsafe { SharedSegment::open(fd, *id) };
        let segments = fds.into_iter().zip(&self.segments).map(open);
        maker(Inputs { function, segments: segments.collect::<Result<_, _>>()?, lasts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_survives_its_words() {
        let config = SharedSpec {
            maker: 7,
            function: 9,
            in_place: true,
            limit: Some(Duration::from_millis(3)),
            segments: vec![SegmentId(u128::MAX - 5), SegmentId(1)],
        };
        let mut words = config.to_words();
        words.push(77);
        assert_eq!(SharedSpec::split_from(&words), Some((config, &[77][..])));
        assert_eq!(SharedSpec::split_from(&words[..6]), None);
    }
}
