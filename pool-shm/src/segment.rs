//! Shared memory without a name: a memfd that cannot shrink.
//!
//! Invariant: the file behind a `Segment` carries `F_SEAL_SHRINK` and has at least `len` bytes, so
//! no holder of the descriptor can make an access to a mapping of it fault.

use std::{
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, FdFlag, SealFlag, fallocate, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::ProtFlags,
        stat::{FileStat, fstat},
    },
    unistd::ftruncate,
};

use crate::{
    Error, Mapping,
    limits::{file_size, inner_pages, locked_memory, page_size},
    object,
    region::{Region, View},
    sys,
};

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Bytes the kernel takes for the label of a memfd, without the closing NUL.
const LABEL_MAX: usize = 249;

/// Memory that processes share by passing its descriptor on: a memfd sealed against shrinking,
/// closed on exec.
///
/// Its pages take memory when they are touched first.
///
/// ```
/// use pool_shm::Segment;
///
/// let segment = Segment::create("frames", 1 << 30)?; // costs nothing yet
/// let (ours, theirs) = (segment.map()?, segment.map_read_only()?);
/// // SAFETY: both bytes are mapped, and no other code has the segment.
/// unsafe {
///     ours.as_ptr().add(5).write(42);
///     assert_eq!(theirs.as_ptr().add(5).read(), 42);
/// }
/// # Ok::<(), pool_shm::Error>(())
/// ```
#[derive(Debug)]
pub struct Segment {
    fd: ManuallyDrop<OwnedFd>,
    /// Device and inode of the memfd.
    file: (u64, u64),
    len: u64,
}

