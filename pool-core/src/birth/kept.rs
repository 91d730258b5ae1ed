//! A descriptor that a process of the user's keeps for long.
//!
//! Invariant: what the program has opened at its number meanwhile, after it has closed all
//! descriptors, is not closed with it.

use std::{
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::sys::stat::fstat;

use super::descriptors::out_of_the_way;

/// An owned descriptor with a high number, whose owner survives that it is closed by others.
#[derive(Debug)]
pub(crate) struct KeptFd {
    fd: ManuallyDrop<OwnedFd>,
    file: Option<(u64, u64)>,
}

impl KeptFd {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let fd = out_of_the_way(fd)?;
        let file = file_of(fd.as_fd());
        Ok(Self { fd: ManuallyDrop::new(fd), file })
    }
}

/// What tells the file behind a descriptor from others.
fn file_of(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

impl AsFd for KeptFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for KeptFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for KeptFd {
    fn drop(&mut self) {
        let file = file_of(self.as_fd());
        if file.is_some() && file == self.file {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::dup2_raw;

    use super::*;

    #[test]
    fn what_others_have_put_in_its_place_stays() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let kept = KeptFd::new(reader).unwrap();
        let number = kept.as_raw_fd();
        // Another file: both ends of a pipe are one.
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: the number is that of `kept`, which is not used any more but to be dropped.
        let other = unsafe { dup2_raw(&file, number) }.unwrap();
        drop(kept);
        assert!(fstat(&other).is_ok());

        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let number = reader.as_raw_fd();
        let kept = KeptFd::new(reader).unwrap();
        assert_ne!(kept.as_raw_fd(), number);
        super::super::sys::close(kept.as_raw_fd());
        drop(kept);
    }
}
