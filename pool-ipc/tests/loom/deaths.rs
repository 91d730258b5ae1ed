//! Claimers that stop at any step: the results that a survivor takes over are complete, and counted
//! once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use pool_ipc::board::{
    Audience, Board, Claimer, Description, End, Incarnation, Progress, SeqCstAs, SlotIndex,
    SlotState,
};

use super::{Cell, board, claimer, described};

const ITEMS: u32 = 2;

/// The steps of a claimer with a chunk of two items; 0 is before the claim.
const STEPS: u32 = 8;

/// The results of the items, and how often each was begun.
#[derive(Clone)]
struct Job {
    results: [Cell; ITEMS as usize],
    /// Counters outside of the model.
    begun: Arc<[AtomicU32; ITEMS as usize]>,
}

impl Job {
    fn new() -> Self {
        Self {
            results: [Cell::new(), Cell::new()],
            begun: Arc::new([AtomicU32::new(0), AtomicU32::new(0)]),
        }
    }

    /// Claims and runs a chunk, but stops before step `stop`; returns whether there was a chunk.
    fn run(&self, me: &mut Claimer, stop: u32) -> bool {
        let mut step = 0;
        let mut goes_on = || {
            step += 1;
            step <= stop
        };
        if !goes_on() {
            return false;
        }
        let Some(claim) = me.claim() else {
            return false;
        };
        let Description { start, end, .. } = me.description(&claim);
        if !goes_on() {
            return true;
        }
        me.set_results(&claim, u64::from(me.incarnation().number()), None);
        for item in start..end {
            let finished = item - start;
            if !goes_on() {
                return true;
            }
            me.set_progress(&claim, progress(finished, true));
            self.begun[item as usize].fetch_add(1, Relaxed);
            self.results[item as usize].set(10 + item);
            if !goes_on() {
                return true;
            }
            me.set_progress(&claim, progress(finished + 1, false));
        }
        if goes_on() {
            let _ = me.report(claim, End::Complete, 0, (0, 0));
        }
        true
    }

    /// Counts the results that the account of `slot` calls finished, reading them; returns the
    /// progress.
    fn take(&self, board: &Board, slot: usize, start: u32, done: &mut [u32]) -> Progress {
        let outcome = board.outcome(SlotIndex::new(slot));
        for item in start..start + outcome.progress.finished {
            assert_ne!(outcome.results, 0, "where the results are is known by then");
            assert_eq!(self.results[item as usize].get(), 10 + item);
            done[item as usize] += 1;
        }
        outcome.progress
    }
}

fn progress(finished: u32, begun: bool) -> Progress {
    Progress { finished, begun }
}

/// One claimer dies at any step beside another that lives: each item is finished once, lost with
/// the dead claimer once, or was never begun and runs once more.
#[test]
fn a_death_costs_the_item_in_hand_at_most() {
    for stop in 0..=STEPS {
        SeqCstAs::AcqRel.check(move || {
            let board = board(2, 1);
            let job = Job::new();
            let dying = {
                let job = job.clone();
                claimer(&board, 0, move |mut me| job.run(&mut me, stop))
            };
            let living = {
                let job = job.clone();
                claimer(&board, 1, move |mut me| job.run(&mut me, STEPS))
            };
            board.publish_one(SlotIndex::new(0), &described(1, ITEMS));
            let _ = living.join();
            let _ = dying.join(); // reaped: only now is anything of it taken

            let (mut done, mut lost) = ([0; ITEMS as usize], [0; ITEMS as usize]);
            let mut start = 0;
            match board.slot_state(SlotIndex::new(0)) {
                SlotState::Ready => assert!(board.take_back(SlotIndex::new(0))),
                SlotState::Done(by) if matches!(by.number(), 1 | 2) => {
                    let taken = job.take(&board, 0, 0, &mut done);
                    assert_eq!(taken, progress(ITEMS, false));
                    start = ITEMS;
                    board.release(SlotIndex::new(0));
                }
                SlotState::Claimed(by) if by.number() == 1 => {
                    let taken = job.take(&board, 0, 0, &mut done);
                    start = taken.finished;
                    if taken.begun {
                        lost[start as usize] += 1;
                        start += 1;
                    }
                    board.release(SlotIndex::new(0));
                }
                state => panic!("{state:?}"),
            }
            assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Free);
            if start < ITEMS {
                // Items that were not begun run in another claimer.
                let rest = Description { start, ..described(1, ITEMS) };
                board.publish_one(SlotIndex::new(0), &rest);
                let mut next = Claimer::new(board.clone(), 1, Incarnation::new(3), 0);
                assert!(job.run(&mut next, STEPS));
                assert_eq!(
                    board.slot_state(SlotIndex::new(0)),
                    SlotState::Done(Incarnation::new(3))
                );
                job.take(&board, 0, start, &mut done);
            }
            for item in 0..ITEMS as usize {
                assert_eq!(done[item] + lost[item], 1, "item {item}");
                assert_eq!(job.begun[item].load(Relaxed), 1, "item {item}");
            }
        });
    }
}

