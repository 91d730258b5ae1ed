//! The engine without processes: single events here, in `homes.rs`, `tries.rs` and `turns.rs`,
//! whole lives of made-up crews in `lives.rs`.

mod homes;
mod lives;
mod names;
mod tries;
mod turns;

use pool_ipc::board::{End, Progress};

use super::*;
use crate::{error::ExitStatus, task::Call};

const CALL: Call = Call { record: 1, function: 2, signature: 3 };

fn block(offset: u64) -> Block {
    Block { offset: offset * 128, len: 128 }
}

fn chunk(job: JobId, offset: u64, first: u64, len: u32) -> Chunk {
    let measure = crate::engine::measure_results::<u64>;
    Chunk::new((job, CALL, measure), block(offset), first, (len, len))
}

fn outcome(end: End, finished: u32, begun: bool) -> Outcome {
    let progress = Progress { finished, begun };
    Outcome { end, progress, results: 0, manifest: None, nanos: 0, failure: (0, 0) }
}

/// Actions as short words, for comparison.
fn told(out: &mut Vec<Action>) -> Vec<String> {
    out.drain(..)
        .map(|action| match action {
            Action::Publish { slot } => format!("publish {slot}"),
            Action::FreeItems { block } => format!("free {}", block.offset / 128),
            Action::Release { slot } => format!("release {slot}"),
            Action::MakeRoom { incarnation } => format!("room {incarnation}"),
            Action::Start { place, incarnation, .. } => format!("start {place} {incarnation}"),
            Action::Deliver { delivery, .. } => match delivery {
                Delivery::Results { slot, first, outcome, .. } => {
                    format!("results {first}+{} in {slot}", outcome.progress.finished)
                }
                Delivery::Failed { index, worker, tries: 1, .. } => {
                    format!("failed {index} on {worker}")
                }
                Delivery::Failed { index, worker, tries, .. } => {
                    format!("failed {index} on {worker} at try {tries}")
                }
                Delivery::Ended { .. } => "ended".to_string(),
            },
        })
        .collect()
}

const KILLED: Cause = Cause::Death(ExitStatus::Signal(9));

struct Crew {
    engine: Engine,
    job: JobId,
    out: Vec<Action>,
}

impl Crew {
    fn new(places: usize, slots: usize) -> Self {
        let mut engine = Engine::new(places, slots);
        let mut out = Vec::new();
        engine.staff(&mut out);
        out.clear();
        let job = engine.open_job();
        Self { engine, job, out }
    }

    fn submit(&mut self, offset: u64, first: u64, len: u32) -> Vec<String> {
        self.engine.submit(chunk(self.job, offset, first, len), &mut self.out);
        told(&mut self.out)
    }

    fn submit_with_retries(&mut self, offset: u64, len: u32, retries: u32) -> Vec<String> {
        let chunk = Chunk { retries, ..chunk(self.job, offset, 0, len) };
        self.engine.submit(chunk, &mut self.out);
        told(&mut self.out)
    }

    fn ended(&mut self, slot: usize, incarnation: u32, finished: u32, why: Why) -> Vec<String> {
        let outcome = outcome(End::Complete, finished, false);
        self.engine.ended(slot, incarnation, outcome, why, &mut self.out);
        told(&mut self.out)
    }

    fn released(&mut self, slot: usize) -> Vec<String> {
        self.engine.released(slot, &mut self.out);
        told(&mut self.out)
    }

    fn close(&mut self) -> (Vec<usize>, Vec<String>) {
        let slots = self.engine.close_job(self.job, &mut self.out);
        (slots, told(&mut self.out))
    }
}

#[test]
fn a_chunk_is_published_and_its_block_freed_at_its_end() {
    let mut crew = Crew::new(1, 4);
    assert_eq!(crew.submit(1, 0, 3), ["publish 0"]);
    assert!(crew.engine.has_chunks());
    assert_eq!(crew.ended(0, 1, 3, Why::Complete), ["results 0+3 in 0", "free 1", "ended"]);
    assert!(!crew.engine.has_chunks());
    assert!(crew.released(0).is_empty());
    // A ring that was scribbled over may name the slot again.
    assert!(crew.ended(0, 1, 3, Why::Complete).is_empty());
    assert!(crew.released(0).is_empty());
}

