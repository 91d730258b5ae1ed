//! What a job works with and leaves to the next one: buffers that have room already.

use std::{collections::VecDeque, sync::Arc};

use super::results::Message;
use pool_ipc::{AlignedBytes, Decoder, Encoder, SegmentBroker};

/// Kits that are kept.
const MOST_SPARE: usize = 8;
/// Bytes of scratch that are kept with a kit.
const MOST_SCRATCH: usize = 64 << 10;

/// Buffers of one job, empty at its beginning.
#[derive(Debug, Default)]
pub(crate) struct Kit {
    /// Where the session puts what arrives; it is in the job's inbox meanwhile.
    pub(super) messages: VecDeque<Message>,
    /// What the job has taken from its inbox.
    pub(crate) taken: VecDeque<Message>,
    /// Slots whose results the job has read.
    pub(crate) released: Vec<usize>,
    /// Private copies of results.
    pub(crate) scratch: AlignedBytes,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
}

impl Kit {
    pub(super) fn new(broker: Arc<dyn SegmentBroker>) -> Self {
        let mut kit = Self::default();
        kit.encoder.set_broker(broker.clone());
        kit.decoder.set_broker(broker);
        kit
    }
}

impl Kit {
    /// Empties it, and keeps what room is worth keeping.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        for messages in [&mut self.messages, &mut self.taken] {
            if !messages.is_empty() {
                messages.clear();
            }
        }
        self.released.clear();
        if !self.encoder.segments().is_empty() {
            self.encoder.take_segments();
        }
        if self.scratch.capacity() > MOST_SCRATCH {
            self.scratch = AlignedBytes::new();
        }
    }
}

/// Kits of jobs that are over.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "jobs hold their kits boxed")]
pub(super) struct Spare(Vec<Box<Kit>>);

impl Spare {
    #[inline]
    pub(super) fn take(&mut self, make: impl FnOnce() -> Kit) -> Box<Kit> {
        self.0.pop().unwrap_or_else(|| Box::new(make()))
    }

    pub(super) fn put(&mut self, mut kit: Box<Kit>) {
        kit.tidy();
        if self.0.len() < MOST_SPARE {
            self.0.push(kit);
        }
    }
}

#[cfg(test)]
mod tests {
    use pool_ipc::batch::BatchWriter;
    use pool_shm::{SharedArray, SharedSegment};

    use super::*;

    #[test]
    fn a_kit_that_is_put_back_keeps_no_segment_alive() {
        let array = SharedArray::<u64>::new(100_000).unwrap();
        let id = array.block().segment().id();
        let mut kit = Box::new(Kit::default());
        let mut room = AlignedBytes::new();
        room.resize(4096);
        // SAFETY: the bytes are ours, aligned, and as many.
        let mut writer = unsafe { BatchWriter::new(room.as_mut_ptr(), 4096, 1) };
        writer.push(&array, &mut kit.encoder).unwrap();
        drop(array);
        assert!(SharedSegment::find(id).is_some(), "the job would have sent it");

        let mut spare = Spare::default();
        spare.put(kit);
        assert!(SharedSegment::find(id).is_none());
    }
}
