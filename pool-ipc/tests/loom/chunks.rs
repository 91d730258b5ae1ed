//! Publish, claim, finish, release: each chunk runs once, and each side sees the other's writes.

use loom::thread;
use pool_ipc::board::{
    Audience, Board, Claim, Claimer, Description, End, Incarnation, Progress, SeqCstAs, SlotIndex,
    SlotState,
};

use super::{Cell, board, claimer, described, tag};

const DONE: Progress = Progress { finished: 1, begun: false };

/// Claims and runs all chunks there are; returns which ones.
fn run_all(me: &mut Claimer, items: &[Cell; 2]) -> Vec<u32> {
    let mut ran = Vec::new();
    while let Some(claim) = me.claim() {
        let tag = tag(me, &claim);
        // Read and written: two claimers of one chunk would be a race.
        items[tag as usize].set(items[tag as usize].get() + 10);
        ran.push(tag);
        let _ = me.report(claim, End::Complete, 0, (0, 0));
    }
    ran
}

/// Two claimers, two chunks: all are run, none twice.
#[test]
fn two_claimers_run_each_chunk_once() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(2, 2);
        let items = [Cell::new(), Cell::new()];
        items[0].set(1);
        board.publish_one(SlotIndex::new(0), &described(0, 1));
        let workers =
            [0, 1].map(|place| claimer(&board, place, move |mut me| run_all(&mut me, &items)));
        items[1].set(2);
        board.publish_one(SlotIndex::new(1), &described(1, 1));
        let mut ran: Vec<u32> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        // Chunks published after the last look of both claimers are left.
        let mut last = Claimer::new(board.clone(), 0, Incarnation::new(9), 0);
        ran.extend(run_all(&mut last, &items));
        ran.sort_unstable();
        assert_eq!(ran, [0, 1]);
        assert_eq!(items.map(Cell::get), [11, 12]);
        assert!(
            (0..2).all(|slot| matches!(board.slot_state(SlotIndex::new(slot)), SlotState::Done(_)))
        );
    });
}

/// One slot in two generations: item, description, results and account are handed over and back,
/// and the claimer's block is its own again once the slot was released.
#[test]
fn a_slot_is_used_again() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(1, 1);
        let (item, result) = (Cell::new(), Cell::new());
        let worker = claimer(&board, 0, move |mut me| {
            let mut last = None;
            for _ in 0..3 {
                // The block of the chunk before is reused only once it was read.
                if last.is_some_and(|generation| {
                    !me.board().was_released(SlotIndex::new(0), generation)
                }) {
                    thread::yield_now();
                    continue;
                }
                let Some(claim) = me.claim() else {
                    thread::yield_now();
                    continue;
                };
                assert_ne!(last, Some(claim.generation()), "generations move on");
                last = Some(claim.generation());
                let tag = tag(&me, &claim);
                assert_eq!(item.get(), tag);
                result.set(100 + tag);
                me.set_results(&claim, u64::from(tag), None);
                me.set_progress(&claim, DONE);
                let _ = me.report(claim, End::Failed, u64::from(tag), (u64::from(tag), 7));
            }
        });
        let (mut cursor, mut next) = (0, 1);
        item.set(next);
        board.publish_one(SlotIndex::new(0), &described(next, 1));
        for _ in 0..2 {
            let Some(finished) = board.next_finished(0, &mut cursor) else {
                thread::yield_now();
                continue;
            };
            assert_eq!((finished.slot.index(), finished.incarnation), (0, Incarnation::new(1)));
            let outcome = board.outcome(SlotIndex::new(0));
            let tag = u64::from(next);
            assert_eq!((outcome.end, outcome.progress), (End::Failed, DONE));
            assert_eq!((outcome.results, outcome.nanos), (tag, tag));
            assert_eq!(outcome.failure, (tag, 7));
            assert_eq!(result.get(), 100 + next);
            board.release(SlotIndex::new(0));
            assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Free);
            next += 1;
            item.set(next);
            board.publish_one(SlotIndex::new(0), &described(next, 1));
        }
        worker.join().unwrap();
    });
}

/// A claimer with the chunk of a board of one slot in hand.
fn claimed(board: &Board) -> (Claimer, Claim) {
    board.publish_one(SlotIndex::new(0), &described(1, 1));
    let mut me = Claimer::new(board.clone(), 0, Incarnation::new(1), 0);
    let claim = me.claim().expect("it was just published");
    (me, claim)
}

// In the next two tests the writer is the thread that runs first: loom overlooks a read that comes
// before a read and a write of the other thread.

