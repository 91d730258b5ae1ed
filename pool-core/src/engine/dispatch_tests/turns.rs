//! Calls beside each other: whose chunk goes first, and when workers hear that others wait.

use super::*;

impl Crew {
    /// Submits a chunk of another job; whether it goes first.
    fn submit_of(&mut self, job: JobId, offset: u64) -> bool {
        self.engine.submit(chunk(job, offset, offset, 1), &mut self.out);
        let Some(Action::Publish { slot }) = self.out.pop() else { panic!("a free slot") };
        self.engine.chunk(slot).unwrap().goes_first
    }
}

#[test]
fn the_first_chunk_of_a_call_goes_first_where_others_wait() {
    let mut crew = Crew::new(2, 16);
    let [second, third] = [(); 2].map(|()| crew.engine.open_job());
    let of = crew.job;
    // Workers may be free: nothing waits.
    assert!(!crew.submit_of(of, 1) && !crew.submit_of(of, 2));
    assert!(!crew.submit_of(second, 3), "only two are under way");
    assert!(crew.submit_of(third, 4));
    // The next ones of each take their turns.
    assert!(!crew.submit_of(third, 5) && !crew.submit_of(of, 6));
    // With nothing under way any more, it goes first again.
    crew.ended(2, 1, 1, Why::Complete);
    assert!(crew.submit_of(second, 7));
}

#[test]
fn no_call_goes_before_an_earlier_one_of_its_job() {
    let mut crew = Crew::new(2, 16);
    let (map, calls) = (crew.job, crew.engine.open_job());
    // Both workers are busy, and nothing waits: the first call does not go first.
    (1..=2).for_each(|offset| assert!(!crew.submit_of(map, offset)));
    assert_eq!([3, 4, 5].map(|offset| crew.submit_of(calls, offset)), [false; 3]);
    let mut crew = Crew::new(2, 16);
    let (map, calls) = (crew.job, crew.engine.open_job());
    (1..=3).for_each(|offset| assert!(!crew.submit_of(map, offset)));
    assert_eq!([4, 5].map(|offset| crew.submit_of(calls, offset)), [true, false]);
}

#[test]
fn what_is_for_one_worker_does_not_go_first() {
    let mut crew = Crew::new(2, 16);
    let other = crew.engine.open_job();
    (1..=3).for_each(|offset| assert!(!crew.submit_of(crew.job, offset)));
    let chunk = Chunk { home: Some(1), ..chunk(other, 4, 4, 1) };
    crew.engine.submit(chunk, &mut crew.out);
    assert!(!crew.engine.published().any(|(_, chunk)| chunk.goes_first));
}

/// Where all slots are taken, the order is that of the queue.
#[test]
fn what_goes_first_does_so_in_the_queue_and_what_was_cut_does_not() {
    let mut crew = Crew::new(1, 2);
    let [second, third] = [(); 2].map(|()| crew.engine.open_job());
    crew.submit(1, 0, 4);
    (2..=4).for_each(|offset| drop(crew.submit(offset, 10 * offset, 1)));
    crew.engine.submit(chunk(second, 5, 50, 1), &mut crew.out);
    crew.engine.submit(chunk(third, 6, 60, 1), &mut crew.out);
    crew.engine.submit(chunk(third, 7, 70, 1), &mut crew.out);
    assert!(told(&mut crew.out).is_empty());
    assert_eq!(crew.ended(0, 1, 1, Why::Cancelled), ["results 0+1 in 0"]);
    crew.released(0);
    let queued = crew.engine.queue.iter().map(|chunk| chunk.first);
    assert_eq!(queued.collect::<Vec<_>>(), [60, 30, 40, 70, 0]);
}

#[test]
fn what_a_chunk_leaves_takes_its_turn_and_lies_in_the_same_block() {
    let mut crew = Crew::new(1, 8);
    let other = crew.engine.open_job();
    crew.submit(1, 0, 1);
    crew.submit(2, 1, 1);
    let long = Chunk { timed: true, ..chunk(other, 3, 10, 5) };
    crew.engine.submit(long, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["publish 2"]);
    assert!(crew.engine.chunk(2).unwrap().goes_first);
    assert_eq!(crew.ended(2, 1, 2, Why::Cancelled), ["results 10+2 in 2", "publish 3"]);
    let rest = crew.engine.chunk(3).unwrap();
    assert_eq!((rest.start, rest.end, rest.first, rest.timed), (2, 5, 10, true));
    assert!(!rest.goes_first);
    // The worker that had it did not die with it.
    let died = || Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(3, 1, 0, died()), ["release 3", "publish 4"]);
    assert_eq!(crew.ended(4, 1, 0, died()), ["release 4", "publish 5"]);
    assert_eq!(crew.ended(5, 1, 1, Why::Cancelled), ["results 12+1 in 5", "publish 6"]);
    assert_eq!(crew.ended(6, 1, 0, died()), ["release 6", "publish 7"]);
    assert_eq!(crew.ended(7, 1, 2, Why::Complete), ["results 13+2 in 7", "free 3", "ended"]);
}

#[test]
fn workers_hear_of_others_while_several_jobs_have_more_than_is_in_hand() {
    let mut crew = Crew::new(2, 8);
    let other = crew.engine.open_job();
    (1..=3).for_each(|offset| drop(crew.submit(offset, offset, 1)));
    assert!(!crew.engine.others_wait(), "it has all workers for itself");
    crew.submit_of(other, 4);
    assert!(crew.engine.others_wait());
    crew.ended(0, 1, 1, Why::Complete);
    assert!(crew.engine.others_wait());
    crew.ended(1, 2, 1, Why::Complete);
    assert!(!crew.engine.others_wait(), "two workers for two chunks");
    crew.submit(5, 5, 1);
    assert!(crew.engine.others_wait());
    // Taken back, or lost with a worker that keeps a result in hand.
    crew.engine.close_job(other, &mut crew.out);
    crew.engine.taken_back(3, &mut crew.out);
    assert!(!crew.engine.others_wait());
    crew.ended(2, 1, 0, Why::Full);
    crew.released(0);
    let slot = crew.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().0;
    crew.engine.in_hand_lost(Some(slot), 1, &KILLED, &mut crew.out);
    assert_eq!(crew.engine.published_slots, crew.engine.published().count());
}

#[test]
fn workers_hear_of_what_is_for_one_of_them() {
    let mut crew = Crew::new(3, 8);
    let other = crew.engine.open_job();
    drop(crew.submit(1, 0, 40));
    assert!(!crew.engine.others_wait());
    let addressed = Chunk { home: Some(1), ..chunk(other, 2, 50, 1) };
    crew.engine.submit(addressed, &mut crew.out);
    assert!(crew.engine.others_wait(), "the worker may have the other chunk in hand");
    let slot = crew.engine.published().find(|(_, chunk)| chunk.home.is_some()).unwrap().0;
    crew.ended(slot, 2, 1, Why::Complete);
    assert!(!crew.engine.others_wait());
}
