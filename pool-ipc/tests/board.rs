//! The board between threads: each chunk runs once, at the right claimer, many times round the
//! rings.
#![cfg(not(loom))]

#[path = "support/deadline.rs"]
mod deadline;
#[path = "support/drive.rs"]
mod drive;

use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use deadline::within_a_minute;
use drive::{Publisher, SharedBoard};
use pool_ipc::board::{
    Audience, Board, Claimer, Description, End, Incarnation, MAX_PLACES, Progress, Shape,
    SlotIndex, SlotState, incarnation_of,
};

fn exactly_once(chunks: usize, claimers: u32, slots: usize) {
    within_a_minute(move || {
        let shape = Shape { places: claimers as usize, slots };
        let shared = SharedBoard::new(shape, chunks);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..claimers)
                .map(|place| {
                    let shared = &shared;
                    scope.spawn(move || {
                        shared.claim_until_asked_to_leave(place, Incarnation::new(place + 1))
                    })
                })
                .collect();
            let mut publisher = Publisher::new(&shared, chunks, 1);
            publisher.run();
            shared
                .ask_all_to_leave((0..claimers).map(|place| (place, Incarnation::new(place + 1))));
            let ran: u64 = workers.into_iter().map(|w| w.join().expect("no panic")).sum();
            assert_eq!((ran, publisher.finished), (chunks as u64, chunks as u64));
        });
        assert!((0..chunks).all(|chunk| shared.begun(chunk).load(SeqCst) == 1));
        assert!(
            (0..slots).all(|slot| shared.board.slot_state(SlotIndex::new(slot)) == SlotState::Free)
        );
    });
}

#[test]
fn one_claimer_runs_each_chunk_once() {
    exactly_once(100_000, 1, 64);
}

#[test]
fn two_claimers_run_each_chunk_once() {
    exactly_once(100_000, 2, 64);
}

#[test]
fn four_claimers_run_each_chunk_once() {
    exactly_once(100_000, 4, 64);
}

/// Every slot is a bottleneck, and the rings have few entries.
#[test]
fn a_tiny_board_goes_round_many_times() {
    exactly_once(30_000, 3, 1);
    exactly_once(30_000, 2, 3);
}

fn board(places: usize, slots: usize) -> pool_ipc::board::Board {
    SharedBoard::new(Shape { places, slots }, 0).board
}

fn claim(claimer: &mut Claimer) -> Option<usize> {
    claimer.claim().map(|claim| {
        let slot = claim.slot().index();
        let _ = claimer.report(claim, End::Complete, 0, (0, 0));
        slot
    })
}

fn for_audience(place: Option<u32>, min_serial: u64) -> Description {
    Description { audience: Audience { place, min_serial }, ..Description::default() }
}

#[test]
fn a_chunk_for_one_place_waits_for_it() {
    let board = board(3, 2);
    let [mut first, mut second] =
        [0, 1].map(|place| Claimer::new(board.clone(), place, Incarnation::new(5), 0));
    board.publish(SlotIndex::new(0), &for_audience(Some(1), 0));
    assert_eq!(claim(&mut first), None);
    assert!(!first.has_news(), "it was looked at");
    assert_eq!(claim(&mut second), Some(0));
    // It stands in no other chunk's way.
    board.publish(SlotIndex::new(1), &for_audience(Some(2), 0));
    board.release(SlotIndex::new(0));
    board.publish(SlotIndex::new(0), &for_audience(None, 0));
    assert_eq!(claim(&mut first), Some(0));
    assert_eq!(board.slot_state(SlotIndex::new(1)), SlotState::Ready);
}

