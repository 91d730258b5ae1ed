//! A named segment as one process sees it.
//!
//! Invariant: the mapping begins with a finished [`Head`] and has the size that the head names.
//! Only the creating process removes the name, and only while it means this segment. Unlike a memfd
//! the file can be shrunk by a process that may open it: only one of the same user.

use std::{fmt, fs::File, io, num::NonZeroU64, os::unix::fs::FileExt, ptr::NonNull};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::mman::{MmapAdvise, madvise},
};
use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::{
    head::{HEAD, Head},
    name::{ATTEMPTS, FileId, Name},
};
use crate::{
    Error, SegmentId, array::bulk, core_dump::are_objects_dumped, fork_mark::this_process,
    limits::file_size, object::Content,
};

/// Memory that unrelated programs of one user find by its name (a file under `/dev/shm` of mode
/// 0600), mapped to read and write.
///
/// The creator removes the name when it drops the value; others keep what they have mapped. A
/// forked child's drop or exit removes nothing. A creator that is killed leaves the name behind:
/// the next [`create`](Self::create) is [`Error::Exists`], and
/// [`create_or_replace`](Self::create_or_replace) begins afresh.
///
/// ```
/// use pool_shm::{Error, NamedSegment};
///
/// let name = format!("weather.{}", std::process::id());
/// let ours = NamedSegment::create(&name, 4096)?;
/// let theirs = NamedSegment::open(&name)?;
/// ours.write_at(0, b"sunny")?;
/// let mut weather = [0; 5];
/// theirs.read_at(0, &mut weather)?;
/// assert_eq!(&weather, b"sunny");
/// assert!(matches!(NamedSegment::create(&name, 1), Err(Error::Exists { .. })));
/// drop(ours);
/// assert!(matches!(NamedSegment::open(&name), Err(Error::NotFound { .. })));
/// # Ok::<(), Error>(())
/// ```
pub struct NamedSegment {
    shmem: Shmem,
    name: Name,
    /// The file, and the process that removes its name.
    creator: Option<(FileId, NonZeroU64)>,
}

// SAFETY: `Shmem` is a pointer to a mapping and its file number; neither belongs to a thread, and
// `&self` gives out copies of them only.
unsafe impl Send for NamedSegment {}
// SAFETY: as above.
unsafe impl Sync for NamedSegment {}

impl NamedSegment {
    /// Creates a segment of `len` bytes, all zero, and takes its memory at once, so that a full
    /// `/dev/shm` is an error here and not a fault later.
    ///
    /// A name has up to 255 bytes, no slash (but one in front is ignored) and no NUL.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if the name is taken or left over, [`Error::InvalidName`],
    /// [`Error::Empty`], [`Error::TooLong`] past `RLIMIT_FSIZE`, and [`Error::Os`] when memory,
    /// descriptors or address space are used up.
    pub fn create(name: &str, len: u64) -> Result<Self, Error> {
        let name = Name::new(name)?;
        let process = this_process()?;
        let id = SegmentId::random(Content::Plain)?;
        let size = creatable(len)?;
        let shmem = ShmemConf::new().os_id(name.as_path()).size(size).create();
        let mut shmem = shmem.map_err(|e| explained(e, &name, "creating a named segment"))?;
        let found = match name.open() {
            // Dropping `shmem` removes the name.
            Err(error @ Error::Os { .. }) => return Err(error),
            found => found,
        };
        keep_out_of_dumps(&shmem);
        // The crate `shared_memory` would remove the name whatever it means, and in every forked
        // child, and not at all if the file has number 0.
        shmem.set_owner(false);
        // Another process took it for a leftover and replaced it already: the file of this name is
        // not ours to remove.
        let replaced = || Error::Exists { name: name.bare().to_owned() };
        let found = found.map_err(|_| replaced())?;
        if found.size != size as u64 {
            return Err(replaced());
        }
        if let Err(error) = reserve(&found.file, size) {
            // The caller gets one error: if the name cannot be removed it stays, as it does when a
            // creator is killed.
            let _ = name.remove(Some(found.id));
            return Err(error);
        }
        head_of(&shmem).begin(len, id);
        if !bears(&found.file, id) {
            return Err(replaced());
        }
        head_of(&shmem).finish();
        Ok(Self { shmem, name, creator: Some((found.id, process)) })
    }

