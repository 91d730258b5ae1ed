//! Buffers that a job works with and leaves to the next one, which uses their memory again.

use std::{collections::VecDeque, sync::Arc};

use pool_ipc::{AlignedBytes, Decoder, Encoder, SegmentBroker, board::SlotIndex};

use super::results::Message;

/// Sets of buffers that are kept at most.
const MOST_SPARE: usize = 8;
/// Bytes of scratch that are kept with a set of buffers at most.
const MOST_SCRATCH: usize = 64 << 10;

/// Buffers of one job, empty at its beginning.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Where the session puts what arrives; it lies in the job's inbox while the job is open.
    pub(super) messages: VecDeque<Message>,
    /// What the job has taken from its inbox.
    pub(crate) taken: VecDeque<Message>,
    /// Slots whose results the job has read.
    pub(crate) released: Vec<SlotIndex>,
    /// Private copies of results.
    pub(crate) scratch: AlignedBytes,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
}

impl Buffers {
    pub(super) fn new(broker: Arc<dyn SegmentBroker>) -> Self {
        let mut buffers = Self::default();
        buffers.encoder.set_broker(broker.clone());
        buffers.decoder.set_broker(broker);
        buffers
    }
}

impl Buffers {
    /// Empties the buffers; keeps their memory, but for a large scratch.
    #[inline]
    pub(crate) fn clear(&mut self) {
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

/// Buffers of jobs that are over.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "jobs hold their buffers boxed")]
pub(super) struct BufferPool(Vec<Box<Buffers>>);

impl BufferPool {
    #[inline]
    pub(super) fn take(&mut self, make: impl FnOnce() -> Buffers) -> Box<Buffers> {
        self.0.pop().unwrap_or_else(|| Box::new(make()))
    }

    #[inline]
    pub(super) fn put(&mut self, mut buffers: Box<Buffers>) {
        buffers.clear();
        if self.0.len() < MOST_SPARE {
            self.0.push(buffers);
        }
    }
}

#[cfg(test)]
mod tests {
    use pool_ipc::batch::BatchWriter;
    use pool_shm::{SharedArray, SharedSegment};

    use super::*;

    #[test]
    fn buffers_that_are_put_back_keep_no_segment_alive() {
        let array = SharedArray::<u64>::new(100_000).unwrap();
        let id = array.block().segment().id();
        let mut buffers = Box::new(Buffers::default());
        let mut room = AlignedBytes::new();
        room.resize(4096);
        // SAFETY: the bytes are owned here, aligned, and as many.
        let mut writer = unsafe { BatchWriter::new(room.as_mut_ptr(), 4096, 1) };
        writer.push(&array, &mut buffers.encoder).unwrap();
        drop(array);
        assert!(SharedSegment::find(id).is_some(), "the job would have sent it");

        let mut spare = BufferPool::default();
        spare.put(buffers);
        assert!(SharedSegment::find(id).is_none());
    }
}
