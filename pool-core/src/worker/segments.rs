//! Segments that a worker was sent handles to.
//!
//! Invariant: a segment that was fetched stays mapped as long as the parent has it, so that one which comes with every item is fetched
//! once. Soon after the parent has let it go, so has this worker, unless a task keeps a handle.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pool_ipc::{SegmentBroker, SegmentFault, SegmentId};
use pool_shm::SharedSegment;

use crate::broker::BrokerLink;

/// Segments that are kept: each takes a descriptor and a mapping.
const MOST_KEPT: usize = 32;

/// See the module.
pub(crate) struct Keeper {
    link: Arc<BrokerLink>,
    /// Those fetched first come first.
    kept: Mutex<VecDeque<SharedSegment>>,
}

impl Keeper {
    pub(crate) fn new(link: Arc<BrokerLink>) -> Arc<Self> {
        Arc::new(Self { link, kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<SharedSegment>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anything to let go.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept().is_empty()
    }

    /// Lets go what the parent has let go.
    pub(crate) fn tidy(&self) {
        let kept = std::mem::take(&mut *self.kept());
        if kept.is_empty() {
            return;
        }
        let ids = kept.iter().map(SharedSegment::id).collect();
        // A zygote that does not answer knows of none.
        let bits = self.link.kept(ids).unwrap_or(0);
        let still = kept.into_iter().enumerate().filter(|(at, _)| bits & 1 << at != 0);
        self.kept().extend(still.map(|(_, segment)| segment));
    }
}

impl SegmentBroker for Keeper {
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault> {
        self.link.register(segment)
    }

    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        let mut found = self.link.fetch(id);
        if matches!(found, Err(SegmentFault::Os(_))) {
            // Descriptors or addresses may be used up.
            self.kept().clear();
            found = self.link.fetch(id);
        }
        let segment = found?;
        let mut kept = self.kept();
        let oldest = if kept.len() < MOST_KEPT { None } else { kept.pop_front() };
        kept.push_back(segment.clone());
        drop(kept); // before the oldest is unmapped
        drop(oldest);
        Ok(segment)
    }
}
