//! Killing the workers of items whose call was cancelled, after a grace.
//!
//! Invariant: who is killed has the chunk in hand that it is killed for. The zygote, which keeps
//! the time whoever is or is not in a call, seizes that chunk first, by its slot, generation and
//! incarnation; a worker that has finished it by then goes on.

use std::time::Duration;

use super::state::{Kill, Session, SessionState};
use crate::{
    engine::JobId,
    os::{self, nanos},
    protocol::ClaimedChunk,
};

impl Session {
    /// Has the workers killed that have claimed these slots and still have after `grace`, if there
    /// is one.
    pub(super) fn kill_claimers(
        &self,
        state: &mut SessionState,
        slots: &[usize],
        grace: Option<Duration>,
    ) {
        let Some(grace) = grace.map(nanos) else { return };
        state.kills.retain(|kill| self.is_claimed(kill));
        let due = os::monotonic_nanos().saturating_add(grace);
        for slot in slots {
            let Some((generation, incarnation)) = self.board.claim_of(*slot) else { continue };
            let Ok(slot) = u32::try_from(*slot) else { continue };
            let chunk = ClaimedChunk { slot, generation, incarnation };
            match state.kills.iter_mut().find(|kill| kill.chunk == chunk) {
                Some(kill) if kill.due <= due => continue,
                Some(kill) => kill.due = due,
                None => state.kills.push(Kill { chunk, due }),
            }
            // A zygote that is gone has no workers.
            let _ = self.link.kill_at(chunk, grace);
        }
    }

    /// Whether the worker has not got past the chunk.
    fn is_claimed(&self, kill: &Kill) -> bool {
        let ClaimedChunk { slot, generation, incarnation } = kill.chunk;
        self.board.is_held(slot as usize, generation, incarnation)
    }

    /// A worker was reaped: whether it may have been killed for what it had in hand. To be asked
    /// before that is freed.
    pub(super) fn take_kill(&self, state: &mut SessionState, incarnation: u32) -> bool {
        let mut killed = false;
        state.kills.retain(|kill| {
            let is_its = kill.chunk.incarnation == incarnation;
            killed |= is_its && self.is_claimed(kill);
            !is_its
        });
        killed
    }

    /// Whether somebody lives whose grace is over.
    pub(super) fn is_late_to_kill(&self, state: &SessionState) -> bool {
        let now = os::monotonic_nanos();
        state.kills.iter().any(|kill| kill.due < now && self.is_claimed(kill))
    }

    /// When the job ends, its items that run are killed after `grace`.
    pub(crate) fn kill_at_end(&self, job: JobId, grace: Duration) {
        if !self.is_foreign()
            && let Some(inbox) = self.lock().inboxes.get_mut(job)
        {
            inbox.kill = inbox.kill.into_iter().chain([grace]).min();
        }
    }

    /// The chunk of the job that begins at item `first` runs: it is told, killed after `grace`, and
    /// not tried again. The caller keeps another chunk from getting this name meanwhile.
    pub(crate) fn kill_chunk(&self, job: JobId, first: u64, grace: Duration) {
        let mut state = self.lock();
        let slot = state.engine.cancel_chunk(job, first);
        if let Some(slot) = slot {
            self.board.cancel(slot);
            self.kill_claimers(&mut state, &[slot], Some(grace));
        }
    }
}