/// A chunk for one place alone is run by the claimer there: one claimer dies at any step, and only
/// the next one at its place gets the chunk that it did not claim.
#[test]
fn what_targets_the_dead_is_for_the_next_at_their_place() {
    for stop in 0..=1 {
        SeqCstAs::AcqRel.check(move || {
            let board = board(2, 1);
            let job = Job::new();
            let dying = {
                let job = job.clone();
                claimer(&board, 0, move |mut me| job.run(&mut me, stop))
            };
            let living = {
                let job = job.clone();
                claimer(&board, 1, move |mut me| job.run(&mut me, STEPS))
            };
            let audience = Audience { place: Some(0), min_serial: 0 };
            board.publish_one(SlotIndex::new(0), &Description { audience, ..described(1, ITEMS) });
            assert!(!living.join().unwrap(), "it is not for this place");
            if !dying.join().unwrap() {
                assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Ready);
                let mut next = Claimer::new(board.clone(), 0, Incarnation::new(3), 0);
                assert!(job.run(&mut next, STEPS));
                assert_eq!(
                    board.slot_state(SlotIndex::new(0)),
                    SlotState::Done(Incarnation::new(3))
                );
            } else {
                assert_eq!(
                    board.slot_state(SlotIndex::new(0)),
                    SlotState::Claimed(Incarnation::new(1))
                );
            }
        });
    }
}

/// A publisher that reads a progress word of `k` finished items may read `k` results, whatever the
/// claimer does.
#[test]
fn a_counted_result_is_complete() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(1, 1);
        let job = Job::new();
        board.publish_one(SlotIndex::new(0), &described(1, ITEMS));
        let worker = {
            let job = job.clone();
            claimer(&board, 0, move |mut me| job.run(&mut me, STEPS - 1))
        };
        let mut before = 0;
        for _ in 0..2 {
            let seen = job.take(&board, 0, 0, &mut [0; ITEMS as usize]);
            assert!(seen.finished >= before, "progress goes forward");
            before = seen.finished;
        }
        worker.join().unwrap();
    });
}

/// The successor at a place goes on where its predecessor's ring ended, and neither's chunk is
/// lost.
#[test]
fn a_successor_keeps_the_ring_whole() {
    for stop in [STEPS - 1, STEPS] {
        SeqCstAs::AcqRel.check(move || {
            let board = board(1, 2);
            let job = Job::new();
            let worker = {
                let job = job.clone();
                claimer(&board, 0, move |mut me| job.run(&mut me, stop))
            };
            board.publish_one(SlotIndex::new(0), &described(1, 1));
            let mut cursor = 0;
            let mut found = usize::from(board.next_finished(0, &mut cursor).is_some());
            worker.join().unwrap();

            board.publish_one(SlotIndex::new(1), &Description { start: 1, ..described(1, 2) });
            let mut next = Claimer::new(board.clone(), 0, Incarnation::new(2), 0);
            while job.run(&mut next, STEPS) {}
            while board.next_finished(0, &mut cursor).is_some() {
                found += 1;
            }
            let salvaged = (0..2).filter(|slot| {
                board.slot_state(SlotIndex::new(*slot)) == SlotState::Claimed(Incarnation::new(1))
            });
            assert_eq!(found + salvaged.count(), 2);
        });
    }
}

/// A claimer that is killed for a chunk is killed for nothing else: either it has finished the
/// chunk, or it never does.
#[test]
fn what_is_seized_is_not_finished() {
    loom::model(|| {
        let board = board(1, 2);
        board.publish_one(SlotIndex::new(0), &described(1, 1));
        let worker = claimer(&board, 0, |mut me| {
            let claim = me.claim().expect("it was published");
            let went_on = me.report(claim, End::Complete, 0, (0, 0)).is_some();
            // Another job's chunk.
            (went_on, went_on && me.claim().is_some())
        });
        board.publish_one(SlotIndex::new(1), &described(2, 1));
        let seized = board.slot_state(SlotIndex::new(0)) == SlotState::Claimed(Incarnation::new(1))
            && board.seize(SlotIndex::new(0), Incarnation::new(1));
        let (went_on, other) = worker.join().unwrap();
        assert_eq!(seized, !went_on);
        let states = [0, 1].map(|slot| board.slot_state(SlotIndex::new(slot)));
        let of_other =
            if other { SlotState::Claimed(Incarnation::new(1)) } else { SlotState::Ready };
        let of_first = if went_on {
            SlotState::Done(Incarnation::new(1))
        } else {
            SlotState::Claimed(Incarnation::new(1))
        };
        assert_eq!(states, [of_first, of_other]);
    });
}

/// The watcher that seizes a claim by its name gets that claim or none, also while the publisher
/// uses the slot again.
#[test]
fn the_claim_that_is_seized_is_the_one_that_was_named() {
    loom::model(|| {
        let board = board(1, 1);
        board.publish_one(SlotIndex::new(0), &described(1, 1));
        let mut me = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
        let claim = me.claim().expect("it was published");
        let named = board.claim_of(SlotIndex::new(0)).expect("it is claimed");
        let watcher = board.clone();
        let watcher =
            loom::thread::spawn(move || watcher.seize_claim(SlotIndex::new(0), named.0, named.1));
        let went_on = me.report(claim, End::Complete, 0, (0, 0)).is_some();
        // The chunk of another call, in the same slot and with the same claimer.
        let next = went_on.then(|| {
            board.release(SlotIndex::new(0));
            board.publish_one(SlotIndex::new(0), &described(2, 1));
            me.claim().expect("it was published")
        });
        let seized = watcher.join().unwrap();
        assert_eq!(seized, !went_on);
        if let Some(next) = next {
            assert!(me.report(next, End::Complete, 0, (0, 0)).is_some(), "it was never named");
        }
    });
}
