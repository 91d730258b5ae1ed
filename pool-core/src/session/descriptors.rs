//! Which descriptors of this process belong to pools, so that a snapshot can give up just those.
//!
//! Invariant: a number is listed from its creation until just before it is closed.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard},
};

use crate::{birth::KeptFd, mutex::lock};

static LISTED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

fn listed() -> MutexGuard<'static, Vec<RawFd>> {
    lock(&LISTED)
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

/// A descriptor that is listed as long as it is open.
#[derive(Debug)]
pub(crate) struct Listed(KeptFd);

impl Listed {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let fd = KeptFd::new(fd)?;
        list(fd.as_fd());
        Ok(Self(fd))
    }
}

impl AsFd for Listed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        unlist(self.as_fd());
    }
}

/// The descriptors that belong to pools of this process. As long as this is held, the list does not change: also in a child that is
/// forked meanwhile, where nobody else could give the list back.
pub(crate) fn own_descriptors() -> OwnDescriptors {
    OwnDescriptors(listed())
}

/// See [`own_descriptors`].
pub(crate) struct OwnDescriptors(MutexGuard<'static, Vec<RawFd>>);

impl OwnDescriptors {
    /// In a forked child that never uses the pools it inherited: closes their descriptors. Their numbers may be used again, by pools
    /// of the child's own too.
    pub(crate) fn close(mut self) {
        for fd in self.0.drain(..) {
            // SAFETY: the owners of these descriptors are values of the parent's that this process
            // has a copy of and never touches.
            unsafe { libc::close(fd) };
        }
    }
}
