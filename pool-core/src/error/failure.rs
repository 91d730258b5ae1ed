//! How a worker tells why an item failed.

use std::time::Duration;

use pool_ipc::{SegmentFault, SerdeFault, WireFault, wire};

use super::task::Cause;

wire! {
    /// What the worker knows of a failed item.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Failure {
        pub(crate) kind: FailureKind,
    }

    /// The kinds of failure that a worker survives.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum FailureKind {
        Panic { message: String, location: Option<String>, backtrace: Option<String> },
        Undecodable,
        BadResult,
        ResultTooLarge { bytes: u64, limit: u64 },
        Handle { fault: SegmentFault },
        Serde { fault: SerdeFault },
        Overdue { nanos: u64 },
    }
}

impl FailureKind {
    /// Why an item, or the argument of a process, could not be decoded.
    pub(crate) fn of_item(fault: WireFault) -> Self {
        match fault {
            WireFault::Segment(fault) => Self::Handle { fault },
            WireFault::Serde(fault) => Self::Serde { fault },
            _ => Self::Undecodable,
        }
    }

    /// Why a result could not be encoded.
    pub(crate) fn of_result(fault: WireFault) -> Self {
        match fault {
            WireFault::Segment(fault) => Self::Handle { fault },
            WireFault::Serde(fault) => Self::Serde { fault },
            _ => Self::BadResult,
        }
    }
}

impl From<FailureKind> for Cause {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Panic { message, location, backtrace } => {
                Self::Panic { message, location, backtrace }
            }
            FailureKind::Undecodable => Self::Undecodable,
            FailureKind::BadResult => Self::BadResult,
            FailureKind::ResultTooLarge { bytes, limit } => Self::ResultTooLarge { bytes, limit },
            FailureKind::Handle { fault } => Self::Handle(fault),
            FailureKind::Serde { fault } => Self::Serde(fault),
            FailureKind::Overdue { nanos } => Self::Timeout { limit: Duration::from_nanos(nanos) },
        }
    }
}
