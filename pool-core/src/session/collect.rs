//! Telling the engine what happened: finished slots, and the zygote's reports.

use std::sync::atomic::Ordering;

use pool_ipc::{
    batch::expect_batch,
    board::{End, Outcome, Progress, SlotState},
};

use super::{
    fatal::Fatal,
    state::{Hub, Inbox, Session, State},
};
use crate::{
    deferred_log::Entry,
    engine::{JobId, Why},
    error::{Cause, ExitStatus, Failure, Stage},
    protocol::Report,
    worker::name_at,
    zygote::reap_orphan,
};

/// A failure's text beyond this is not copied from a worker that may be out of order.
const LARGEST_FAILURE: u64 = 16 << 20;

impl Session {
    /// Tells the engine of every slot that was finished since the last time; how many there were.
    pub(super) fn collect(&self, hub: &mut Hub) -> usize {
        let mut count = 0;
        for place in 0..hub.cursors.len() {
            while let Some(finished) = self.board.next_finished(place, &mut hub.cursors[place]) {
                self.finished(hub, finished.slot, finished.incarnation);
                count += 1;
            }
        }
        if count > 0 {
            self.act(hub);
        }
        count
    }

    /// How many finished slots were not collected.
    pub(super) fn finished_since(&self, cursors: &[u64]) -> u64 {
        let since = |(place, cursor): (usize, &u64)| self.board.finished_since(place, *cursor);
        cursors.iter().enumerate().map(since).fold(0, u64::saturating_add)
    }

    fn finished(&self, hub: &mut Hub, slot: usize, incarnation: u32) {
        let mut outcome = self.board.outcome(slot);
        if let Some(arena) = hub.arenas.get(&incarnation) {
            expect_batch(arena.as_ptr().wrapping_add(outcome.results as usize));
        } else {
            // A scribbled word names an owner that is none.
            outcome.progress.finished = 0;
            let why = Why::Failed(Cause::BadResult);
            return self.tell_ended(hub, slot, incarnation, outcome, why);
        }
        let size = hub.engine.chunk(slot).map_or(0, |chunk| chunk.end - chunk.start);
        let why = match outcome.end {
            End::Complete if outcome.progress.finished >= size => Why::Complete,
            End::Failed => Why::Failed(self.cause(hub, incarnation, &outcome)),
            End::Full => Why::Full,
            End::Cancelled => Why::Cancelled,
            End::Complete | End::Unknown => Why::Failed(Cause::BadResult),
        };
        self.tell_ended(hub, slot, incarnation, outcome, why);
    }

    fn tell_ended(&self, hub: &mut Hub, slot: usize, incarnation: u32, outcome: Outcome, why: Why) {
        hub.urgent |= !matches!(why, Why::Complete);
        if outcome.manifest.is_some() {
            hub.on_the_way.came(slot, incarnation);
        }
        hub.engine.ended(slot, incarnation, outcome, why, &mut hub.actions);
    }

    /// What the worker says of a failed item.
    fn cause(&self, hub: &Hub, incarnation: u32, outcome: &Outcome) -> Cause {
        let (offset, len) = outcome.failure;
        let read = || {
            let bytes = hub.arenas.get(&incarnation)?.copy(offset, len, LARGEST_FAILURE)?;
            pool_ipc::from_bytes::<Failure>(&bytes).ok()
        };
        read().map_or(Cause::BadResult, |failure| failure.kind.into())
    }

    /// Reads what the zygote reports, without waiting; whether there was anything.
    pub(super) fn read_reports(&self, hub: &mut Hub) -> bool {
        hub.turns = 0;
        let mut any = false;
        while hub.state != State::Broken {
            match self.link.report() {
                Ok(Some(Report::Reigns { .. })) => {}
                Ok(Some(Report::Unable(fault))) => {
                    self.end_before_begin(hub, Fatal::NoZygote(fault))
                }
                Ok(Some(Report::Started { incarnation, pid })) => {
                    hub.engine.workers.started(incarnation, pid);
                }
                Ok(Some(Report::NotStarted { incarnation, errno })) => {
                    self.not_started(hub, incarnation, errno);
                }
                Ok(Some(Report::Overran { incarnation })) => self.overran(hub, incarnation),
                Ok(Some(Report::Reaped { incarnation, status, segments, peak })) => {
                    self.reaped(hub, incarnation, status, segments, peak);
                }
                Ok(None) => break,
                Err(_) => self.broken(hub),
            }
            any = true;
        }
        self.start_what_is_due(hub);
        if any && hub.waiting > 0 {
            self.changed.notify_all();
        }
        any
    }

