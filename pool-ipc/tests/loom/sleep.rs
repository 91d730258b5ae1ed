//! No wake-up is lost, in either direction.
//!
//! These models need SeqCst, so each is checked under both ways to make it.

use loom::{sync::Notify, thread};
use pool_ipc::board::{
    Audience, Board, Claim, Claimer, Description, End, Incarnation, SeqCstAs, SlotIndex,
    WakeThreshold,
};
use std::sync::Arc;

use super::{board, claimer, described};

fn report(me: &Claimer, claim: Claim) -> bool {
    me.report(claim, End::Complete, 0, (0, 0)).expect("it is not seized")
}

/// A claimer that goes to sleep has seen the chunk, or the publisher has seen the sleeper.
#[test]
fn a_claimer_that_sleeps_is_seen_or_sees() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker =
            claimer(&board, 0, |mut me| me.claim().is_none() && me.prepare_sleep().is_some());
        let must_wake = board.publish(SlotIndex::new(0), &described(1, 1));
        let sleeps = worker.join().unwrap();
        assert_eq!(sleeps, board.sleeps(0));
        assert!(!sleeps || must_wake, "asleep beside a chunk");
    });
}

/// A chunk for the claimer at `place` alone.
fn targeted(place: u32) -> Description {
    let audience = Audience { place: Some(place), min_serial: 0 };
    Description { audience, ..described(1, 1) }
}

/// Of two claimers that go to sleep, the one whose chunk it is has seen it, or is seen asleep.
#[test]
fn a_claimer_that_sleeps_sees_what_is_for_it_alone() {
    SeqCstAs::check_both(|| {
        let board = board(2, 1);
        let mut other = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
        assert!(other.prepare_sleep().is_some());
        let worker =
            claimer(&board, 1, |mut me| me.claim().is_none() && me.prepare_sleep().is_some());
        let must_wake = board.publish(SlotIndex::new(0), &targeted(1));
        let sleeps = worker.join().unwrap();
        assert_eq!(sleeps, board.sleeps(1));
        assert!(!sleeps || must_wake, "asleep beside a chunk");
        assert!(board.sleeps(0) && other.claim().is_none(), "it is for one claimer only");
    });
}

/// A claimer sees a chunk for it alone although later chunks overwrite its entry in the row, which
/// has two entries here.
#[test]
fn what_is_for_one_alone_is_seen_though_its_entry_is_overwritten() {
    SeqCstAs::check_both(|| {
        let board = board(1, 2);
        let mut me = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
        let worker = thread::spawn(move || {
            let slot = me.claim().map(|claim| claim.slot().index());
            let sleeps = slot.is_none() && me.prepare_sleep().is_some();
            (me, slot, sleeps)
        });
        let mut must_wake = board.publish(SlotIndex::new(0), &targeted(0));
        for _ in 0..2 {
            must_wake |= board.publish(SlotIndex::new(1), &targeted(0));
            if !board.take_back(SlotIndex::new(1)) {
                break;
            }
        }
        let (mut me, slot, sleeps) = worker.join().unwrap();
        assert!(!sleeps || must_wake, "asleep beside a chunk");
        if slot != Some(0) {
            assert_eq!(me.claim().map(|claim| claim.slot().index()), Some(0), "asleep again");
        }
    });
}

/// A claimer sees a chunk although later publications overwrite its entry.
#[test]
fn a_chunk_is_seen_though_its_entry_is_overwritten() {
    SeqCstAs::check_both(|| {
        let board = board(1, 2);
        // The first claim is a search; from the second on it goes by the entries.
        let (mut me, claim) = claimed(&board, 1).remove(0);
        let _ = report(&me, claim);
        board.release(SlotIndex::new(0));
        let worker = thread::spawn(move || {
            let slot = me.claim().map(|claim| claim.slot().index());
            let sleeps = slot.is_none() && me.prepare_sleep().is_some();
            (me, slot, sleeps)
        });
        let mut must_wake = board.publish(SlotIndex::new(0), &described(1, 1));
        for _ in 0..2 {
            must_wake |= board.publish(SlotIndex::new(1), &described(1, 1));
            if !board.take_back(SlotIndex::new(1)) {
                break;
            }
        }
        let (mut me, slot, sleeps) = worker.join().unwrap();
        assert!(!sleeps || must_wake, "asleep beside a chunk");
        if slot != Some(0) {
            assert_eq!(me.claim().map(|claim| claim.slot().index()), Some(0), "asleep again");
        }
    });
}

/// All chunks are claimed if the publisher wakes a claimer for each chunk when told to.
#[test]
fn sleepers_wake_until_all_is_claimed() {
    fn claim_one(mut me: Claimer) {
        loop {
            if me.claim().is_some() {
                return;
            }
            if let Some((wake_count, _)) = me.prepare_sleep() {
                me.sleep(wake_count);
            }
        }
    }
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, claim_one);
        if board.publish(SlotIndex::new(0), &described(1, 1)) {
            board.wake(1);
        }
        worker.join().unwrap();
    });
}

