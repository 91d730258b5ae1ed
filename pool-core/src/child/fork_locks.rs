//! The locks of this folder while this process is forked.
//!
//! Invariant: a process forked by this library can take every lock of this folder, whatever other
//! threads did at the fork; all forks take the locks in one order, that of [`ForkLocks::take`].

use std::sync::MutexGuard;

use super::{
    children::{self, Children},
    deliveries::{self, Deliveries},
    identity::{self, Known},
    server_link::{self, ServerOfProcess},
};

/// The locks, taken. The child has a copy of them, which it drops as its parent drops the original.
pub(crate) struct ForkLocks {
    _known: MutexGuard<'static, Known>,
    _children: MutexGuard<'static, Children>,
    _deliveries: MutexGuard<'static, Deliveries>,
    _server: MutexGuard<'static, ServerOfProcess>,
}

impl ForkLocks {
    /// Takes the locks, before that of the list of descriptors (`own_descriptors`), which a thread
    /// may ask for while it holds one of these.
    pub(crate) fn take() -> Self {
        Self {
            _known: identity::locked(),
            _children: children::locked(),
            _deliveries: deliveries::locked(),
            _server: server_link::locked(),
        }
    }
}
