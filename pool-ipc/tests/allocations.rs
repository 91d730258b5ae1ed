//! Tasks are encoded without a heap allocation each.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use pool_ipc::{AlignedBytes, Encoder, Wire, batch::BatchWriter};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, and how often this thread has asked it for memory.
struct Counting;

// SAFETY: `System` does everything; the count is a word of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as promised to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised to this function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as promised to this function.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a batch of a hundred values, the second one with its encoder.
fn allocations<T: Wire>(value: &T) -> usize {
    let mut block = AlignedBytes::new();
    block.resize(1 << 20);
    let mut encoder = Encoder::new();
    let mut write = || {
        // SAFETY: the block is ours, aligned, and far larger than a table of a hundred entries.
        let mut writer = unsafe { BatchWriter::<T>::new(block.as_mut_ptr(), block.len(), 100) };
        let before = COUNT.get();
        (0..100).for_each(|_| writer.push(value, &mut encoder).expect("there is room"));
        COUNT.get() - before
    };
    write();
    write()
}

#[test]
fn no_allocation_for_each_value() {
    assert_eq!(allocations(&7u64), 0);
    assert_eq!(allocations(&[1.5f64; 16]), 0);
    assert_eq!(allocations(&String::from("some words of text")), 0);
    assert_eq!(allocations(&vec![1.5f64; 100]), 0);
    assert_eq!(allocations(&(1u32, Some(vec![String::from("a"); 9]), "text".to_owned())), 0);
    assert!(COUNT.get() > 0, "it counts");
}
