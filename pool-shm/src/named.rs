//! Shared memory with a name, for programs that are not relatives.
//!
//! Invariant: a name is removed only by the process that created it, and only while it still means the segment that was
//! created. Unlike a memfd the file can be shrunk by anybody who may open it: that is the same user only.

use std::{
    fmt,
    fs::{File, Metadata},
    io,
    num::NonZeroU64,
    os::{fd::OwnedFd, linux::fs::MetadataExt},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, OFlag, fallocate},
    sys::{
        mman::{shm_open, shm_unlink},
        stat::Mode,
    },
};
use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::{Error, fork_mark::this_process, limits::file_size};

/// Bytes a file name may have.
const NAME_MAX: usize = 255;

/// Memory that unrelated programs of one user find by its name (a file under `/dev/shm` of mode 0600), mapped to read
/// and write.
///
/// The creator removes the name when it drops the value; others keep what they have mapped. A creator that is killed
/// leaves the name behind, so the next [`create`](Self::create) is [`Error::Exists`]. A forked child's drop removes
/// nothing.
///
/// ```
/// use pool_shm::{Error, NamedSegment};
///
/// let name = format!("weather.{}", std::process::id());
/// let ours = NamedSegment::create(&name, 4096)?;
/// let theirs = NamedSegment::open(&name)?;
/// // SAFETY: byte 0 is mapped on both sides, and nobody else has the segment.
/// unsafe {
///     ours.as_ptr().write(21);
///     assert_eq!(theirs.as_ptr().read(), 21);
/// }
/// drop(ours);
/// assert!(matches!(NamedSegment::open(&name), Err(Error::NotFound { .. })));
/// # Ok::<(), Error>(())
/// ```
pub struct NamedSegment {
    shmem: Shmem,
    creator: Option<Creator>,
}

/// Who may remove the name, and what the name must still mean.
struct Creator {
    process: NonZeroU64,
    file: (u64, u64),
}

// SAFETY: `Shmem` is a pointer to a mapping and its file number; neither belongs to a thread, and all that `&self`
// gives out are copies of them.
unsafe impl Send for NamedSegment {}
// SAFETY: as above.
unsafe impl Sync for NamedSegment {}

impl NamedSegment {
    /// Creates the segment and takes its memory at once, so that a full `/dev/shm` is an error here and not a fault
    /// later.
    ///
    /// A name has up to 255 bytes, no slash (but one in front is ignored) and no NUL.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if the name is taken or left over, [`Error::InvalidName`], [`Error::Empty`], [`Error::TooLong`]
    /// past `RLIMIT_FSIZE`, and [`Error::Os`] when memory, descriptors or address space are used up.
    pub fn create(name: &str, len: u64) -> Result<Self, Error> {
        let path = checked(name)?;
        let process = this_process()?;
        let size = creatable(len)?;
        let shmem = ShmemConf::new().os_id(&path).size(size).create();
        let shmem = shmem.map_err(|error| explained(error, name, "creating a named segment"))?;
        // Whatever fails from here on drops `shmem`, which removes the name again.
        let file = File::from(opened(&path)?);
        let metadata =
            file.metadata().map_err(|source| Error::os("measuring a named segment", source))?;
        reserve(&file, size)?;
        Ok(Self { shmem, creator: Some(Creator { process, file: identity(&metadata) }) })
    }

    /// Opens what another process created.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such name, [`Error::NotReady`] if its maker has not finished yet,
    /// [`Error::InvalidName`], and [`Error::Os`], for one when it belongs to another user.
    pub fn open(name: &str) -> Result<Self, Error> {
        let shmem = ShmemConf::new().os_id(checked(name)?).open();
        let shmem = shmem.map_err(|error| explained(error, name, "opening a named segment"))?;
        Ok(Self { shmem, creator: None })
    }

