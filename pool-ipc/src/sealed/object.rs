//! A sealed archive read as a value of its type.
//!
//! Invariant: the archive was checked when the object was made, in this process or in the one that
//! it was forked from, and cannot change.

use std::{fmt, ops::Deref, ptr::NonNull};

use super::{SealError, SealedArchive};
use crate::{Wire, WireFault, rkyv::Archive};

/// One value in memory that all processes share and none can change: encoded once, checked once per
/// process, and read in place as its archived form.
///
/// ```
/// # use pool_ipc as pool_api;
/// use pool_api::SharedObject;
///
/// let words = SharedObject::new(&vec![String::from("a"), String::from("word")])?;
/// assert_eq!(words[1].len(), 4);
/// # Ok::<(), pool_ipc::SealError>(())
/// ```
///
/// Copies of it are handles to the same memory, and are themselves [`Wire`]: items, results, parts
/// of other values. The shared objects whose handles lie in the value live as long as it does.
pub struct SharedObject<T: Wire> {
    archive: SealedArchive,
    /// Within the archive.
    root: NonNull<T::Archived>,
}

// SAFETY: it is a shared reference to memory that does not change, and a count of its mapping. An
// archive has no interior mutability, as rkyv's `Portable` demands.
unsafe impl<T: Wire<Archived: Sync>> Send for SharedObject<T> {}
// SAFETY: as above.
unsafe impl<T: Wire<Archived: Sync>> Sync for SharedObject<T> {}

impl<T: Wire> SharedObject<T> {
    /// Encodes `value` into fresh shared memory.
    ///
    /// # Errors
    ///
    /// The errors of [`SealedArchive::new`].
    pub fn new(value: &T) -> Result<Self, SealError> {
        Ok(Self::read(SealedArchive::new(value)?)?)
    }

    /// Reads an archive in place.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when it is not one of a `T`.
    pub fn read(archive: SealedArchive) -> Result<Self, WireFault> {
        let root = NonNull::from(archive.view::<T>()?);
        Ok(Self { archive, root })
    }

    /// The value in its archived form; dereferencing gives the same.
    #[must_use]
    pub fn archived(&self) -> &T::Archived {
        self
    }

    /// The archive that is read.
    #[must_use]
    pub fn archive(&self) -> &SealedArchive {
        &self.archive
    }

    /// Decodes the value.
    ///
    /// # Errors
    ///
    /// Errors of the type's own deserialization.
    pub fn decode(&self) -> Result<T, WireFault> {
        self.archive.decode()
    }
}

impl<T: Wire> Clone for SharedObject<T> {
    fn clone(&self) -> Self {
        Self { archive: self.archive.clone(), root: self.root }
    }
}

impl<T: Wire> Deref for SharedObject<T> {
    type Target = T::Archived;

    fn deref(&self) -> &T::Archived {
        // SAFETY: checked in `read`, within memory that the archive keeps mapped and that no
        // process can write to.
        unsafe { self.root.as_ref() }
    }
}

impl<T: Wire> fmt::Debug for SharedObject<T>
where
    <T as Archive>::Archived: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedObject").field(&**self).finish()
    }
}
