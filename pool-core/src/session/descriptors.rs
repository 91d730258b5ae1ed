//! Which descriptors of this process belong to pools, so that a snapshot can give up just those.
//!
//! Invariant: a number is listed from its creation until just before it is closed.

use std::{
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

static LISTED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

fn listed() -> MutexGuard<'static, Vec<RawFd>> {
    LISTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lists a descriptor.
pub(crate) fn list(fd: BorrowedFd<'_>) {
    listed().push(fd.as_raw_fd());
}

/// Takes a descriptor off the list; it is closed next.
pub(crate) fn unlist(fd: BorrowedFd<'_>) {
    let mut listed = listed();
    if let Some(at) = listed.iter().position(|raw| *raw == fd.as_raw_fd()) {
        listed.swap_remove(at);
    }
}

/// The descriptors that belong to pools of this process now.
pub(crate) fn own_descriptors() -> OwnDescriptors {
    OwnDescriptors(listed().clone())
}

/// See [`own_descriptors`].
pub(crate) struct OwnDescriptors(Vec<RawFd>);

impl OwnDescriptors {
    /// In a forked child that never uses the pools it inherited: closes their descriptors.
    pub(crate) fn close(&self) {
        for fd in &self.0 {
            // SAFETY: the owners of these descriptors are values of the parent's that this process
            // has a copy of and never touches.
            unsafe { libc::close(*fd) };
        }
    }
}
