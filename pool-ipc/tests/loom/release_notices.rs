//! A claimer that keeps segments learns which ones the publisher lets go, whole and in order, or
//! that they were too many to tell.

use pool_ipc::{SegmentId, board::SeqCstAs};

use super::{board, claimer};

/// An identity whose halves differ from each other and from those of all others.
fn id(number: u64) -> SegmentId {
    SegmentId(u128::from(number) << 64 | u128::from(number + 100))
}

#[test]
fn identities_are_read_whole_though_the_ring_goes_round() {
    loom::model(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |me| {
            let mut seen = 0;
            let mut announced = 0;
            for _ in 0..2 {
                let before = seen;
                if let Some(news) = me.released_since(&mut seen) {
                    let expected: Vec<_> = (before..seen).map(id).collect();
                    assert_eq!(news, expected);
                    announced += news.len();
                }
            }
            announced
        });
        for number in 0..3 {
            board.announce_release(id(number));
        }
        assert!(worker.join().unwrap() <= 3);
    });
}

#[test]
fn a_sleeping_cache_is_notified() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |me| {
            let wake_count = me.wake_count();
            me.set_keeps(true);
            let knows = me.released_since(&mut 0).is_none_or(|news| !news.is_empty());
            (me, wake_count, knows)
        });
        board.announce_release(id(1));
        let (me, wake_count, knows) = worker.join().unwrap();
        assert!(knows || me.wake_count() != wake_count, "asleep beside news");
    });
}