#[test]
fn after_a_failure_the_rest_goes_on() {
    let mut crew = Crew::new(1, 4);
    crew.submit(1, 10, 5);
    let told = crew.ended(0, 1, 2, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 10+2 in 0", "failed 12 on 0", "publish 1"]);
    let rest = crew.engine.chunk(1).unwrap();
    assert_eq!((rest.start, rest.end, rest.capacity, rest.first), (3, 5, 5, 10));
    let told = crew.ended(1, 1, 1, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 13+1 in 1", "failed 14 on 0", "free 1", "ended"]);
}

#[test]
fn a_failure_of_the_first_item_gives_the_slot_back() {
    let mut crew = Crew::new(1, 4);
    crew.submit(1, 0, 1);
    let told = crew.ended(0, 1, 0, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["release 0", "failed 0 on 0", "free 1", "ended"]);
}

#[test]
fn a_death_costs_the_item_that_was_begun_and_no_other() {
    let mut crew = Crew::new(2, 4);
    crew.submit(1, 0, 4);
    let died = Why::Died { begun: true, cause: KILLED };
    let told = crew.ended(0, 2, 1, died);
    assert_eq!(told, ["results 0+1 in 0", "failed 1 on 1", "publish 1"]);
    assert_eq!(crew.engine.chunk(1).unwrap().start, 2);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(1, 1, 0, died), ["release 1", "publish 2"]);
    assert_eq!(crew.engine.chunk(2).unwrap().start, 2);
    let died = Why::Died { begun: false, cause: KILLED };
    // Finished to the last item, not yet reported: nothing is lost.
    assert_eq!(crew.ended(2, 1, 2, died), ["results 2+2 in 2", "free 1", "ended"]);
}

#[test]
fn a_full_worker_gets_its_chunk_back_when_its_results_are_read() {
    let mut crew = Crew::new(2, 8);
    crew.submit(1, 0, 4);
    assert_eq!(crew.ended(0, 2, 2, Why::Full), ["results 0+2 in 0", "room 2"]);
    assert_eq!(crew.submit(2, 4, 1), ["publish 1"]);
    assert_eq!(crew.released(0), ["publish 2"]);
    let back = crew.engine.chunk(2).unwrap();
    assert_eq!((back.start, back.in_hand), (2, Some(2)));
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 2 });
    // It stores the result in hand and fails at the next item.
    let told = crew.ended(2, 2, 1, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 2+1 in 2", "failed 3 on 1", "free 1", "ended"]);
}

#[test]
fn a_full_worker_whose_results_were_read_already_goes_on_at_once() {
    let mut crew = Crew::new(1, 8);
    crew.submit(1, 0, 2);
    assert_eq!(crew.ended(0, 1, 0, Why::Full), ["release 0", "room 1", "publish 1"]);
    assert_eq!(crew.engine.chunk(1).unwrap().in_hand, Some(1));
}

#[test]
fn a_result_in_hand_dies_with_its_worker() {
    // Held.
    let mut crew = Crew::new(1, 8);
    crew.submit(1, 0, 3);
    crew.ended(0, 1, 1, Why::Full);
    crew.engine.in_hand_lost(None, 1, &KILLED, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["failed 1 on 0", "publish 1"]);
    let rest = crew.engine.chunk(1).unwrap();
    assert_eq!((rest.start, rest.in_hand, rest.audience), (2, None, Audience::default()));

    // Published again, not claimed: its slot was taken back.
    let mut crew = Crew::new(1, 8);
    crew.submit(1, 0, 2);
    crew.ended(0, 1, 0, Why::Full);
    crew.engine.in_hand_lost(Some(1), 1, &KILLED, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["failed 0 on 0", "publish 2"]);

    // Claimed, and nothing finished: it dies before it has begun to store.
    let mut crew = Crew::new(1, 8);
    crew.submit(1, 0, 2);
    crew.ended(0, 1, 0, Why::Full);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(1, 1, 0, died), ["release 1", "failed 0 on 0", "publish 2"]);

    // Claimed, stored, and the next item not begun: nothing is lost.
    let mut crew = Crew::new(1, 8);
    crew.submit(1, 0, 2);
    crew.ended(0, 1, 0, Why::Full);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(crew.ended(1, 1, 1, died), ["results 0+1 in 1", "publish 2"]);

    // Queued: all slots are taken.
    let mut crew = Crew::new(1, 2);
    crew.submit(1, 0, 2);
    crew.ended(0, 1, 1, Why::Full);
    crew.engine.queue.push_back(crew.engine.held[0].clone());
    crew.engine.held.clear();
    crew.engine.in_hand_lost(None, 1, &KILLED, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["failed 1 on 0", "free 1", "ended"]);
}