/// However many publications a claimer was too busy to follow, it does not sleep while one is for
/// it.
#[test]
fn a_chunk_for_the_busy_is_not_passed_over() {
    for slots in [2, 3, 40, 200] {
        for others in [1, 7, 15, 17, 33, 100, 500] {
            let board = board(2, slots);
            let [mut busy, mut other] =
                [0, 1].map(|place| Claimer::new(board.clone(), place, Incarnation::new(1), 0));
            board.publish(SlotIndex::new(0), &for_audience(Some(0), 0));
            assert_eq!(claim(&mut busy), Some(0));
            assert_eq!(claim(&mut busy), None);
            board.release(SlotIndex::new(0));
            board.publish(SlotIndex::new(0), &for_audience(Some(0), 0));
            for _ in 0..others {
                board.publish(SlotIndex::new(1), &for_audience(None, 0));
                assert_eq!(claim(&mut other), Some(1));
                board.release(SlotIndex::new(1));
            }
            assert_eq!(claim(&mut busy), Some(0), "{slots} slots, {others} others");
            assert_eq!(claim(&mut busy), None);
            assert!(busy.prepare_sleep().is_some());
        }
    }
}

/// A chunk for one claimer and a chunk for any claimer each wait for at most one of the other kind.
#[test]
fn targeted_and_other_chunks_alternate() {
    let board = board(1, 8);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    // The first claim searches all slots.
    board.publish(SlotIndex::new(0), &for_audience(None, 0));
    assert_eq!(claim(&mut claimer), Some(0));
    board.release(SlotIndex::new(0));
    for slot in 0..8 {
        board.publish(SlotIndex::new(slot), &for_audience((slot >= 4).then_some(0), 0));
    }
    let order: Vec<_> = std::iter::from_fn(|| claim(&mut claimer)).collect();
    assert_eq!(order, [4, 0, 5, 1, 6, 2, 7, 3]);
}

#[test]
fn what_is_for_one_alone_is_claimed_in_its_order() {
    let board = board(1, 8);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    assert!(claimer.claim().is_none());
    for slot in [6, 1, 7, 0] {
        board.publish(SlotIndex::new(slot), &for_audience(Some(0), 0));
    }
    // Not even by a search of all slots.
    assert!(claimer.search().is_none());
    let order: Vec<_> = std::iter::from_fn(|| claim(&mut claimer)).collect();
    assert_eq!(order, [6, 1, 7, 0]);
}

#[test]
fn a_chunk_for_a_place_without_claimer_waits_for_the_next() {
    let board = board(1, 40);
    let mut first = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    for slot in 0..Board::MOST_TARGETED {
        board.publish(SlotIndex::new(slot), &for_audience(Some(0), 0));
    }
    assert_eq!(claim(&mut first), Some(0));
    drop(first);
    let mut second = Claimer::new(board.clone(), 0, Incarnation::new(2), 0);
    let rest: Vec<_> = std::iter::from_fn(|| claim(&mut second)).collect();
    assert!(rest.into_iter().eq(1..Board::MOST_TARGETED));
    // More than the row names are found in some order.
    for slot in 20..40 {
        board.publish(SlotIndex::new(slot), &for_audience(Some(0), 0));
    }
    let mut rest: Vec<_> = std::iter::from_fn(|| claim(&mut second)).collect();
    rest.sort_unstable();
    assert!(rest.into_iter().eq(20..40));
    assert!(second.prepare_sleep().is_some());
}

#[test]
fn a_chunk_for_the_young_is_not_for_the_old() {
    let board = board(2, 1);
    let mut old = Claimer::new(board.clone(), 0, Incarnation::new(6), 0);
    board.publish(SlotIndex::new(0), &for_audience(None, 7));
    assert_eq!(claim(&mut old), None);
    assert_eq!(claim(&mut Claimer::new(board.clone(), 1, Incarnation::new(7), 0)), Some(0));
    board.release(SlotIndex::new(0));
    board.publish(SlotIndex::new(0), &for_audience(Some(0), 8));
    assert_eq!(claim(&mut Claimer::new(board.clone(), 1, Incarnation::new(9), 0)), None);
    assert_eq!(claim(&mut Claimer::new(board.clone(), 0, Incarnation::new(9), 0)), Some(0));
}

