//! Chunks that only one worker may run.

use super::*;

impl Crew {
    fn submit_to(&mut self, home: u32, first: u64) -> Vec<String> {
        let chunk = Chunk { home: Some(home), ..chunk(self.job, first, first, 1) };
        self.engine.submit(chunk, &mut self.out);
        told(&mut self.out)
    }

    fn home_of(&self, slot: usize) -> Option<u32> {
        self.engine.chunk(slot).unwrap().audience.place
    }
}

#[test]
fn a_chunk_with_a_home_stays_there() {
    let mut crew = Crew::new(2, 8);
    assert_eq!(crew.submit_to(1, 0), ["publish 0"]);
    assert_eq!(crew.home_of(0), Some(1));
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(0, 2, 0, died), ["release 0", "publish 1"]);
    assert_eq!(crew.home_of(1), Some(1));
    // Whoever is there next may run it.
    crew.engine.workers.vacate(2, true);
    crew.engine.staff(&mut crew.out);
    assert_eq!(told(&mut crew.out), ["start 1 3"]);
    assert_eq!(crew.engine.chunk(1).unwrap().audience.min_serial, 0);
    // Also when a result of it was in hand.
    assert_eq!(crew.ended(1, 3, 0, Why::Full), ["release 1", "room 3", "publish 2"]);
    let back = crew.engine.chunk(2).unwrap();
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 3 });
    let retried = Chunk { retries: 1, ..back.clone() };
    crew.engine.slots[2] = SlotUse::Published(retried);
    crew.engine.in_hand_lost(Some(2), 3, &KILLED, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["publish 3"]);
    let again = crew.engine.chunk(3).unwrap();
    assert_eq!(again.audience, Audience { place: Some(1), min_serial: 0 });
    assert_eq!(crew.ended(3, 4, 1, Why::Complete), ["results 0+1 in 3", "free 0", "ended"]);
    assert!(!crew.engine.has_addressed_waiting() && !crew.engine.has_chunks());
}

#[test]
fn one_that_is_busy_keeps_nothing_from_others() {
    // Two of each place may lie in slots.
    let mut crew = Crew::new(2, 8);
    assert_eq!(crew.submit_to(0, 0), ["publish 0"]);
    assert_eq!(crew.submit_to(0, 1), ["publish 1"]);
    assert!(crew.submit_to(0, 2).is_empty() && crew.submit_to(0, 3).is_empty());
    assert!(crew.engine.has_addressed_waiting() && !crew.engine.lacks_slots());
    assert_eq!(crew.submit_to(1, 4), ["publish 2"]);
    assert_eq!(crew.submit(5, 5, 1), ["publish 3"]);
    // They come in order; what is left of one comes first.
    let failed = Why::Failed(Cause::BadResult);
    assert_eq!(crew.ended(0, 1, 0, failed)[..2], ["release 0", "failed 0 on 0"]);
    assert_eq!(crew.engine.chunk(4).unwrap().first, 2);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(1, 1, 0, died), ["release 1", "publish 5"]);
    assert_eq!(crew.engine.chunk(5).unwrap().first, 1);
}

#[test]
fn with_a_slot_for_each_they_have_turns() {
    let mut crew = Crew::new(2, 2);
    for first in 0..6 {
        crew.submit_to(first % 2, u64::from(first));
    }
    assert!(crew.submit(7, 7, 1).is_empty());
    assert!(crew.engine.lacks_slots());
    let mut order = Vec::new();
    loop {
        let next =
            crew.engine.published().map(|(slot, chunk)| (slot, chunk.first, chunk.home)).next();
        let Some((slot, first, home)) = next else { break };
        order.push(first);
        let worker = home.map_or(1, |home| home + 1);
        crew.ended(slot, worker, 1, Why::Complete);
        crew.released(slot);
    }
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 7]);
    assert!(!crew.engine.lacks_slots() && !crew.engine.has_chunks());
}

#[test]
fn a_worker_that_is_not_there_is_started() {
    let mut crew = Crew::new(2, 8);
    crew.engine.workers.vacate(2, false);
    assert_eq!(crew.submit_to(1, 0), ["start 1 3", "publish 0"]);
    assert_eq!(crew.submit_to(1, 1), ["publish 1"]);
}

#[test]
fn who_waits_for_one_worker_is_known() {
    let mut crew = Crew::new(2, 8);
    let other = crew.engine.open_job();
    for first in 0..4 {
        crew.submit_to(1, first); // two of them wait
    }
    crew.engine.submit(Chunk { home: Some(0), ..chunk(other, 9, 0, 1) }, &mut crew.out);
    assert_eq!(crew.engine.jobs_addressed_to(1), [crew.job]);
    assert_eq!(crew.engine.jobs_addressed_to(0), [other]);
    // One that never gets ready is given up, though others live.
    for _ in 0..6 {
        let (_, incarnation, _) =
            crew.engine.workers.iter().find(|(place, ..)| *place == 1).unwrap();
        crew.engine.workers.vacate(incarnation, false);
        assert!(!crew.engine.workers.gives_place_up(1));
        crew.engine.staff(&mut crew.out);
        crew.engine.workers.stillborn = 0; // as others get on
    }
    let (_, incarnation, _) = crew.engine.workers.iter().find(|(place, ..)| *place == 1).unwrap();
    crew.engine.workers.vacate(incarnation, false);
    assert!(!crew.engine.workers.is_barren());
    assert!(crew.engine.workers.gives_place_up(1) && !crew.engine.workers.gives_place_up(1));
}

#[test]
fn closing_a_job_drops_what_waits_for_one_worker() {
    let mut crew = Crew::new(2, 8);
    for first in 0..4 {
        crew.submit_to(1, first);
    }
    let (published, dropped) = crew.close();
    assert_eq!((published, dropped.len()), (vec![0, 1], 2));
    crew.engine.taken_back(0, &mut crew.out);
    crew.engine.taken_back(1, &mut crew.out);
    assert!(!crew.engine.has_chunks() && !crew.engine.has_addressed_waiting());

    let mut crew = Crew::new(1, 2);
    crew.submit_to(0, 0);
    crew.submit_to(0, 1);
    assert!(crew.engine.withdraw(crew.job, 1, &mut crew.out));
    assert!(!crew.engine.withdraw(crew.job, 1, &mut crew.out));
}