/// The word alone hands the account over, to a publisher that asks no ring.
#[test]
fn a_word_hands_over_the_account() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(1, 1);
        let result = Cell::new();
        let (me, claim) = claimed(&board);
        let publisher = thread::spawn(move || {
            if board.slot_state(SlotIndex::new(0)) == SlotState::Done(Incarnation::new(1)) {
                let outcome = board.outcome(SlotIndex::new(0));
                assert_eq!((outcome.end, outcome.results), (End::Full, 6));
                assert_eq!((outcome.nanos, outcome.failure), (7, (8, 9)));
                assert_eq!(result.get(), 5);
            }
        });
        result.set(5);
        me.set_results(&claim, 6, None);
        let _ = me.report(claim, End::Full, 7, (8, 9));
        publisher.join().unwrap();
    });
}

/// The word alone gives the claimer its block back.
#[test]
fn a_word_gives_the_block_back() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(1, 1);
        let result = Cell::new();
        result.set(5);
        let (me, claim) = claimed(&board);
        let generation = claim.generation();
        let _ = me.report(claim, End::Complete, 0, (0, 0));
        let worker = thread::spawn(move || {
            if me.board().was_released(SlotIndex::new(0), generation) {
                result.set(0);
            }
        });
        assert_eq!(result.get(), 5);
        board.release(SlotIndex::new(0));
        worker.join().unwrap();
    });
}

/// A chunk that is taken back and published again is one or the other for its claimer.
#[test]
fn taking_back_races_with_claims() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(2, 1);
        let item = Cell::new();
        item.set(1);
        board.publish_one(SlotIndex::new(0), &described(1, 1));
        let workers = [0, 1].map(|place| {
            claimer(&board, place, move |mut me| {
                me.claim().map(|claim| {
                    assert_eq!(item.get(), tag(&me, &claim));
                    tag(&me, &claim)
                })
            })
        });
        let mut expected = 1;
        if board.take_back(SlotIndex::new(0)) {
            assert_eq!(board.slot_state(SlotIndex::new(0)), SlotState::Free);
            expected = 2;
            item.set(2);
            board.publish_one(SlotIndex::new(0), &described(2, 1));
        }
        let mut claimed: Vec<u32> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        if board.take_back(SlotIndex::new(0)) {
            claimed.push(2);
        }
        // Exactly one side wins, and no claimer gets a chunk that was taken back.
        assert_eq!(claimed, [expected]);
    });
}

/// A claimer checks the audience of the very chunk that it claims.
#[test]
fn an_audience_belongs_to_its_chunk() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(2, 1);
        let only = |place, tag| Description {
            audience: Audience { place: Some(place), min_serial: 0 },
            ..described(tag, 1)
        };
        board.publish_one(SlotIndex::new(0), &only(0, 0));
        let worker = claimer(&board, 1, |mut me| me.claim().map(|claim| tag(&me, &claim)));
        assert!(board.take_back(SlotIndex::new(0)), "it is not for the one who looks");
        board.publish_one(SlotIndex::new(0), &only(1, 1));
        assert!(
            board.take_back(SlotIndex::new(0))
                || board.slot_state(SlotIndex::new(0)) == SlotState::Claimed(Incarnation::new(2))
        );
        if board.slot_state(SlotIndex::new(0)) == SlotState::Free {
            board.publish_one(SlotIndex::new(0), &only(0, 2));
        }
        assert!(matches!(worker.join().unwrap(), None | Some(1)));
    });
}

/// A publisher that sees the incarnation sees the process id that belongs to it.
#[test]
fn an_occupant_is_seen_whole() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, drop);
        let (pid, incarnation) = board.occupant(0);
        assert!(incarnation.number() == 0 || (pid, incarnation.number()) == (100, 1));
        worker.join().unwrap();
    });
}

/// A chunk that goes first is found by either of its names, and run once, with its description
/// complete.
#[test]
fn what_goes_first_is_run_once() {
    SeqCstAs::AcqRel.check(|| {
        let board = board(2, 2);
        let items = [Cell::new(), Cell::new()];
        board.publish_one(SlotIndex::new(0), &described(0, 1));
        let workers =
            [0, 1].map(|place| claimer(&board, place, move |mut me| run_all(&mut me, &items)));
        items[1].set(1);
        board.publish_one(SlotIndex::new(1), &described(1, 1));
        board.put_first(SlotIndex::new(1));
        let mut ran: Vec<u32> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        let mut last = Claimer::new(board.clone(), 0, Incarnation::new(9), 0);
        ran.extend(run_all(&mut last, &items));
        ran.sort_unstable();
        assert_eq!(ran, [0, 1]);
        assert_eq!(items.map(Cell::get), [10, 11]);
    });
}
