//! Batches of handles: each published value can be decoded with the segments named at the end of
//! the block.
#![cfg(not(loom))]

use std::sync::{Arc, Mutex};

use pool_ipc::{
    AlignedBytes, Decoder, Encoder, Manifest, SegmentBroker, SegmentFault, SegmentId, WireFault,
    batch::{BatchReader, BatchWriter},
};
use pool_shm::{SharedArray, SharedSegment, SharedValue};

type Pair = (String, SharedArray<u64>);

/// So many bytes that an array has a segment of its own.
const LARGE: usize = 40_000;

fn pair(number: u64) -> Pair {
    let array = SharedArray::new(LARGE).expect("an array");
    array.set(7, number);
    (format!("number {number}"), array)
}

fn block(len: usize) -> AlignedBytes {
    let mut block = AlignedBytes::new();
    block.resize(len);
    block
}

/// Decodes value `index` of a block as a reading process does.
fn decode(block: &[u8], capacity: usize, index: usize, manifest: Option<Manifest>) -> Pair {
    let mut decoder = Decoder::new();
    // SAFETY: the block is aligned and no thread writes to it meanwhile.
    let ids = manifest.map(|manifest| unsafe { manifest.read(block.as_ptr(), block.len()) });
    decoder.set_segments(&ids.flatten().expect("identities"));
    // SAFETY: as above.
    let reader = unsafe { BatchReader::new(block.as_ptr(), block.len(), capacity) };
    reader.decode(index, &mut decoder).expect("a pair")
}

#[test]
fn every_value_has_its_segments_from_the_moment_it_is_counted() {
    let mut room = block(1000);
    let mut encoder = Encoder::new();
    // SAFETY: the block is ours, aligned, and has room for the table.
    let mut writer = unsafe { BatchWriter::<Pair>::new(room.as_mut_ptr(), room.len(), 20) };
    assert_eq!(writer.manifest(0), None);
    let pairs: Vec<Pair> = (0..5).map(pair).collect();
    for (index, value) in pairs.iter().enumerate() {
        writer.push(value, &mut encoder).unwrap();
        let (manifest, before) = (writer.manifest(0), index.saturating_sub(1));
        for known in [before, index] {
            let found = decode(&room, 20, known, manifest);
            assert!(found.1.ptr_eq(&pairs[known].1));
        }
    }
    // The same segments again take no more room.
    let segments = writer.segments();
    writer.push(&pairs[0], &mut encoder).unwrap();
    assert_eq!((segments, writer.segments()), (5, 5));
}

#[test]
fn a_value_whose_segments_do_not_fit_is_not_pushed() {
    let mut encoder = Encoder::new();
    let pairs: Vec<Pair> = (0..4).map(pair).collect();
    for len in (128..1000).step_by(8) {
        let mut room = block(len);
        // SAFETY: the block is ours, aligned, and has room for the table.
        let mut writer = unsafe { BatchWriter::<Pair>::new(room.as_mut_ptr(), len, 4) };
        let mut pushed = 0;
        for value in &pairs {
            let needed = writer.room_for(value, &mut encoder).unwrap();
            match writer.push(value, &mut encoder) {
                Ok(()) => assert!(needed <= len),
                Err(WireFault::Overflow) => {
                    assert!(needed > len);
                    break;
                }
                Err(other) => panic!("{other:?}"),
            }
            pushed += 1;
        }
        assert_eq!((writer.count(), writer.segments()), (pushed, pushed));
        let manifest = writer.manifest(0);
        assert!((0..pushed).all(|at| decode(&room, 4, at, manifest).0 == pairs[at].0));
        assert_eq!(encoder.take_segments().len(), pushed);
    }
}

