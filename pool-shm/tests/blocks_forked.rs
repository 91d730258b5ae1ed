//! Shared objects and forks: what a child shares with its parent, and what it has for itself.

#[path = "support/processes.rs"]
mod processes;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pool_shm::{Block, ElementType, Kind, Shape, SharedArray, SharedSegment, SharedValue};
use processes::{finish, run, start};

fn main() {
    run(&[
        ("a_block_is_shared_with_a_child", blocks_are_shared),
        ("a_child_places_its_blocks_elsewhere", blocks_lie_elsewhere),
        ("a_child_forked_while_a_thread_held_a_lock_waits_for_no_thread", locks_are_left_behind),
        ("a_forked_array_is_exclusive_to_no_process", forked_arrays_are_shared),
        ("processes_lose_no_addition", processes_lose_no_addition),
        ("copies_are_published_by_a_value", copies_are_published),
        ("many_blocks_take_few_descriptors", blocks_take_few_descriptors),
    ]);
}

fn block(len: usize) -> Block {
    let element = ElementType::fixed(1000, 4);
    Block::new(Shape { kind: Kind::Array, element, len }).expect("a block")
}

fn first(block: &Block) -> &AtomicU32 {
    assert!(block.len() >= 4);
    // SAFETY: inside the block, aligned, lives as long as it, and used as an atomic only.
    unsafe { AtomicU32::from_ptr(block.as_ptr().as_ptr().cast()) }
}

fn blocks_are_shared() {
    for len in [1, 1_000_000] {
        let block = block(len);
        finish(start(|| {
            let known = SharedSegment::find(block.segment().id()).expect("known here too");
            assert_eq!(&known, block.segment());
            first(&block).store(1, Ordering::SeqCst);
            drop(block.clone());
        }));
        assert_eq!(first(&block).load(Ordering::SeqCst), 1);
    }
}

fn blocks_lie_elsewhere() {
    let before = block(1);
    let mut held = Some(before.clone());
    finish(start(|| {
        let theirs = block(1);
        assert_ne!(theirs.segment(), before.segment());
        finish(start(|| assert_ne!(block(1).segment(), theirs.segment())));
        assert_eq!(block(1).segment(), theirs.segment());
        drop(held.take());
        assert_eq!(first(&before).load(Ordering::SeqCst), 0);
    }));
    let after = block(1);
    assert_eq!(after.segment(), before.segment());
    assert_ne!(after.slot(), before.slot());
}

fn locks_are_left_behind() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                drop(block(100_000)); // the registry's lock
                drop(block(1)); // the heap's lock
            }
        });
        // Some of these forks fall into the moments in which the thread holds a lock. It never
        // holds one of the standard library or of the test, and the system's heap is usable after a
        // fork.
        for _ in 0..300 {
            finish(start(|| {
                first(&block(1)).store(1, Ordering::SeqCst);
                drop(block(100_000));
            }));
        }
        stop.store(true, Ordering::SeqCst);
    });
}

fn blocks_take_few_descriptors() {
    let count = || std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count();
    let before = count();
    let blocks: Vec<Block> = (0..10_000).map(|index| block(index % 100)).collect();
    assert!(count() - before < 4, "{} more", count() - before);
    assert!(
        blocks.iter().all(|block| block.is_empty() || first(block).load(Ordering::SeqCst) == 0)
    );
}

fn forked_arrays_are_shared() {
    let mut older = SharedArray::<u64>::new(10).expect("an array");
    assert!(older.alone().is_some());
    let mut lent = SharedArray::<u64>::new(10).expect("an array");
    let alone = lent.alone().expect("there is one handle");
    let child = start(|| {
        let mut inherited = older.clone();
        drop(older);
        assert!(inherited.alone().is_none(), "the parent has it too");
        let mut own = SharedArray::<u64>::new(10).expect("an array");
        assert!(own.alone().is_some());
        // An array that the parent has lent stays lent.
        drop(alone);
    });
    finish(child);
}

fn processes_lose_no_addition() {
    const EACH: usize = 1_000_000;
    let hits = SharedValue::new(0u64).expect("a value");
    let sums = SharedArray::<f64>::new(1000).expect("an array");
    let children: Vec<_> = (0..4)
        .map(|_| {
            start(|| {
                for round in 0..EACH {
                    hits.fetch_add(1);
                    sums.fetch_add(round % 1000, 0.5);
                }
            })
        })
        .collect();
    children.into_iter().for_each(finish);
    assert_eq!(hits.get(), 4 * EACH as u64);
    assert!(sums.iter().all(|sum| sum == 2000.0));
}

/// A value publishes a copy: a process that sees the value sees the copy, however it was made.
fn copies_are_published() {
    const ROUNDS: u64 = 200;
    let turn = SharedValue::new(0u64).expect("a value");
    for len in [100, (16 << 20) / 8 + 5] {
        let rounds = if len == 100 { ROUNDS } else { 5 };
        let array = SharedArray::<u64>::new(len).expect("an array");
        turn.set(0);
        let child = start(|| {
            for round in 1..=rounds {
                array.copy_from_slice(&vec![round; len]);
                turn.set(2 * round);
                while turn.get() != 2 * round + 1 {
                    std::thread::yield_now();
                }
            }
        });
        for round in 1..=rounds {
            while turn.get() != 2 * round {
                std::thread::yield_now();
            }
            assert!(array.to_vec().iter().all(|element| *element == round));
            turn.set(2 * round + 1);
        }
        finish(child);
    }
}
