//! Tests of the engine without processes: single events here and in `targeted.rs`, `names.rs`,
//! `tries.rs` and `precedence.rs`, random runs of simulated sets of workers in `lives.rs`.

mod lives;
mod names;
mod precedence;
mod targeted;
mod tries;

use pool_ipc::board::{Audience, End, Incarnation, Outcome, Progress, SlotIndex};

use super::{
    super::chunk::{TimeOut, Why},
    *,
};
use crate::{error::ExitStatus, ids::ItemIndex, task::Call};

const CALL: Call = Call { record: 1, function: 2, signature: 3 };

fn block(offset: u64) -> Block {
    Block { offset: offset * 128, len: 128 }
}

fn chunk(job: JobId, offset: u64, first: u64, len: u32) -> Chunk {
    let measure = crate::engine::measure_results::<u64>;
    Chunk::new((job, CALL, measure), block(offset), ItemIndex::new(first), (len, len))
}

fn outcome(end: End, finished: u32, begun: bool) -> Outcome {
    let progress = Progress { finished, begun };
    Outcome { end, progress, results: 0, manifest: None, nanos: 0, failure: (0, 0) }
}

/// Actions as short words, for comparison.
fn told(out: &mut Vec<Action>) -> Vec<String> {
    out.drain(..)
        .map(|action| match action {
            Action::Publish { slot } => format!("publish {}", slot.index()),
            Action::FreeItems { block } => format!("free {}", block.offset / 128),
            Action::Release { slot } => format!("release {}", slot.index()),
            Action::MakeRoom { incarnation } => format!("room {}", incarnation.number()),
            Action::Start { worker, incarnation, .. } => {
                format!("start {worker} {}", incarnation.number())
            }
            Action::Deliver { delivery, .. } => match delivery {
                Delivery::Results { slot, first, outcome, .. } => {
                    format!("results {first}+{} in {}", outcome.progress.finished, slot.index())
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

struct Fixture {
    engine: Engine,
    job: JobId,
    out: Vec<Action>,
}

/// The worker with this name.
fn named(number: u32) -> Incarnation {
    Incarnation::new(number)
}

impl Fixture {
    fn new(places: usize, slots: usize) -> Self {
        let mut engine = Engine::new(places, slots);
        let mut out = Vec::new();
        engine.start_missing(&mut out);
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
        self.engine.ended(SlotIndex::new(slot), named(incarnation), outcome, why, &mut self.out);
        told(&mut self.out)
    }

    fn released(&mut self, slot: usize) -> Vec<String> {
        self.engine.released(SlotIndex::new(slot), &mut self.out);
        told(&mut self.out)
    }

    fn close(&mut self) -> (Vec<usize>, Vec<String>) {
        let slots = self.engine.close_job(self.job, &mut self.out);
        (slots.into_iter().map(SlotIndex::index).collect(), told(&mut self.out))
    }
}

#[test]
fn a_chunk_is_published_and_its_block_freed_at_its_end() {
    let mut fixture = Fixture::new(1, 4);
    assert_eq!(fixture.submit(1, 0, 3), ["publish 0"]);
    assert!(fixture.engine.has_chunks());
    assert_eq!(fixture.ended(0, 1, 3, Why::Complete), ["results 0+3 in 0", "free 1", "ended"]);
    assert!(!fixture.engine.has_chunks());
    assert!(fixture.released(0).is_empty());
    // A ring that was scribbled over may name the slot again.
    assert!(fixture.ended(0, 1, 3, Why::Complete).is_empty());
    assert!(fixture.released(0).is_empty());
}

#[test]
fn after_a_failure_the_rest_goes_on() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 10, 5);
    let told = fixture.ended(0, 1, 2, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 10+2 in 0", "failed 12 on 0", "publish 1"]);
    let rest = fixture.engine.chunk(SlotIndex::new(1)).unwrap();
    assert_eq!((rest.start, rest.end, rest.capacity, rest.first.number()), (3, 5, 5, 10));
    let told = fixture.ended(1, 1, 1, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 13+1 in 1", "failed 14 on 0", "free 1", "ended"]);
}

#[test]
fn a_failure_of_the_first_item_gives_the_slot_back() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 0, 1);
    let told = fixture.ended(0, 1, 0, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["release 0", "failed 0 on 0", "free 1", "ended"]);
}

#[test]
fn a_death_costs_the_item_that_was_begun_and_no_other() {
    let mut fixture = Fixture::new(2, 4);
    fixture.submit(1, 0, 4);
    let died = Why::Died { begun: true, cause: KILLED };
    let told = fixture.ended(0, 2, 1, died);
    assert_eq!(told, ["results 0+1 in 0", "failed 1 on 1", "publish 1"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().start, 2);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(1, 1, 0, died), ["release 1", "publish 2"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(2)).unwrap().start, 2);
    let died = Why::Died { begun: false, cause: KILLED };
    // Finished to the last item, not yet reported: nothing is lost.
    assert_eq!(fixture.ended(2, 1, 2, died), ["results 2+2 in 2", "free 1", "ended"]);
}

#[test]
fn a_full_worker_gets_its_chunk_back_when_its_results_are_read() {
    let mut fixture = Fixture::new(2, 8);
    fixture.submit(1, 0, 4);
    assert_eq!(fixture.ended(0, 2, 2, Why::Full), ["results 0+2 in 0", "room 2"]);
    assert_eq!(fixture.submit(2, 4, 1), ["publish 1"]);
    assert_eq!(fixture.released(0), ["publish 2"]);
    let back = fixture.engine.chunk(SlotIndex::new(2)).unwrap();
    assert_eq!((back.start, back.in_hand), (2, Some(named(2))));
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 2 });
    // It stores the result in hand and fails at the next item.
    let told = fixture.ended(2, 2, 1, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["results 2+1 in 2", "failed 3 on 1", "free 1", "ended"]);
}

#[test]
fn a_full_worker_whose_results_were_read_already_goes_on_at_once() {
    let mut fixture = Fixture::new(1, 8);
    fixture.submit(1, 0, 2);
    assert_eq!(fixture.ended(0, 1, 0, Why::Full), ["release 0", "room 1", "publish 1"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().in_hand, Some(named(1)));
}

#[test]
fn a_result_in_hand_dies_with_its_worker() {
    // Held.
    let mut fixture = Fixture::new(1, 8);
    fixture.submit(1, 0, 3);
    fixture.ended(0, 1, 1, Why::Full);
    fixture.engine.in_hand_lost(None, named(1), &KILLED, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["failed 1 on 0", "publish 1"]);
    let rest = fixture.engine.chunk(SlotIndex::new(1)).unwrap();
    assert_eq!((rest.start, rest.in_hand, rest.audience), (2, None, Audience::default()));

    // Published again, not claimed: its slot was taken back.
    let mut fixture = Fixture::new(1, 8);
    fixture.submit(1, 0, 2);
    fixture.ended(0, 1, 0, Why::Full);
    fixture.engine.in_hand_lost(Some(SlotIndex::new(1)), named(1), &KILLED, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["failed 0 on 0", "publish 2"]);

    // Claimed, and nothing finished: it dies before it has begun to store.
    let mut fixture = Fixture::new(1, 8);
    fixture.submit(1, 0, 2);
    fixture.ended(0, 1, 0, Why::Full);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(1, 1, 0, died), ["release 1", "failed 0 on 0", "publish 2"]);

    // Claimed, stored, and the next item not begun: nothing is lost.
    let mut fixture = Fixture::new(1, 8);
    fixture.submit(1, 0, 2);
    fixture.ended(0, 1, 0, Why::Full);
    let died = Why::Died { begun: false, cause: KILLED };
    assert_eq!(fixture.ended(1, 1, 1, died), ["results 0+1 in 1", "publish 2"]);

    // Queued: all slots are taken.
    let mut fixture = Fixture::new(1, 2);
    fixture.submit(1, 0, 2);
    fixture.ended(0, 1, 1, Why::Full);
    fixture.engine.queue.push_back(fixture.engine.held[0].clone());
    fixture.engine.held.clear();
    fixture.engine.in_hand_lost(None, named(1), &KILLED, &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["failed 1 on 0", "free 1", "ended"]);
}

#[test]
fn a_chunk_in_hand_goes_before_all_others() {
    let mut fixture = Fixture::new(1, 2);
    assert_eq!(fixture.submit(1, 0, 2), ["publish 0"]);
    assert_eq!(fixture.submit(2, 2, 1), ["publish 1"]);
    assert!(fixture.submit(3, 3, 1).is_empty());
    assert!(fixture.engine.lacks_slots());
    assert_eq!(fixture.ended(0, 1, 1, Why::Full), ["results 0+1 in 0", "room 1"]);
    assert_eq!(fixture.released(0), ["publish 0"]);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(0)).unwrap().in_hand, Some(named(1)));
}

