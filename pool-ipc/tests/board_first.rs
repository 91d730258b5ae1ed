//! Chunks of a board that go first, and the mark that tells claimers of calls that wait.
#![cfg(not(loom))]

#[expect(dead_code, reason = "nothing runs here")]
#[path = "support/drive.rs"]
mod drive;

use drive::SharedBoard;
use pool_ipc::board::{Audience, Board, Claimer, Description, Incarnation, Shape, SlotIndex};

/// Publishes these slots; the flag says whether a slot goes first.
fn publish(board: &Board, slots: &[(usize, bool)]) {
    for (slot, first) in slots {
        board.publish(SlotIndex::new(*slot), &Description { end: 1, ..Description::default() });
        if *first {
            board.put_first(SlotIndex::new(*slot));
        }
    }
}

fn claimed(claimer: &mut Claimer) -> Vec<usize> {
    std::iter::from_fn(|| claimer.claim().map(|claim| claim.slot().index())).collect()
}

#[test]
fn chunks_that_go_first_alternate_with_others() {
    let shared = SharedBoard::new(Shape { places: 2, slots: 64 }, 1);
    let board = &shared.board;
    let mut claimers =
        [0, 1].map(|place| Claimer::new(board.clone(), place, Incarnation::new(place + 1), 0));
    let [one, other] = &mut claimers;
    // The first claim of each searches all slots.
    for (claimer, slot) in [(&mut *one, 62), (other, 63)] {
        publish(board, &[(slot, false)]);
        assert_eq!(claimed(claimer), [slot]);
    }
    publish(board, &[(0, false), (1, false), (2, false), (3, true), (4, true)]);
    assert_eq!(one.claim().map(|claim| claim.slot().index()), Some(3));
    assert_eq!(other.claim().map(|claim| claim.slot().index()), Some(4));
    // Each of them still has the other's publication to look at, which is gone.
    publish(board, &[(5, true), (6, false)]);
    assert_eq!(one.claim().map(|claim| claim.slot().index()), Some(0));
    assert_eq!(claimed(one), [5, 1, 2, 6]);
    assert_eq!(claimed(other), [0; 0]);
    // Of many at a time the last ones go first; none is lost.
    let many: Vec<_> = (10..50).map(|slot| (slot, true)).collect();
    publish(board, &many);
    let mut all = claimed(other);
    assert!(all[0] > 20 && all[1] == 10, "{all:?}");
    all.sort_unstable();
    assert!(all.into_iter().eq(10..50));
}

#[test]
fn a_name_of_what_is_over_claims_nothing() {
    let shared = SharedBoard::new(Shape { places: 2, slots: 4 }, 1);
    let board = &shared.board;
    let mut claimers =
        [0, 1].map(|place| Claimer::new(board.clone(), place, Incarnation::new(place + 1), 0));
    let [one, late] = &mut claimers;
    publish(board, &[(0, true)]);
    assert!(board.take_back(SlotIndex::new(0)));
    publish(board, &[(1, false), (0, false)]);
    // The slot is ready again, for another chunk that has to wait for its turn.
    assert_eq!(claimed(late), [1, 0]);
    // A chunk for the other place alone is left to it.
    let audience = Audience { place: Some(0), min_serial: 0 };
    board.publish(SlotIndex::new(2), &Description { audience, end: 1, ..Description::default() });
    board.put_first(SlotIndex::new(2));
    assert!(late.claim().is_none());
    let claim = one.claim().expect("it is for this one");
    assert!(claim.slot().index() == 2 && one.is_targeted(&claim));
}

#[test]
fn claimers_hear_that_others_wait() {
    let shared = SharedBoard::new(Shape { places: 1, slots: 1 }, 1);
    let mut claimer = Claimer::new(shared.board.clone(), 0, Incarnation::new(1), 0);
    publish(&shared.board, &[(0, false)]);
    let claim = claimer.claim().unwrap();
    // SAFETY: the shared has the board until the end.
    let marks = unsafe { claimer.item_marks(&claim) };
    assert!(!marks.others_wait() && !marks.is_cancelled());
    shared.board.set_others_wait(true);
    assert!(marks.others_wait());
    shared.board.set_others_wait(false);
    shared.board.cancel(SlotIndex::new(0));
    assert!(!marks.others_wait() && marks.is_cancelled());
}
