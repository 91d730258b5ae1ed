//! What a worker is at.

/// How many stages have a time.
pub(super) const TIMED_STAGES: usize = 5;

/// What a worker is at, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There was no worker yet.
    None = 0,
    StartUp = 1,
    Init = 2,
    Waiting = 3,
    Working = 4,
    Exit = 5,
    /// The worker has ended.
    Gone = 6,
}

impl Stage {
    pub(super) fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => Self::None,
            1 => Self::StartUp,
            2 => Self::Init,
            3 => Self::Waiting,
            4 => Self::Working,
            5 => Self::Exit,
            6 => Self::Gone,
            _ => return None,
        })
    }

    /// Which of the times runs.
    pub(super) fn part(self) -> Option<usize> {
        match self {
            Self::None | Self::Gone => None,
            stage => Some(stage as usize - 1),
        }
    }
}