#[test]
fn unread_results_in_all_slots_are_to_be_spilled() {
    let mut fixture = Fixture::new(1, 3);
    for offset in 0..5 {
        fixture.submit(offset, offset, 1);
    }
    assert!(fixture.engine.lacks_slots());
    for slot in 0..3 {
        fixture.ended(slot, 1, 1, Why::Complete);
    }
    assert!(fixture.engine.lacks_slots());
    assert_eq!(fixture.released(1), ["publish 1"]);
    assert_eq!(fixture.released(0), ["publish 0"]);
    assert!(!fixture.engine.lacks_slots());
}

#[test]
fn closing_a_job_drops_what_is_queued_and_asks_for_what_is_published() {
    let mut fixture = Fixture::new(1, 4);
    fixture.engine.keep_context(fixture.job, block(9));
    for offset in 0..6 {
        fixture.submit(offset, offset, 2);
    }
    assert_eq!(fixture.ended(0, 1, 2, Why::Complete)[0], "results 0+2 in 0");
    fixture.released(0);
    assert_eq!(fixture.ended(1, 1, 2, Why::Complete)[0], "results 1+2 in 1");
    // Slot 1 is still lent; three chunks are published, one is queued.
    let (published, dropped) = fixture.close();
    assert_eq!(dropped, ["free 5", "release 1"]);
    assert_eq!(published.len(), 3);
    fixture.engine.taken_back(SlotIndex::new(published[2]), &mut fixture.out);
    fixture.engine.taken_back(SlotIndex::new(published[0]), &mut fixture.out);
    assert_eq!(told(&mut fixture.out).len(), 2);
    // The third one was claimed before: its results are dropped, its rest is not run, and the
    // context is freed with it.
    let told = fixture.ended(published[1], 1, 1, Why::Cancelled);
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("release") && told[2] == "free 9", "{told:?}");
    assert!(!fixture.engine.has_chunks());
    assert_eq!(fixture.close(), (vec![], vec![]));
}

