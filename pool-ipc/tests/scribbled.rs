//! Memory that another process scribbled over: reads may give nonsense, but never panic or hang.
#![cfg(not(loom))]

#[path = "support/deadline.rs"]
mod deadline;
#[path = "support/random.rs"]
mod random;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
};

use deadline::within_a_minute;
use pool_ipc::{
    AlignedBytes, Decoder, Encoder, Wire,
    batch::{BatchReader, BatchWriter},
    board::{Board, Claimer, Description, End, Incarnation, Shape, SlotIndex, SlotState},
    from_bytes, to_bytes, wire,
};
use pool_shm::{Mapping, Segment};
use random::Random;

const SHAPE: Shape = Shape { places: 3, slots: 5 };

fn scribbled() -> (Arc<Mapping>, Board) {
    let segment = Segment::create("scribbled", SHAPE.bytes() as u64).expect("create");
    let mapping = Arc::new(segment.map().expect("map"));
    (Arc::clone(&mapping), Board::new(mapping, SHAPE))
}

/// Writes `count` words anywhere: random bits, small numbers, and words that look like slots'
/// words.
fn scribble(mapping: &Mapping, random: &mut Random, count: usize) {
    for _ in 0..count {
        let value = match random.below(4) {
            0 => random.next(),
            1 => random.next() % 8,
            2 => (random.next() << 32) | (random.next() % 5) << 28 | (random.next() % 4),
            _ => random.next() << (random.next() % 64),
        };
        let offset = random.below(mapping.len() / 8) * 8;
        // SAFETY: aligned, inside the mapping, and used as atomics only.
        let word = unsafe { AtomicU64::from_ptr(mapping.as_ptr().add(offset).cast()) };
        word.store(value, Relaxed);
    }
}

#[test]
fn the_publisher_reads_anything() {
    within_a_minute(|| {
        let (mapping, board) = scribbled();
        let random = &mut Random::new(0x5eed);
        for round in 0..20_000 {
            scribble(&mapping, random, 1 + round % 50);
            for place in 0..SHAPE.places {
                let mut cursor = match random.below(3) {
                    0 => random.next(),
                    1 => board.finished_count(place).wrapping_sub(random.next() % 9),
                    _ => random.next() % 9,
                };
                let mut found = 0;
                while let Some(finished) = board.next_finished(place, &mut cursor) {
                    assert!(finished.slot.index() < SHAPE.slots);
                    assert!(matches!(board.slot_state(finished.slot), SlotState::Done(_)));
                    found += 1;
                }
                assert!(found <= SHAPE.slots, "a ring has no more entries");
                assert_eq!(board.finished_since(place, cursor), 0);
                let _ = (board.occupant(place), board.wake_place(place as u32));
            }
            for slot in 0..SHAPE.slots {
                let _ =
                    (board.slot_state(SlotIndex::new(slot)), board.outcome(SlotIndex::new(slot)));
                let _ = board.was_released(SlotIndex::new(slot), random.next() as u32);
                if board.take_back(SlotIndex::new(slot)) {
                    assert_eq!(board.slot_state(SlotIndex::new(slot)), SlotState::Free);
                }
            }
            assert!(board.wake(usize::MAX) <= SHAPE.places);
            let _ = board.publisher_found(random.below(3) as i64);
        }
    });
}

#[test]
fn a_board_is_mended_slot_by_slot() {
    let (mapping, board) = scribbled();
    let random = &mut Random::new(7);
    for _ in 0..2000 {
        scribble(&mapping, random, 200);
        for slot in 0..SHAPE.slots {
            board.release(SlotIndex::new(slot));
            assert_eq!(board.slot_state(SlotIndex::new(slot)), SlotState::Free);
            board.publish(SlotIndex::new(slot), &Description::default());
            assert_eq!(board.slot_state(SlotIndex::new(slot)), SlotState::Ready);
        }
        let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(9), 0);
        let mut cursor = board.finished_count(0);
        for _ in 0..SHAPE.slots {
            let claim = claimer.claim().expect("all are ready");
            assert_eq!(claimer.description(&claim), Description::default());
            let _ = claimer.report(claim, End::Complete, 0, (0, 0));
            let finished = board.next_finished(0, &mut cursor).expect("reported");
            assert_eq!(board.slot_state(finished.slot), SlotState::Done(Incarnation::new(9)));
        }
        assert!(claimer.claim().is_none());
        assert_eq!(board.next_finished(0, &mut cursor), None);
    }
}

#[test]
fn a_claimer_looks_at_anything() {
    within_a_minute(|| {
        let (mapping, board) = scribbled();
        let random = &mut Random::new(99);
        let mut claimer = Claimer::new(board, 2, Incarnation::new(1), 0);
        for _ in 0..20_000 {
            scribble(&mapping, random, 30);
            if let Some(claim) = claimer.claim() {
                let _ = (claimer.description(&claim), claimer.is_cancelled(&claim));
            }
            let _ = (claimer.asked_to_leave(), claimer.has_news());
            let _ = claimer.prepare_sleep();
        }
    });
}

