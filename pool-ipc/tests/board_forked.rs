//! The board between processes: each chunk runs once, and a killed process costs one item at most.
#![cfg(not(loom))]

#[path = "support/drive.rs"]
mod drive;

use std::{fs, sync::atomic::Ordering::SeqCst};

use drive::{Publisher, SharedBoard};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, alarm, fork},
};
use pool_ipc::board::{Incarnation, Shape};

fn main() {
    // SIGALRM ends a program that hangs.
    alarm::set(120);
    for (name, test) in [
        ("processes_run_each_chunk_once", each_chunk_once as fn()),
        ("a_kill_costs_the_item_in_hand_at_most", kills),
    ] {
        let before = leftovers();
        test();
        assert_eq!(leftovers(), before, "{name} left something behind");
        println!("test {name} ... ok");
    }
}

/// Starts a claimer in a process of its own. Its exit says whether it ran anything.
fn start(shared: &SharedBoard, place: u32, incarnation: Incarnation) -> Pid {
    // SAFETY: this program has one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            alarm::set(60);
            let ran = shared.claim_until_asked_to_leave(place, incarnation);
            // SAFETY: ends the process; nothing of it is used afterwards.
            unsafe { libc::_exit(i32::from(ran == 0)) }
        }
    }
}

fn each_chunk_once() {
    const CHUNKS: usize = 100_000;
    for claimers in [1, 2, 4] {
        let shape = Shape { places: claimers as usize, slots: 64 };
        let shared = SharedBoard::new(shape, CHUNKS);
        let children: Vec<Pid> =
            (0..claimers).map(|place| start(&shared, place, Incarnation::new(place + 1))).collect();
        let mut publisher = Publisher::new(&shared, CHUNKS, 1);
        publisher.run();
        shared.ask_all_to_leave((0..claimers).map(|place| (place, Incarnation::new(place + 1))));
        for child in children {
            let end = waitpid(child, None).expect("waitpid");
            assert!(matches!(end, WaitStatus::Exited(_, 0 | 1)), "{end:?}");
        }
        assert_eq!(publisher.finished, CHUNKS as u64);
        assert!((0..CHUNKS).all(|chunk| shared.begun(chunk).load(SeqCst) == 1));
    }
}

/// Kills claimers again and again; each is reaped, salvaged and replaced.
fn kills() {
    const PLACES: u32 = 3;
    const CHUNKS: usize = 200_000;
    const LEN: u32 = 4;
    let shape = Shape { places: PLACES as usize, slots: 16 };
    let items = CHUNKS * LEN as usize;
    let shared = SharedBoard::new(shape, items);
    let mut next_incarnation = PLACES + 1;
    let mut crew: Vec<(u32, Pid)> = (0..PLACES)
        .map(|place| (place + 1, start(&shared, place, Incarnation::new(place + 1))))
        .collect();
    let mut publisher = Publisher::new(&shared, CHUNKS, LEN);
    let (mut lost, mut kills) = (Vec::new(), 0);
    while publisher.finished + (lost.len() as u64) < items as u64 {
        publisher.publish();
        // The publisher never sleeps here, so the moments of the kills are spread over everything.
        if publisher.take() == 0 {
            std::thread::yield_now();
        }
        if publisher.finished < (kills + 1) * (items as u64 / 50) {
            continue;
        }
        let place = kills as usize % PLACES as usize;
        kills += 1;
        let (incarnation, child) = crew[place];
        kill(child, Signal::SIGKILL).expect("kill");
        let end = waitpid(child, None).expect("waitpid");
        assert_eq!(end, WaitStatus::Signaled(child, Signal::SIGKILL, false));
        lost.extend(publisher.salvage(Incarnation::new(incarnation)));
        crew[place] =
            (next_incarnation, start(&shared, place as u32, Incarnation::new(next_incarnation)));
        next_incarnation += 1;
    }
    for (place, (incarnation, child)) in crew.into_iter().enumerate() {
        shared.ask_all_to_leave([(place as u32, Incarnation::new(incarnation))]);
        let end = waitpid(child, None).expect("waitpid");
        assert!(matches!(end, WaitStatus::Exited(_, 0 | 1)), "{end:?}");
    }
    assert!(kills > 40, "{kills} kills");
    for item in 0..items {
        // A lost item was begun, though its counter may not show it yet.
        let begun = shared.begun(item).load(SeqCst);
        let was_lost = lost.contains(&(item as u64));
        assert!(begun == 1 || was_lost && begun == 0, "item {item}: {begun} times");
    }
}

/// Descriptors and shared mappings that this process has now.
fn leftovers() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    (
        fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count(),
        maps.lines().filter(|line| line.contains("/memfd:")).count(),
    )
}
