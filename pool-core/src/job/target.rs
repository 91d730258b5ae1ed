//! Which worker the chunks of a job go to.

use crate::engine::Pace;

/// Which worker the next chunk goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Any worker that is free.
    Anybody,
    /// Each worker in turn, whether or not it is free.
    Ordered {
        next: u32,
        workers: u32,
    },
    Only(u32),
}

impl Turn {
    /// The worker that the next chunk is for; `None`: any.
    #[inline]
    pub(super) fn home(self) -> Option<u32> {
        match self {
            Self::Anybody => None,
            Self::Ordered { next, .. } => Some(next),
            Self::Only(worker) => Some(worker),
        }
    }

    /// How far ahead a job sends: of chunks for one worker each, more than a few would only wait on
    /// the board.
    pub(super) fn pace(self, pace: Pace) -> Pace {
        if self != Self::Anybody && pace == Pace::Call { Pace::Background } else { pace }
    }

    /// Moves on after a chunk was sent.
    #[inline]
    pub(super) fn pass(&mut self) {
        if let Self::Ordered { next, workers } = self {
            *next = (*next + 1) % *workers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round() {
        let mut turn = Turn::Ordered { next: 0, workers: 3 };
        let homes = std::iter::repeat_with(|| {
            let home = turn.home();
            turn.pass();
            home
        });
        assert_eq!(homes.take(4).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), Some(0)]);
    }
}
