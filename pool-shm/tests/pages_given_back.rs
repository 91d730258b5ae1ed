//! Memory goes back to the system, and its pages read as zero afterwards.

use std::{fs::File, os::linux::fs::MetadataExt};

use pool_shm::{Error, Mapping, Segment, limits::page_size};

const PAGES: usize = 8;

fn page() -> u64 {
    page_size() as u64
}

/// A segment with every byte written.
fn full() -> (Segment, Mapping) {
    let segment = Segment::create("full", PAGES as u64 * page()).expect("create");
    let mapping = segment.map().expect("map");
    // SAFETY: the range is the whole mapping, and no other code has the segment.
    unsafe { mapping.as_ptr().write_bytes(0xaa, mapping.len()) };
    (segment, mapping)
}

/// Pages that take memory.
fn held(segment: &Segment) -> u64 {
    let file = File::from(segment.try_clone().expect("clone").into_fd());
    file.metadata().expect("metadata").st_blocks() * 512 / page()
}

/// Whether each page's first and last byte are as they were written and not zero.
fn written(mapping: &Mapping) -> Vec<bool> {
    // SAFETY: `at` is inside the mapping, and no other code has the segment.
    let byte = |at: usize| unsafe { mapping.as_ptr().add(at).read() };
    let pages = (0..PAGES).map(|index| index * page_size());
    pages
        .map(|start| match (byte(start), byte(start + page_size() - 1)) {
            (0xaa, 0xaa) => true,
            (0, 0) => false,
            torn => panic!("half a page is gone: {torn:?}"),
        })
        .collect()
}

#[test]
fn a_fresh_segment_takes_none() {
    let segment = Segment::create("sparse", 1 << 36).unwrap();
    let _mapping = segment.map().unwrap();
    assert_eq!(held(&segment), 0);
}

#[test]
fn through_the_descriptor() {
    let (segment, mapping) = full();
    segment.punch(page(), 2 * page()).unwrap();
    assert_eq!(held(&segment), PAGES as u64 - 2);
    assert_eq!(written(&mapping), [true, false, false, true, true, true, true, true]);
}

#[test]
fn through_a_mapping() {
    let (segment, mapping) = full();
    mapping.discard(page(), 2 * page()).unwrap();
    assert_eq!(held(&segment), PAGES as u64 - 2);
    assert_eq!(written(&mapping), [true, false, false, true, true, true, true, true]);
    mapping.discard(0, mapping.len() as u64).unwrap();
    assert_eq!(held(&segment), 0);
}

#[test]
fn only_whole_pages_go() {
    let (segment, mapping) = full();
    mapping.discard(1, 3 * page() - 2).unwrap();
    segment.punch(4 * page() - 1, page() + 2).unwrap();
    segment.punch(6 * page(), page() - 1).unwrap();
    mapping.discard(6 * page(), 0).unwrap();
    assert_eq!(written(&mapping), [true, false, true, true, false, true, true, true]);
}

#[test]
fn ranges_are_checked() {
    let (segment, mapping) = full();
    let size = segment.len();
    for (offset, len) in [(0, size + 1), (size, 1), (u64::MAX, 1), (1, u64::MAX), (size + 1, 0)] {
        let refused = [segment.punch(offset, len), mapping.discard(offset, len)];
        for result in refused {
            assert!(matches!(result, Err(Error::OutOfRange { size: found, .. }) if found == size));
        }
    }
    assert_eq!(held(&segment), PAGES as u64);
}

#[test]
fn a_reader_gives_nothing_back() {
    let (segment, mapping) = full();
    let reader = segment.map_read_only().unwrap();
    assert!(matches!(reader.discard(0, page()), Err(Error::ReadOnly)));
    assert!(written(&mapping).iter().all(|written| *written));
}
