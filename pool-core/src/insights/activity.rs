//! What each worker is at, at one moment.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    area::InsightsArea,
    layout::{CALL, COMPLETED, ITEM, LIVES, NO_NUMBER, PID, SINCE, STAGE},
    row::read_whole,
    stage::Stage,
};

/// What a worker is at, and since when: see
/// [`Pool::worker_activity`](crate::Pool::worker_activity).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerActivity {
    /// The worker's id.
    pub worker: usize,
    /// What it is at.
    pub stage: Activity,
    /// How long it has been at that. At [`Activity::Working`] that is the item in hand; where
    /// items are sampled, it began up to a chunk later.
    pub elapsed: Duration,
    /// The process that it runs in, once that has begun.
    pub pid: Option<u32>,
    /// The number, in this process, of the call whose item it runs; `None` at calls of a single
    /// item whose result is waited for later, and where it runs none.
    pub call: Option<u64>,
    /// The position of that item in the input of its call.
    pub item: Option<u64>,
    /// Tasks that this worker, and those before it with its id, have completed.
    pub completed: u64,
    /// How many workers there were with this id.
    pub lives: u64,
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activity {
    /// It was not started yet.
    NotStarted,
    /// It was ordered and is not ready yet.
    StartUp,
    /// It makes its state (`worker_init`).
    Init,
    /// It waits for a chunk.
    Waiting,
    /// It runs a task.
    Working,
    /// It is at its exit.
    Exit,
    /// It has ended.
    Ended,
}

impl Activity {
    /// The name: `"not started"`, `"start up"`, `"init"`, `"waiting"`, `"working"`, `"exit"`,
    /// `"ended"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::StartUp => "start up",
            Self::Init => "init",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Exit => "exit",
            Self::Ended => "ended",
        }
    }
}

impl From<Stage> for Activity {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::None => Self::NotStarted,
            Stage::StartUp => Self::StartUp,
            Stage::Init => Self::Init,
            Stage::Waiting => Self::Waiting,
            Stage::Working => Self::Working,
            Stage::Exit => Self::Exit,
            Stage::Gone => Self::Ended,
        }
    }
}

impl WorkerActivity {
    pub(super) fn not_started(worker: usize) -> Self {
        Self {
            worker,
            stage: Activity::NotStarted,
            elapsed: Duration::ZERO,
            pid: None,
            call: None,
            item: None,
            completed: 0,
            lives: 0,
        }
    }
}

/// What the worker at a row is at; `None` if none was there.
pub(super) fn activity_of(area: &InsightsArea, worker: usize) -> Option<WorkerActivity> {
    let words = area.row(worker)?;
    let get = |word: usize| words[word].load(Ordering::Relaxed);
    if get(LIVES) == 0 {
        return None;
    }
    let (stage, since, call, item) =
        read_whole(words, || (get(STAGE), get(SINCE), get(CALL), get(ITEM)));
    let stage = Stage::from_word(stage).unwrap_or(Stage::Gone);
    let number = |word: u64| (stage == Stage::Working && word != NO_NUMBER).then_some(word);
    let pid = u32::try_from(get(PID)).ok().filter(|pid| *pid != 0 && stage.part().is_some());
    Some(WorkerActivity {
        worker,
        stage: stage.into(),
        elapsed: Duration::from_nanos(area.now().saturating_sub(since)),
        pid,
        call: number(call),
        item: number(item),
        completed: get(COMPLETED),
        lives: get(LIVES),
    })
}
