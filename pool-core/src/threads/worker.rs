//! What a thread of a backend has of its own: its id, and what the user keeps in it.
//!
//! A life is not a thread here: where one ends after so many tasks, the next one begins in the same
//! thread.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use pool_ipc::{Encoder, WireFault};

use super::{
    exiting::{Exiting, Left},
    work_queue::Handback,
};
use crate::{
    config::PoolConfig,
    deferred_log::Entry,
    error::{Cause, Stage},
    hooks::{Around, ExitResult, Exits, State, WorkerLife},
    panic::{drop_quietly, in_task, take_panic},
    shared::{SharedValue, seen},
};

/// See the module.
pub(crate) struct Host {
    pub(crate) id: u32,
    life: WorkerLife,
    init_limit: Option<Duration>,
    exits: Arc<Exits>,
    exiting: Arc<Exiting>,
    /// Called at the beginning of every life but the first, which begins with the thread.
    first: Vec<fn()>,
    /// Tasks that this life has run.
    tasks: u64,
    /// What the pool shared when this life began; gone while there is none.
    began: Option<Option<SharedValue>>,
    again: bool,
    state: State,
    handback: WorkHandback,
}

/// By which the rest of a chunk is left to other threads.
type WorkHandback = Handback<Box<dyn FnOnce(&mut Host) + Send>>;

/// What keeps a life from its beginning or its end, and which.
pub(super) type Failed = (Stage, Cause);

/// Who is told until when the end of a life may take.
type Clocked<'c> = dyn FnMut(Instant) + 'c;

impl Host {
    pub(super) fn new(
        id: u32,
        plan: &PoolConfig,
        exiting: Arc<Exiting>,
        handback: WorkHandback,
    ) -> Self {
        Self {
            id,
            life: plan.life,
            init_limit: plan.bounds.init,
            exits: plan.exits.clone(),
            exiting,
            first: plan.first.clone(),
            tasks: 0,
            began: None,
            again: false,
            state: Box::new(()),
            handback,
        }
    }

    /// Whether no life goes on.
    pub(super) fn is_to_begin(&self) -> bool {
        self.began.is_none()
    }

    /// Begins a life, unless one goes on.
    pub(crate) fn begin(&mut self, shared: Option<&SharedValue>) -> Result<(), Failed> {
        if self.began.is_some() {
            return Ok(());
        }
        let run = |act: &mut dyn FnMut()| {
            in_task(|| catch_unwind(AssertUnwindSafe(act))).map_err(take_panic)
        };
        if mem::take(&mut self.again) {
            let called = run(&mut || self.first.iter().for_each(|function| function()));
            called.map_err(|kind| (Stage::AtWorkerStart, kind.into()))?;
        }
        if let Some(init) = self.life.init {
            let deadline = self.init_limit.and_then(|limit| Instant::now().checked_add(limit));
            let overdue = || deadline.is_some_and(|deadline| deadline <= Instant::now());
            let around = Around { worker: self.id, shared: seen(shared), overdue: &overdue };
            let made = run(&mut || self.state = init.call(around));
            made.map_err(|kind| (Stage::Init, kind.into()))?;
            // Whoever waits may not have looked yet.
            if let Some(limit) = self.init_limit.filter(|_| overdue()) {
                drop_quietly(mem::replace(&mut self.state, Box::new(())));
                return Err((Stage::Init, Cause::Timeout { limit }));
            }
        }
        // Only the exit asks for it once more.
        self.began = Some(self.life.exit.and(shared.cloned()));
        Ok(())
    }

    /// What tasks see as their worker's state.
    pub(crate) fn state(&mut self) -> &mut dyn Any {
        &mut *self.state
    }

    /// What tasks see as their worker's state, and by which the rest of a chunk is left to others.
    pub(super) fn state_and_handback(&mut self) -> (&mut dyn Any, &WorkHandback) {
        (&mut *self.state, &self.handback)
    }

    /// Counts tasks; ends this life if those were its last. `clocked` is told until when that may
    /// take.
    pub(super) fn ran(&mut self, tasks: u64, clocked: &mut Clocked<'_>) -> Result<(), Failed> {
        self.tasks += tasks;
        match self.life.span {
            Some(span) if self.tasks >= span.get() => self.end(clocked),
            _ => Ok(()),
        }
    }

    /// As [`Host::ran`], where no call waits for what comes of it.
    pub(crate) fn ran_for_nobody(&mut self, tasks: u64) {
        if let Err((_, cause)) = self.ran(tasks, &mut |_| ()) {
            self.exits.fail(self.id, cause);
        }
    }

    /// Ends the life of a worker that had tasks.
    fn end(&mut self, clocked: &mut Clocked<'_>) -> Result<(), Failed> {
        let Some(shared) = self.began.take() else { return Ok(()) };
        let ended = self.leave_behind(shared.as_ref(), clocked);
        // Maybe nobody else has it any more.
        drop_quietly(shared);
        ended
    }

    fn leave_behind(
        &mut self,
        shared: Option<&SharedValue>,
        clocked: &mut Clocked<'_>,
    ) -> Result<(), Failed> {
        (self.tasks, self.again) = (0, true);
        let deadline = self.exiting.starts(self.id);
        deadline.map(clocked);
        let overdue = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        let around = Around { worker: self.id, shared: seen(shared), overdue: &overdue };
        let (mut state, mut encoder) =
            (mem::replace(&mut self.state, Box::new(())), Encoder::new());
        let ended = in_task(|| {
            let exit = || self.life.exit.map(|exit| exit.call(around, &mut *state, &mut encoder));
            let result = catch_unwind(AssertUnwindSafe(exit));
            // Not while the other panic unwinds, which one more would abort.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(state)));
            match result {
                Ok(result) => dropped.map(|()| result),
                Err(panic) => {
                    drop_quietly(dropped);
                    Err(panic)
                }
            }
        });
        let failed = |cause| Err((Stage::Exit, cause));
        match (self.exiting.is_through(self.id), self.exiting.limit()) {
            (Left::Late, Some(limit)) => return failed(Cause::Timeout { limit }),
            (Left::GivenUp, _) => return Ok(()),
            _ => {}
        }
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(Ok(bytes))) => {
                let held = encoder.take_segments();
                let segments = held.iter().map(|segment| segment.id()).collect();
                let worker = self.id;
                if !self.exits.add(ExitResult { worker, bytes, segments, held }) {
                    Entry::Refused { worker }.tell();
                }
                Ok(())
            }
            Ok(Some(Err(WireFault::Segment(fault)))) => failed(Cause::Handle(fault)),
            Ok(Some(Err(_))) => failed(Cause::BadResult),
            Err(panic) => failed(take_panic(panic).into()),
        }
    }

    /// The thread ends: `orderly`, or with nothing more of the user's than drops.
    pub(super) fn leave(mut self, orderly: bool) {
        if orderly {
            if let Err((_, cause)) = self.end(&mut |_| ()) {
                self.exits.fail(self.id, cause);
            }
        } else {
            drop_quietly(self.state);
            drop_quietly(self.began);
        }
    }
}
