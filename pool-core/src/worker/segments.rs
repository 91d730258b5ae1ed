//! Segments that a worker was sent handles to.
//!
//! Invariant: a segment that was fetched stays mapped as long as the parent has it, so that one which comes with every item is fetched
//! once. Between two chunks this worker lets go what the parent has let go, unless a task keeps a handle.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use pool_ipc::{SegmentBroker, SegmentFault, SegmentId};
use pool_shm::SharedSegment;

use crate::broker::BrokerLink;
use crate::mutex::lock;

/// Segments that are kept: each takes a descriptor and a mapping.
const MOST_KEPT: usize = 32;
/// Bytes of all of them, if it is more than one: what the parent lets go during a long task stays as long.
const MOST_BYTES: usize = 1 << 30;
/// How long a worker whose zygote hears nothing any more waits for its death.
const LAST_MOMENTS: Duration = Duration::from_millis(100);

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
        lock(&self.kept)
    }

    /// Whether there is anything to let go.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept().is_empty()
    }

    /// Lets go what the parent has let go.
    pub(crate) fn let_go(&self, gone: impl Fn(SegmentId) -> bool) {
        let kept = std::mem::take(&mut *self.kept());
        let still = kept.into_iter().filter(|segment| !gone(segment.id())).collect();
        *self.kept() = still;
    }
}

impl SegmentBroker for Keeper {
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault> {
        self.link.register(segment).map_err(unless_ended)
    }

    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        let mut found = self.link.fetch(id);
        if matches!(found, Err(SegmentFault::Os(_))) {
            // Descriptors or addresses may be used up.
            self.let_go(|_| true);
            found = self.link.fetch(id);
        }
        let segment = found.map_err(unless_ended)?;
        let mut kept = self.kept();
        kept.push_back(segment.clone());
        let mut bytes: usize = kept.iter().map(SharedSegment::len).sum();
        let mut oldest = Vec::new();
        while kept.len() > MOST_KEPT || (bytes > MOST_BYTES && kept.len() > 1) {
            let segment = kept.pop_front().expect("there are several");
            bytes -= segment.len();
            oldest.push(segment);
        }
        drop(kept); // before the oldest are unmapped
        Ok(segment)
    }
}

/// A zygote that is gone has closed its sockets a moment before the kernel kills its workers. What fails meanwhile is not an item's
/// fault, so the item is left as it is.
fn unless_ended(fault: SegmentFault) -> SegmentFault {
    if BrokerLink::is_cut(fault) {
        thread::sleep(LAST_MOMENTS);
    }
    fault
}
