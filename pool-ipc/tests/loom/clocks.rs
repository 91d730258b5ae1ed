//! Of an overdue item exactly one is true: its claimer gets past it, or the watcher times it out.

use pool_ipc::board::{Claimer, Incarnation, Progress, SeqCstAs, SlotIndex, Stopped};

use super::{board, claimer, described};

/// The watcher sees a clock that is due before it looks again, or is woken.
#[test]
fn a_clock_is_seen_or_wakes_the_watcher() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |me| me.start_clock(1, 4, 0));
        // The watcher's order: it says when it will look, and looks once more.
        board.set_alarm(0);
        let seen = board.deadline(0, Incarnation::new(1)) == Some(5);
        assert!(worker.join().unwrap() || seen, "no process would end it");
    });
}

/// A watcher that sleeps until a later time sees an earlier clock, or is woken.
#[test]
fn a_clock_that_is_due_first_is_seen_or_wakes_the_watcher() {
    SeqCstAs::check_both(|| {
        let board = board(1, 1);
        board.set_alarm(3);
        let worker = claimer(&board, 0, |me| me.start_clock(1, 4, 0));
        board.set_alarm(9);
        let seen = board.deadline(0, Incarnation::new(1)) == Some(5);
        assert!(worker.join().unwrap() || seen, "it would be ended too late");
    });
}

/// How many of two items a claimer gets past.
fn two_items(mut me: Claimer) -> u32 {
    let claim = me.claim().expect("it was published");
    for finished in 0..2 {
        me.set_progress(&claim, Progress { finished, begun: true });
        let _ = me.start_clock(u64::from(finished) + 1, 4, 0);
        if me.stop_clock() != Stopped::InTime {
            return finished;
        }
        me.set_progress(&claim, Progress { finished: finished + 1, begun: false });
    }
    2
}

/// The item that the watcher times out stays in its claimer's hand.
#[test]
fn the_item_that_timed_out_is_the_one_in_hand() {
    loom::model(|| {
        let board = board(1, 1);
        board.publish_one(SlotIndex::new(0), &described(1, 2));
        let worker = claimer(&board, 0, two_items);
        let timed_out =
            board.deadline(0, Incarnation::new(1)).filter(|deadline| board.time_out(0, *deadline));
        // The progress that the publisher may see from now on.
        let progress = timed_out.map(|_| board.outcome(SlotIndex::new(0)).progress);
        let past = worker.join().unwrap();
        match timed_out {
            None => assert_eq!((past, board.time_outs()), (2, 0)),
            Some(deadline) => {
                assert_eq!(u64::from(past) + 5, deadline);
                let stands = Progress { finished: past, begun: true };
                assert_eq!(
                    (progress, board.outcome(SlotIndex::new(0)).progress),
                    (Some(stands), stands)
                );
                assert_eq!((board.time_outs(), board.deadline(0, Incarnation::new(1))), (1, None));
            }
        }
    });
}

/// An item with a grace ends in time, late, or timed out, in agreement with the watcher's
/// exchanges; the item after it is never told.
#[test]
fn the_item_that_was_notified_is_the_one_in_hand() {
    loom::model(|| {
        let board = board(1, 1);
        let worker = claimer(&board, 0, |me| {
            let _ = me.start_clock(1, 4, 2);
            let first = me.stop_clock();
            if first == Stopped::TimedOut {
                return (first, None);
            }
            let _ = me.start_clock(2, 7, 0);
            (first, Some(me.stop_clock()))
        });
        let notified =
            board.deadline(0, Incarnation::new(1)) == Some(5) && board.notify_late(0, 5, 5);
        let timed_out = notified && board.time_out(0, 7);
        let (first, second) = worker.join().unwrap();
        let expected = match (notified, timed_out) {
            (false, _) => Stopped::InTime,
            (true, false) => Stopped::Late,
            (true, true) => Stopped::TimedOut,
        };
        assert_eq!(first, expected);
        assert_eq!(second, (!timed_out).then_some(Stopped::InTime));
    });
}
