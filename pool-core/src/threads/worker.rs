//! The state of one worker thread: the worker's id, and what the user keeps in it.
//!
//! A worker's life is not the life of its thread: where one ends after a number of tasks, the next
//! one begins in the same thread.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use pool_ipc::Encoder;

use super::{
    exiting::{Exiting, Left},
    work_queue::Handback,
};
use crate::{
    config::PoolConfig,
    deferred_log::Entry,
    error::{Cause, FailureKind, Stage},
    hooks::{Around, ExitResult, Exits, State, WorkerLife},
    ids::WorkerId,
    insights::{Describer, RowWriter},
    panic::{drop_quietly, in_task, take_panic},
    shared::{SharedValue, seen},
};

/// A worker, as its thread has it.
pub(crate) struct ThreadWorker {
    pub(crate) id: WorkerId,
    life: WorkerLife,
    init_limit: Option<Duration>,
    exits: Arc<Exits>,
    exiting: Arc<Exiting>,
    /// Called at the beginning of every life but the first, for which the thread calls them itself.
    first: Vec<fn()>,
    /// Tasks that have run in this life.
    tasks: u64,
    /// The value that the pool shared when this life began; `None` while no life goes on.
    began: Option<Option<SharedValue>>,
    again: bool,
    state: State,
    handback: WorkHandback,
    /// Writes the times of this worker, if they are recorded.
    pub(crate) insights: Option<RowWriter>,
    /// Which arguments have texts.
    describers: Vec<Describer>,
}

/// Gives the rest of a chunk back, for other threads.
type WorkHandback = Handback<Box<dyn FnOnce(&mut ThreadWorker) + Send>>;

/// What takes times, where they are recorded.
pub(super) type Insights<'w> = Option<&'w mut RowWriter>;

/// Why a life could not begin or end, and which of the two.
pub(super) type Failed = (Stage, Cause);

/// Called with the deadline of a life's end.
type Clocked<'c> = dyn FnMut(Instant) + 'c;

impl ThreadWorker {
    pub(super) fn new(
        id: WorkerId,
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
            insights: None,
            describers: {
                let all = plan.insights.iter().flat_map(|insights| insights.describers());
                all.map(|make| make()).collect()
            },
        }
    }

    /// Whether no life has begun, so that the next task begins one.
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
            if let Some(insights) = &mut self.insights {
                insights.begin_init();
            }
            let made = run(&mut || self.state = init.call(around));
            if let Some(insights) = &mut self.insights {
                insights.end_init();
            }
            made.map_err(|kind| (Stage::Init, kind.into()))?;
            // The waiting caller may not have looked yet.
            if let Some(limit) = self.init_limit.filter(|_| overdue()) {
                drop_quietly(mem::replace(&mut self.state, Box::new(())));
                return Err((Stage::Init, Cause::Timeout { limit }));
            }
        }
        // Only the exit function uses it again.
        self.began = Some(self.life.exit.and(shared.cloned()));
        Ok(())
    }

    /// The worker's state, for tasks.
    pub(crate) fn state(&mut self) -> &mut dyn Any {
        &mut *self.state
    }

    /// The worker's state, for tasks, the way to give the rest of a chunk back, and what takes
    /// times.
    pub(super) fn state_and_handback(
        &mut self,
    ) -> (&mut dyn Any, &WorkHandback, Insights<'_>, &[Describer]) {
        (&mut *self.state, &self.handback, self.insights.as_mut(), &self.describers)
    }

    /// Counts tasks; ends this life if those were its last. `clocked` is called with the deadline
    /// of that end.
    pub(super) fn ran(&mut self, tasks: u64, clocked: &mut Clocked<'_>) -> Result<(), Failed> {
        self.tasks += tasks;
        match self.life.span {
            Some(span) if self.tasks >= span.get() => {
                let ended = self.end(clocked);
                if let Some(insights) = &mut self.insights {
                    insights.begin_next_life();
                }
                ended
            }
            _ => Ok(()),
        }
    }

    /// Counts tasks like [`ThreadWorker::ran`], where no call waits to learn of a failed exit.
    pub(crate) fn ran_without_a_call(&mut self, tasks: u64) {
        if let Err((_, cause)) = self.ran(tasks, &mut |_| ()) {
            self.exits.fail(self.id, cause);
        }
    }

    /// Ends the life of a worker that had tasks.
    fn end(&mut self, clocked: &mut Clocked<'_>) -> Result<(), Failed> {
        let Some(shared) = self.began.take() else { return Ok(()) };
        if let Some(insights) = &mut self.insights {
            insights.begin_exit();
        }
        let ended = self.leave_behind(shared.as_ref(), clocked);
        // This may be the last reference to it.
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
            // Not while the other panic unwinds: a second one would abort.
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
                    Entry::Refused { worker }.write();
                }
                Ok(())
            }
            Ok(Some(Err(fault))) => failed(FailureKind::of_result(fault).into()),
            Err(panic) => failed(take_panic(panic).into()),
        }
    }

    /// Ends the thread's last life: `orderly` by its exit function, otherwise only by drops.
    pub(super) fn leave(mut self, orderly: bool) {
        let mut insights = self.insights.take();
        if orderly {
            if let Some(insights) = &mut insights {
                insights.begin_exit();
            }
            if let Err((_, cause)) = self.end(&mut |_| ()) {
                self.exits.fail(self.id, cause);
            }
        } else {
            drop_quietly(self.state);
            drop_quietly(self.began);
        }
        if let Some(insights) = &mut insights {
            insights.gone();
        }
    }
}