    /// Creates a segment like [`create`](Self::create), after removing an older one of this name:
    /// one that a killed program left behind, finished or not, or one in use. Programs that have
    /// mapped the older one keep it, and no program finds it any more.
    ///
    /// ```
    /// use pool_shm::NamedSegment;
    ///
    /// let name = format!("restarted.{}", std::process::id());
    /// let before = NamedSegment::create_or_replace(&name, 4096)?;
    /// let now = NamedSegment::create_or_replace(&name, 8192)?;
    /// drop(before); // it removes no name that means something else by now
    /// assert_eq!(NamedSegment::open(&name)?.id(), now.id());
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`create`](Self::create) and [`unlink`](Self::unlink). [`Error::Exists`] only
    /// if other programs replace it all the time.
    pub fn create_or_replace(name: &str, len: u64) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            match Self::create(name, len) {
                Err(Error::Exists { .. }) => Name::new(name)?.remove(None)?,
                created => return created,
            };
        }
        Err(Error::Exists { name: name.to_owned() })
    }

    /// Opens a segment that another process created.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such name, [`Error::NotReady`] if its maker has not
    /// finished it (yet), [`Error::WrongUser`] if it belongs to another user or others may open it
    /// too, [`Error::NotASegment`] if it is something else or was cut, [`Error::InvalidName`], and
    /// [`Error::Os`].
    pub fn open(name: &str) -> Result<Self, Error> {
        let name = Name::new(name)?;
        for _ in 0..ATTEMPTS {
            let found = name.open()?;
            found.check_size().map_err(|fault| name.fault(fault))?;
            let shmem = match ShmemConf::new().os_id(name.as_path()).open() {
                // Replaced meanwhile by one that has no bytes yet.
                Err(ShmemError::MapOpenFailed(code)) if code as i32 == libc::EINVAL => continue,
                opened => opened,
            };
            let shmem = shmem.map_err(|e| explained(e, &name, "opening a named segment"))?;
            keep_out_of_dumps(&shmem);
            // A file that lost its name gets it back only by its user's own act: if the name means
            // the same file before and after, that file was mapped between.
            if shmem.len() as u64 == found.size && name.means(found.id)? {
                let checked = head_of(&shmem).check(found.size);
                checked.map_err(|fault| name.fault(fault))?;
                return Ok(Self { shmem, name, creator: None });
            }
        }
        Err(Error::NotReady { name: name.bare().to_owned() })
    }

    /// Removes a name, for one that a killed program left behind. Programs that have mapped the
    /// segment keep it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidName`], [`Error::WrongUser`], [`Error::NotASegment`] if
    /// the name means something else, and [`Error::Os`].
    pub fn unlink(name: &str) -> Result<(), Error> {
        let name = Name::new(name)?;
        match name.remove(None)? {
            true => Ok(()),
            false => Err(Error::NotFound { name: name.bare().to_owned() }),
        }
    }

    /// Lets the name stay when this value is dropped: the segment outlives its creator, until
    /// [`unlink`](Self::unlink) is called or the system ends.
    pub fn keep_name(&mut self) {
        self.creator = None;
    }

    /// The name, without a slash in front.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.bare()
    }

    /// The random identity that the segment was created with: it tells whether two programs have
    /// the same segment.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        head_of(&self.shmem).id()
    }

    /// Copies bytes from `offset` on into `target`, at nearly the speed of `memcpy`. Concurrent
    /// writes of others are seen byte by byte: let them tell when they are complete.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many, and nothing is copied.
    pub fn read_at(&self, offset: usize, target: &mut [u8]) -> Result<(), Error> {
        let from = self.range(offset, target.len())?;
        // SAFETY: the range is mapped; others write it by this crate's copies, by atomics, or by
        // `as_ptr` and promises of their own. `target` is the caller's.
        unsafe { bulk::read(from, target.as_mut_ptr(), target.len()) };
        Ok(())
    }

    /// Copies `source` to the bytes from `offset` on.
    ///
    /// ```
    /// use pool_shm::{Error, NamedSegment};
    ///
    /// let name = format!("notes.{}", std::process::id());
    /// let ours = NamedSegment::create(&name, 100)?;
    /// ours.write_at(90, b"see you")?;
    /// let mut note = [0; 7];
    /// NamedSegment::open(&name)?.read_at(90, &mut note)?;
    /// assert_eq!(&note, b"see you");
    /// assert!(matches!(ours.write_at(94, b"see you"), Err(Error::OutOfRange { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many, and nothing is copied.
    pub fn write_at(&self, offset: usize, source: &[u8]) -> Result<(), Error> {
        let to = self.range(offset, source.len())?;
        // SAFETY: as in `read_at`; `source` is borrowed, so it does not change.
        unsafe { bulk::write(to, source.as_ptr(), source.len()) };
        Ok(())
    }

    /// Where `len` bytes from `offset` on begin.
    fn range(&self, offset: usize, len: usize) -> Result<*mut u8, Error> {
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            let (offset, len) = (offset as u64, len as u64);
            return Err(Error::OutOfRange { offset, len, size: self.len() as u64 });
        }
        // SAFETY: `offset` is at most the length.
        Ok(unsafe { self.as_ptr().add(offset) })
    }

    /// The first byte; it lies at a multiple of 64.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: the mapping has a head and at least one byte behind it.
        unsafe { self.shmem.as_ptr().add(HEAD) }
    }

    /// Bytes in the segment; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no segment is empty")]
    pub fn len(&self) -> usize {
        self.shmem.len() - HEAD
    }
}