#[test]
fn jobs_that_end_together_begin_nothing_of_each_other() {
    let mut fixture = Fixture::new(1, 1);
    let other = fixture.engine.open_job();
    fixture.submit(1, 0, 1);
    fixture.engine.submit(chunk(other, 2, 0, 1), &mut fixture.out);
    assert_eq!(
        fixture.engine.cancel_jobs(&[fixture.job, other], &mut fixture.out),
        [SlotIndex::new(0)]
    );
    assert_eq!(told(&mut fixture.out), ["free 2"]);
    fixture.engine.taken_back(SlotIndex::new(0), &mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["free 1"]);
}

#[test]
fn a_job_without_chunks_gives_its_context_back_when_it_is_closed() {
    let mut fixture = Fixture::new(1, 4);
    fixture.engine.keep_context(fixture.job, block(9));
    assert_eq!(fixture.close(), (vec![], vec!["free 9".to_string()]));
}

#[test]
fn a_chunk_for_a_job_that_another_thread_has_ended_is_freed() {
    let mut fixture = Fixture::new(1, 4);
    fixture.close();
    fixture.submit(7, 0, 3);
    assert_eq!(fixture.engine.jobs.len(), 0);
    assert_eq!(fixture.engine.published().count(), 0);
}

#[test]
fn a_worker_with_full_hands_is_told_when_its_job_is_closed() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 0, 3);
    fixture.ended(0, 1, 1, Why::Full);
    // Its chunk was held until slot 0 is read; now the worker gets it to let the result go.
    let (published, told) = fixture.close();
    assert_eq!(
        (published, told),
        (vec![1], vec!["publish 1".to_string(), "release 0".to_string()])
    );
    assert!(!fixture.engine.is_open(fixture.job));
    // If the worker gets it too early and is full again, it gets it once more.
    assert_eq!(fixture.ended(1, 1, 0, Why::Full), ["release 1", "publish 2"]);
    assert_eq!(fixture.ended(2, 1, 0, Why::Cancelled), ["release 2", "free 1"]);
    assert!(!fixture.engine.has_chunks());
}

