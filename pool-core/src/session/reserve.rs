//! Room for items in the parent's arena.

use std::time::Instant;

use pool_ipc::{ArenaFull, Block};

use super::{state::Session, wait::ANYTHING};
use crate::{engine::JobId, error::Error};

/// Why there is no block for items.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// Nothing is under way that could give room back.
    Never,
    Failed(Error),
}

impl Session {
    /// Allocates a block of the parent's arena with room for `len` bytes.
    #[inline]
    pub(crate) fn alloc_items(&self, len: usize) -> Result<(Block, *mut u8), ArenaFull> {
        let mut state = self.lock();
        let block = state.items.alloc(len as u64)?;
        Ok((block, state.items.ptr(block)))
    }

    pub(crate) fn free_items(&self, block: Block) {
        if self.is_foreign() {
            return;
        }
        self.lock().items.free(block);
    }

    /// Allocates a block of the parent's arena; while there is no room, waits for chunks of any job
    /// to end, as long as there are any; `None`: it is `until`, and there is no room.
    pub(crate) fn wait_for_room(
        &self,
        job: JobId,
        len: usize,
        until: Option<Instant>,
    ) -> Result<Option<(Block, *mut u8)>, NoRoom> {
        let mut answer = Ok(None);
        self.drive_until_then(ANYTHING, until, |state| {
            let error = state.inboxes.get(job).map_or(Some(&Error::Terminated), |i| i.job_error());
            if let Some(error) = error {
                answer = Err(NoRoom::Failed(error.clone()));
                return true;
            }
            match state.items.alloc(len as u64) {
                Ok(block) => answer = Ok(Some((block, state.items.ptr(block)))),
                Err(_) if state.engine.has_chunks() => return false,
                Err(_) => answer = Err(NoRoom::Never),
            }
            true
        });
        answer
    }

    /// Allocates a block of the parent's arena without waiting; `None` while chunks of any job may
    /// give room back.
    pub(crate) fn try_room(&self, len: usize) -> Result<Option<(Block, *mut u8)>, NoRoom> {
        let mut state = self.lock();
        match state.items.alloc(len as u64) {
            Ok(block) => Ok(Some((block, state.items.ptr(block)))),
            Err(_) if state.engine.has_chunks() => Ok(None),
            Err(_) => Err(NoRoom::Never),
        }
    }

    /// Most bytes that one block of items can have.
    pub(crate) fn items_limit(&self) -> u64 {
        self.items_limit
    }
}
