//! What an async queue asks of a session: results of futures come to the queue's jobs, and any
//! thread at the queue takes them.

use std::{
    collections::VecDeque,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use pool_ipc::board::{SlotIndex, WakeThreshold};

use super::{
    buffers::Buffers,
    results::Message,
    state::{Session, SessionState},
};
use crate::{
    engine::{Chunk, JobId},
    error::Error,
    ids::ItemIndex,
};

impl Session {
    /// Moves what has arrived for the job to `taken`, without waiting. `poll`: collects finished
    /// slots and reads reports first.
    ///
    /// # Errors
    ///
    /// Why the job cannot go on; `taken` has what had arrived before.
    pub(crate) fn take_messages(
        &self,
        job: JobId,
        poll: bool,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if poll {
            self.collect(&mut state);
            self.handle_reports(&mut state);
        }
        state.inboxes.take(job, taken)
    }

    /// How often calls were told that they cannot go on. When the count has grown, this call may
    /// be one of them.
    #[inline]
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the job cannot go on.
    pub(crate) fn has_failed(&self, job: JobId) -> bool {
        self.lock().inboxes.get(job).is_none_or(|inbox| inbox.job_error().is_some())
    }

    /// The jobs of a queue, but for its own job `queue`, for which something has arrived since this
    /// was asked last. News for other queues stay, since those ask for them here, too.
    pub(crate) fn take_news(&self, queue: JobId) -> Vec<JobId> {
        self.lock().inboxes.take_news(queue)
    }

    /// Adds the job to the async queue whose own job is `queue`.
    pub(crate) fn share_inbox(&self, job: JobId, queue: JobId) {
        self.lock().inboxes.join_queue(job, queue);
    }

    /// Marks the queue whose own job this is as closed: a stop no longer has to drain it.
    pub(crate) fn queue_leaves(&self, job: JobId) {
        self.lock().inboxes.leave_queue(job);
    }

    /// Notes that items of the job have a limit from now on.
    pub(crate) fn limit_job(&self, job: JobId) {
        let mut state = self.lock();
        if let Some(inbox) = state.inboxes.get_mut(job)
            && !std::mem::replace(&mut inbox.limited, true)
        {
            state.limited += 1;
        }
    }

    /// Waits until something has arrived for any job of the queue whose own job is `job`, `done`
    /// says so, or it is `until`.
    ///
    /// While another thread waits in a blocking call, that thread drives: taking turns would cost
    /// both more than the futures gain. This thread drives only if nothing arrives for `NEAR`.
    pub(crate) fn wait_for_messages(
        &self,
        job: JobId,
        until: Option<Instant>,
        done: &dyn Fn() -> bool,
    ) {
        let mut state = self.lock();
        if state.inboxes.any_blocking() {
            let left =
                until.map_or(NEAR, |u| NEAR.min(u.saturating_duration_since(Instant::now())));
            state.waiting_for_futures += 1;
            let waits = |state: &mut SessionState| !done() && !has_news(state, job);
            let woken = self.answered.wait_timeout_while(state, left, waits);
            let (mut state, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            state.waiting_for_futures -= 1;
            if !timeout.timed_out() {
                return;
            }
        } else {
            drop(state);
        }
        self.drive_until_then(ONE, until, |state| done() || has_news(state, job));
    }

    /// Takes a set of buffers out of the spare ones, or makes one.
    pub(crate) fn take_buffers(&self) -> Box<Buffers> {
        self.lock().spare.take(|| Buffers::new(self.broker()))
    }

    /// Lets all threads that drive, stand by or wait look again.
    pub(crate) fn notify(&self) {
        let mut state = self.lock();
        self.wake_standby(&mut state);
        state.sleepers.wake_general();
        if state.driving {
            self.wake_driver();
        }
        if state.waiting_for_futures > 0 {
            self.answered.notify_all();
        }
    }

    /// Takes the job's chunk back that begins at item `first`; `false` when a worker has it.
    pub(crate) fn withdraw(&self, job: JobId, first: ItemIndex) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        let is_it = |(_, chunk): &(SlotIndex, &Chunk)| {
            chunk.job == job && chunk.first == first && chunk.in_hand.is_none()
        };
        let slot = state.engine.published().find(is_it).map(|(slot, _)| slot);
        let withdrawn = match slot {
            Some(slot) if self.board.take_back(slot) => {
                state.engine.taken_back(slot, &mut state.actions);
                true
            }
            Some(_) => false,
            None => state.engine.withdraw(job, first, &mut state.actions),
        };
        self.act(state);
        withdrawn
    }
}

/// How long a thread at a queue leaves the driving to that of a blocking call.
const NEAR: Duration = Duration::from_millis(1);
pub(super) const ONE: WakeThreshold = WakeThreshold { finished: 1, has_items: true };

/// Whether something has arrived for any job of the queue whose own job is `queue`, or that job is
/// over.
pub(super) fn has_news(state: &SessionState, queue: JobId) -> bool {
    state.inboxes.get(queue).is_none() || state.inboxes.has_news(queue)
}
