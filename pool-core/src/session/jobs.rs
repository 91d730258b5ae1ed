//! Jobs on their way through the hub: opened, fed with chunks, taken back, closed.

use std::time::Duration;

use pool_ipc::Block;

use super::{
    arenas::Carried,
    buffers::Kit,
    state::{Hub, Inbox, Session, State},
    wait::ANYTHING,
};
use crate::{
    cancel::CancelToken,
    engine::{Chunk, JobId},
    error::Error,
    reentrancy::{Inside, is_inside},
};

/// What a new job asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewJob {
    /// What may end it from outside.
    pub(crate) token: Option<CancelToken>,
    /// After how long items are killed that run when it ends.
    pub(crate) kill: Option<Duration>,
    /// Its consumer may be anywhere: nobody waits for it.
    pub(crate) lazy: bool,
    /// Whether its items have a limit.
    pub(crate) limited: bool,
}

impl Session {
    /// Opens a job: workers are started if there are none.
    pub(crate) fn open_job(&self, what: &NewJob) -> Result<(JobId, Box<Kit>), Error> {
        loop {
            let mut hub = self.lock();
            // A call that code inside another one or a callback makes belongs to that one.
            if self.takes_jobs(&mut hub, |crew| is_inside(crew, None)) {
                return self.open_job_in(&mut hub, what);
            }
            drop(hub);
            self.wait_until_stopped();
        }
    }

    /// Opens a job for the futures of a desk without waiting; `None` while the pool is being stopped. Those of a callback come after that:
    /// one whose future has the same callback would hold the stop up for ever.
    pub(crate) fn open_desk(&self) -> Result<Option<(JobId, Box<Kit>)>, Error> {
        let mut hub = self.lock();
        let in_call =
            |crew| [Inside::Call, Inside::View].iter().any(|what| is_inside(crew, Some(*what)));
        if !self.takes_jobs(&mut hub, in_call) {
            return Ok(None);
        }
        let (job, kit) = self.open_job_in(&mut hub, &NewJob::default())?;
        if let Some(inbox) = hub.inboxes.get_mut(job) {
            inbox.desk = Some(job);
        }
        Ok(Some((job, kit)))
    }

    /// Whether a new job need not wait for the end of a pool that is being stopped; `belongs`: as part of a call that the stop waits for.
    fn takes_jobs(&self, hub: &mut Hub, belongs: impl Fn(usize) -> bool) -> bool {
        if hub.state == State::Ending && hub.engine.workers.iter().next().is_none() {
            hub.state = State::Open;
        }
        match hub.state {
            State::Open | State::Broken => true,
            State::Closing => belongs(std::ptr::from_ref(self).addr()),
            State::Ending => false,
        }
    }

    /// Waits until a pool that is being stopped has been.
    pub(crate) fn wait_until_stopped(&self) {
        self.drive_until(ANYTHING, |hub| match hub.state {
            State::Open | State::Broken => true,
            State::Closing => false,
            State::Ending => hub.engine.workers.iter().next().is_none(),
        });
    }

    fn open_job_in(&self, hub: &mut Hub, what: &NewJob) -> Result<(JobId, Box<Kit>), Error> {
        let NewJob { token, kill, lazy, limited } = what.clone();
        // Reports are read when waiting for the first result does not pay off at once: until then
        // the dead and a dead zygote cost nothing here.
        if hub.state == State::Broken {
            return Err(hub.gone.clone().into());
        }
        self.board.expect_publication(hub.engine.likely_slot());
        hub.engine.workers.forgive();
        let job = hub.engine.open_job();
        let mut kit = hub.spare.take(|| Kit::new(self.broker()));
        let messages = std::mem::take(&mut kit.messages);
        let first_serial = hub.engine.workers.next_serial();
        if token.is_some() && hub.driving {
            // The driver may be asleep, and listens to the tokens of earlier calls only.
            self.ring();
        }
        let inbox = Inbox {
            messages,
            fatal: None,
            token,
            kill,
            killed_in: None,
            lazy,
            limited,
            desk: None,
            news: false,
            first_serial,
            over: false,
        };
        hub.use_workers();
        hub.inboxes.insert(job, inbox);
        hub.limited += usize::from(limited);
        self.staff(hub);
        Ok((job, kit))
    }

    /// Starts workers where there are none.
    pub(super) fn staff(&self, hub: &mut Hub) {
        hub.engine.staff(&mut hub.actions);
        self.act(hub);
    }

    /// Keeps a context's block for the job; answers with a number that no other context has.
    pub(crate) fn keep_context(&self, job: JobId, block: Block, carried: Option<Carried>) -> u64 {
        let mut hub = self.lock();
        if !hub.engine.keep_context(job, block) {
            hub.items.free(block); // the job was ended by another thread
        } else if let Some(carried) = carried {
            hub.on_the_way.keep(block, carried);
        }
        hub.next_context += 1;
        hub.next_context
    }