    /// Removes a name, for one that a killed program left behind. Those who have the segment keep it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidName`], and [`Error::Os`] when it belongs to another user.
    pub fn unlink(name: &str) -> Result<(), Error> {
        match shm_unlink(checked(name)?.as_str()) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) => Err(Error::NotFound { name: name.to_owned() }),
            Err(errno) => Err(Error::os("removing a named segment", errno)),
        }
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.shmem.as_ptr()
    }

    /// Bytes in the segment; never 0.
    #[expect(clippy::len_without_is_empty, reason = "no segment is empty")]
    pub fn len(&self) -> usize {
        self.shmem.len()
    }
}

impl Drop for NamedSegment {
    fn drop(&mut self) {
        let Some(creator) = &self.creator else { return };
        let ours = this_process().is_ok_and(|process| process == creator.process);
        let same = || {
            let found = File::from(opened(self.shmem.get_os_id())?).metadata();
            Ok::<_, Error>(found.is_ok_and(|found| identity(&found) == creator.file))
        };
        if !(ours && same().unwrap_or(false)) {
            self.shmem.set_owner(false);
        }
    }
}

impl fmt::Debug for NamedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSegment")
            .field("name", &self.shmem.get_os_id().trim_start_matches('/'))
            .field("len", &self.len())
            .field("creator", &self.creator.is_some())
            .finish()
    }
}

/// The name as the system wants it: with one slash, in front.
fn checked(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let reason = match bare {
        "" => "it is empty",
        "." | ".." => "it is a directory",
        _ if bare.contains('/') => "it contains a slash",
        _ if bare.contains('\0') => "it contains a NUL",
        _ if bare.len() > NAME_MAX => "it has more than 255 bytes",
        _ => return Ok(format!("/{bare}")),
    };
    Err(Error::InvalidName { name: name.to_owned(), reason })
}

/// `len` as a size, if this process may create a file of that length. Asking first matters: past the limit the kernel
/// sends SIGXFSZ, which ends the process.
fn creatable(len: u64) -> Result<usize, Error> {
    let limit = file_size().unwrap_or(u64::MAX).min(isize::MAX as u64);
    match usize::try_from(len) {
        Ok(0) => Err(Error::Empty),
        Ok(size) if len <= limit => Ok(size),
        _ => Err(Error::TooLong { len, limit }),
    }
}

fn opened(path: &str) -> Result<OwnedFd, Error> {
    shm_open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|source| Error::os("opening a named segment", source))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.st_dev(), metadata.st_ino())
}

fn reserve(file: &File, size: usize) -> Result<(), Error> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, size as i64) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("taking the memory of a named segment", errno)),
        }
    }
}

/// What `shared_memory` says, in this crate's terms.
fn explained(error: ShmemError, name: &str, doing: &'static str) -> Error {
    let name = || name.to_owned();
    match error {
        ShmemError::MappingIdExists => Error::Exists { name: name() },
        ShmemError::MapSizeZero => Error::Empty,
        ShmemError::MapCreateFailed(code)
        | ShmemError::MapOpenFailed(code)
        | ShmemError::UnknownOsError(code) => match Errno::from_raw(code as i32) {
            Errno::ENOENT => Error::NotFound { name: name() },
            // Nothing else makes mapping a whole file invalid but that it is empty.
            Errno::EINVAL => Error::NotReady { name: name() },
            errno => Error::os(doing, errno),
        },
        other => Error::os(doing, io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(checked("a b.c-d_ü").unwrap(), "/a b.c-d_ü");
        assert_eq!(checked("/portable").unwrap(), "/portable");
        for bad in ["", "/", ".", "..", "/..", "a/b", "//a", "a\0b", &"x".repeat(256)] {
            let error = checked(bad).unwrap_err();
            assert!(matches!(&error, Error::InvalidName { name, .. } if name == bad), "{error}");
        }
        assert!(checked(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn sizes_are_checked() {
        assert!(matches!(creatable(0), Err(Error::Empty)));
        assert!(matches!(creatable(u64::MAX), Err(Error::TooLong { len: u64::MAX, .. })));
    }
}