#[test]
fn a_chunk_in_hand_goes_before_all_others() {
    let mut crew = Crew::new(1, 2);
    assert_eq!(crew.submit(1, 0, 2), ["publish 0"]);
    assert_eq!(crew.submit(2, 2, 1), ["publish 1"]);
    assert!(crew.submit(3, 3, 1).is_empty());
    assert!(crew.engine.lacks_slots());
    assert_eq!(crew.ended(0, 1, 1, Why::Full), ["results 0+1 in 0", "room 1"]);
    assert_eq!(crew.released(0), ["publish 0"]);
    assert_eq!(crew.engine.chunk(0).unwrap().in_hand, Some(1));
}

#[test]
fn unread_results_in_all_slots_are_to_be_spilled() {
    let mut crew = Crew::new(1, 3);
    for offset in 0..5 {
        crew.submit(offset, offset, 1);
    }
    assert!(crew.engine.lacks_slots());
    for slot in 0..3 {
        crew.ended(slot, 1, 1, Why::Complete);
    }
    assert!(crew.engine.lacks_slots());
    assert_eq!(crew.released(1), ["publish 1"]);
    assert_eq!(crew.released(0), ["publish 0"]);
    assert!(!crew.engine.lacks_slots());
}

#[test]
fn closing_a_job_drops_what_is_queued_and_asks_for_what_is_published() {
    let mut crew = Crew::new(1, 4);
    crew.engine.keep_context(crew.job, block(9));
    for offset in 0..6 {
        crew.submit(offset, offset, 2);
    }
    assert_eq!(crew.ended(0, 1, 2, Why::Complete)[0], "results 0+2 in 0");
    crew.released(0);
    assert_eq!(crew.ended(1, 1, 2, Why::Complete)[0], "results 1+2 in 1");
    // Slot 1 is still lent; three chunks are published, one is queued.
    let (published, dropped) = crew.close();
    assert_eq!(dropped, ["free 5", "release 1"]);
    assert_eq!(published.len(), 3);
    crew.engine.taken_back(published[2], &mut crew.out);
    crew.engine.taken_back(published[0], &mut crew.out);
    assert_eq!(told(&mut crew.out).len(), 2);
    // The other one was claimed before: its results are dropped, its rest is not run, and with it
    // the context goes.
    let told = crew.ended(published[1], 1, 1, Why::Cancelled);
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("release") && told[2] == "free 9", "{told:?}");
    assert!(!crew.engine.has_chunks());
    assert_eq!(crew.close(), (vec![], vec![]));
}

#[test]
fn jobs_that_end_together_begin_nothing_of_each_other() {
    let mut crew = Crew::new(1, 1);
    let other = crew.engine.open_job();
    crew.submit(1, 0, 1);
    crew.engine.submit(chunk(other, 2, 0, 1), &mut crew.out);
    assert_eq!(crew.engine.cancel_jobs(&[crew.job, other], &mut crew.out), [0]);
    assert_eq!(told(&mut crew.out), ["free 2"]);
    crew.engine.taken_back(0, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["free 1"]);
}

#[test]
fn a_job_without_chunks_gives_its_context_back_when_it_is_closed() {
    let mut crew = Crew::new(1, 4);
    crew.engine.keep_context(crew.job, block(9));
    assert_eq!(crew.close(), (vec![], vec!["free 9".to_string()]));
}

#[test]
fn a_chunk_for_a_job_that_another_thread_has_ended_is_freed() {
    let mut crew = Crew::new(1, 4);
    crew.close();
    crew.submit(7, 0, 3);
    assert_eq!(crew.engine.jobs.iter().count(), 0);
    assert_eq!(crew.engine.published().count(), 0);
}

#[test]
fn a_worker_with_full_hands_is_told_when_its_job_is_closed() {
    let mut crew = Crew::new(1, 4);
    crew.submit(1, 0, 3);
    crew.ended(0, 1, 1, Why::Full);
    // Its chunk was held until slot 0 is read; now it comes to let go.
    let (published, told) = crew.close();
    assert_eq!(
        (published, told),
        (vec![1], vec!["publish 1".to_string(), "release 0".to_string()])
    );
    assert!(!crew.engine.is_open(crew.job));
    // Should it come too early and be full again, it is told again.
    assert_eq!(crew.ended(1, 1, 0, Why::Full), ["release 1", "publish 2"]);
    assert_eq!(crew.ended(2, 1, 0, Why::Cancelled), ["release 2", "free 1"]);
    assert!(!crew.engine.has_chunks());
}

