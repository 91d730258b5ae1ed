//! What futures ask of a session: their results come to one job, and whoever is there takes them.

use std::{
    collections::VecDeque,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use pool_ipc::board::Appetite;

use super::{
    buffers::Kit,
    fatal::Fatal,
    results::Message,
    state::{Hub, Inbox, Session},
};
use crate::engine::{Chunk, JobId};

impl Session {
    /// Moves what has arrived for the job to `taken`, without waiting. `look`: sees first what workers and zygote say.
    ///
    /// # Errors
    ///
    /// Why the job cannot go on; what had arrived before is there.
    pub(crate) fn take_messages(
        &self,
        job: JobId,
        look: bool,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Fatal> {
        let mut hub = self.lock();
        if look {
            self.collect(&mut hub);
            self.read_reports(&mut hub);
        }
        let Some(inbox) = hub.inboxes.get_mut(job) else { return Err(Fatal::Terminated) };
        inbox.news = false;
        taken.append(&mut inbox.messages);
        inbox.fatal.clone().map_or(Ok(()), Err)
    }

    /// How often calls were told that they cannot go on; more than before: perhaps this one was.
    #[inline]
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the job cannot go on.
    pub(crate) fn has_failed(&self, job: JobId) -> bool {
        self.lock().inboxes.get(job).is_none_or(|inbox| inbox.fatal.is_some())
    }

    /// The other jobs of the desk that has this job for which something has arrived since they were asked for last. News of another
    /// desk stay: nobody else would tell it.
    pub(crate) fn take_news(&self, desk: JobId) -> Vec<JobId> {
        let mut hub = self.lock();
        let told = |(job, inbox): (JobId, &Inbox)| {
            (inbox.desk == Some(desk) && inbox.news && job != desk).then_some(job)
        };
        let jobs: Vec<_> = hub.inboxes.iter().filter_map(told).collect();
        for job in &jobs {
            if let Some(inbox) = hub.inboxes.get_mut(*job) {
                inbox.news = false;
            }
        }
        jobs
    }

    /// Marks the job as one of futures, of the desk that has the job `desk`.
    pub(crate) fn share_inbox(&self, job: JobId, desk: JobId) {
        if let Some(inbox) = self.lock().inboxes.get_mut(job) {
            inbox.desk = Some(desk);
        }
    }

    /// The desk that has this job has left: the job ends as soon as nobody reads results of it.
    pub(crate) fn desk_leaves(&self, job: JobId) {
        if let Some(inbox) = self.lock().inboxes.get_mut(job) {
            inbox.desk = None;
        }
    }

    /// Items of the job have a limit from now on.
    pub(crate) fn limit_job(&self, job: JobId) {
        let mut hub = self.lock();
        if let Some(inbox) = hub.inboxes.get_mut(job)
            && !std::mem::replace(&mut inbox.limited, true)
        {
            hub.limited += 1;
        }
    }

    /// Waits until something has arrived for the desk's job or for another one of the desk, `done` says so, or it is `until`.
    ///
    /// While another thread runs a call to its end, that one drives: to take turns with it would cost both of them more than
    /// the futures gain. Only where the call's next turn is not near this thread does.
    pub(crate) fn wait_for_messages(
        &self,
        job: JobId,
        until: Option<Instant>,
        done: &dyn Fn() -> bool,
    ) {
        let mut hub = self.lock();
        if hub.inboxes.iter().any(|(_, inbox)| inbox.desk.is_none() && !inbox.lazy) {
            let left =
                until.map_or(NEAR, |u| NEAR.min(u.saturating_duration_since(Instant::now())));
            hub.listening += 1;
            let waits = |hub: &mut Hub| !done() && !has_news(hub, job);
            let woken = self.answered.wait_timeout_while(hub, left, waits);
            let (mut hub, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            hub.listening -= 1;
            if !timeout.timed_out() {
                return;
            }
        } else {
            drop(hub);
        }
        self.drive_until_then(ONE, until, |hub| done() || has_news(hub, job));
    }

    /// Buffers to work with, of nobody else's.
    pub(crate) fn take_kit(&self) -> Box<Kit> {
        self.lock().spare.take(|| Kit::new(self.broker()))
    }

    /// Lets all threads that drive, stand by or wait look again.
    pub(crate) fn nudge(&self) {
        let mut hub = self.lock();
        self.wake_standby(&mut hub);
        if hub.waiting > 0 {
            self.changed.notify_all();
        }
        if hub.driving {
            self.ring();
        }
        if hub.listening > 0 {
            self.answered.notify_all();
        }
    }

    /// Takes a chunk of the job back that begins at item `first`; `false` when a worker has it.
    pub(crate) fn withdraw(&self, job: JobId, first: u64) -> bool {
        let mut hub = self.lock();
        let hub = &mut *hub;
        let is_it = |(_, chunk): &(usize, &Chunk)| {
            chunk.job == job && chunk.first == first && chunk.in_hand.is_none()
        };
        let slot = hub.engine.published().find(is_it).map(|(slot, _)| slot);
        let withdrawn = match slot {
            Some(slot) if self.board.take_back(slot) => {
                hub.engine.taken_back(slot, &mut hub.actions);
                true
            }
            Some(_) => false,
            None => hub.engine.withdraw(job, first, &mut hub.actions),
        };
        self.act(hub);
        withdrawn
    }
}

/// A call's next turn is near.
const NEAR: Duration = Duration::from_millis(1);
pub(super) const ONE: Appetite = Appetite { finished: 1, hungry: true };

/// Whether there is anything for futures of the desk that has the job `desk`, or that is over.
pub(super) fn has_news(hub: &Hub, desk: JobId) -> bool {
    let mut inboxes = hub.inboxes.iter();
    hub.inboxes.get(desk).is_none()
        || inboxes.any(|(_, inbox)| inbox.desk == Some(desk) && inbox.news)
}