    /// Starts workers whose rest is over or for whose start there is room by now.
    pub(super) fn start_what_is_due(&self, hub: &mut Hub) {
        self.end_rests(hub);
        self.start_wanted(hub);
        self.act(hub);
    }

    /// A worker was condemned for the item that it has in hand.
    fn overran(&self, hub: &mut Hub, incarnation: u32) {
        hub.overruns = hub.overruns.wrapping_add(1);
        hub.condemned.push(incarnation);
        let place = hub.engine.workers.place_of(incarnation);
        let stage = place.map_or(0, |place| self.board.stage(place));
        let what = Stage::from_number(stage).map_or("an item", Stage::name);
        hub.journal.note(Entry::Overran { worker: place.map_or(0, |place| place as u32), what });
        if stage != 0 {
            return; // it has no item in hand
        }
        let claimed = SlotState::Claimed(incarnation);
        let slots = hub.engine.published().map(|(slot, _)| slot);
        let slot = slots.into_iter().find(|slot| self.board.slot_state(*slot) == claimed);
        let worker = hub.engine.workers.place_of(incarnation);
        if let (Some(slot), Some(worker)) = (slot, worker) {
            let finished = self.board.outcome(slot).progress.finished;
            hub.engine.overran(slot, worker as u32, finished, &mut hub.actions);
        }
    }

    /// A worker is dead and reaped: what it had is saved or lost, its place is filled again.
    fn reaped(&self, hub: &mut Hub, incarnation: u32, raw: i32, segments: bool, peak: u64) {
        let status = ExitStatus::from_wait(raw);
        let cause = self.cause_of_death(hub, incarnation, status, peak);
        self.collect(hub);
        // What it left behind is gone, and says nothing of the workers after it.
        let killed = self.take_kill(hub, incarnation);
        let killed_in_init = status.signal().is_some() && self.was_in_init(hub, incarnation);
        let published: Vec<_> = hub
            .engine
            .published()
            .map(|(slot, chunk)| (slot, chunk.job, chunk.in_hand, chunk.has_tries()))
            .collect();
        // Jobs of which it had a chunk, and whether its death is no more than a lost try of the item whose turn it was.
        let (mut served, mut a_try) = (Vec::new(), false);
        for (slot, job, in_hand, has_tries) in published {
            match self.board.slot_state(slot) {
                SlotState::Done(owner) if owner == incarnation => {
                    self.finished(hub, slot, incarnation);
                }
                SlotState::Claimed(owner) if owner == incarnation => {
                    served.push(job);
                    let outcome = self.board.outcome(slot);
                    let Progress { begun, .. } = outcome.progress;
                    a_try = killed_in_init && has_tries;
                    let begun = begun || a_try;
                    let why = Why::Died { begun, cause: cause.clone() };
                    self.tell_ended(hub, slot, incarnation, outcome, why);
                }
                SlotState::Ready if in_hand == Some(incarnation) && self.board.take_back(slot) => {
                    self.lose_in_hand(hub, Some(slot), incarnation, &cause);
                }
                SlotState::Ready => {}
                SlotState::Claimed(owner) | SlotState::Done(owner)
                    if hub.engine.workers.place_of(owner).is_some() => {}
                // Scribbled over, maybe by the dead one: nobody else will ever end this chunk.
                _ => {
                    let outcome = self.board.outcome(slot);
                    let why = Why::Died { begun: true, cause: cause.clone() };
                    self.tell_ended(hub, slot, incarnation, outcome, why);
                }
            }
        }
        self.lose_in_hand(hub, None, incarnation, &cause);
        // Results that were delivered keep the arena by their own count.
        self.act(hub);
        let served = (!a_try).then_some(&served);
        self.bury(hub, incarnation, (raw, killed), segments, served);
        // A wake-up that the dead one had received is lost: everybody looks again.
        self.board.wake(usize::MAX);
    }

