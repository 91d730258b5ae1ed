//! A descriptor that a pool keeps for long in a process that runs code of the user.
//!
//! Invariant: if the program has closed all descriptors meanwhile, and has opened another file at
//! this number, that file is not used, and not closed with this value. Sockets and files are known
//! by their inode. Event counters and pidfds share one inode, so they carry a mark (`fds.rs`). If
//! another pool of this process has got the number, the table of owners says so.

use std::{
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use nix::{errno::Errno, sys::stat::fstat};

use super::fds::{increment_counter, is_marked, mark, out_of_the_way, reset_counter};

/// The owner of each number. There is no lock, so that a fork at any time finds the table usable.
/// Relaxed: an owner compares its own entry only, which a later owner of the number has replaced.
static OWNERS: [AtomicU32; 1 << 14] = [const { AtomicU32::new(0) }; 1 << 14];
static LAST_OWNER: AtomicU32 = AtomicU32::new(0);

/// An owned descriptor with a high number, which code of the user may close without harm.
#[derive(Debug)]
pub(crate) struct KeptFd {
    fd: ManuallyDrop<OwnedFd>,
    file: FileId,
    owner: u32,
}

impl KeptFd {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let fd = out_of_the_way(fd)?;
        let file = FileId::of(fd.as_fd()).ok_or_else(Errno::last)?;
        if file.is_shared {
            mark(fd.as_fd())?;
        }
        let owner = LAST_OWNER.fetch_add(1, Relaxed).wrapping_add(1);
        if let Some(entry) = entry_of(fd.as_raw_fd()) {
            entry.store(owner, Relaxed);
        }
        Ok(Self { fd: ManuallyDrop::new(fd), file, owner })
    }

    /// Whether the number still leads to the file of this value.
    pub(crate) fn is_intact(&self) -> bool {
        self.has_number() && self.file.is_at(self.as_fd())
    }

    /// The descriptor, to be used at once.
    ///
    /// # Errors
    ///
    /// `EBADF` when the number leads to another file by now.
    pub(crate) fn intact(&self) -> io::Result<BorrowedFd<'_>> {
        if self.is_intact() { Ok(self.as_fd()) } else { Err(Errno::EBADF.into()) }
    }

    /// The file that this value was made for.
    pub(crate) fn file(&self) -> FileId {
        self.file
    }

    /// Adds one to the event counter; answers whether it is still there. May be called in a signal
    /// handler.
    pub(crate) fn increment(&self) -> bool {
        // A later owner of the number has another counter, which must not be written to.
        self.has_number() && increment_counter(self.as_fd())
    }

    /// Sets the event counter to 0; answers whether it is still there.
    pub(crate) fn reset(&self) -> bool {
        self.has_number() && reset_counter(self.as_fd())
    }

    /// Whether no other kept descriptor has got the number since.
    fn has_number(&self) -> bool {
        entry_of(self.as_raw_fd()).is_none_or(|entry| entry.load(Relaxed) == self.owner)
    }
}

/// The entry of a number in the table; numbers beyond its end have none.
fn entry_of(number: RawFd) -> Option<&'static AtomicU32> {
    OWNERS.get(usize::try_from(number).ok()?)
}

/// What distinguishes the file behind a descriptor from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Whether many files share this inode: those without a file type.
    is_shared: bool,
}

impl FileId {
    /// The file behind `fd`, if that is open. May be called in a signal handler.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        let stat = fstat(fd).ok()?;
        let is_shared = stat.st_mode & libc::S_IFMT == 0;
        Some(Self { device: stat.st_dev, inode: stat.st_ino, is_shared })
    }

    /// Whether `fd` leads to this file.
    pub(crate) fn is_at(self, fd: BorrowedFd<'_>) -> bool {
        Self::of(fd) == Some(self) && (!self.is_shared || is_marked(fd))
    }
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
        if self.is_intact() {
            // SAFETY: it is dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::eventfd::{EfdFlags, EventFd},
        unistd::dup2_raw,
    };

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
        crate::os::sys::close(kept.as_raw_fd());
        drop(kept);
    }

    fn counter() -> OwnedFd {
        EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK).unwrap().into()
    }

    #[test]
    fn a_counter_of_the_programs_is_told_apart() {
        let kept = KeptFd::new(counter()).unwrap();
        assert!(kept.is_intact() && kept.intact().is_ok());
        // SAFETY: the number is that of `kept`, which is not used any more but to be dropped.
        let other = unsafe { dup2_raw(counter(), kept.as_raw_fd()) }.unwrap();
        assert!(!kept.is_intact() && kept.intact().is_err());
        drop(kept);
        assert!(fstat(&other).is_ok());
    }

    #[test]
    fn a_later_owner_of_the_number_keeps_it() {
        let first = KeptFd::new(counter()).unwrap();
        let number = first.as_raw_fd();
        // SAFETY: the number is that of `first`, which is not used any more but to be dropped.
        let second = KeptFd::new(unsafe { dup2_raw(counter(), number) }.unwrap()).unwrap();
        assert_eq!(second.as_raw_fd(), number);
        assert!(!first.is_intact());
        drop(first);
        assert!(second.is_intact());
    }
}
