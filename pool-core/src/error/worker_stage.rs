//! What a worker is at, as its row on the board says it.

use super::startup::Stage;

/// What a worker is at. The numbers are those on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum WorkerStage {
    /// It has a chunk or waits for one, or is not there yet.
    Ready = 0,
    /// It calls the functions that the user wants called first.
    AtWorkerStart = 1,
    /// It makes the shared value.
    Shared = 2,
    /// It is in the user's `worker_init`.
    Init = 3,
    /// It is in the user's `worker_exit`, or drops its state.
    Exit = 4,
    /// It has left an exit result behind, and its exit record says where.
    LeftResult = 5,
    /// It has failed at its exit, and its exit record says how.
    LeftFailure = 6,
    /// It has run its last task, and nothing of the user's runs yet.
    ExitDue = 7,
}

impl WorkerStage {
    const ALL: [Self; 8] = [
        Self::Ready,
        Self::AtWorkerStart,
        Self::Shared,
        Self::Init,
        Self::Exit,
        Self::LeftResult,
        Self::LeftFailure,
        Self::ExitDue,
    ];

    pub(crate) fn number(self) -> u32 {
        self as u32
    }

    /// The stage with this number; a number that no worker writes counts as [`Self::Ready`].
    pub(crate) fn from_number(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Ready)
    }

    /// What has not been done when a worker ends at this stage.
    pub(crate) fn unfinished(self) -> Option<Stage> {
        match self {
            Self::AtWorkerStart => Some(Stage::AtWorkerStart),
            Self::Shared => Some(Stage::Shared),
            Self::Init => Some(Stage::Init),
            Self::Exit | Self::ExitDue => Some(Stage::Exit),
            Self::Ready | Self::LeftResult | Self::LeftFailure => None,
        }
    }

    /// Whether the worker runs no task any more.
    pub(crate) fn is_at_its_end(self) -> bool {
        self >= Self::Exit
    }
}

impl From<Stage> for WorkerStage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::AtWorkerStart => Self::AtWorkerStart,
            Stage::Shared => Self::Shared,
            Stage::Init => Self::Init,
            Stage::Exit => Self::Exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_known_by_their_numbers() {
        for stage in WorkerStage::ALL {
            assert_eq!(WorkerStage::from_number(stage.number()), stage);
        }
        for number in [8, u32::MAX] {
            assert_eq!(WorkerStage::from_number(number), WorkerStage::Ready);
        }
        for stage in [Stage::AtWorkerStart, Stage::Shared, Stage::Init, Stage::Exit] {
            assert_eq!(WorkerStage::from(stage).unfinished(), Some(stage));
        }
    }
}