    /// Whether a dead worker was at its `worker_init`, with time left.
    fn was_in_init(&self, hub: &Hub, incarnation: u32) -> bool {
        let place = hub.engine.workers.place_of(incarnation);
        let place = place.filter(|place| self.board.occupant(*place).1 == incarnation);
        place.is_some_and(|place| self.board.stage(place) == Stage::Init.number())
            && !hub.condemned.contains(&incarnation)
    }

    /// Why items fail that a dead worker had in hand.
    fn cause_of_death(&self, hub: &Hub, incarnation: u32, status: ExitStatus, peak: u64) -> Cause {
        let place = hub.engine.workers.place_of(incarnation);
        match (self.bounds.memory, place) {
            (Some(limit), Some(place)) if status.signal() == Some(libc::SIGABRT) => {
                let refused = self.board.was_refused(place);
                Cause::MemoryLimit { limit, peak, refused }
            }
            _ if self.has_overflowed(hub, incarnation, status) => Cause::StackOverflow,
            _ => Cause::Death(status),
        }
    }

    /// Whether a worker that ended in this way had used up its stack.
    pub(super) fn has_overflowed(&self, hub: &Hub, incarnation: u32, status: ExitStatus) -> bool {
        let place = hub.engine.workers.place_of(incarnation);
        let place = place.filter(|place| self.board.occupant(*place).1 == incarnation);
        status.signal() == Some(libc::SIGSEGV)
            && place.is_some_and(|place| self.board.has_overflowed(place))
    }

    fn lose_in_hand(&self, hub: &mut Hub, slot: Option<usize>, incarnation: u32, cause: &Cause) {
        hub.engine.in_hand_lost(slot, incarnation, cause, &mut hub.actions);
    }

    /// The zygote ends before it has started anything: calls are told so, and the next one may open
    /// another session.
    pub(super) fn end_before_begin(&self, hub: &mut Hub, fatal: Fatal) {
        hub.gone = fatal;
        // Relaxed: the lock orders it for whoever is told.
        self.renewable.store(true, Ordering::Relaxed);
        self.broken(hub);
    }

    /// The zygote is gone, and its workers with it.
    pub(super) fn broken(&self, hub: &mut Hub) {
        hub.state = State::Broken;
        self.link.wait_for_end();
        // They are this process's children now if it is the init process of a container.
        for (place, incarnation, pid) in hub.engine.workers.iter().collect::<Vec<_>>() {
            let pid = self.pid_of(place, incarnation, pid);
            if pid > 0 {
                reap_orphan(nix::unistd::Pid::from_raw(pid), &name_at(place));
            }
            hub.engine.workers.vacate(incarnation, true);
        }
        let gone = hub.gone.clone();
        self.fail_all(hub, &gone, |_| true);
    }

    /// Tells these jobs that they cannot go on.
    pub(super) fn fail_jobs(&self, hub: &mut Hub, fatal: &Fatal, jobs: &[JobId]) {
        for job in jobs {
            if let Some(inbox) = hub.inboxes.get_mut(*job) {
                inbox.fail(fatal);
            }
        }
        self.changed.notify_all();
        self.answered.notify_all();
        self.wake_standby(hub);
    }

    /// Tells the jobs that `which` selects that they cannot go on.
    pub(super) fn fail_all(&self, hub: &mut Hub, fatal: &Fatal, which: impl Fn(&Inbox) -> bool) {
        for inbox in hub.inboxes.values_mut().filter(|inbox| which(inbox)) {
            inbox.fail(fatal);
        }
        // Relaxed: who sees it takes the lock.
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
        self.answered.notify_all();
        self.wake_standby(hub);
    }
}
