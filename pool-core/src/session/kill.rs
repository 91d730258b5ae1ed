//! Killing the workers of items whose call was cancelled, after a grace.
//!
//! Invariant: a worker that is killed has the chunk in hand that it is killed for. The zygote keeps
//! the time, also while no call waits, and seizes that chunk first, by its slot, generation and
//! incarnation; a worker that has finished it by then goes on.

use std::time::Duration;

use pool_ipc::board::{Incarnation, SlotIndex};

use super::state::{Kill, Session, SessionState};
use crate::{
    engine::JobId,
    ids::ItemIndex,
    os::{self, nanos},
    protocol::ClaimedChunk,
};

impl Session {
    /// Has the zygote kill the workers that still hold these slots after `grace`, if there is one.
    pub(super) fn kill_claimers(
        &self,
        state: &mut SessionState,
        slots: &[SlotIndex],
        grace: Option<Duration>,
    ) {
        let Some(grace) = grace.map(nanos) else { return };
        state.kills.retain(|kill| self.is_claimed(kill));
        let due = os::monotonic_nanos().saturating_add(grace);
        for slot in slots {
            let Some((generation, incarnation)) = self.board.claim_of(*slot) else { continue };
            let Ok(slot) = u32::try_from(slot.index()) else { continue };
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

    /// Whether the worker still holds the chunk.
    fn is_claimed(&self, kill: &Kill) -> bool {
        let ClaimedChunk { slot, generation, incarnation } = kill.chunk;
        self.board.is_held(SlotIndex::new(slot as usize), generation, incarnation)
    }

    /// Removes the kills of a worker that was reaped; answers whether it may have been killed for
    /// the chunk that it had in hand. Called before that chunk is freed.
    pub(super) fn take_kill(&self, state: &mut SessionState, incarnation: Incarnation) -> bool {
        let mut killed = false;
        state.kills.retain(|kill| {
            let is_its = kill.chunk.incarnation == incarnation;
            killed |= is_its && self.is_claimed(kill);
            !is_its
        });
        killed
    }

    /// Whether a worker still holds a chunk whose grace is over.
    pub(super) fn is_late_to_kill(&self, state: &SessionState) -> bool {
        let now = os::monotonic_nanos();
        state.kills.iter().any(|kill| kill.due < now && self.is_claimed(kill))
    }

    /// Has items that run when the job ends killed after `grace`.
    pub(crate) fn kill_at_end(&self, job: JobId, grace: Duration) {
        if !self.is_foreign()
            && let Some(inbox) = self.lock().inboxes.get_mut(job)
        {
            inbox.kill = inbox.kill.into_iter().chain([grace]).min();
        }
    }

    /// Cancels the running chunk of the job that begins at item `first`: its worker is told, and
    /// killed after `grace`; the chunk is not tried again. The caller keeps another chunk from
    /// getting this name meanwhile.
    pub(crate) fn kill_chunk(&self, job: JobId, first: ItemIndex, grace: Duration) {
        let mut state = self.lock();
        let slot = state.engine.cancel_chunk(job, first);
        if let Some(slot) = slot {
            self.board.cancel(slot);
            self.kill_claimers(&mut state, &[slot], Some(grace));
        }
    }
}
