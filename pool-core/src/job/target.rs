//! Which worker the chunks of a job go to.

use crate::{engine::Pace, ids::WorkerId};

/// Which worker the next chunk goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any worker that is free.
    Any,
    /// Each worker in turn, whether or not it is free.
    RoundRobin {
        next: u32,
        workers: u32,
    },
    Only(WorkerId),
}

impl Target {
    /// The worker that the next chunk is for; `None`: any.
    #[inline]
    pub(super) fn worker(self) -> Option<WorkerId> {
        match self {
            Self::Any => None,
            Self::RoundRobin { next, .. } => Some(WorkerId::new(next)),
            Self::Only(worker) => Some(worker),
        }
    }

    /// How far ahead a job sends: of chunks for one worker each, more than a few would only wait on
    /// the board.
    pub(super) fn pace(self, pace: Pace) -> Pace {
        if self != Self::Any && pace == Pace::Call { Pace::Background } else { pace }
    }

    /// Moves on after a chunk was sent.
    #[inline]
    pub(super) fn advance(&mut self) {
        if let Self::RoundRobin { next, workers } = self {
            *next = (*next + 1) % *workers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_goes_over_all_workers() {
        let mut target = Target::RoundRobin { next: 0, workers: 3 };
        let workers = std::iter::repeat_with(|| {
            let worker = target.worker().map(WorkerId::number);
            target.advance();
            worker
        });
        assert_eq!(workers.take(4).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), Some(0)]);
    }
}
