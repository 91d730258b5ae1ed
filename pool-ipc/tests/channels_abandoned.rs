//! Endpoints that do not count any more, as in a forked child. A program of its own, since it lets
//! go of all that there are.
#![cfg(not(loom))]

#[path = "support/deadline.rs"]
mod deadline;

use std::time::Duration;

use deadline::within_a_minute;
use pool_ipc::{
    SegmentFault, WireFault,
    channel::{Select, channel},
    to_bytes,
};
use pool_shm::SharedSegment;

const SOON: Duration = Duration::from_secs(20);

/// The time counts also where the descriptor of a receiver says nothing any more.
#[test]
fn a_selection_ends_in_time_without_its_descriptors() {
    within_a_minute(|| {
        let (sender, receiver) = channel::<u64>(4).unwrap();
        let mut select = Select::new();
        select.recv(&receiver);
        SharedSegment::presences().iter().for_each(SharedSegment::abandon);
        assert_eq!(select.try_ready().unwrap(), None);
        assert_eq!(select.ready_timeout(Duration::from_millis(20)).unwrap(), None);
        sender.send(1).unwrap();
        assert_eq!(select.ready_timeout(SOON).unwrap(), Some(0));
        assert_eq!(receiver.recv().unwrap(), 1);
        let gone = WireFault::Segment(SegmentFault::Gone);
        assert_eq!(to_bytes(&sender).map(drop), Err(gone));
    });
}
