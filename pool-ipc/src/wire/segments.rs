//! The table of segments that travel with a message.
//!
//! Bytes on the board carry no descriptor: a handle of a shared object writes the index of its segment in this table, and whoever
//! decodes finds the identity there.
//!
//! Invariant: while a handle to an object lies in a message that the sender still keeps, the sender keeps its segment.

use pool_shm::{
    SegmentFault, SegmentId, SharedSegment,
    wire::{GiveSegment, TakeSegment},
};

use super::{Decoder, Encoding};

/// What an encoding met: segments in the order of their first handle, each once, and alive.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<SharedSegment>);

impl Given {
    pub(super) fn segments(&self) -> &[SharedSegment] {
        &self.0
    }

    /// Forgets all but the first `len` segments.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn take(&mut self) -> Vec<SharedSegment> {
        std::mem::take(&mut self.0)
    }
}

/// What came with a message.
#[derive(Debug, Default)]
pub(super) struct Sent(Vec<SegmentId>);

impl Sent {
    pub(super) fn replace(&mut self, ids: &[SegmentId]) {
        self.0.clear();
        self.0.extend_from_slice(ids);
    }
}

impl GiveSegment for Encoding {
    fn give_segment(&mut self, segment: &SharedSegment) -> Result<u32, SegmentFault> {
        let given = &mut self.segments.0;
        let index = given.iter().position(|known| known == segment).unwrap_or_else(|| {
            given.push(segment.clone());
            given.len() - 1
        });
        u32::try_from(index).map_err(|_| SegmentFault::NotCarried)
    }
}

impl TakeSegment for Decoder {
    fn take_segment(&mut self, index: u32) -> Result<SharedSegment, SegmentFault> {
        let id = self.segments.0.get(index as usize).ok_or(SegmentFault::NotSent)?;
        SharedSegment::find(*id).ok_or(SegmentFault::Gone)
    }
}
