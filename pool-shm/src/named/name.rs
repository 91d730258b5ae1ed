//! Names of segments: which are valid, which file one means now, and how one is removed.
//!
//! Invariant: a process removes a name only while it holds a lock on the file that the name means,
//! and has looked again since. So no process that goes through here removes a file that another one
//! has just put in the place.

use std::{
    fs::File,
    os::{
        linux::fs::MetadataExt,
        unix::fs::{FileExt, MetadataExt as _},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    sys::{
        mman::{shm_open, shm_unlink},
        stat::Mode,
    },
    unistd::geteuid,
};

use super::head::{Fault, HEAD, check_magic};
use crate::Error;

/// Bytes a file name may have.
const NAME_MAX: usize = 255;
/// How often to look again while other processes change the same name.
pub(super) const ATTEMPTS: usize = 200;
const NO_FILE: &str = "it is no file";
const TOO_SHORT: &str = "it is too short";
const PAUSE: Duration = Duration::from_millis(5);

/// A name as the system wants it: with one slash, in front.
#[derive(Debug)]
pub(super) struct Name(String);

/// The identity of a file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// The file that a name means: it belongs to this user, and no other may open it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) id: FileId,
    pub(super) size: u64,
}

impl Name {
    pub(super) fn new(name: &str) -> Result<Self, Error> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let reason = match bare {
            "" => "it is empty",
            "." | ".." => "it is a directory",
            _ if bare.contains('/') => "it contains a slash",
            _ if bare.contains('\0') => "it contains a NUL",
            _ if bare.len() > NAME_MAX => "it has more than 255 bytes",
            _ => return Ok(Self(format!("/{bare}"))),
        };
        Err(Error::InvalidName { name: name.to_owned(), reason })
    }

    pub(super) fn as_path(&self) -> &str {
        &self.0
    }

    /// The name without the slash.
    pub(super) fn bare(&self) -> &str {
        &self.0[1..]
    }

    /// Turns the kernel's error about this name into one of this crate.
    pub(super) fn explain(&self, errno: Errno, doing: &'static str) -> Error {
        let name = self.bare().to_owned();
        match errno {
            Errno::ENOENT => Error::NotFound { name },
            Errno::EEXIST => Error::Exists { name },
            Errno::EACCES | Errno::EPERM => Error::WrongUser { name },
            errno => Error::os(doing, errno),
        }
    }

    pub(super) fn fault(&self, fault: Fault) -> Error {
        let name = self.bare().to_owned();
        match fault {
            Fault::Unfinished => Error::NotReady { name },
            Fault::Other(reason) => Error::NotASegment { name, reason },
        }
    }

    /// Opens the file that the name means now.
    pub(super) fn open(&self) -> Result<Found, Error> {
        let doing = "opening a named segment";
        let file = shm_open(self.as_path(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        let file = File::from(file.map_err(|errno| match errno {
            // A directory, if the C library lets it pass; a symbolic link, which is not followed; a
            // socket.
            Errno::EINVAL | Errno::EISDIR | Errno::ELOOP | Errno::ENXIO => {
                self.fault(Fault::Other(NO_FILE))
            }
            errno => self.explain(errno, doing),
        })?);
        let found = file.metadata().map_err(|source| Error::os(doing, source))?;
        if !found.is_file() {
            return Err(self.fault(Fault::Other(NO_FILE)));
        }
        if found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(Error::WrongUser { name: self.bare().to_owned() });
        }
        let id = FileId { device: found.st_dev(), inode: found.st_ino() };
        Ok(Found { file, id, size: found.len() })
    }

    /// Whether the name means this file now.
    pub(super) fn means(&self, id: FileId) -> Result<bool, Error> {
        match self.open() {
            Ok(found) => Ok(found.id == id),
            Err(Error::NotFound { .. } | Error::WrongUser { .. } | Error::NotASegment { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the name while it means the file `wanted` or, without one, any segment, finished or
    /// not; returns whether it was there to remove.
    pub(super) fn remove(&self, wanted: Option<FileId>) -> Result<bool, Error> {
        let doing = "removing a named segment";
        for _ in 0..ATTEMPTS {
            let found = match self.open() {
                Err(Error::NotFound { .. }) => return Ok(false),
                found => found?,
            };
            match wanted {
                Some(wanted) if wanted != found.id => return Ok(false),
                Some(_) => {}
                None => found.is_removable().map_err(|fault| self.fault(fault))?,
            }
            let id = found.id;
            match Flock::lock(found.file, FlockArg::LockExclusiveNonblock) {
                Ok(_lock) if self.means(id)? => {
                    return match shm_unlink(self.as_path()) {
                        // A program that takes no locks was faster.
                        Err(Errno::ENOENT) => Ok(false),
                        removed => removed.map(|()| true).map_err(|e| self.explain(e, doing)),
                    };
                }
                // Replaced meanwhile.
                Ok(_) => {}
                // Another process is just removing it.
                Err((_, Errno::EWOULDBLOCK)) if wanted.is_some() => return Ok(false),
                Err((_, Errno::EWOULDBLOCK)) => thread::sleep(PAUSE),
                Err((_, errno)) => return Err(Error::os(doing, errno)),
            }
        }
        Err(Error::os(doing, Errno::EWOULDBLOCK))
    }
}

impl Found {
    /// Whether there is room for a head. A maker gives a file its whole size at once.
    pub(super) fn check_size(&self) -> Result<(), Fault> {
        match self.size {
            0 => Err(Fault::Unfinished),
            size if size < HEAD as u64 => Err(Fault::Other(TOO_SHORT)),
            _ => Ok(()),
        }
    }

    /// Whether it is a segment, or was going to be one.
    fn is_removable(&self) -> Result<(), Fault> {
        match self.check_size() {
            Err(Fault::Unfinished) => return Ok(()),
            checked => checked?,
        }
        let mut magic = [0; 8];
        self.file.read_exact_at(&mut magic, 0).map_err(|_| Fault::Other(TOO_SHORT))?;
        match check_magic(u64::from_ne_bytes(magic)) {
            Err(Fault::Unfinished) => Ok(()),
            checked => checked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Name::new("a b.c-d_ü").unwrap().as_path(), "/a b.c-d_ü");
        assert_eq!(Name::new("/portable").unwrap().bare(), "portable");
        for bad in ["", "/", ".", "..", "/..", "a/b", "//a", "a\0b", &"x".repeat(256)] {
            let error = Name::new(bad).unwrap_err();
            assert!(matches!(&error, Error::InvalidName { name, .. } if name == bad), "{error}");
        }
        assert!(Name::new(&"x".repeat(255)).is_ok());
    }
}
