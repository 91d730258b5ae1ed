//! What the end of a connection about segments means.

use pool_ipc::SegmentFault;

/// Whether the fault is that the other end of the connection is closed.
pub(crate) fn is_disconnected(fault: SegmentFault) -> bool {
    matches!(fault, SegmentFault::Os(libc::EPIPE | libc::ECONNRESET))
}

/// What a fault means while the zygote lives: it closes a connection at once for which it has no
/// descriptor.
pub(crate) fn while_zygote_lives(fault: SegmentFault) -> SegmentFault {
    if is_disconnected(fault) { SegmentFault::NoDescriptors } else { fault }
}