impl Segment {
    /// A fresh segment of `len` bytes, rounded up to whole pages, all zero.
    ///
    /// `name` is a label for `/proc/self/maps`; it need not be unique.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for length 0, [`Error::TooLong`] past `RLIMIT_FSIZE`,
    /// [`Error::InvalidName`] for a label with a NUL or of more than 249 bytes, [`Error::Os`] when
    /// descriptors are used up.
    pub fn create(name: &str, len: u64) -> Result<Self, Error> {
        if name.len() > LABEL_MAX || name.contains('\0') {
            let reason = "a label has at most 249 bytes and no NUL";
            return Err(Error::InvalidName { name: name.to_owned(), reason });
        }
        let len = creatable(len)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd =
            memfd_create(name, flags).map_err(|source| Error::os("creating a segment", source));
        let fd = above_standard(fd?)?;
        ftruncate(&fd, len as i64).map_err(|source| Error::os("sizing a segment", source))?;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))
            .map_err(|source| Error::os("sealing a segment", source))?;
        let stat = fstat(&fd).map_err(|source| Error::os("measuring a segment", source))?;
        Ok(Self::of(fd, &stat, len))
    }

    fn of(fd: OwnedFd, stat: &FileStat, len: u64) -> Self {
        Self { fd: ManuallyDrop::new(fd), file: (stat.st_dev, stat.st_ino), len }
    }

    /// Whether the number still leads to this segment: a program that closes all descriptors, as
    /// daemons do, may have given it to a file of its own.
    fn is_intact(&self) -> bool {
        fstat(&*self.fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.file)
    }

    /// The descriptor, for operations that change the file; an error if the number leads elsewhere.
    fn intact(&self) -> Result<&OwnedFd, Error> {
        if self.is_intact() {
            return Ok(&self.fd);
        }
        Err(Error::os("finding a segment by its descriptor", Errno::EBADF))
    }

    /// The segment behind a descriptor, usually one that another process sent.
    ///
    /// # Errors
    ///
    /// [`Error::NotSealed`] if it is anything but a memfd sealed against shrinking,
    /// [`Error::Empty`] if it has no bytes, [`Error::HoldsObjects`] if it is a
    /// [`SharedSegment`](crate::SharedSegment): references lead into those, and each holder of a
    /// `Segment` can take its pages away. The descriptor is closed then.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let segment = Self::of_any_content(fd)?;
        if object::begins_at(&segment.fd)? {
            return Err(Error::HoldsObjects);
        }
        Ok(segment)
    }

    /// Makes a segment like [`from_fd`](Self::from_fd), even if there are objects in it; it must
    /// not be handed out.
    pub(crate) fn of_any_content(fd: OwnedFd) -> Result<Self, Error> {
        // Files that are not memfds answer EINVAL, or have no seal but the one against seals.
        let seals = fcntl(&fd, FcntlArg::F_GET_SEALS).map_err(|_| Error::NotSealed)?;
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Err(Error::NotSealed);
        }
        // After the seals: the values read now stay.
        let stat = fstat(&fd).map_err(|source| Error::os("measuring a segment", source))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if len == 0 {
            return Err(Error::Empty);
        }
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|source| Error::os("closing a segment on exec", source))?;
        Ok(Self::of(above_standard(fd)?, &stat, len))
    }

    /// Bytes in the segment when this value was made or has grown; never 0, and never more than
    /// there are.
    #[expect(clippy::len_without_is_empty, reason = "no segment is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Makes the segment at least `len` bytes long, rounded up to whole pages; new ones are zero.
    /// Mappings keep the length that they have: map again to see more. Other holders of the
    /// descriptor may have made it longer still.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] past `RLIMIT_FSIZE`, [`Error::Os`] after
    /// [`seal_content`](Self::seal_content). The segment is as before.
    pub fn grow(&mut self, len: u64) -> Result<(), Error> {
        let wanted = creatable(len)?;
        loop {
            let stat =
                fstat(self.intact()?).map_err(|source| Error::os("measuring a segment", source))?;
            self.len = u64::try_from(stat.st_size).unwrap_or(self.len);
            if self.len >= wanted {
                return Ok(());
            }
            match ftruncate(&*self.fd, wanted as i64) {
                Ok(()) | Err(Errno::EINTR) => {}
                // Another process has made it longer meanwhile, so this would have cut it.
                Err(Errno::EPERM) if !self.content_is_sealed()? => {}
                Err(errno) => return Err(Error::os("growing a segment", errno)),
            }
        }
    }

    /// Duplicates the descriptor; both values are the same segment.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors are used up.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let fd =
            self.intact()?.try_clone().map_err(|source| Error::os("cloning a segment", source))?;
        Ok(Self { fd: ManuallyDrop::new(fd), file: self.file, len: self.len })
    }

    /// The descriptor, to be sent to another process.
    pub fn into_fd(self) -> OwnedFd {
        let mut segment = ManuallyDrop::new(self);
        // SAFETY: taken once, from a value that is not dropped.
        unsafe { ManuallyDrop::take(&mut segment.fd) }
    }

    /// Maps all of it to read and write, shared with every other mapping. Neither touches nor
    /// reserves memory, but in a program that locks what it maps (`mlockall` with `MCL_FUTURE`):
    /// there all of it is taken at once.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, or after
    /// [`seal_content`](Self::seal_content); [`Error::MemoryLocked`] where the program may lock no
    /// more.
    pub fn map(&self) -> Result<Mapping, Error> {
        let map = Region::new(self.intact()?, self.size()?, READ_WRITE, View::Shared);
        Ok(Mapping::new(map.map_err(|errno| self.mapping_failed(errno))?, true))
    }

    /// Maps all of it to read and write, and takes no memory for untouched pages, even where the
    /// program locks what it maps: for segments that are far larger than what will be used.
    ///
    /// ```
    /// use pool_shm::Segment;
    ///
    /// let mapping = Segment::create("sparse", 1 << 40)?.map_unlocked()?;
    /// // SAFETY: the byte is mapped, and no other code has the segment.
    /// unsafe { mapping.as_ptr().add(1 << 39).write(1) };
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`map`](Self::map): for a moment the mapping counts as locked all the same.
    pub fn map_unlocked(&self) -> Result<Mapping, Error> {
        let map = Region::unlocked(self.intact()?, self.size()?, READ_WRITE);
        Ok(Mapping::new(map.map_err(|errno| self.mapping_failed(errno))?, true))
    }

    /// Maps all of it to read; it shows what others write.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, [`Error::MemoryLocked`] where the program
    /// may lock no more.
    pub fn map_read_only(&self) -> Result<Mapping, Error> {
        let size = self.size()?;
        let map = match Region::new(self.intact()?, size, ProtFlags::PROT_READ, View::Shared) {
            // Some kernels (before 6.7) refuse a shared mapping of a file sealed against writing,
            // even one to read. A private mapping shows the same, because no process can write the
            // segment any more.
            Err(Errno::EPERM) if self.content_is_sealed()? => {
                Region::new(self.intact()?, size, ProtFlags::PROT_READ, View::Private)
            }
            result => result,
        };
        Ok(Mapping::new(map.map_err(|errno| self.mapping_failed(errno))?, false))
    }

    /// Maps all of it to read, without taking memory; see [`map_unlocked`](Self::map_unlocked).
    ///
    /// # Errors
    ///
    /// The errors of [`map_read_only`](Self::map_read_only).
    pub fn map_read_only_unlocked(&self) -> Result<Mapping, Error> {
        let map = Region::unlocked(self.intact()?, self.size()?, ProtFlags::PROT_READ);
        Ok(Mapping::new(map.map_err(|errno| self.mapping_failed(errno))?, false))
    }

    /// Gives the memory of the whole pages inside the range back to the system; they read as zero
    /// afterwards.
    ///
    /// Code that makes references out of a [`Mapping`]'s pointer must ensure that their range is
    /// not punched. References of this crate lead into segments of objects, which no process has as
    /// a `Segment` ([`SharedSegment::open`](crate::SharedSegment::open) demands it).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], or [`Error::Os`] after [`seal_content`](Self::seal_content).
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), Error> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Error::OutOfRange { offset, len, size: self.len });
        }
        let Some((start, len)) = inner_pages(offset, len) else {
            return Ok(());
        };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(self.intact()?, flags, start as i64, len as i64)
            .map_err(|source| Error::os("giving pages of a segment back", source))
    }

    /// Fixes content and size for ever: afterwards no process can write, punch or grow the segment.
    ///
    /// # Errors
    ///
    /// [`Error::StillWritable`] while any process maps it writable.
    pub fn seal_content(&self) -> Result<(), Error> {
        match fcntl(
            self.intact()?,
            FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW),
        ) {
            Ok(_) => Ok(()),
            Err(Errno::EBUSY) => Err(Error::StillWritable),
            Err(errno) => Err(Error::os("sealing the content of a segment", errno)),
        }
    }

    /// Whether [`seal_content`](Self::seal_content) was called, by any process.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the kernel does not say.
    pub fn content_is_sealed(&self) -> Result<bool, Error> {
        let seals = fcntl(&*self.fd, FcntlArg::F_GET_SEALS)
            .map_err(|source| Error::os("reading the seals of a segment", source))?;
        Ok(SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE))
    }

    /// The length as that of a mapping.
    fn size(&self) -> Result<usize, Error> {
        usize::try_from(self.len)
            .map_err(|_| Error::TooLong { len: self.len, limit: usize::MAX as u64 })
    }

    fn mapping_failed(&self, errno: Errno) -> Error {
        refused_mapping(self.len, errno)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.is_intact() {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) }
        }
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Moves the descriptor to a number behind standard input, output and errors: in a program that has
/// closed those, its output would be written into the segment, and a worker that is given new ones
/// would lose the segment.
pub(crate) fn above_standard(fd: OwnedFd) -> Result<OwnedFd, Error> {
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    sys::duplicate_above(fd.as_fd(), libc::STDERR_FILENO)
        .map_err(|source| Error::os("moving a segment's descriptor", source))
}

/// Why `len` bytes cannot be mapped.
pub(crate) fn refused_mapping(len: u64, errno: Errno) -> Error {
    match errno {
        // For a mapping the kernel returns this only because of locked memory.
        Errno::EAGAIN => Error::MemoryLocked { len, limit: locked_memory().unwrap_or(u64::MAX) },
        errno => Error::os("mapping a segment", errno),
    }
}

/// `len` rounded up to whole pages, if this process may create a file of that length. Asking first
/// matters: past the limit the kernel sends SIGXFSZ, which ends the process.
pub(crate) fn creatable(len: u64) -> Result<u64, Error> {
    if len == 0 {
        return Err(Error::Empty);
    }
    let longest = i64::MAX as u64 / page_size() as u64 * page_size() as u64;
    let limit = file_size().map_or(longest, |limit| limit.min(longest));
    match len.checked_next_multiple_of(page_size() as u64) {
        Some(rounded) if rounded <= limit => Ok(rounded),
        _ => Err(Error::TooLong { len, limit }),
    }
}