#[test]
fn a_manifest_moves_with_its_batch() {
    let (mut small, mut large) = (block(150), block(2048));
    let mut encoder = Encoder::new();
    let pairs: Vec<Pair> = (0..3).map(pair).collect();
    // SAFETY: the block is ours, aligned, and has room for the table.
    let mut writer = unsafe { BatchWriter::<Pair>::new(small.as_mut_ptr(), 150, 3) };
    let fits = pairs.iter().take_while(|pair| writer.push(pair, &mut encoder).is_ok()).count();
    assert!((1..3).contains(&fits));
    // SAFETY: as above.
    unsafe { writer.move_to(large.as_mut_ptr(), 2048, &encoder) };
    pairs[fits..].iter().for_each(|pair| writer.push(pair, &mut encoder).unwrap());
    for (at, pair) in pairs.iter().enumerate() {
        assert!(decode(&large, 3, at, writer.manifest(0)).1.ptr_eq(&pair.1));
    }
}

/// A table that hands out the segments registered in it.
#[derive(Default)]
struct Shelf {
    segments: Mutex<Vec<SharedSegment>>,
    fault: Option<SegmentFault>,
}

impl SegmentBroker for Shelf {
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault> {
        self.segments.lock().expect("no panic").push(segment.clone());
        self.fault.map_or(Ok(()), Err)
    }
    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        let mut segments = self.segments.lock().expect("no panic");
        let at = segments.iter().position(|segment| segment.id() == id);
        at.map(|at| segments.remove(at)).ok_or(SegmentFault::Gone)
    }
}

#[test]
fn segments_are_registered_once_when_they_are_sent_and_not_when_they_are_measured() {
    let shelf = Arc::new(Shelf::default());
    let mut encoder = Encoder::new();
    encoder.set_broker(shelf.clone());
    let mut room = block(1000);
    // SAFETY: the block is ours, aligned, and has room for the table.
    let mut writer = unsafe { BatchWriter::<Pair>::new(room.as_mut_ptr(), 1000, 4) };
    let value = pair(1);
    writer.room_for(&value, &mut encoder).unwrap();
    assert!(shelf.segments.lock().expect("no panic").is_empty());
    (0..3).for_each(|_| writer.push(&value, &mut encoder).unwrap());
    assert_eq!(shelf.segments.lock().expect("no panic").len(), 1);

    let refused = Shelf { fault: Some(SegmentFault::Os(24)), ..Shelf::default() };
    encoder.set_broker(Arc::new(refused));
    let fault = Err(WireFault::Segment(SegmentFault::Os(24)));
    assert_eq!(writer.push(&pair(2), &mut encoder), fault);
    assert_eq!((writer.count(), writer.segments()), (3, 1));
}

#[test]
fn what_is_not_mapped_is_fetched() {
    let value = SharedArray::from_slice(&vec![5u64; LARGE]).unwrap();
    let mut encoder = Encoder::new();
    let mut room = block(256);
    // SAFETY: the block is ours and aligned.
    let end = unsafe { encoder.encode_at(&value, room.as_mut_ptr(), 256, 0) }.unwrap();
    let segments = encoder.take_segments();
    let ids: Vec<SegmentId> = segments.iter().map(SharedSegment::id).collect();

    // Only the descriptor is left, as in another process.
    // SAFETY: it is only opened.
    let fd = unsafe { segments[0].as_fd() }.try_clone_to_owned().unwrap();
    drop((value, segments));
    assert!(SharedSegment::find(ids[0]).is_none());
    struct Late(Mutex<Option<std::os::fd::OwnedFd>>);
    impl SegmentBroker for Late {
        fn register(&self, _: &SharedSegment) -> Result<(), SegmentFault> {
            Ok(())
        }
        fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
            let fd = self.0.lock().expect("no panic").take().ok_or(SegmentFault::Gone)?;
            // SAFETY: the descriptor of a segment, from above.
            unsafe { SharedSegment::open(fd, id) }
        }
    }
    let mut decoder = Decoder::new();
    decoder.set_broker(Arc::new(Late(Mutex::new(Some(fd)))));
    decoder.set_segments(&ids);
    let found: SharedArray<u64> = decoder.decode(&room[..end]).unwrap();
    assert_eq!(found.get(9), 5);
    drop(found);
    let gone = decoder.decode::<SharedArray<u64>>(&room[..end]);
    assert!(matches!(gone, Err(WireFault::Segment(SegmentFault::Gone))));
    decoder.set_segments(&[]);
    let unnamed = decoder.decode::<SharedValue<u64>>(&room[..end]);
    assert!(unnamed.is_err());
}
