//! Blocks: which handles become one, and which resources of the process they take.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use pool_shm::{
    Block, ElementType, Error, Kind, LockError, Segment, SegmentFault, SegmentId, Shape,
    SharedArray, SharedMutex, SharedSegment,
};

const WORD: ElementType = ElementType::fixed(1000, 8);

fn words(len: usize) -> Block {
    Block::new(Shape { kind: Kind::Array, element: WORD, len }).expect("a block")
}

fn fd(segment: &SharedSegment) -> OwnedFd {
    // SAFETY: code that writes through it, or tries to, has no reference into the segment.
    unsafe { segment.as_fd() }.try_clone_to_owned().expect("a descriptor")
}

fn open(fd: OwnedFd, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
    // SAFETY: each descriptor here is one of a segment of this crate, or leads to no segment of any
    // identity.
    unsafe { SharedSegment::open(fd, id) }
}

#[test]
fn a_block_is_zero_aligned_and_alone() {
    let blocks: Vec<Block> = (0..1000).map(|index| words(index % 37)).collect();
    for (value, block) in blocks.iter().enumerate() {
        assert!(block.as_ptr().addr().get().is_multiple_of(64));
        assert_eq!(block.len(), value % 37 * 8);
        for at in 0..block.len() {
            // SAFETY: within the block, which no other code has.
            let byte = unsafe { block.as_ptr().add(at) };
            // SAFETY: as above.
            assert_eq!(unsafe { byte.read() }, 0);
            // SAFETY: as above.
            unsafe { byte.write(value as u8) };
        }
    }
}

#[test]
fn a_slot_leads_to_the_same_block() {
    for len in [0, 1, 100, 100_000] {
        let block = words(len);
        let (again, found) =
            Block::open(block.segment().clone(), block.slot(), Kind::Array, WORD).unwrap();
        assert_eq!((&again, found), (&block, len));
        assert_eq!((again.as_ptr(), again.len()), (block.as_ptr(), block.len()));
    }
}

#[test]
fn what_a_handle_is_not_it_does_not_become() {
    let block = words(100_000);
    let open = |slot, kind, element| Block::open(block.segment().clone(), slot, kind, element);
    assert_eq!(open(0, Kind::Value, WORD), Err(SegmentFault::OtherKind));
    let other = ElementType::fixed(1001, 8);
    assert_eq!(open(0, Kind::Array, other), Err(SegmentFault::OtherElement));
    let longer = ElementType::fixed(1000, 16);
    assert_eq!(open(0, Kind::Array, longer), Err(SegmentFault::OtherElement));
    for slot in [1, 2, 1000, u32::MAX] {
        assert_eq!(open(slot, Kind::Array, WORD), Err(SegmentFault::NoSuchObject));
    }
}

#[test]
fn scribbled_slots_are_not_believed() {
    let block = words(40_000);
    let whole = File::from(fd(block.segment()));
    // The slot: kind, element size, element, length, offset. Behind a head of 64 bytes.
    let put = |at: u64, value: u64| whole.write_all_at(&value.to_ne_bytes(), at).unwrap();
    let open = || Block::open(block.segment().clone(), 0, Kind::Array, WORD).map(|(_, len)| len);
    assert_eq!(open(), Ok(40_000));
    for wild in [u64::MAX, u64::MAX / 8, 1 << 40, 41_000] {
        put(80, wild);
        assert_eq!(open(), Err(SegmentFault::NoSuchObject), "length {wild}");
    }
    put(80, 40_000);
    for wild in [u64::MAX, u64::MAX - 63, 1 << 40, 4097, 8192] {
        put(88, wild);
        assert_eq!(open(), Err(SegmentFault::NoSuchObject), "offset {wild}");
    }
}

#[test]
fn a_descriptor_leads_to_the_segment_that_is_known() {
    let block = words(100_000);
    let segment = block.segment();
    let again = open(fd(segment), segment.id()).unwrap();
    assert_eq!(&again, segment);
    assert_eq!(SharedSegment::find(segment.id()).as_ref(), Some(segment));

    let id = segment.id();
    let kept = fd(segment);
    drop((block, again));
    assert_eq!(SharedSegment::find(id), None);
    // Like a process that has never seen it.
    let found = open(kept, id).unwrap();
    let (block, len) = Block::open(found, 0, Kind::Array, WORD).unwrap();
    assert_eq!((len, block.len()), (100_000, 800_000));
}