    /// Gives slots back whose results were read, takes a new chunk in, or both.
    pub(crate) fn submit(&self, released: &mut Vec<usize>, chunk: Option<Chunk>) {
        if self.is_foreign() {
            return;
        }
        self.take_in(&mut self.lock(), released, chunk);
    }

    pub(super) fn take_in(&self, hub: &mut Hub, released: &mut Vec<usize>, chunk: Option<Chunk>) {
        self.release(hub, released);
        if let Some(chunk) = chunk {
            self.heed_token_of(hub, chunk.job);
            // The job of a desk may be older than the present workers.
            hub.use_workers();
            hub.engine.submit(chunk, &mut hub.actions);
        }
        self.act(hub);
    }

    fn release(&self, hub: &mut Hub, released: &mut Vec<usize>) {
        for slot in released.drain(..) {
            self.release_slot(hub, slot);
            hub.engine.released(slot, &mut hub.actions);
        }
    }

    /// Gives slots back and ends the job: what was not begun is taken back, what runs is told and dropped when it ends.
    pub(crate) fn close_job(&self, job: JobId, mut kit: Box<Kit>) {
        let mut hub = self.lock();
        let hub = &mut *hub;
        self.heed_token_of(hub, job);
        let Some(mut inbox) = hub.inboxes.remove(job) else { return };
        hub.limited -= usize::from(inbox.limited);
        self.release(hub, &mut kit.released);
        kit.messages = std::mem::take(&mut inbox.messages);
        hub.spare.put(kit);
        let published = hub.engine.close_job(job, &mut hub.actions);
        let begun = self.take_back(hub, published);
        self.tell_cancelled(&begun);
        self.act(hub);
        if !begun.is_empty() {
            let grace = inbox.grace();
            self.kill_claimers(hub, &begun, grace);
            self.linger(hub, job, &inbox, grace);
            // What has ended meanwhile: nobody may come to look for it for long, and it keeps segments.
            self.collect(hub);
        }
        // Under an idle desk, workers may have been renewed already and have come back.
        let ends = hub.inboxes.is_empty() || (hub.used && !hub.has_calls_but(job));
        if ends && !self.keeps_alive() {
            self.renew_workers(hub);
        }
        if hub.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Takes back what has not begun of jobs that have failed but whose callers do not know yet, and tells what runs.
    pub(super) fn cancel_failed(&self, hub: &mut Hub) {
        let failed = |(job, inbox): (JobId, &Inbox)| inbox.fatal.is_some().then_some(job);
        let jobs: Vec<JobId> = hub.inboxes.iter().filter_map(failed).collect();
        let published = hub.engine.cancel_jobs(&jobs, &mut hub.actions);
        let begun = self.take_back(hub, published);
        self.tell_cancelled(&begun);
        for job in jobs {
            let Some(inbox) = hub.inboxes.get_mut(job) else { continue };
            inbox.killed_in = inbox.grace();
            if inbox.killed_in.is_some() {
                let (grace, engine) = (inbox.killed_in, &hub.engine);
                let of_job = |slot: &usize| engine.chunk(*slot).is_some_and(|c| c.job == job);
                let slots: Vec<_> = begun.iter().copied().filter(of_job).collect();
                self.kill_claimers(hub, &slots, grace);
            }
        }
        self.act(hub);
    }

    /// Takes chunks back that nobody has claimed; answers with the slots of the others. Their claimers are to be told once all
    /// that is to be taken back is: who is told at once looks for more.
    fn take_back(&self, hub: &mut Hub, mut published: Vec<usize>) -> Vec<usize> {
        published.retain(|&slot| {
            let in_hand = hub.engine.chunk(slot).is_some_and(|chunk| chunk.in_hand.is_some());
            let taken = !in_hand && self.board.take_back(slot);
            if taken {
                hub.engine.taken_back(slot, &mut hub.actions);
            }
            !taken
        });
        published
    }

    /// Tells the claimers of these chunks that nobody wants them any more. Before anything else is published in their slots.
    fn tell_cancelled(&self, begun: &[usize]) {
        for slot in begun {
            self.board.cancel(*slot);
        }
    }

    /// Whether anything has arrived for the job, without waiting.
    pub(crate) fn has_arrived(&self, job: JobId) -> bool {
        if self.is_foreign() {
            return true;
        }
        let mut hub = self.lock();
        self.collect(&mut hub);
        self.read_reports(&mut hub);
        hub.inboxes.get(job).is_none_or(|i| i.fatal.is_some() || !i.messages.is_empty())
    }
}
