//! The page size and the limits of this process.
//!
//! Invariant: nothing here allocates memory, or has a lasting effect.

use std::sync::OnceLock;

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::{SysconfVar, sysconf},
};

use crate::{Error, region::Region, segment::refused_mapping};

/// Bytes in a page of memory: the unit of mapping and of giving memory back. A power of two.
///
/// ```
/// assert!(pool_shm::limits::page_size().is_power_of_two());
/// ```
pub fn page_size() -> usize {
    static PAGE_SIZE: OnceLock<usize> = OnceLock::new();
    *PAGE_SIZE.get_or_init(|| {
        let asked = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let bytes = asked.and_then(|bytes| usize::try_from(bytes).ok());
        bytes.filter(|bytes| bytes.is_power_of_two()).expect("every Linux names its page size")
    })
}

/// Bytes the longest segment may have (`RLIMIT_FSIZE`), or `None` where nothing limits it.
pub fn file_size() -> Option<u64> {
    soft(Resource::RLIMIT_FSIZE)
}

/// Bytes of address space that this process may use in all (`RLIMIT_AS`), or `None` where nothing
/// limits it.
pub fn address_space() -> Option<u64> {
    soft(Resource::RLIMIT_AS)
}

/// Bytes of memory that this process may lock (`RLIMIT_MEMLOCK`), or `None` where nothing limits
/// it.
pub fn locked_memory() -> Option<u64> {
    soft(Resource::RLIMIT_MEMLOCK)
}

/// Whether this process can map `len` bytes beside all that it has mapped.
///
/// ```
/// pool_shm::limits::check_mappable(4096)?;
/// assert!(pool_shm::limits::check_mappable(1 << 60).is_err());
/// # Ok::<(), pool_shm::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::MemoryLocked`] if it locks what it maps (`mlockall` with `MCL_FUTURE`) and may lock no
/// more, [`Error::Os`] if there are not as many addresses.
pub fn check_mappable(len: u64) -> Result<(), Error> {
    let size = usize::try_from(len).map_err(|_| refused_mapping(len, Errno::ENOMEM))?;
    Region::probe(size).map_err(|errno| refused_mapping(len, errno))
}

fn soft(resource: Resource) -> Option<u64> {
    // The call can only fail for a resource the kernel does not know, which then has no limit.
    let (soft, _hard) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

/// The whole pages inside `offset..offset + len`, as (offset, length), if there are any.
pub(crate) fn inner_pages(offset: u64, len: u64) -> Option<(u64, u64)> {
    let page = page_size() as u64;
    let start = offset.checked_next_multiple_of(page)?;
    let end = offset.checked_add(len)? / page * page;
    (start < end).then(|| (start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_are_inside() {
        let page = page_size() as u64;
        assert_eq!(inner_pages(0, page), Some((0, page)));
        assert_eq!(inner_pages(1, 2 * page), Some((page, page)));
        assert_eq!(inner_pages(1, page), None);
        assert_eq!(inner_pages(page, page - 1), None);
        assert_eq!(inner_pages(0, 0), None);
        assert_eq!(inner_pages(u64::MAX, 1), None);
    }
}
