//! Counts the chunks of a job, from their sending to their end, and waits for what arrives.

use std::{
    sync::{MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    control::{Control, Flow},
    job::Lends,
    time_limits::{Activity, Overdue},
};
use crate::{
    engine::Awaited,
    error::{Error, Stage},
    ids::ItemIndex,
    mutex::lock,
    os,
};

impl Control {
    /// Counts a chunk that is about to be sent; returns how many were under way before.
    #[inline]
    pub(super) fn begin_chunk(&self) -> usize {
        let mut flow = lock(&self.flow);
        let before = flow.under_way;
        flow.under_way = before + 1;
        drop(flow);
        if before == 0 {
            self.busy.begin();
        }
        before
    }

    /// A chunk begins items that use what the call lends; `false`: the job is over, and they must
    /// not.
    pub(super) fn begin_items(&self) -> bool {
        let mut flow = lock(&self.flow);
        flow.in_items += usize::from(!flow.over);
        !flow.over
    }

    /// A chunk has run its items.
    pub(super) fn end_items(&self) {
        let mut flow = lock(&self.flow);
        flow.in_items -= 1;
        let awaited = flow.over && flow.in_items == 0;
        drop(flow);
        if awaited {
            self.wake();
        }
    }

    /// Fails the items that are overdue; their threads go on, and their results are dropped.
    fn end_overdue(&self, flow: &mut Flow) {
        if flow.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(what) = flow.deadlines.take_overdue(now) {
            match (what, self.limit) {
                (Activity::Item { index, worker }, Some(limit)) => {
                    flow.overdue.push(Overdue { index, worker, limit });
                    (flow.arrived, flow.urgent) = (flow.arrived + 1, true);
                }
                (Activity::Item { .. }, None) => {}
                (Activity::State(worker), _) => {
                    self.fail_overdue(flow, Stage::Init, self.init_limit, worker);
                }
                (Activity::Exit(worker), _) => {
                    if self.exiting.give_up(worker) {
                        self.fail_overdue(flow, Stage::Exit, self.exiting.limit(), worker);
                    }
                }
            }
        }
        self.arrived.store(flow.arrived, Ordering::Relaxed);
    }

    /// Whether the parts of a chunk that has ended count: the job goes on, and the item whose clock
    /// was started, if any, is not overdue.
    #[inline]
    pub(super) fn is_wanted(&self, flow: &mut Flow, clocked: Option<ItemIndex>) -> bool {
        // A task that sees that its time is over may return before its caller has looked.
        self.end_overdue(flow);
        let in_time = clocked.is_none_or(|clocked| {
            flow.deadlines
                .stop(|what| matches!(what, Activity::Item { index, .. } if *index == clocked))
        });
        in_time && !flow.over
    }

    /// Counts a chunk as ended, and wakes the threads that wait for that.
    #[inline]
    pub(super) fn end_chunk(&self, mut flow: MutexGuard<'_, Flow>) {
        flow.under_way -= 1;
        let idle = flow.under_way == 0;
        let caller = flow.background || flow.wanted.is_some_and(|wanted| flow.is_enough(wanted));
        let others = flow.terminated || (flow.over && idle);
        // Relaxed: a thread that sees it takes the lock before it looks at the parts.
        self.arrived.store(flow.arrived, Ordering::Relaxed);
        drop(flow);
        if idle {
            self.busy.end();
        }
        if caller || others {
            self.wake();
        }
    }

    /// Waits for parts: see [`ThreadJob::next`](super::ThreadJob::next).
    pub(super) fn wait_for_parts(
        &self,
        spin: u32,
        awaited: &Awaited,
    ) -> Result<MutexGuard<'_, Flow>, Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        if self.arrived.load(Ordering::Relaxed) == 0 {
            let wanted = awaited.chunks.max(1);
            let enough = || self.arrived.load(Ordering::Relaxed) >= wanted;
            os::spin_for(spin, awaited.until, || enough() || self.is_cancelled());
        }
        let (mut flow, mut wanted) = (lock(&self.flow), awaited.chunks);
        loop {
            self.end_overdue(&mut flow);
            if flow.arrived > 0 || flow.terminated {
                break;
            }
            if self.is_revoked() {
                return Err(Error::Cancelled);
            }
            let left = awaited.until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            flow.wanted = Some(wanted);
            flow = self.sleep(flow, wanted, left);
            // From now on the first one to arrive is enough.
            wanted = wanted.min(1);
        }
        flow.wanted = None;
        Ok(flow)
    }

    /// Looks which items are overdue, without waiting.
    pub(super) fn look(&self) -> Result<MutexGuard<'_, Flow>, Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let mut flow = lock(&self.flow);
        self.end_overdue(&mut flow);
        Ok(flow)
    }

    /// Notes that parts were taken; `all`: none is left.
    #[inline]
    pub(super) fn note_taken(&self, flow: &mut Flow, all: bool) {
        if all {
            (flow.arrived, flow.urgent) = (0, false);
        }
        self.arrived.store(flow.arrived, Ordering::Relaxed);
    }

    /// Gives the job up: from now on the parts of its chunks are dropped.
    pub(super) fn give_up(&self) -> MutexGuard<'_, Flow> {
        self.cancelled.store(true, Ordering::Relaxed);
        let mut flow = lock(&self.flow);
        flow.over = true;
        flow
    }

    /// Waits until no thread uses what the call lends.
    pub(super) fn wait_for_lent(&self, lends: Lends) {
        match lends {
            Lends::Nothing => {}
            Lends::ToItems => drop(self.wait_while(|flow| flow.in_items > 0)),
            Lends::ToChunks => drop(self.wait_while(|flow| flow.under_way > 0)),
        }
    }
}
