//! Items that are tried again, and items that take too long.

use std::time::Duration;

use super::*;

fn died(begun: bool) -> Why {
    Why::Died { begun, cause: KILLED }
}

#[test]
fn an_item_whose_worker_died_is_tried_again_and_then_fails() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 3, 2);
    assert_eq!(fixture.ended(0, 1, 1, died(true)), ["results 0+1 in 0", "publish 1"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().start, 1);
    assert_eq!(fixture.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    // Nothing was begun: that was no try.
    assert_eq!(fixture.ended(2, 1, 0, died(false)), ["release 2", "publish 3"]);
    let told = fixture.ended(3, 1, 0, died(true));
    assert_eq!(told, ["release 3", "failed 1 on 0 at try 3", "publish 1"]);
    // Every item has tries of its own.
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().start, 2);
    assert_eq!(fixture.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    assert_eq!(fixture.ended(2, 1, 1, Why::Complete), ["results 2+1 in 2", "free 1", "ended"]);
}

#[test]
fn a_chunk_that_three_workers_in_a_row_died_with_before_they_began_it_fails_its_first_item() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 0, 2);
    assert_eq!(fixture.ended(0, 1, 0, died(false)), ["release 0", "publish 1"]);
    assert_eq!(fixture.ended(1, 1, 0, died(false)), ["release 1", "publish 2"]);
    let told = fixture.ended(2, 1, 0, died(false));
    assert_eq!(told, ["release 2", "failed 0 on 0", "publish 3"]);
    // The next item has the same frames.
    let told = fixture.ended(3, 1, 0, died(false));
    assert_eq!(told, ["release 3", "failed 1 on 0", "free 1", "ended"]);
}

#[test]
fn workers_that_began_nothing_count_only_in_a_row() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 3, 1);
    fixture.ended(0, 1, 0, died(false));
    fixture.ended(1, 1, 0, died(false));
    // A worker that has begun an item, and one that has finished it, start the count anew.
    assert_eq!(fixture.ended(2, 1, 0, died(true)), ["release 2", "publish 3"]);
    fixture.ended(3, 1, 0, died(false));
    fixture.ended(0, 1, 0, died(false));
    assert_eq!(fixture.ended(1, 1, 1, died(false)), ["results 0+1 in 1", "publish 2"]);
    fixture.ended(2, 1, 0, died(false));
    fixture.ended(3, 1, 0, died(false));
    // An item with such a lost try may be tried again as often as others.
    assert_eq!(fixture.ended(0, 1, 0, died(false)), ["release 0", "publish 2"]);
    let told = fixture.ended(2, 1, 0, died(false));
    assert_eq!(told, ["release 2", "failed 1 on 0 at try 2", "publish 3"]);
}

#[test]
fn tries_are_counted_anew_behind_a_result() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 2, 1);
    assert_eq!(fixture.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    assert_eq!(fixture.ended(1, 1, 1, died(true)), ["results 0+1 in 1", "publish 2"]);
    let told = fixture.ended(2, 1, 0, died(true));
    assert_eq!(told, ["release 2", "failed 1 on 0 at try 2", "free 1", "ended"]);
}

#[test]
fn the_largest_number_of_tries_has_no_end_and_does_not_wrap() {
    let mut chunk = Chunk { retries: u32::MAX, ..chunk(JobId(1), 0, 0, 1) };
    chunk.lost_tries = u32::MAX - 1;
    for _ in 0..3 {
        assert!(chunk.has_tries() && chunk.lose_try());
        assert_eq!(chunk.lost_tries, u32::MAX);
    }
    let told = chunk.fail(WorkerId::FIRST, Cause::BadResult);
    assert!(matches!(told, Delivery::Failed { tries: u32::MAX, .. }), "{told:?}");
    // One less has an end.
    let mut chunk = Chunk { retries: u32::MAX - 1, lost_tries: u32::MAX - 1, ..chunk };
    assert!(!chunk.has_tries() && !chunk.lose_try());
}

#[test]
fn a_panic_is_not_tried_again() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 1, 9);
    assert_eq!(fixture.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    let told = fixture.ended(1, 1, 0, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["release 1", "failed 0 on 0 at try 2", "free 1", "ended"]);
}