#[test]
fn jobs_do_not_disturb_each_other() {
    let mut fixture = Fixture::new(2, 8);
    let other = fixture.engine.open_job();
    fixture.submit(1, 0, 1);
    fixture.engine.submit(chunk(other, 2, 0, 1), &mut fixture.out);
    fixture.out.clear();
    assert_eq!(fixture.close(), (vec![0], vec![]));
    assert_eq!(fixture.ended(1, 1, 1, Why::Complete), ["results 0+1 in 1", "free 2", "ended"]);
    assert_eq!(fixture.ended(0, 2, 1, Why::Complete), ["release 0", "free 1"]);
}

#[test]
fn retired_workers_get_nothing_new() {
    let mut fixture = Fixture::new(2, 8);
    fixture.submit(1, 0, 1);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(0)).unwrap().audience.min_serial, 0);
    fixture.engine.workers.retire_all();
    fixture.submit(2, 1, 1);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(1)).unwrap().audience.min_serial, 3);
    fixture.engine.workers.vacate(named(1), true);
    fixture.engine.start_missing(&mut fixture.out);
    assert_eq!(told(&mut fixture.out), ["start 0 3"]);
    // What a retired worker has in hand still goes to it.
    fixture.ended(0, 2, 0, Why::Full);
    let back = fixture.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().1;
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: 2 });
}

#[test]
fn workers_that_never_get_ready_are_not_replaced_for_ever() {
    let mut engine = Engine::new(1, 2);
    let mut out = Vec::new();
    let mut starts = 0;
    while !engine.workers.start_limit_reached() {
        engine.start_missing(&mut out);
        starts += 1;
        let Some(Action::Start { incarnation, .. }) = out.pop() else { panic!("a vacant place") };
        engine.workers.started(incarnation, 77);
        assert_eq!(engine.workers.iter().collect::<Vec<_>>(), [(WorkerId::FIRST, incarnation, 77)]);
        engine.workers.vacate(incarnation, false);
    }
    assert_eq!(starts, 5);
    engine.workers.reset_failed_starts();
    assert!(!engine.workers.start_limit_reached());
}

#[test]
fn workers_that_die_idle_count_where_chunks_wait() {
    let mut fixture = Fixture::new(2, 4);
    let mut next = 3;
    let mut die = |fixture: &mut Fixture, incarnation, awaited| {
        let deaths = fixture.engine.workers.vacate_idle(incarnation, awaited);
        fixture.engine.start_missing(&mut fixture.out);
        let started = told(&mut fixture.out);
        next += u32::try_from(started.len()).unwrap();
        (deaths, next - 1)
    };
    // No chunk waits: workers may die for ever.
    let mut last = 2;
    for deaths in 1..20 {
        let counted = die(&mut fixture, named(last), false);
        assert_eq!(counted, (deaths, last.max(2) + 1));
        last = counted.1;
    }
    assert!(!fixture.engine.workers.start_limit_reached());
    // A place that rests stays vacant until the next call.
    fixture.engine.workers.vacate_idle(named(last), false);
    fixture.engine.workers.rest(WorkerId::new(1));
    fixture.engine.start_missing(&mut fixture.out);
    assert!(told(&mut fixture.out).is_empty());
    fixture.engine.workers.reset_failed_starts();
    fixture.engine.start_missing(&mut fixture.out);
    assert_eq!(told(&mut fixture.out).len(), 1);
    last += 1;
    // Where a chunk waits, they count as never ready, until a chunk ends.
    fixture.submit(1, 0, 1);
    for deaths in 1..=6 {
        assert_eq!(fixture.engine.workers.vacate_idle(named(last), true), deaths);
        fixture.engine.start_missing(&mut fixture.out);
        last += 1;
    }
    assert!(!fixture.engine.workers.start_limit_reached());
    fixture.out.clear();
    assert!(!fixture.engine.workers.has_served(named(1)));
    fixture.ended(0, 1, 1, Why::Complete);
    assert!(fixture.engine.workers.has_served(named(1)));
    fixture.engine.workers.vacate_idle(named(last), true);
    assert!(!fixture.engine.workers.start_limit_reached());
    fixture.engine.start_missing(&mut fixture.out);
    last += 1;
    for _ in 0..6 {
        fixture.engine.workers.vacate_idle(named(last), true);
        fixture.engine.start_missing(&mut fixture.out);
        last += 1;
    }
    assert!(fixture.engine.workers.start_limit_reached());
}
