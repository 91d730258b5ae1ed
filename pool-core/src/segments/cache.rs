//! A worker's cache of the segments that it was sent handles to.
//!
//! Invariant: a segment that was fetched stays mapped as long as the parent has it, so that a
//! segment which comes with every item is fetched once. Between two chunks this worker lets go of
//! the segments that the parent has let go of, unless a task keeps a handle.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use pool_ipc::{SegmentBroker, SegmentFault, SegmentId};
use pool_shm::SharedSegment;

use crate::{
    error::{is_disconnected, while_zygote_lives},
    mutex::lock,
};

/// Most segments that are kept: each takes a descriptor and a mapping.
const MOST_KEPT: usize = 32;
/// Most bytes of all of them, if there are several: a segment that the parent lets go of during a
/// long task is kept until its end.
const MOST_BYTES: usize = 1 << 30;
/// How long a worker whose zygote has closed its sockets waits for its own death.
const LAST_MOMENTS: Duration = Duration::from_millis(100);

/// Fetches segments and keeps them mapped while the parent has them.
pub(crate) struct SegmentCache {
    link: Arc<dyn SegmentBroker>,
    /// In the order in which they were fetched.
    kept: Mutex<VecDeque<SharedSegment>>,
}

impl SegmentCache {
    pub(crate) fn new(link: Arc<dyn SegmentBroker>) -> Arc<Self> {
        Arc::new(Self { link, kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<SharedSegment>> {
        lock(&self.kept)
    }

    /// Whether no segment is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept().is_empty()
    }

    /// Lets go of the segments that the parent has let go of (`gone`).
    pub(crate) fn release(&self, gone: impl Fn(SegmentId) -> bool) {
        let kept = std::mem::take(&mut *self.kept());
        let still = kept.into_iter().filter(|segment| !gone(segment.id())).collect();
        *self.kept() = still;
    }
}

impl SegmentBroker for SegmentCache {
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault> {
        self.link.register(segment).map_err(unless_ended)
    }

    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        let mut found = self.link.fetch(id);
        if matches!(found, Err(SegmentFault::Os(_))) {
            // Descriptors or addresses may be used up.
            self.release(|_| true);
            found = self.link.fetch(id);
        }
        let segment = found.map_err(unless_ended)?;
        if segment.is_presence() {
            return Ok(segment); // kept here, it would tell of an endpoint that is gone
        }
        let mut kept = self.kept();
        kept.push_back(segment.clone());
        let mut bytes: usize = kept.iter().map(SharedSegment::counted_bytes).sum();
        let mut oldest = Vec::new();
        while kept.len() > MOST_KEPT || (bytes > MOST_BYTES && kept.len() > 1) {
            let segment = kept.pop_front().expect("there are several");
            bytes -= segment.counted_bytes();
            oldest.push(segment);
        }
        drop(kept); // before the oldest are unmapped
        Ok(segment)
    }
}

/// Waits for this process's death if the connection is closed: at a zygote's end its sockets are
/// closed a moment before the kernel kills its workers, and an item must not fail for that.
fn unless_ended(fault: SegmentFault) -> SegmentFault {
    if is_disconnected(fault) {
        thread::sleep(LAST_MOMENTS);
    }
    while_zygote_lives(fault)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        os::fd::OwnedFd,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use pool_ipc::{Decoder, to_bytes};
    use pool_shm::SharedArray;

    use super::*;

    /// Stands for the other processes; counts how often segments are fetched.
    #[derive(Default)]
    struct Others {
        segments: HashMap<SegmentId, OwnedFd>,
        fetched: AtomicUsize,
    }

    impl SegmentBroker for Others {
        fn register(&self, _: &SharedSegment) -> Result<(), SegmentFault> {
            panic!("nothing is sent")
        }

        fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
            self.fetched.fetch_add(1, SeqCst);
            let known = self.segments.get(&id).ok_or(SegmentFault::Gone)?;
            // SAFETY: the descriptor of a segment, by `Message::of`.
            unsafe { SharedSegment::open(known.try_clone().expect("a descriptor"), id) }
        }
    }

    /// A message with a handle to an array that is mapped nowhere here.
    struct Message(SegmentId, pool_ipc::AlignedBytes);

    impl Message {
        fn of(len: usize, others: &mut Others) -> Self {
            let array = SharedArray::<u64>::new(len).expect("an array");
            let segment = array.block().segment();
            // SAFETY: the descriptor is only duplicated, and opened as a segment later.
            let descriptor = unsafe { segment.as_fd() };
            let descriptor = descriptor.try_clone_to_owned().expect("a descriptor");
            others.segments.insert(segment.id(), descriptor);
            Self(segment.id(), to_bytes(&array).expect("bytes"))
        }

        /// Decodes the message as a worker does, and drops the handle.
        fn read(&self, cache: &Arc<SegmentCache>) -> Result<(), pool_ipc::WireFault> {
            let mut decoder = Decoder::new();
            decoder.set_broker(cache.clone());
            decoder.set_segments(&[self.0]);
            decoder.decode::<SharedArray<u64>>(&self.1).map(drop)
        }
    }

    /// An array of so many values has a segment of its own.
    const LARGE: usize = 50_000;

    #[test]
    fn what_comes_again_is_fetched_once() {
        let mut others = Others::default();
        let message = Message::of(LARGE, &mut others);
        let others = Arc::new(others);
        let cache = SegmentCache::new(others.clone());
        for _ in 0..3 {
            message.read(&cache).unwrap();
            cache.release(|_| false);
        }
        assert_eq!(others.fetched.load(SeqCst), 1);
        cache.release(|gone| gone == message.0);
        assert!(cache.is_empty() && SharedSegment::find(message.0).is_none());
        message.read(&cache).unwrap();
        assert_eq!(others.fetched.load(SeqCst), 2);
    }

    #[test]
    fn the_oldest_are_released_first() {
        // By number, and by bytes (no page of which is touched).
        for (len, most) in [(LARGE, MOST_KEPT), (MOST_BYTES / 8 / 3, 2)] {
            let mut others = Others::default();
            let messages: Vec<_> = (0..=most).map(|_| Message::of(len, &mut others)).collect();
            let cache = SegmentCache::new(Arc::new(others));
            messages.iter().for_each(|message| message.read(&cache).unwrap());
            let kept = messages.iter().map(|message| SharedSegment::find(message.0).is_some());
            assert!(kept.eq((0..=most).map(|number| number > 0)));
        }
    }

    #[test]
    fn an_unknown_segment_is_gone() {
        let message = Message::of(LARGE, &mut Others::default());
        let read = message.read(&SegmentCache::new(Arc::new(Others::default())));
        assert_eq!(read, Err(pool_ipc::WireFault::Segment(SegmentFault::Gone)));
    }
}