#[test]
fn jobs_do_not_disturb_each_other() {
    let mut crew = Crew::new(2, 8);
    let other = crew.engine.open_job();
    crew.submit(1, 0, 1);
    crew.engine.submit(chunk(other, 2, 0, 1), &mut crew.out);
    crew.out.clear();
    assert_eq!(crew.close(), (vec![0], vec![]));
    assert_eq!(crew.ended(1, 1, 1, Why::Complete), ["results 0+1 in 1", "free 2", "ended"]);
    assert_eq!(crew.ended(0, 2, 1, Why::Complete), ["release 0", "free 1"]);
}

#[test]
fn retired_workers_get_nothing_new() {
    let mut crew = Crew::new(2, 8);
    crew.submit(1, 0, 1);
    assert_eq!(crew.engine.chunk(0).unwrap().audience.min_serial, 0);
    crew.engine.workers.retire_all();
    crew.submit(2, 1, 1);
    assert_eq!(crew.engine.chunk(1).unwrap().audience.min_serial, 3);
    crew.engine.workers.vacate(1, true);
    crew.engine.staff(&mut crew.out);
    assert_eq!(told(&mut crew.out), ["start 0 3"]);
    // What a retired worker has in hand still goes to it.
    crew.ended(0, 2, 0, Why::Full);
    let back = crew.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().1;
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 2 });
}

#[test]
fn workers_that_never_get_ready_are_not_replaced_for_ever() {
    let mut engine = Engine::new(1, 2);
    let mut out = Vec::new();
    let mut starts = 0;
    while !engine.workers.is_barren() {
        engine.staff(&mut out);
        starts += 1;
        let Some(Action::Start { incarnation, .. }) = out.pop() else { panic!("a vacant place") };
        engine.workers.started(incarnation, 77);
        assert_eq!(engine.workers.iter().collect::<Vec<_>>(), [(0, incarnation, 77)]);
        engine.workers.vacate(incarnation, false);
    }
    assert_eq!(starts, 5);
    engine.workers.forgive();
    assert!(!engine.workers.is_barren());
}

#[test]
fn workers_that_die_idle_count_where_chunks_wait() {
    let mut crew = Crew::new(2, 4);
    let mut next = 3;
    let mut die = |crew: &mut Crew, incarnation, awaited| {
        let deaths = crew.engine.workers.vacate_idle(incarnation, awaited);
        crew.engine.staff(&mut crew.out);
        let started = told(&mut crew.out);
        next += u32::try_from(started.len()).unwrap();
        (deaths, next - 1)
    };
    // None waits: they may die for ever.
    let mut last = 2;
    for deaths in 1..20 {
        let counted = die(&mut crew, last, false);
        assert_eq!(counted, (deaths, last.max(2) + 1));
        last = counted.1;
    }
    assert!(!crew.engine.workers.is_barren());
    // A place that rests is left vacant, by the next call at the latest.
    crew.engine.workers.vacate_idle(last, false);
    crew.engine.workers.rest(1);
    crew.engine.staff(&mut crew.out);
    assert!(told(&mut crew.out).is_empty());
    crew.engine.workers.forgive();
    crew.engine.staff(&mut crew.out);
    assert_eq!(told(&mut crew.out).len(), 1);
    last += 1;
    // Where one waits, they are as good as never ready; a chunk that ends says otherwise.
    crew.submit(1, 0, 1);
    for deaths in 1..=6 {
        assert_eq!(crew.engine.workers.vacate_idle(last, true), deaths);
        crew.engine.staff(&mut crew.out);
        last += 1;
    }
    assert!(!crew.engine.workers.is_barren());
    crew.out.clear();
    assert!(!crew.engine.workers.has_served(1));
    crew.ended(0, 1, 1, Why::Complete);
    assert!(crew.engine.workers.has_served(1));
    crew.engine.workers.vacate_idle(last, true);
    assert!(!crew.engine.workers.is_barren());
    crew.engine.staff(&mut crew.out);
    last += 1;
    for _ in 0..6 {
        crew.engine.workers.vacate_idle(last, true);
        crew.engine.staff(&mut crew.out);
        last += 1;
    }
    assert!(crew.engine.workers.is_barren());
}
