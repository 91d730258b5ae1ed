//! No holder of a descriptor can take memory away from under a mapping.

use std::{
    fs::File,
    io::Write,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::ftruncate,
};
use pool_shm::{Error, Segment, limits::page_size};

fn page() -> u64 {
    page_size() as u64
}

#[test]
fn a_peer_cannot_shrink_a_segment() {
    let segment = Segment::create("seals", 2 * page()).unwrap();
    let peer = File::from(segment.try_clone().unwrap().into_fd());
    assert_eq!(ftruncate(&peer, 0), Err(Errno::EPERM));
    ftruncate(&peer, 4 * page() as i64).unwrap(); // growing does no harm
    assert_eq!(segment.len(), 2 * page());
    assert_eq!(segment.map().unwrap().len() as u64, 2 * page());
}

#[test]
fn only_sealed_memfds_are_taken() {
    let refused = |fd: OwnedFd| matches!(Segment::from_fd(fd), Err(Error::NotSealed));
    assert!(refused(File::open("/proc/self/maps").unwrap().into()));
    assert!(refused(File::open("/dev/null").unwrap().into()));
    assert!(refused(std::io::pipe().unwrap().0.into()));

    let unsealed = memfd_create("plain", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&unsealed, 4096).unwrap();
    assert!(refused(unsealed));

    let name = format!("/dev/shm/pool-shm-seals.{}", std::process::id());
    let file = File::create_new(&name).unwrap();
    std::fs::remove_file(&name).unwrap();
    file.set_len(4096).unwrap();
    assert!(refused(file.into()));
}

#[test]
fn an_empty_memfd_is_refused() {
    let empty = memfd_create("empty", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    fcntl(&empty, FcntlArg::F_ADD_SEALS(nix::fcntl::SealFlag::F_SEAL_SHRINK)).unwrap();
    assert!(matches!(Segment::from_fd(empty), Err(Error::Empty)));
}

#[test]
fn no_descriptor_survives_exec() {
    let segment = Segment::create("exec", 1).unwrap();
    let cloned = segment.try_clone().unwrap();
    let bare = segment.as_fd().try_clone_to_owned().unwrap();
    fcntl(&bare, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let taken = Segment::from_fd(bare).unwrap();
    for segment in [&segment, &cloned, &taken] {
        let flags = fcntl(segment, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
    }
}

#[test]
fn sealed_content_is_fixed() {
    let segment = Segment::create("fixed", page()).unwrap();
    let writable = segment.map().unwrap();
    // SAFETY: byte 0 is mapped, and no other code has the segment.
    unsafe { writable.as_ptr().write(7) };
    assert!(matches!(segment.seal_content(), Err(Error::StillWritable)));
    drop(writable);
    segment.seal_content().unwrap();

    assert!(segment.map().is_err());
    assert!(segment.punch(0, page()).is_err());
    let mut peer = File::from(segment.try_clone().unwrap().into_fd());
    assert!(peer.write_all(b"x").is_err());
    assert!(peer.set_len(2 * page()).is_err());

    let reader = segment.map_read_only().unwrap();
    assert!(!reader.is_writable());
    // SAFETY: byte 0 is mapped and no process can write it any more.
    assert_eq!(unsafe { reader.as_ptr().read() }, 7);
}

#[test]
fn a_mapping_outlives_its_descriptor_and_shows_writes() {
    let segment = Segment::create("outlives", 1).unwrap();
    assert_eq!(segment.len(), page());
    let (writer, reader) = (segment.map().unwrap(), segment.map_read_only().unwrap());
    assert!(writer.is_writable());
    // SAFETY: the last byte of the page is mapped, and no other code has the segment.
    unsafe { writer.as_ptr().add(page_size() - 1).write(9) };
    let mut seen = [0];
    File::from(segment.into_fd()).read_exact_at(&mut seen, page() - 1).unwrap();
    assert_eq!(seen, [9]);
    // SAFETY: as above.
    assert_eq!(unsafe { reader.as_ptr().add(page_size() - 1).read() }, 9);
}

#[test]
fn impossible_segments_are_refused() {
    assert!(matches!(Segment::create("none", 0), Err(Error::Empty)));
    for len in [u64::MAX, u64::MAX - page(), i64::MAX as u64] {
        assert!(matches!(Segment::create("huge", len), Err(Error::TooLong { .. })), "{len}");
    }
    assert!(matches!(Segment::create("a\0b", 1), Err(Error::InvalidName { .. })));
    assert!(matches!(Segment::create(&"x".repeat(250), 1), Err(Error::InvalidName { .. })));
    Segment::create(&"x".repeat(249), 1).unwrap();
}

#[test]
fn a_segment_grows_and_mappings_stay() {
    let mut segment = Segment::create("grows", page()).unwrap();
    let before = segment.map().unwrap();
    // SAFETY: one byte of a mapping that no other code has.
    unsafe { before.as_ptr().write(7) };
    let mut peer = segment.try_clone().unwrap();

    segment.grow(3 * page() - 1).unwrap();
    assert_eq!((segment.len(), peer.len(), before.len() as u64), (3 * page(), page(), page()));
    let after = segment.map().unwrap();
    assert_eq!(after.len() as u64, 3 * page());
    // SAFETY: within both mappings.
    assert_eq!(unsafe { (after.as_ptr().read(), after.as_ptr().add(page_size()).read()) }, (7, 0));

    peer.grow(2 * page()).unwrap(); // another holder has made it longer
    assert_eq!(peer.len(), 3 * page());
    segment.grow(1).unwrap();
    assert_eq!(segment.len(), 3 * page());
    assert!(matches!(segment.grow(u64::MAX), Err(Error::TooLong { .. })));
    assert_eq!(segment.len(), 3 * page());

    drop((before, after));
    segment.seal_content().unwrap();
    assert!(matches!(segment.grow(4 * page()), Err(Error::Os { .. })));
    assert!(segment.grow(3 * page()).is_ok());
}
