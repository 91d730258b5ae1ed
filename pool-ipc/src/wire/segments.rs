//! The table of segments that travel with a message.
//!
//! Bytes on the board carry no descriptor: a handle of a shared object writes the index of its
//! segment in this table, and whoever decodes finds the identity there.

/// The random 128-bit identity of a shared segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentId(pub u128);

/// Segments in the order in which an encoding met them, each once.
#[derive(Debug, Default)]
pub(super) struct Segments(Vec<SegmentId>);

impl Segments {
    pub(super) fn index_of(&mut self, id: SegmentId) -> u32 {
        let index = self.0.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        });
        u32::try_from(index).expect("a message cannot hold 2^32 segments: each index takes 4 bytes")
    }

    pub(super) fn get(&self, index: u32) -> Option<SegmentId> {
        self.0.get(index as usize).copied()
    }

    pub(super) fn ids(&self) -> &[SegmentId] {
        &self.0
    }

    pub(super) fn replace(&mut self, ids: &[SegmentId]) {
        self.0.clear();
        self.0.extend_from_slice(ids);
    }
}
