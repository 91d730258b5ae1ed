//! The table of segments that travel with a message.
//!
//! Bytes on the board carry no descriptor: a handle of a shared object writes the index of its
//! segment in this table, and the decoder finds the identity there. A broker leads from the
//! identity to the segment.
//!
//! Invariant: while a handle to an object lies in a message that the sender still keeps, the sender
//! keeps its segment.

use std::{fmt, sync::Arc};

use pool_shm::{
    SegmentFault, SegmentId, SharedSegment,
    wire::{GiveSegment, TakeSegment},
};

use super::{Decoder, Encoding};

/// Leads other processes to the segments of this one, and this one to theirs.
pub trait SegmentBroker: Send + Sync {
    /// Sees to it that others can have the segment as long as this process has it. Called before
    /// the first handle to an object in it is sent.
    ///
    /// # Errors
    ///
    /// Whatever keeps others from having it.
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault>;

    /// A segment that is not mapped here.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::Gone`] if no process has it any more; whatever keeps it from being mapped.
    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault>;
}

/// What an encoding met: segments in the order of their first handle, each once, and alive.
#[derive(Default)]
pub(super) struct EncodedSegments {
    segments: Vec<SharedSegment>,
    pub(super) broker: Option<Arc<dyn SegmentBroker>>,
}

impl EncodedSegments {
    #[inline]
    pub(super) fn segments(&self) -> &[SharedSegment] {
        &self.segments
    }

    /// Forgets all but the first `len` segments.
    pub(super) fn truncate(&mut self, len: usize) {
        self.segments.truncate(len);
    }

    pub(super) fn take(&mut self) -> Vec<SharedSegment> {
        std::mem::take(&mut self.segments)
    }
}

/// What came with a message.
#[derive(Default)]
pub(super) struct ReceivedSegments {
    ids: Vec<SegmentId>,
    pub(super) broker: Option<Arc<dyn SegmentBroker>>,
}

impl ReceivedSegments {
    #[inline]
    pub(super) fn replace(&mut self, ids: &[SegmentId]) {
        self.ids.clear();
        self.ids.extend_from_slice(ids);
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.ids.clear();
    }

    pub(super) fn swap(&mut self, ids: &mut Vec<SegmentId>) {
        std::mem::swap(&mut self.ids, ids);
    }
}

impl fmt::Debug for ReceivedSegments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.ids).finish()
    }
}

impl GiveSegment for Encoding {
    fn give_segment(&mut self, segment: &SharedSegment) -> Result<u32, SegmentFault> {
        let met = &mut self.segments;
        // From the end: values that follow each other tend to have the same.
        if let Some(index) = met.segments.iter().rposition(|known| known == segment) {
            return Ok(index as u32);
        }
        if met.segments.len() == crate::Manifest::MOST {
            return Err(SegmentFault::NotCarried);
        }
        if let Some(broker) = &met.broker
            && !self.counting
        {
            broker.register(segment)?;
        }
        met.segments.push(segment.clone());
        Ok(met.segments.len() as u32 - 1)
    }
}

impl TakeSegment for Decoder {
    fn take_segment(&mut self, index: u32) -> Result<SharedSegment, SegmentFault> {
        let ReceivedSegments { ids, broker } = &self.segments;
        let id = *ids.get(index as usize).ok_or(SegmentFault::NotSent)?;
        match (SharedSegment::find(id), broker) {
            (Some(known), _) => Ok(known),
            (None, Some(broker)) => broker.fetch(id),
            (None, None) => Err(SegmentFault::Gone),
        }
    }
}