#[test]
fn a_descriptor_that_leads_elsewhere_is_refused() {
    let segment = words(100_000).segment().clone();
    let other = SegmentId(segment.id().0 ^ 1);
    assert_eq!(open(fd(&segment), other), Err(SegmentFault::OtherIdentity));

    let blank = Segment::create("blank", 4096).unwrap().into_fd();
    assert_eq!(open(blank, other), Err(SegmentFault::NotASegment));
    let file = std::fs::File::open("/proc/self/maps").unwrap().into();
    assert_eq!(open(file, other), Err(SegmentFault::NotASegment));
}

#[test]
fn a_sealed_block_is_read_only_for_everyone() {
    let shape = Shape { kind: Kind::Sealed, element: WORD, len: 3 };
    let block = Block::sealed(shape, |bytes| {
        bytes.copy_from_slice(&[5; 24]);
        Ok::<_, Error>(())
    })
    .unwrap();
    let segment = block.segment();
    assert!(!segment.is_writable());
    // SAFETY: within the block, which cannot change.
    assert_eq!(unsafe { std::slice::from_raw_parts(block.as_ptr().as_ptr(), 24) }, [5; 24]);
    assert!(File::from(fd(segment)).write_at(b"x", 64).is_err());

    let (id, kept) = (segment.id(), fd(segment));
    drop(block);
    let again = open(kept, id).unwrap();
    assert!(!again.is_writable());
    assert!(Block::open(again, 0, Kind::Sealed, WORD).is_ok());

    let shape = Shape { kind: Kind::Array, ..shape };
    let array = Block::sealed(shape, |_| Ok::<_, Error>(())).unwrap();
    let open = Block::open(array.segment().clone(), 0, Kind::Array, WORD);
    assert_eq!(open, Err(SegmentFault::ReadOnly));
}

#[test]
fn what_fills_a_sealed_block_may_fail() {
    #[derive(Debug)]
    enum Why {
        Full,
        Shm(#[expect(dead_code, reason = "the message of the panic shows it")] Error),
    }
    impl From<Error> for Why {
        fn from(error: Error) -> Self {
            Self::Shm(error)
        }
    }
    let shape = Shape { kind: Kind::Sealed, element: WORD, len: 3 };
    assert!(matches!(Block::sealed(shape, |_| Err(Why::Full)), Err(Why::Full)));
}

/// A plain segment can be punched by safe code, and its mappings be discarded.
#[test]
fn the_descriptor_of_objects_gives_no_plain_segment() {
    let mutex = SharedMutex::from_slice(&[7u64; 100_000]).unwrap();
    let guard = mutex.lock().map_err(LockError::give_up).unwrap();
    let array = SharedArray::from_slice(&[7u64]).unwrap();
    let sealed = Shape { kind: Kind::Sealed, element: WORD, len: 0 };
    let sealed = Block::sealed(sealed, |_| Ok::<_, Error>(())).unwrap();
    for segment in [mutex.block().segment(), array.block().segment(), sealed.segment()] {
        let refused = Segment::from_fd(fd(segment));
        assert!(matches!(refused, Err(Error::HoldsObjects)), "{refused:?}");
    }
    assert_eq!(*guard, [7; 100_000]);
}

#[test]
fn bytes_that_are_about_to_be_sealed_count_as_borrowed() {
    let shape = Shape { kind: Kind::Sealed, element: WORD, len: 1 };
    let block = Block::sealed(shape, |bytes| {
        bytes.fill(7);
        assert_eq!(pool_shm::exclusive_borrows(), 1);
        Ok::<_, pool_shm::Error>(())
    });
    assert_eq!(block.unwrap().len(), 8);
    assert_eq!(pool_shm::exclusive_borrows(), 0);
}
