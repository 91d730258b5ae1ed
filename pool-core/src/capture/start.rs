//! The beginning of the capture in a worker.

use std::sync::Arc;

use pool_shm::Mapping;

use super::{
    logger,
    origin::{self, Origin},
    record::{Encoding, Head, KIND_FOREIGN_LOGGER},
};

/// Makes this process capture for the area at `offset` of the mapping, into the ring with this
/// number. Called by workers before any code of the user; where the offset is 0, nothing is
/// captured.
pub(crate) fn begin(mapping: &Arc<Mapping>, offset: u64, ring: usize) {
    if offset == 0 {
        return;
    }
    let Some(origin) = Origin::open(mapping, offset, ring) else { return };
    let is_ours = logger::begin();
    let origin = origin::set_current(origin);
    #[cfg(feature = "tracing")]
    super::trace::begin();
    if !is_ours {
        say_foreign(origin);
    }
}

/// Tells the parent that this process has another logger.
#[cold]
fn say_foreign(origin: &Origin) {
    let mut bytes = Vec::new();
    let head = Head { kind: KIND_FOREIGN_LOGGER, level: 0, line: None, pid: origin.pid };
    if let Some(encoding) = Encoding::begin(&mut bytes, origin.most, head, [None; 3]) {
        encoding.end(format_args!(""));
        origin.hand_over(&bytes);
    }
}

/// Takes a level that the user's start-up code has set for what is not captured, and lets all
/// records come to the logger again.
pub(crate) fn settle() {
    if origin::current().is_some() {
        logger::settle();
    }
}
