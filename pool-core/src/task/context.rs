//! The context of a job, in a worker.
//!
//! Invariant: a worker process decodes a context when a task first needs it, and at most once for
//! each context.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_ipc::{Decoder, SegmentId, Wire, WireFault, batch::BatchReader};

/// The context of a job in a worker process: bytes in the parent's arena until a task needs it.
#[doc(hidden)]
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct ContextCell {
    /// The context's number, never used again for another one; 0: none.
    pub(crate) wanted: u64,
    /// Where the encoded context begins, and how many bytes lie from there on.
    pub(crate) bytes: Option<(*const u8, usize)>,
    /// The segments that its handles need.
    pub(crate) segments: Vec<SegmentId>,
    decoded: Option<(u64, Box<dyn Any>)>,
    /// The segments of the decoded context.
    held: Vec<SegmentId>,
}

impl ContextCell {
    /// The context that the chunk names, decoded when this worker first uses it.
    pub(super) fn get<C: Wire>(&mut self, decoder: &mut Decoder) -> Result<&C, WireFault> {
        if self.decoded.as_ref().is_none_or(|(id, _)| *id != self.wanted) {
            self.decoded = None;
            self.held.clone_from(&self.segments);
            let (base, room) = self.bytes.ok_or(WireFault::Invalid)?;
            // SAFETY: the parent's arena is mapped for the life of the worker, and the block of a
            // context is not used again before every chunk that names it has ended.
            let reader = unsafe { BatchReader::<C>::new(base, room, 1) };
            decoder.swap_segments(&mut self.segments);
            let context = reader.decode(0, decoder);
            decoder.swap_segments(&mut self.segments);
            self.decoded = Some((self.wanted, Box::new(context?)));
        }
        let decoded = self.decoded.as_ref().and_then(|(_, any)| any.downcast_ref::<C>());
        decoded.ok_or(WireFault::Invalid)
    }

    /// Whether the decoded context contains handles.
    pub(crate) fn keeps(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops a context that keeps a segment which the parent has released: its job is over.
    pub(crate) fn release(&mut self, gone: impl Fn(SegmentId) -> bool) {
        if self.held.iter().any(|id| gone(*id)) {
            self.held.clear();
            let decoded = self.decoded.take();
            // A panic in the user's drop must not end the worker.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(decoded))) {
                std::mem::forget(panic);
            }
        }
    }
}
