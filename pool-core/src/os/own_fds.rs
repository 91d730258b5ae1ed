//! Which descriptors of this process belong to pools, so that a snapshot can close just those.
//!
//! Invariant: a number is listed from its creation until just before it is closed.

use std::{
    io,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard},
};

use super::kept_fd::{FileId, KeptFd};
use crate::mutex::lock;

static LISTED: Mutex<Vec<(RawFd, Option<FileId>)>> = Mutex::new(Vec::new());

fn listed() -> MutexGuard<'static, Vec<(RawFd, Option<FileId>)>> {
    lock(&LISTED)
}

/// Lists a descriptor.
pub(crate) fn list(fd: BorrowedFd<'_>) {
    listed().push((fd.as_raw_fd(), FileId::of(fd)));
}

/// Lists the descriptor that `make` makes. No process of a pool is forked between the two steps.
pub(crate) fn list_made<T: AsFd>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut listed = listed();
    let made = make()?;
    listed.push((made.as_fd().as_raw_fd(), FileId::of(made.as_fd())));
    Ok(made)
}

/// Takes the number of a fresh descriptor off the list: the program has closed the descriptor that
/// was listed with it, and its owner does not know.
pub(crate) fn forget_number(fd: BorrowedFd<'_>) {
    listed().retain(|(raw, _)| *raw != fd.as_raw_fd());
}

/// Takes a descriptor off the list, just before it is closed.
pub(crate) fn unlist(fd: BorrowedFd<'_>) {
    let mut listed = listed();
    if let Some(at) = listed.iter().position(|(raw, _)| *raw == fd.as_raw_fd()) {
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

    /// Lists the first of two descriptors that `make` makes. No process of a pool is forked between
    /// the two steps, which would have a copy.
    pub(crate) fn with_other(
        make: impl FnOnce() -> io::Result<(OwnedFd, OwnedFd)>,
    ) -> io::Result<(Self, OwnedFd)> {
        let mut listed = listed();
        let (fd, other) = make()?;
        let fd = KeptFd::new(fd)?;
        listed.push((fd.as_raw_fd(), FileId::of(fd.as_fd())));
        Ok((Self(fd), other))
    }
}

impl Deref for Listed {
    type Target = KeptFd;

    fn deref(&self) -> &KeptFd {
        &self.0
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

/// Locks the list of the descriptors that belong to pools of this process. As long as the answer is
/// held, the list does not change; a child that is forked meanwhile holds its copy of the lock, and
/// can release it.
pub(crate) fn own_descriptors() -> OwnDescriptors {
    OwnDescriptors(listed())
}

/// The locked list of the descriptors that belong to pools of this process.
pub(crate) struct OwnDescriptors(MutexGuard<'static, Vec<(RawFd, Option<FileId>)>>);

impl OwnDescriptors {
    /// Closes the descriptors, in a forked child that never uses the pools it inherited. Their
    /// numbers may be used again, also by pools of the child's own.
    pub(crate) fn close(mut self) {
        for (fd, file) in self.0.drain(..) {
            // SAFETY: the owners of these descriptors are values of the parent that this process
            // has a copy of and never touches. A file that the program has put there stays open.
            unsafe {
                if file.is_some_and(|file| file.is_at(BorrowedFd::borrow_raw(fd))) {
                    libc::close(fd);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_locked_until_a_new_descriptor_is_on_it() {
        let make = || {
            assert!(LISTED.try_lock().is_err());
            let (reader, writer) = nix::unistd::pipe()?;
            Ok((writer, reader))
        };
        let (writer, reader) = Listed::with_other(make).unwrap();
        let on_it = |fd: RawFd| listed().iter().any(|(listed, _)| *listed == fd);
        assert!(on_it(writer.as_fd().as_raw_fd()) && !on_it(reader.as_raw_fd()));
        let number = writer.as_fd().as_raw_fd();
        let id = FileId::of(writer.as_fd());
        drop(writer);
        assert!(!listed().contains(&(number, id)));
    }
}
