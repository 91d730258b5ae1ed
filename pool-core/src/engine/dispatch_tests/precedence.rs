//! Several calls at once: whose chunk goes first, and when workers are told that others wait.

use super::*;

impl Fixture {
    /// Submits a chunk of a job; answers whether it goes first.
    fn submit_of(&mut self, job: JobId, offset: u64) -> bool {
        self.engine.submit(chunk(job, offset, offset, 1), &mut self.out);
        let Some(Action::Publish { slot }) = self.out.pop() else { panic!("a free slot") };
        self.engine.chunk(slot).unwrap().goes_first
    }
}

#[test]
fn the_first_chunk_of_a_call_goes_first_where_others_wait() {
    let mut fixture = Fixture::new(2, 16);
    let [second, third] = [(); 2].map(|()| fixture.engine.open_job());
    let of = fixture.job;
    // Workers may be free: nothing waits.
    assert!(!fixture.submit_of(of, 1) && !fixture.submit_of(of, 2));
    assert!(!fixture.submit_of(second, 3), "only two are under way");
    assert!(fixture.submit_of(third, 4));
    // The next ones of each take their turns.
    assert!(!fixture.submit_of(third, 5) && !fixture.submit_of(of, 6));
    // With nothing under way any more, it goes first again.
    fixture.ended(2, 1, 1, Why::Complete);
    assert!(fixture.submit_of(second, 7));
}

#[test]
fn no_call_goes_before_an_earlier_one_of_its_job() {
    let mut fixture = Fixture::new(2, 16);
    let (map, calls) = (fixture.job, fixture.engine.open_job());
    // Both workers are busy, and nothing waits: the first call does not go first.
    (1..=2).for_each(|offset| assert!(!fixture.submit_of(map, offset)));
    assert_eq!([3, 4, 5].map(|offset| fixture.submit_of(calls, offset)), [false; 3]);
    let mut fixture = Fixture::new(2, 16);
    let (map, calls) = (fixture.job, fixture.engine.open_job());
    (1..=3).for_each(|offset| assert!(!fixture.submit_of(map, offset)));
    assert_eq!([4, 5].map(|offset| fixture.submit_of(calls, offset)), [true, false]);
}

#[test]
fn what_is_for_one_worker_does_not_go_first() {
    let mut fixture = Fixture::new(2, 16);
    let other = fixture.engine.open_job();
    (1..=3).for_each(|offset| assert!(!fixture.submit_of(fixture.job, offset)));
    let chunk = Chunk { worker: Some(WorkerId::new(1)), ..chunk(other, 4, 4, 1) };
    fixture.engine.submit(chunk, &mut fixture.out);
    assert!(!fixture.engine.published().any(|(_, chunk)| chunk.goes_first));
}

/// Where all slots are taken, chunks go in the order of the queue.
#[test]
fn what_goes_first_does_so_in_the_queue_and_what_was_cut_does_not() {
    let mut fixture = Fixture::new(1, 2);
    let [second, third] = [(); 2].map(|()| fixture.engine.open_job());
    fixture.submit(1, 0, 4);
    (2..=4).for_each(|offset| drop(fixture.submit(offset, 10 * offset, 1)));
    fixture.engine.submit(chunk(second, 5, 50, 1), &mut fixture.out);
    fixture.engine.submit(chunk(third, 6, 60, 1), &mut fixture.out);
    fixture.engine.submit(chunk(third, 7, 70, 1), &mut fixture.out);
    assert!(told(&mut fixture.out).is_empty());
    assert_eq!(fixture.ended(0, 1, 1, Why::Cancelled), ["results 0+1 in 0"]);
    fixture.released(0);
    let queued = fixture.engine.queue.iter().map(|chunk| chunk.first.number());
    assert_eq!(queued.collect::<Vec<_>>(), [60, 30, 40, 70, 0]);
}

#[test]
fn the_rest_of_a_chunk_waits_and_lies_in_the_same_block() {
    let mut fixture = Fixture::new(1, 8);
    let other = fixture.engine.open_job();
    fixture.submit(1, 0, 1);
    fixture.submit(2, 1, 1);
    let long = Chunk { timed: true, ..chunk(other, 3, 10, 5) };
    fixture.engine.submit(long, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["publish 2"]);
    assert!(fixture.engine.chunk(SlotIndex::new(2)).unwrap().goes_first);
    assert_eq!(fixture.ended(2, 1, 2, Why::Cancelled), ["results 10+2 in 2", "publish 3"]);
    let rest = fixture.engine.chunk(SlotIndex::new(3)).unwrap();
    assert_eq!((rest.start, rest.end, rest.first.number(), rest.timed), (2, 5, 10, true));
    assert!(!rest.goes_first);
    // The worker that cut the chunk did not die with it, so deaths are counted from there.
    let died = || Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(3, 1, 0, died()), ["release 3", "publish 4"]);
    assert_eq!(fixture.ended(4, 1, 0, died()), ["release 4", "publish 5"]);
    assert_eq!(fixture.ended(5, 1, 1, Why::Cancelled), ["results 12+1 in 5", "publish 6"]);
    assert_eq!(fixture.ended(6, 1, 0, died()), ["release 6", "publish 7"]);
    assert_eq!(fixture.ended(7, 1, 2, Why::Complete), ["results 13+2 in 7", "free 3", "ended"]);
}

#[test]
fn workers_hear_of_others_while_several_jobs_have_more_than_is_in_hand() {
    let mut fixture = Fixture::new(2, 8);
    let other = fixture.engine.open_job();
    (1..=3).for_each(|offset| drop(fixture.submit(offset, offset, 1)));
    assert!(!fixture.engine.others_wait(), "it has all workers for itself");
    fixture.submit_of(other, 4);
    assert!(fixture.engine.others_wait());
    fixture.ended(0, 1, 1, Why::Complete);
    assert!(fixture.engine.others_wait());
    fixture.ended(1, 2, 1, Why::Complete);
    assert!(!fixture.engine.others_wait(), "two workers for two chunks");
    fixture.submit(5, 5, 1);
    assert!(fixture.engine.others_wait());
    // Taken back, or lost with a worker that keeps a result in hand.
    fixture.engine.close_job(other, &mut fixture.out);
    fixture.engine.taken_back(SlotIndex::new(3), &mut fixture.out);
    assert!(!fixture.engine.others_wait());
    fixture.ended(2, 1, 0, Why::Full);
    fixture.released(0);
    let slot = fixture.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().0;
    fixture.engine.in_hand_lost(Some(slot), named(1), &KILLED, &mut fixture.out);
    assert_eq!(fixture.engine.published_slots, fixture.engine.published().count());
}

#[test]
fn workers_hear_of_what_is_for_one_of_them() {
    let mut fixture = Fixture::new(3, 8);
    let other = fixture.engine.open_job();
    drop(fixture.submit(1, 0, 40));
    assert!(!fixture.engine.others_wait());
    let targeted = Chunk { worker: Some(WorkerId::new(1)), ..chunk(other, 2, 50, 1) };
    fixture.engine.submit(targeted, &mut fixture.out);
    assert!(fixture.engine.others_wait(), "the worker may have the other chunk in hand");
    let slot = fixture.engine.published().find(|(_, chunk)| chunk.worker.is_some()).unwrap().0;
    fixture.ended(slot.index(), 2, 1, Why::Complete);
    assert!(!fixture.engine.others_wait());
}
