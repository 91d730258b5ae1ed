//! Results on their way to their job, which decodes them (`job/process_transport.rs`): in the arena
//! of the worker that made them, or copied away from there because the worker needs the room.

use std::sync::Arc;

use pool_ipc::{
    AlignedBytes, Manifest, SegmentBroker, SegmentFault, SegmentId, Wire, batch::BatchReader,
    board::Incarnation, board::SlotIndex,
};
use pool_shm::SharedSegment;

use super::arenas::WorkerArena;
use crate::{engine::MeasureResults, error::TaskError, ids::ItemIndex, ids::WorkerId};

/// Results of consecutive items.
#[derive(Debug)]
pub(crate) struct ResultBatch {
    /// Position in the job's input of the first one.
    pub(crate) first: ItemIndex,
    /// How many there are.
    pub(crate) count: usize,
    /// How many results the batch has room for.
    pub(super) capacity: usize,
    pub(super) measure: MeasureResults,
    pub(crate) nanos: u64,
    pub(super) place: Lying,
}

/// Where the bytes of results lie.
#[derive(Debug)]
pub(super) enum Lying {
    InArena { arena: Arc<WorkerArena>, offset: usize, slot: SlotIndex, manifest: Option<Manifest> },
    Private(Box<Spilled>),
}

/// A private copy of results.
#[derive(Debug)]
pub(super) struct Spilled {
    worker: WorkerId,
    bytes: AlignedBytes,
    segments: Vec<SegmentId>,
    /// Those of the segments that could be mapped.
    #[expect(dead_code, reason = "they are kept alive")]
    held: Vec<SharedSegment>,
}

/// An aligned address of no bytes.
const NOWHERE: *const u8 = std::ptr::without_provenance(AlignedBytes::ALIGN);

impl ResultBatch {
    /// The slot that has to be released when the batch was read.
    pub(crate) fn slot(&self) -> Option<SlotIndex> {
        match &self.place {
            Lying::InArena { slot, .. } => Some(*slot),
            Lying::Private(_) => None,
        }
    }

    /// The worker that made the results.
    #[cold]
    pub(crate) fn worker(&self) -> WorkerId {
        match &self.place {
            Lying::InArena { arena, .. } => arena.worker,
            Lying::Private(spilled) => spilled.worker,
        }
    }

    /// A reader of the results, and whether their bytes are private already.
    pub(crate) fn reader<R: Wire>(&self) -> (BatchReader<R>, bool) {
        let (base, room, private) = match &self.place {
            Lying::InArena { .. } => {
                let (base, room) = self.arena_bytes().unwrap_or((NOWHERE, 0));
                (base, room, false)
            }
            Lying::Private(spilled) => (spilled.bytes.as_ptr(), spilled.bytes.len(), true),
        };
        // SAFETY: the bytes are mapped as long as this batch holds them, and the caller's reader
        // does not outlive it (readers stay inside the functions that hold the batch). Blocks of
        // arenas are aligned; `arena_bytes` refuses an offset of a scribbled board that is not.
        (unsafe { BatchReader::new(base, room, self.capacity) }, private)
    }

    /// Base and room of the results in the arena; `None` if the board named no block of it.
    #[inline]
    fn arena_bytes(&self) -> Option<(*const u8, usize)> {
        let Lying::InArena { arena, offset, .. } = &self.place else { return None };
        let room = arena.len().checked_sub(*offset)?.min(usize::try_from(arena.limit).ok()?);
        if !offset.is_multiple_of(AlignedBytes::ALIGN) {
            return None;
        }
        // SAFETY: `offset <= len`, so it stays within the mapping.
        Some((unsafe { arena.as_ptr().add(*offset).cast_const() }, room))
    }

    /// Whether there are handles in the results.
    #[inline]
    pub(crate) fn has_segments(&self) -> bool {
        match &self.place {
            Lying::InArena { manifest, .. } => manifest.is_some(),
            Lying::Private(spilled) => !spilled.segments.is_empty(),
        }
    }

    /// The segments that the handles in the results need; their worker keeps them until the slot is
    /// released.
    #[cold]
    pub(crate) fn segments(&self) -> Vec<SegmentId> {
        match &self.place {
            Lying::InArena { manifest: None, .. } => Vec::new(),
            Lying::InArena { manifest: Some(manifest), arena, .. } => {
                // SAFETY: the arena is mapped as long as it is held here. What lies outside is no
                // table, and without one no handle is decoded.
                unsafe { manifest.read(arena.as_ptr(), arena.len()) }.unwrap_or_default()
            }
            Lying::Private(spilled) => spilled.segments.clone(),
        }
    }

    /// Copies the bytes out of the arena, and has the segments mapped; answers with the slot that
    /// can be released now.
    pub(super) fn move_out(&mut self, broker: &dyn SegmentBroker) -> Option<SlotIndex> {
        let slot = self.slot()?;
        let segments = if self.has_segments() { self.segments() } else { Vec::new() };
        // Where a segment cannot be mapped now, decoding its handle fails.
        let mut held = Vec::new();
        for id in &segments {
            match SharedSegment::find(*id).map_or_else(|| broker.fetch(*id), Ok) {
                Ok(segment) => held.push(segment),
                // The parent waits here only once for a zygote that does not answer.
                Err(SegmentFault::NoAnswer) => break,
                Err(_) => {}
            }
        }
        let mut copy = AlignedBytes::new();
        if let Some((base, room)) = self.arena_bytes() {
            // SAFETY: `base..base + room` is mapped and aligned.
            let len = unsafe { (self.measure)(base, room, self.capacity, self.count) };
            // SAFETY: as above, `len <= room`; an end that lies outside leaves the copy empty, and
            // reading it fails.
            unsafe { copy.copy_from(base, len.unwrap_or(0), 0) };
        }
        let worker = self.worker();
        self.place = Lying::Private(Box::new(Spilled { worker, bytes: copy, segments, held }));
        Some(slot)
    }

    /// Whether the bytes lie in the arena of `incarnation`.
    pub(super) fn is_of(&self, incarnation: Incarnation) -> bool {
        matches!(&self.place, Lying::InArena { arena, .. } if arena.incarnation == incarnation)
    }
}

/// What a job finds in its inbox.
#[derive(Debug)]
pub(crate) enum Message {
    Results(ResultBatch),
    Failed(TaskError),
    Ended { bytes: u64 },
}