/// An order to leave reaches claimers that are awake and claimers that sleep.
#[test]
fn an_order_to_leave_wakes() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |mut me| {
            assert!(me.claim().is_none());
            while !me.asked_to_leave() {
                if let Some((wake_count, _)) = me.prepare_sleep() {
                    me.sleep(wake_count);
                }
            }
        });
        board.ask_to_leave(0, Incarnation::new(1));
        board.wake_place(0);
        worker.join().unwrap();
    });
}

/// Claims the chunk in each of `slots` slots, each by its own claimer.
fn claimed(board: &Board, slots: usize) -> Vec<(Claimer, Claim)> {
    (0..slots)
        .map(|slot| {
            board.publish(SlotIndex::new(slot), &described(1, 1));
            let place = slot as u32;
            let mut claimer = Claimer::new(board.clone(), place, Incarnation::new(place + 1), 0);
            let claim = claimer.claim().expect("it was just published");
            (claimer, claim)
        })
        .collect()
}

/// How many chunks were finished since `cursors`.
fn found(board: &Board, cursors: &mut [u64]) -> i64 {
    let found = cursors
        .iter_mut()
        .enumerate()
        .map(|(place, cursor)| std::iter::from_fn(|| board.next_finished(place, cursor)).count());
    found.sum::<usize>() as i64
}

/// The publisher's last look finds a finished chunk, or its claimer is told to wake it.
#[test]
fn a_publisher_that_sleeps_is_seen_or_sees() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let (me, claim) = claimed(&board, 1).remove(0);
        let worker = thread::spawn(move || report(&me, claim));
        board.publisher_sleeps(WakeThreshold { finished: 1, has_items: false });
        let sleeps = board.publisher_found(found(&board, &mut [0]));
        assert!(!sleeps || worker.join().unwrap(), "asleep beside a result");
    });
}

/// A chunk that ended otherwise than complete wakes a publisher that waits for many, or was found.
#[test]
fn a_failure_wakes_at_once() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let (me, claim) = claimed(&board, 1).remove(0);
        let worker = thread::spawn(move || me.report(claim, End::Failed, 0, (0, 0)) == Some(true));
        board.publisher_sleeps(WakeThreshold { finished: 9, has_items: false });
        let found = found(&board, &mut [0]);
        assert!(board.publisher_found(found), "nine are more than one");
        assert!(found > 0 || worker.join().unwrap(), "asleep beside a failure");
    });
}

/// A publisher whose last look only asks whether a chunk was finished is seen or sees, too.
#[test]
fn a_glance_is_a_look() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let (me, claim) = claimed(&board, 1).remove(0);
        let worker = thread::spawn(move || report(&me, claim));
        board.publisher_sleeps(WakeThreshold { finished: 1, has_items: false });
        let sleeps = board.finished_since(0, 0) == 0;
        assert!(!sleeps || worker.join().unwrap(), "asleep beside a result");
    });
}

/// A publisher that sleeps until both of two chunks are finished, or for one at a time, gets both.
#[test]
fn a_publisher_gets_all_it_waits_for() {
    for at_once in [1, 2] {
        SeqCstAs::check_both(move || {
            let board = board(2, 2);
            let wake_up = Arc::new(Notify::new());
            let workers: Vec<_> = claimed(&board, 2)
                .into_iter()
                .map(|(me, claim)| {
                    let wake_up = Arc::clone(&wake_up);
                    thread::spawn(move || {
                        if report(&me, claim) {
                            wake_up.notify();
                        }
                    })
                })
                .collect();
            let (mut cursors, mut left) = ([0, 0], 2);
            while left > 0 {
                board.publisher_sleeps(WakeThreshold {
                    finished: at_once.min(left),
                    has_items: false,
                });
                let seen = found(&board, &mut cursors);
                left -= seen;
                if board.publisher_found(seen) && left > 0 {
                    wake_up.wait(); // for ever, if it was not woken: the checker reports that
                }
                board.publisher_wakes();
                left -= found(&board, &mut cursors);
            }
            workers.into_iter().for_each(|w| w.join().unwrap());
        });
    }
}

/// A claimer without work wakes a publisher that has more, or that publisher has seen it asleep.
#[test]
fn a_publisher_with_items_meets_an_idle_claimer() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |mut me| {
            assert!(me.claim().is_none());
            me.prepare_sleep().map(|(_, wakes_publisher)| wakes_publisher)
        });
        board.publisher_sleeps(WakeThreshold { finished: 1, has_items: true });
        let sees = board.any_sleeper();
        let must_wake = worker.join().unwrap().expect("there is no news");
        assert!(sees || must_wake, "both asleep, and there is work");
    });
}

/// Of two idle claimers exactly one is told to wake a publisher with items that saw neither.
#[test]
fn a_publisher_with_items_is_woken_once() {
    SeqCstAs::check_both(|| {
        let board = board(2, 1);
        board.publisher_sleeps(WakeThreshold { finished: 1, has_items: true });
        let workers = [0, 1].map(|place| {
            claimer(&board, place, |mut me| {
                assert!(me.claim().is_none());
                me.prepare_sleep().expect("there is no news").1
            })
        });
        let must_wake = workers.map(|worker| worker.join().unwrap());
        assert_eq!(must_wake.iter().filter(|must_wake| **must_wake).count(), 1);
    });
}
