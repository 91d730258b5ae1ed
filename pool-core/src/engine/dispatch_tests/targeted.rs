//! Chunks that only one worker may run.

use super::*;

impl Fixture {
    fn submit_to(&mut self, worker: u32, first: u64) -> Vec<String> {
        let chunk =
            Chunk { worker: Some(WorkerId::new(worker)), ..chunk(self.job, first, first, 1) };
        self.engine.submit(chunk, &mut self.out);
        told(&mut self.out)
    }

    fn worker_of(&self, slot: usize) -> Option<u32> {
        self.engine.chunk(SlotIndex::new(slot)).unwrap().audience.place
    }
}

#[test]
fn a_targeted_chunk_stays_with_its_worker() {
    let mut fixture = Fixture::new(2, 8);
    assert_eq!(fixture.submit_to(1, 0), ["publish 0"]);
    assert_eq!(fixture.worker_of(0), Some(1));
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(0, 2, 0, died), ["release 0", "publish 1"]);
    assert_eq!(fixture.worker_of(1), Some(1));
    // The next worker at the place may run it.
    fixture.engine.workers.vacate(named(2), true);
    fixture.engine.start_missing(&mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["start 1 3"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().audience.min_serial, 0);
    // It stays there, too, when a result of it was in hand.
    assert_eq!(fixture.ended(1, 3, 0, Why::Full), ["release 1", "room 3", "publish 2"]);
    let back = fixture.engine.chunk(SlotIndex::new(2)).unwrap();
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 3 });
    let retried = Chunk { retries: 1, ..back.clone() };
    fixture.engine.slots[2] = SlotUse::Published(retried);
    fixture.engine.in_hand_lost(Some(SlotIndex::new(2)), named(3), &KILLED, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["publish 3"]);
    let again = fixture.engine.chunk(SlotIndex::new(3)).unwrap();
    assert_eq!(again.audience, Audience { place: Some(1), min_serial: 0 });
    assert_eq!(fixture.ended(3, 4, 1, Why::Complete), ["results 0+1 in 3", "free 0", "ended"]);
    assert!(!fixture.engine.has_targeted_waiting() && !fixture.engine.has_chunks());
}

#[test]
fn one_that_is_busy_keeps_nothing_from_others() {
    // Two of each place may lie in slots.
    let mut fixture = Fixture::new(2, 8);
    assert_eq!(fixture.submit_to(0, 0), ["publish 0"]);
    assert_eq!(fixture.submit_to(0, 1), ["publish 1"]);
    assert!(fixture.submit_to(0, 2).is_empty() && fixture.submit_to(0, 3).is_empty());
    assert!(fixture.engine.has_targeted_waiting() && !fixture.engine.lacks_slots());
    assert_eq!(fixture.submit_to(1, 4), ["publish 2"]);
    assert_eq!(fixture.submit(5, 5, 1), ["publish 3"]);
    // Chunks come in order; what is left of one comes first.
    let failed = Why::Failed(Cause::BadResult);
    assert_eq!(fixture.ended(0, 1, 0, failed)[..2], ["release 0", "failed 0 on 0"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(4)).unwrap().first.number(), 2);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(1, 1, 0, died), ["release 1", "publish 5"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(5)).unwrap().first.number(), 1);
}

#[test]
fn with_a_slot_for_each_they_alternate() {
    let mut fixture = Fixture::new(2, 2);
    for first in 0..6 {
        fixture.submit_to(first % 2, u64::from(first));
    }
    assert!(fixture.submit(7, 7, 1).is_empty());
    assert!(fixture.engine.lacks_slots());
    let mut order = Vec::new();
    loop {
        let next = fixture
            .engine
            .published()
            .map(|(slot, chunk)| (slot.index(), chunk.first.number(), chunk.worker))
            .next();
        let Some((slot, first, worker)) = next else { break };
        order.push(first);
        let worker = worker.map_or(1, |worker| worker.number() + 1);
        fixture.ended(slot, worker, 1, Why::Complete);
        fixture.released(slot);
    }
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 7]);
    assert!(!fixture.engine.lacks_slots() && !fixture.engine.has_chunks());
}

#[test]
fn a_worker_that_is_not_there_is_started() {
    let mut fixture = Fixture::new(2, 8);
    fixture.engine.workers.vacate(named(2), false);
    assert_eq!(fixture.submit_to(1, 0), ["start 1 3", "publish 0"]);
    assert_eq!(fixture.submit_to(1, 1), ["publish 1"]);
}

#[test]
fn who_waits_for_one_worker_is_known() {
    let mut fixture = Fixture::new(2, 8);
    let other = fixture.engine.open_job();
    for first in 0..4 {
        fixture.submit_to(1, first); // two of them wait
    }
    fixture.engine.submit(
        Chunk { worker: Some(WorkerId::new(0)), ..chunk(other, 9, 0, 1) },
        &mut fixture.out,
    );
    assert_eq!(fixture.engine.jobs_targeting(WorkerId::new(1)), [fixture.job]);
    assert_eq!(fixture.engine.jobs_targeting(WorkerId::new(0)), [other]);
    // A place whose workers never get ready is given up, though others live.
    for _ in 0..6 {
        let (_, incarnation, _) =
            fixture.engine.workers.iter().find(|(worker, ..)| worker.index() == 1).unwrap();
        fixture.engine.workers.vacate(incarnation, false);
        assert!(!fixture.engine.workers.take_start_limit_reached(WorkerId::new(1)));
        fixture.engine.start_missing(&mut fixture.out);
        fixture.engine.workers.failed_starts = 0; // others have become ready
    }
    let (_, incarnation, _) =
        fixture.engine.workers.iter().find(|(worker, ..)| worker.index() == 1).unwrap();
    fixture.engine.workers.vacate(incarnation, false);
    assert!(!fixture.engine.workers.start_limit_reached());
    assert!(
        fixture.engine.workers.take_start_limit_reached(WorkerId::new(1))
            && !fixture.engine.workers.take_start_limit_reached(WorkerId::new(1))
    );
}

#[test]
fn closing_a_job_drops_what_waits_for_one_worker() {
    let mut fixture = Fixture::new(2, 8);
    for first in 0..4 {
        fixture.submit_to(1, first);
    }
    let (published, dropped) = fixture.close();
    assert_eq!((published, dropped.len()), (vec![0, 1], 2));
    fixture.engine.taken_back(SlotIndex::new(0), &mut fixture.out);
    fixture.engine.taken_back(SlotIndex::new(1), &mut fixture.out);
    assert!(!fixture.engine.has_chunks() && !fixture.engine.has_targeted_waiting());

    let mut fixture = Fixture::new(1, 2);
    fixture.submit_to(0, 0);
    fixture.submit_to(0, 1);
    assert!(fixture.engine.withdraw(fixture.job, ItemIndex::new(1), &mut fixture.out));
    assert!(!fixture.engine.withdraw(fixture.job, ItemIndex::new(1), &mut fixture.out));
}