#[test]
fn the_last_place_of_the_largest_board_is_served() {
    let board = board(MAX_PLACES, 1);
    let last = MAX_PLACES as u32 - 1;
    let mut claimer = Claimer::new(board.clone(), last, Incarnation::new(1), 77);
    assert_eq!(board.occupant(MAX_PLACES - 1), (77, Incarnation::new(1)));
    assert!(claimer.claim().is_none() && claimer.prepare_sleep().is_some());
    assert!(board.publish(SlotIndex::new(0), &for_audience(Some(last), 0)));
    assert!(board.wake_place(last) && !board.any_sleeper());
    assert_eq!(claim(&mut claimer), Some(0));
    let mut cursor = 0;
    let finished = board.next_finished(last as usize, &mut cursor).unwrap();
    assert_eq!((finished.slot.index(), finished.incarnation), (0, Incarnation::new(1)));
}

#[test]
fn names_are_used_again_and_age_is_not_read_from_them() {
    let most = (1 << 28) - 1;
    let board = board(2, 4);
    let start = |place: u32, serial: u64| {
        board.expect(place as usize, serial);
        Claimer::new(board.clone(), place, incarnation_of(serial), 7)
    };
    let (mut last, mut first_again) = (start(0, most), start(1, most + 1));
    assert_eq!((last.incarnation().number(), first_again.incarnation().number()), (most as u32, 1));
    // A chunk for later claimers only is for the one with the smaller name.
    board.publish(SlotIndex::new(0), &for_audience(None, most + 1));
    assert_eq!((claim(&mut last), claim(&mut first_again)), (None, Some(0)));
    board.publish(SlotIndex::new(1), &for_audience(Some(0), most));
    assert_eq!((claim(&mut first_again), claim(&mut last)), (None, Some(1)));
    assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Done(Incarnation::new(1)));
    assert_eq!(board.slot_state(SlotIndex::new(1)), SlotState::Done(Incarnation::new(most as u32)));
    // For serial numbers far ahead only, with a name that comes again.
    board.publish(SlotIndex::new(2), &for_audience(None, 5 * most + 1));
    assert_eq!((claim(&mut last), claim(&mut first_again)), (None, None));
    let mut younger = start(1, 5 * most + 1);
    assert_eq!((younger.incarnation().number(), claim(&mut younger)), (1, Some(2)));
}

#[test]
fn nothing_on_a_row_is_of_an_older_claimer_with_the_same_name() {
    let board = board(1, 1);
    board.expect(0, 3);
    let _older = Claimer::new(board.clone(), 0, Incarnation::new(3), 77);
    board.ask_to_leave(0, Incarnation::new(3));
    assert!(board.leaves(0) && board.occupant(0) == (77, Incarnation::new(3)));
    let serial = 3 + (1 << 28) - 1;
    assert_eq!(incarnation_of(serial).number(), 3);
    board.expect(0, serial);
    assert!(!board.leaves(0) && board.occupant(0).1.number() == 0);
    let mut younger = Claimer::new(board.clone(), 0, Incarnation::new(3), 78);
    assert!(!younger.asked_to_leave() && claim(&mut younger).is_none());
    board.ask_to_leave(0, Incarnation::new(3));
    assert!(younger.asked_to_leave());
}

#[test]
fn an_order_to_leave_is_for_one_incarnation() {
    let board = board(1, 1);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(3), 0);
    board.ask_to_leave(0, Incarnation::new(2));
    assert!(claimer.claim().is_none() && !claimer.asked_to_leave());
    let (wake_count, wakes_publisher) = claimer.prepare_sleep().expect("there is no news");
    assert!(!wakes_publisher);
    board.ask_to_leave(0, Incarnation::new(3));
    assert!(board.wake_place(0));
    within_a_minute(move || {
        claimer.sleep(wake_count); // the wake count has moved on, so this is no sleep
        assert!(claimer.asked_to_leave() && claimer.prepare_sleep().is_none());
    });
    board.ask_to_leave(0, Incarnation::new(0));
    assert!(!Claimer::new(board.clone(), 0, Incarnation::new(3), 0).asked_to_leave());
}

#[test]
fn a_claimer_counts_as_asleep_during_a_nap_and_after_it() {
    let board = board(1, 1);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    let (wake_count, _) = claimer.prepare_sleep().expect("there is no news");
    assert!(!claimer.nap(wake_count, Duration::ZERO) && board.sleeps(0));
    assert_eq!(board.wake(1), 1);
    within_a_minute(move || {
        assert!(claimer.nap(wake_count, Duration::MAX), "the wake count has moved on");
        claimer.sleep(wake_count);
    });
    assert!(!board.sleeps(0));
}

