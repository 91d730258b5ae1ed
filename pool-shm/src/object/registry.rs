//! The segments of shared objects that this process has mapped, by identity.
//!
//! Invariant: the registry keeps nothing alive, and as long as a segment is mapped here a handle to
//! it maps nothing again.

use std::collections::HashMap;

use super::{
    SegmentId, SharedSegment, identity::Content, per_process::PerProcess, segment::WeakSegment,
};
use crate::Error;

/// A forked child keeps the parent's registry: it has the same mappings. But a child that was
/// forked while another thread was in here begins with an empty one: it maps what it is sent once
/// more, and `sync/leaked.rs` does not see the locks that it inherited. Such a child comes only
/// from an `unsafe` fork of a program with threads, and by the contract of `fork` it neither locks
/// nor starts threads.
static REGISTRY: PerProcess<Registry> = PerProcess::new(Option::unwrap_or_default);

#[derive(Default)]
struct Registry {
    segments: HashMap<SegmentId, WeakSegment>,
    /// From this size on, an insertion removes entries of segments that are gone.
    sweep_at: usize,
}

/// The segment, if it is mapped here.
pub(super) fn find(id: SegmentId) -> Option<SharedSegment> {
    // Without a registry nothing was ever registered.
    let registry = REGISTRY.lock().ok()?;
    let found = registry.segments.get(&id).and_then(WeakSegment::upgrade);
    drop(registry); // before `found` might turn out to be the last one
    // One whose descriptor the program has closed does not count, so another is needed.
    found.filter(SharedSegment::is_present)
}

/// The segments without memory.
pub(super) fn presences() -> Vec<SharedSegment> {
    let Ok(registry) = REGISTRY.lock() else { return Vec::new() };
    let sockets = registry.segments.iter().filter(|(id, _)| id.content() == Content::Socket);
    sockets.filter_map(|(_, segment)| segment.upgrade()).collect()
}

/// Forgets a segment, so that a handle to it leads to another descriptor.
pub(super) fn forget(id: SegmentId) {
    if let Ok(mut registry) = REGISTRY.lock() {
        registry.segments.remove(&id);
    }
}

/// All segments that are mapped here.
pub(super) fn all() -> Vec<SharedSegment> {
    let Ok(registry) = REGISTRY.lock() else { return Vec::new() };
    registry.segments.values().filter_map(WeakSegment::upgrade).collect()
}

/// Registers a segment that was just mapped; if another thread was faster, its segment is the one
/// to use.
pub(super) fn insert(segment: SharedSegment) -> Result<SharedSegment, Error> {
    let mut registry = REGISTRY.lock()?;
    let known = registry.segments.get(&segment.id()).and_then(WeakSegment::upgrade);
    let is_absent = |known: &SharedSegment| !known.is_present();
    let absent = known.as_ref().is_some_and(is_absent);
    if known.is_none() || absent {
        if registry.segments.len() >= registry.sweep_at {
            registry.segments.retain(|_, segment| segment.is_alive());
            registry.sweep_at = 2 * registry.segments.len() + 32;
        }
        registry.segments.insert(segment.id(), segment.downgrade());
    }
    drop(registry); // before one of the two is unmapped
    Ok(known.filter(|_| !absent).unwrap_or(segment))
}