wire! {
    #[derive(Debug, PartialEq, Clone)]
    enum Node { Leaf(char, bool), Named { name: String, at: Option<std::num::NonZeroU32> }, End }
}

/// Flips bits of a valid batch of `values`, and reads it by every way there is.
fn flipped<T: Wire>(values: &[T], seed: u64) {
    let mut encoder = Encoder::new();
    let mut block = AlignedBytes::new();
    block.resize(16 << 10);
    let (room, capacity) = (block.len(), values.len());
    // SAFETY: the block is ours, aligned, and large enough for the table.
    let mut writer = unsafe { BatchWriter::<T>::new(block.as_mut_ptr(), room, capacity) };
    for value in values {
        writer.push(value, &mut encoder).expect("there is room");
    }
    let used = writer.used_bytes();
    let random = &mut Random::new(seed);
    let (mut copy, mut scratch) = (AlignedBytes::new(), AlignedBytes::new());
    let mut decoder = Decoder::new();
    for _ in 0..1500 {
        // SAFETY: the source has that many bytes.
        unsafe { copy.copy_from(block.as_ptr(), used, 0) };
        for _ in 0..=random.below(4) {
            let offset = random.below(used.max(1));
            if offset < used {
                let value = match random.below(3) {
                    0 => random.next() as u8,
                    1 => 0xff,
                    _ => copy[offset] ^ (1 << random.below(8)),
                };
                // SAFETY: within the copy, which is ours.
                unsafe { copy.as_mut_ptr().add(offset).write(value) };
            }
        }
        let (room, capacity) = match random.below(4) {
            0 => (random.below(used + 1), capacity),
            1 => (used, random.next() as usize),
            _ => (used, capacity),
        };
        // SAFETY: the copy is ours, aligned, has `used` bytes, and does not change.
        let reader = unsafe { BatchReader::<T>::new(copy.as_ptr(), room, capacity) };
        for index in (0..values.len()).chain([capacity, usize::MAX, random.next() as usize]) {
            if let Ok((start, end)) = reader.extent(index) {
                assert!(start <= end && end <= room);
            }
            let viewed = reader.view(index, |_| ()).is_ok();
            let decoded = reader.decode(index, &mut decoder);
            let copied = reader.decode_copied(index, &mut scratch, &mut decoder);
            assert_eq!((viewed, viewed), (decoded.is_ok(), copied.is_ok()));
        }
    }
}

#[test]
fn a_batch_of_anything_is_refused_or_read() {
    within_a_minute(|| {
        flipped(&[0u64, 1, u64::MAX], 1);
        flipped(&[true, false, true], 2);
        flipped(&['a', 'ß', '💡'], 3);
        flipped(&[std::num::NonZeroU16::MIN; 5], 4);
        flipped(&[(); 3], 5);
        flipped(&["", "short", &"long".repeat(50)].map(String::from), 6);
        flipped(&[Some(vec![1u32, 2, 3]), None], 7);
        let node = Node::Named { name: "a".repeat(30), at: std::num::NonZeroU32::new(3) };
        flipped(&[Node::Leaf('x', true), node.clone(), Node::End], 8);
        flipped(&[vec![node; 4]], 9);
        let pairs = |n: u32| (0..n).map(|i| (i, i.to_string()));
        flipped(&[pairs(0).collect::<HashMap<_, _>>(), pairs(40).collect()], 10);
        flipped(&[pairs(60).collect::<BTreeMap<_, _>>()], 11);
        flipped(&[Ok::<Box<[f64]>, String>([1.5, 2.5].into()), Err("no".into())], 12);
    });
}

#[test]
fn bytes_of_anything_are_refused_or_read() {
    within_a_minute(|| {
        let random = &mut Random::new(3);
        let whole = to_bytes(&vec![(String::from("abcdefghijkl"), Some(5u64)); 3]).unwrap();
        for _ in 0..20_000 {
            let mut bytes = AlignedBytes::new();
            let len = random.below(whole.len() + 1);
            // SAFETY: the source has that many bytes.
            unsafe { bytes.copy_from(whole[whole.len() - len..].as_ptr(), len, 0) };
            for _ in 0..random.below(6) {
                if len > 0 {
                    // SAFETY: within the buffer, which is ours.
                    unsafe { bytes.as_mut_ptr().add(random.below(len)).write(random.next() as u8) };
                }
            }
            let _ = from_bytes::<Vec<(String, Option<u64>)>>(&bytes);
            let _ = from_bytes::<Node>(&bytes);
            let _ = from_bytes::<HashMap<String, Vec<char>>>(&bytes);
            let _ = from_bytes::<BTreeMap<u8, String>>(&bytes);
        }
    });
}
