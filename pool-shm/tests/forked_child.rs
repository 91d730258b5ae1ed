//! Segments, mappings, futexes and fork marks in a forked child.

#[path = "support/processes.rs"]
mod processes;

use std::{
    io::{Write as _, stdout},
    num::NonZeroU64,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::{signal::Signal, wait::WaitStatus},
    unistd::{close, dup},
};
use pool_shm::{ForkMark, Mapping, Segment, SharedArray, futex, limits::page_size};
use processes::{end_of, finish, run, start};

fn main() {
    run(&[
        ("a_child_and_its_parent_see_each_other_s_writes", writes_are_seen),
        ("a_descriptor_is_enough_to_join", descriptor_is_enough),
        ("a_futex_wakes_across_processes", futex_wakes_across),
        ("a_mark_reads_zero_in_a_child", mark_is_wiped),
        ("a_kept_mapping_is_a_fault_in_a_child", kept_mapping_faults),
        ("a_mapping_can_be_shared_with_children_again", shared_again),
        ("a_child_s_drop_leaves_others_memory_alone", drop_unmaps_nothing_else),
        ("a_child_may_keep_its_own_mappings_too", children_keep_too),
        ("a_segment_takes_no_standard_stream_s_number", standard_streams_closed),
    ]);
}

fn segment() -> Segment {
    Segment::create("forked-child", 2 * page_size() as u64).expect("create")
}

fn word(mapping: &Mapping, index: usize) -> &AtomicU32 {
    assert!(4 * (index + 1) <= mapping.len());
    // SAFETY: inside the mapping, aligned, lives as long as it, and used as an atomic only.
    unsafe { AtomicU32::from_ptr(mapping.as_ptr().cast::<u32>().add(index)) }
}

fn writes_are_seen() {
    let mapping = segment().map().expect("map");
    word(&mapping, 0).store(1, Ordering::SeqCst);
    finish(start(|| {
        assert_eq!(word(&mapping, 0).load(Ordering::SeqCst), 1);
        word(&mapping, 1).store(2, Ordering::SeqCst);
    }));
    assert_eq!(word(&mapping, 1).load(Ordering::SeqCst), 2);
}

fn descriptor_is_enough() {
    let segment = segment();
    let mapping = segment.map_read_only().expect("map");
    mapping.dont_fork().expect("dont_fork");
    finish(start(|| {
        let theirs = Segment::from_fd(segment.try_clone().expect("clone").into_fd()).expect("join");
        assert_eq!(theirs.len(), segment.len());
        word(&theirs.map().expect("map"), 7).store(7, Ordering::SeqCst);
    }));
    assert_eq!(word(&mapping, 7).load(Ordering::SeqCst), 7);
}

fn futex_wakes_across() {
    const ROUNDS: u32 = 1000;
    let segment = segment();
    let mapping = segment.map().expect("map");
    let pass_on = |mine: u32, ball: &AtomicU32| {
        for round in 0..ROUNDS {
            let turn = 2 * round + mine;
            loop {
                let seen = ball.load(Ordering::SeqCst);
                if seen == turn {
                    break;
                }
                futex::wait(ball, seen, None);
            }
            ball.store(turn + 1, Ordering::SeqCst);
            futex::wake(ball, 1);
        }
    };
    // The child sees the word at another address: the futex is known by its page.
    let child = start(|| pass_on(1, word(&segment.map().expect("map"), 0)));
    pass_on(0, word(&mapping, 0));
    finish(child);
    assert_eq!(word(&mapping, 0).load(Ordering::SeqCst), 2 * ROUNDS);
}

fn mark_is_wiped() {
    let mark = ForkMark::new(NonZeroU64::MAX).expect("mark");
    finish(start(|| {
        assert_eq!(mark.get(), 0);
        mark.set(NonZeroU64::MIN);
        finish(start(|| assert_eq!(mark.get(), 0)));
        assert_eq!(mark.get(), 1);
    }));
    assert_eq!(mark.get(), u64::MAX);
}

fn kept_mapping_faults() {
    let mapping = segment().map().expect("map");
    mapping.dont_fork().expect("dont_fork");
    let child = start(|| word(&mapping, 0).store(1, Ordering::SeqCst));
    assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGSEGV, false));
    assert_eq!(word(&mapping, 0).load(Ordering::SeqCst), 0);
    finish(start(|| {
        assert!(mapping.do_fork().is_err());
        assert!(mapping.discard(0, mapping.len() as u64).is_err());
    }));
}

fn shared_again() {
    let mapping = segment().map().expect("map");
    mapping.dont_fork().expect("dont_fork");
    mapping.do_fork().expect("do_fork");
    finish(start(|| word(&mapping, 0).store(1, Ordering::SeqCst)));
    assert_eq!(word(&mapping, 0).load(Ordering::SeqCst), 1);
}

fn drop_unmaps_nothing_else() {
    let mapping = segment().map().expect("map");
    mapping.dont_fork().expect("dont_fork");
    let mut mapping = Some(mapping);
    let child = start(|| {
        let kept = mapping.take().expect("still there");
        let (start, len) = (kept.as_ptr(), kept.len());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: takes addresses that nothing occupies, by the last flag.
        let other = unsafe { libc::mmap(start.cast(), len, prot, flags, -1, 0) };
        assert_eq!(other, start.cast());
        drop(kept);
        // SAFETY: mapped above, if dropping `kept` did not unmap it: then this faults and the test
        // fails.
        unsafe { ptr::write_volatile(start, 1) };
    });
    finish(child);
}

fn children_keep_too() {
    let ours = segment().map().expect("map");
    ours.dont_fork().expect("dont_fork");
    finish(start(|| {
        let theirs = segment().map().expect("map");
        theirs.dont_fork().expect("dont_fork");
        let address = format!("{:x}-", theirs.as_ptr() as usize);
        let mapped =
            || std::fs::read_to_string("/proc/self/maps").expect("maps").contains(&address);
        assert!(mapped());
        drop(theirs);
        assert!(!mapped());
    }));
}

/// Otherwise a program's output would be written into its shared memory.
fn standard_streams_closed() {
    finish(start(|| {
        (0..3).for_each(|number| close(number).expect("close"));
        let made = segment();
        let lowest = dup(&made).expect("duplicate");
        let (array, sent) = (SharedArray::<u64>::new(1 << 16), Segment::from_fd(lowest));
        let (array, sent) = (array.expect("create"), sent.expect("join"));
        print!("this goes nowhere");
        stdout().flush().expect("a closed standard output is none");
        // SAFETY: it is only looked at.
        let of_array = unsafe { array.block().segment().as_fd() };
        for fd in [made.as_fd(), sent.as_fd(), of_array] {
            assert!(fd.as_raw_fd() > 2, "{fd:?}");
        }
    }));
}
