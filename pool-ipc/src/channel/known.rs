//! The channels that this process has, and its endpoints of them, so that a second handle to one
//! leads to the first.
//!
//! Invariant: the table keeps nothing alive. An endpoint that does not count as present, since it
//! was inherited from a process that had it before the fork, is not found.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use pool_shm::{Error, PerProcess, SegmentId};

use super::endpoint::{Channel, Endpoint};

/// A forked child keeps the parent's table: it has the same memory.
static KNOWN: PerProcess<Known> = PerProcess::new(Option::unwrap_or_default);

#[derive(Default)]
struct Known {
    /// By the segment of their memory.
    channels: BTreeMap<SegmentId, Weak<Channel>>,
    /// By the segment that tells of the presence of their side.
    endpoints: BTreeMap<SegmentId, Weak<Endpoint>>,
}

/// The channel in this segment, made by `make` if this process does not have it yet.
pub(super) fn channel<E: From<Error>>(
    id: SegmentId,
    make: impl FnOnce() -> Result<Channel, E>,
) -> Result<Arc<Channel>, E> {
    let mut known = KNOWN.lock()?;
    if let Some(channel) = known.channels.get(&id).and_then(Weak::upgrade) {
        return Ok(channel);
    }
    known.channels.retain(|_, channel| channel.strong_count() > 0);
    let channel = Arc::new(make()?);
    known.channels.insert(id, Arc::downgrade(&channel));
    Ok(channel)
}

/// The endpoint of this process of the side whose presence this segment tells, made by `make` if
/// there is none.
pub(super) fn endpoint(
    id: SegmentId,
    make: impl FnOnce() -> Endpoint,
) -> Result<Arc<Endpoint>, Error> {
    let mut known = KNOWN.lock()?;
    let mut absent = None; // dropped without the lock
    match known.endpoints.get(&id).and_then(Weak::upgrade) {
        Some(endpoint) if endpoint.is_present() => return Ok(endpoint),
        endpoint => absent.clone_from(&endpoint),
    }
    known.endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
    let endpoint = Arc::new(make());
    known.endpoints.insert(id, Arc::downgrade(&endpoint));
    drop(known);
    drop(absent);
    Ok(endpoint)
}