#[test]
fn a_cancelled_chunk_says_so_until_it_is_another() {
    let board = board(1, 1);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    let described = Description {
        record: 1,
        function: 2,
        signature: 3,
        items: 4,
        capacity: 5,
        start: 6,
        end: 7,
        in_hand: true,
        past_limit: true,
        timed: true,
        limit: 1 << 40,
        grace: 7,
        context: 8,
        context_offset: 9,
        manifest: None,
        context_manifest: None,
        first: Some(u64::MAX),
        call: Some(1 << 40),
        audience: Audience::default(),
    };
    board.publish(SlotIndex::new(0), &described);
    board.cancel(SlotIndex::new(0));
    let claim = claimer.claim().unwrap();
    assert_eq!(claimer.description(&claim), described);
    assert!(claimer.is_cancelled(&claim));
    let half = Progress { finished: u32::MAX >> 1, begun: true };
    claimer.set_progress(&claim, half);
    let generation = claim.generation();
    let _ = claimer.report(claim, End::Cancelled, 1, (2, 3));
    assert_eq!(board.outcome(SlotIndex::new(0)).progress, half);
    assert_eq!(board.outcome(SlotIndex::new(0)).end, End::Cancelled);
    assert!(!board.was_released(SlotIndex::new(0), generation));
    board.release(SlotIndex::new(0));
    assert!(board.was_released(SlotIndex::new(0), generation));
    board.publish(SlotIndex::new(0), &Description::default());
    let claim = claimer.claim().unwrap();
    assert!(!claimer.is_cancelled(&claim) && claim.generation() != generation);
    assert_eq!(board.outcome(SlotIndex::new(0)).progress.finished, 0);
}

#[test]
fn nothing_can_be_taken_back_twice() {
    let board = board(1, 1);
    assert!(!board.take_back(SlotIndex::new(0)));
    board.publish(SlotIndex::new(0), &Description::default());
    assert!(board.take_back(SlotIndex::new(0)) && !board.take_back(SlotIndex::new(0)));
    assert_eq!(claim(&mut Claimer::new(board.clone(), 0, Incarnation::new(1), 0)), None);
    board.publish(SlotIndex::new(0), &Description::default());
    assert_eq!(claim(&mut Claimer::new(board.clone(), 0, Incarnation::new(1), 0)), Some(0));
    assert!(!board.take_back(SlotIndex::new(0)));
}

/// A claimer whose chunk in hand is seized gets no further; no other claimer's chunk is seized.
#[test]
fn a_seized_chunk_is_not_finished() {
    let board = board(1, 1);
    let mut claimer = Claimer::new(board.clone(), 0, Incarnation::new(4), 0);
    assert!(!board.seize(SlotIndex::new(0), Incarnation::new(4)), "there is none");
    board.publish(SlotIndex::new(0), &Description::default());
    let claimed = claimer.claim().unwrap();
    assert!(!board.seize(SlotIndex::new(0), Incarnation::new(3)));
    assert!(
        board.seize(SlotIndex::new(0), Incarnation::new(4))
            && board.seize(SlotIndex::new(0), Incarnation::new(4))
    );
    assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Claimed(Incarnation::new(4)));
    assert_eq!(claimer.report(claimed, End::Complete, 0, (0, 0)), None);
    assert_eq!(claim(&mut claimer), None);
    // Salvaged like the chunk of a dead claimer.
    board.release(SlotIndex::new(0));
    board.publish(SlotIndex::new(0), &Description::default());
    assert_eq!(claim(&mut claimer), Some(0));
    assert!(!board.seize(SlotIndex::new(0), Incarnation::new(4)), "it is done");
    // A chunk for the result in hand.
    board.release(SlotIndex::new(0));
    board.publish(SlotIndex::new(0), &for_audience(Some(0), 4));
    assert!(
        board.seize(SlotIndex::new(0), Incarnation::new(4)) && !board.take_back(SlotIndex::new(0))
    );
    assert_eq!(claimer.search().map(|claim| claim.slot().index()), None);
}
