//! The captured logs of a process of one function (feature `capture-log`): a segment of its own
//! with one ring.
//!
//! Invariant: the parent has mapped the segment before the process is there, and collects until the
//! process was found to have ended.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process,
    sync::{Arc, Mutex},
};

use pool_shm::{Mapping, Segment};

use super::deliver_at_end;
use crate::{
    capture::{self, Capture, Collecting, Places},
    error::{Error, OrResources},
    mutex::lock,
    stack,
};

/// Where the ring lies in its segment: an area does not begin at 0, which says that there is none.
const OFFSET: usize = 128;

/// What the process gets.
#[derive(Debug)]
pub(crate) struct LogSegment {
    segment: Option<Segment>,
    mapping: Arc<Mapping>,
}

/// What its parent keeps.
#[derive(Debug)]
pub(crate) struct ChildLogs {
    capture: Capture,
    collecting: Mutex<Option<Collecting>>,
    /// A forked child has a copy of this.
    owner: u32,
}

impl LogSegment {
    /// Makes a segment for the logs of the process with this name, and begins to collect.
    pub(crate) fn create(capture: Capture, name: &str) -> Result<(Arc<Self>, ChildLogs), Error> {
        let what = "mapping memory for the logs of a process";
        let shape = capture.shape(1);
        let bytes = (OFFSET + shape.bytes()) as u64;
        let segment = Segment::create("process-logs", bytes).or_resources(what)?;
        let mapping = Arc::new(segment.map_unlocked().or_resources(what)?);
        let places = (shape, Places::Process(name.to_string()));
        let stack = stack::size_beside(None);
        let collecting = capture.open(mapping.clone(), OFFSET, places, stack)?;
        deliver_at_end(collecting.collector());
        let logs =
            ChildLogs { capture, collecting: Mutex::new(Some(collecting)), owner: process::id() };
        Ok((Arc::new(Self { segment: Some(segment), mapping }), logs))
    }

    /// The segment behind a descriptor that the parent has sent.
    pub(super) fn received(fd: OwnedFd) -> Option<Self> {
        let mapping = Arc::new(Segment::from_fd(fd).ok()?.map_unlocked().ok()?);
        Some(Self { segment: None, mapping })
    }

    /// The descriptor, for the process.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.segment.as_ref().map(AsFd::as_fd)
    }

    /// Makes this process, which is the child, capture.
    pub(super) fn begin(&self) {
        // What this process forks has no part in the ring; the mark tells it where this fails.
        let _ = self.mapping.dont_fork();
        capture::begin(&self.mapping, OFFSET as u64, 0);
    }
}

impl ChildLogs {
    /// Delivers what a process that has ended has handed over; waits for a logger that blocks at
    /// most for the time that all ends of workers wait.
    pub(super) fn end(&self) {
        if lock(&self.collecting).take().is_some() {
            self.capture.end();
        }
    }
}

/// Nothing has waited for the process, or has its handle any more.
impl Drop for ChildLogs {
    fn drop(&mut self) {
        if self.owner == process::id() {
            self.end();
        }
    }
}