#[test]
fn a_result_that_was_lost_in_hand_counts_as_a_try() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 2, 1);
    fixture.ended(0, 1, 0, Why::Full);
    fixture.engine.in_hand_lost(Some(SlotIndex::new(1)), named(1), &KILLED, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["publish 2"]);
    let chunk = fixture.engine.chunk(SlotIndex::new(2)).unwrap();
    assert_eq!((chunk.start, chunk.in_hand, chunk.audience), (0, None, Audience::default()));
    let told = fixture.ended(2, 1, 0, died(true));
    assert_eq!(told, ["release 2", "failed 0 on 0 at try 2", "publish 3"]);
}

#[test]
fn a_closed_job_tries_nothing_again() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_with_retries(1, 3, 9);
    assert_eq!(fixture.close().0, [0]);
    assert_eq!(fixture.ended(0, 1, 1, died(true)), ["release 0", "free 1"]);
    assert!(!fixture.engine.has_chunks());
}

impl Fixture {
    fn submit_limited(&mut self, offset: u64, len: u32, retries: u32) -> Vec<String> {
        let limit = Some(Duration::from_secs(1));
        let chunk = Chunk { limit, retries, ..chunk(self.job, offset, 0, len) };
        self.engine.submit(chunk, &mut self.out);
        told(&mut self.out)
    }

    fn timed_out(&mut self, slot: usize, finished: u32) -> Vec<String> {
        self.engine.timed_out(SlotIndex::new(slot), WorkerId::FIRST, finished, &mut self.out);
        told(&mut self.out)
    }
}

#[test]
fn an_item_that_is_overdue_fails_at_once_and_the_others_when_its_worker_is_reaped() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_limited(1, 4, 0);
    assert_eq!(fixture.timed_out(0, 1), ["failed 1 on 0"]);
    assert!(fixture.timed_out(0, 1).is_empty(), "told twice");
    assert_eq!(fixture.ended(0, 1, 1, died(true)), ["results 0+1 in 0", "publish 1"]);
    let chunk = fixture.engine.chunk(SlotIndex::new(1)).unwrap();
    assert_eq!((chunk.start, chunk.time_out), (2, TimeOut::None));
    // The next one dies of itself.
    let told = fixture.ended(1, 1, 0, died(true));
    assert_eq!(told, ["release 1", "failed 2 on 0", "publish 2"]);
    assert_eq!(fixture.ended(2, 1, 1, Why::Complete), ["results 3+1 in 2", "free 1", "ended"]);
}

#[test]
fn a_try_that_was_overdue_counts_as_one_that_died() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_limited(1, 2, 2);
    assert!(fixture.timed_out(0, 0).is_empty(), "it is tried again");
    assert_eq!(fixture.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    assert_eq!(fixture.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    assert_eq!(fixture.timed_out(2, 0), ["failed 0 on 0 at try 3"]);
    assert_eq!(fixture.ended(2, 1, 0, died(true)), ["release 2", "publish 3"]);
    // Tries are counted anew, also behind results that the parent has not collected yet.
    assert!(fixture.timed_out(3, 0).is_empty());
    assert_eq!(fixture.ended(3, 1, 0, died(true)), ["release 3", "publish 0"]);
    assert_eq!(fixture.ended(0, 1, 1, Why::Complete), ["results 1+1 in 0", "free 1", "ended"]);
}

#[test]
fn overdue_items_of_a_closed_job_are_not_reported() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit_limited(1, 3, 0);
    assert_eq!(fixture.close().0, [0]);
    assert!(fixture.timed_out(0, 1).is_empty());
    assert_eq!(fixture.ended(0, 1, 1, died(true)), ["release 0", "free 1"]);
    // A number from a damaged board is treated alike.
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 0, 3);
    assert!(fixture.timed_out(0, 1).is_empty(), "it has no limit");
    assert!(fixture.timed_out(3, 1).is_empty(), "nothing is there");
    fixture.submit_limited(2, 3, 0);
    assert!(fixture.timed_out(1, 3).is_empty(), "all of it is finished");
}
