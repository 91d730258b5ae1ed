//! The memory of captured logs, behind the board in the same segment, so that each process that
//! has the board has it, too. Without the feature `capture-log`, or where a pool does not capture,
//! there is none.
//!
//! Invariant: a session without capture has a board of the size that it needs, and nothing else.

use std::sync::Arc;

use pool_shm::Mapping;

#[cfg(feature = "capture-log")]
use crate::capture::{Collecting, Places};
#[cfg(feature = "capture-log")]
use crate::{child::deliver_at_end, stack};
use crate::{config::PoolConfig, error::Error};

/// Where the memory lies.
pub(super) struct LogArea {
    /// Behind the board.
    board: usize,
    #[cfg(feature = "capture-log")]
    shape: Option<pool_ipc::log_ring::LogShape>,
}

/// What a session keeps while its workers live, and wakes when one has ended.
#[derive(Debug)]
pub(super) struct LogCapture {
    #[cfg(feature = "capture-log")]
    collecting: Option<Collecting>,
}

impl LogArea {
    /// The memory behind a board with so many bytes.
    #[cfg(feature = "capture-log")]
    pub(super) fn of(plan: &PoolConfig, board: usize) -> Self {
        // One ring for each worker, and one for the template.
        Self { board, shape: plan.capture.as_ref().map(|capture| capture.shape(plan.n_jobs + 1)) }
    }

    #[cfg(not(feature = "capture-log"))]
    pub(super) fn of(_: &PoolConfig, board: usize) -> Self {
        Self { board }
    }

    /// Where it begins; 0: there is none.
    #[cfg(feature = "capture-log")]
    pub(super) fn offset(&self) -> u64 {
        if self.shape.is_some() { self.board.next_multiple_of(128) as u64 } else { 0 }
    }

    #[cfg(not(feature = "capture-log"))]
    pub(super) fn offset(&self) -> u64 {
        0
    }

    /// Bytes of board and memory.
    #[cfg(feature = "capture-log")]
    pub(super) fn end(&self) -> usize {
        self.shape.map_or(self.board, |shape| self.offset() as usize + shape.bytes())
    }

    #[cfg(not(feature = "capture-log"))]
    pub(super) fn end(&self) -> usize {
        self.board
    }

    /// Begins to collect.
    #[cfg(feature = "capture-log")]
    pub(super) fn open(
        &self,
        plan: &PoolConfig,
        board: &Arc<Mapping>,
    ) -> Result<LogCapture, Error> {
        let collecting = match (&plan.capture, self.shape) {
            (Some(capture), Some(shape)) => {
                let stack = stack::size_beside(None);
                let places = (shape, Places::Workers);
                let offset = self.offset() as usize;
                let collecting = capture.open(board.clone(), offset, places, stack)?;
                deliver_at_end(collecting.collector());
                Some(collecting)
            }
            _ => None,
        };
        Ok(LogCapture { collecting })
    }

    #[cfg(not(feature = "capture-log"))]
    pub(super) fn open(&self, _: &PoolConfig, _: &Arc<Mapping>) -> Result<LogCapture, Error> {
        Ok(LogCapture {})
    }
}

impl LogCapture {
    /// A worker has ended, maybe before it could tell of its last records.
    pub(super) fn worker_ended(&self) {
        #[cfg(feature = "capture-log")]
        if let Some(collecting) = &self.collecting {
            collecting.wake();
        }
    }
}