impl Drop for NamedSegment {
    fn drop(&mut self) {
        let Some((file, creator)) = self.creator else { return };
        if this_process().is_ok_and(|process| process == creator) {
            // Drop cannot report an error: the name stays, as it does when a creator is killed.
            let _ = self.name.remove(Some(file));
        }
    }
}

impl fmt::Debug for NamedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSegment")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("len", &self.len())
            .field("creator", &self.creator.is_some())
            .finish()
    }
}

/// Keeps a mapping out of core dumps, unless they are to contain shared objects.
fn keep_out_of_dumps(shmem: &Shmem) {
    if are_objects_dumped() {
        return;
    }
    let Some(start) = NonNull::new(shmem.as_ptr()) else { return };
    // SAFETY: the range is the mapping of `shmem`; the advice changes nothing that a program sees.
    let kept = unsafe { madvise(start.cast(), shmem.len(), MmapAdvise::MADV_DONTDUMP) };
    // A kernel that does not know this advice dumps it, which is no reason to fail.
    let _ = kept;
}

/// The head of a mapping that is at least as long.
fn head_of(shmem: &Shmem) -> &Head {
    debug_assert!(shmem.len() >= HEAD);
    // SAFETY: mapped as long as `shmem`, at the beginning of a page; a head consists of atomics, so
    // others may write it at any time.
    unsafe { &*shmem.as_ptr().cast::<Head>() }
}

/// Whether the head in this file has this identity.
fn bears(file: &File, id: SegmentId) -> bool {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).is_ok() && Head::id_in(&head) == id
}

/// The size of a file for `len` bytes, if this process may create one. Asking first matters: past
/// the limit the kernel sends SIGXFSZ, which ends the process.
fn creatable(len: u64) -> Result<usize, Error> {
    let limit = file_size().unwrap_or(u64::MAX).min(isize::MAX as u64).saturating_sub(HEAD as u64);
    match usize::try_from(len) {
        Ok(0) => Err(Error::Empty),
        Ok(size) if len <= limit => Ok(size + HEAD),
        _ => Err(Error::TooLong { len, limit }),
    }
}

fn reserve(file: &File, size: usize) -> Result<(), Error> {
    loop {
        match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size as i64) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("taking the memory of a named segment", errno)),
        }
    }
}

/// Turns an error of `shared_memory` into one of this crate.
fn explained(error: ShmemError, name: &Name, doing: &'static str) -> Error {
    match error {
        ShmemError::MappingIdExists => name.explain(Errno::EEXIST, doing),
        ShmemError::MapSizeZero => Error::Empty,
        ShmemError::MapCreateFailed(code)
        | ShmemError::MapOpenFailed(code)
        | ShmemError::UnknownOsError(code) => name.explain(Errno::from_raw(code as i32), doing),
        other => Error::os(doing, io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert!(matches!(creatable(0), Err(Error::Empty)));
        for len in [isize::MAX as u64 - 1, u64::MAX] {
            assert!(matches!(creatable(len), Err(Error::TooLong { len: got, .. }) if got == len));
        }
    }
}
