//! The engine without processes: single events first, then whole lives of made-up crews.

use std::collections::{HashMap, HashSet};

use pool_ipc::board::{End, Progress};

use super::*;
use crate::error::ExitStatus;

const CALL: Call = Call { record: 1, function: 2, signature: 3 };

fn block(offset: u64) -> Block {
    Block { offset: offset * 128, len: 128 }
}

fn chunk(job: JobId, offset: u64, first: u64, len: u32) -> Chunk {
    Chunk {
        job,
        call: CALL,
        measure: crate::session::measure_results::<u64>,
        timed: false,
        context: (0, 0),
        items: block(offset),
        bytes: 128,
        first,
        capacity: len,
        start: 0,
        end: len,
        limit: None,
        retries: 0,
        lost_tries: 0,
        overrun: Overrun::No,
        in_hand: None,
        audience: Audience::default(),
    }
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
            Action::Start { place, incarnation } => format!("start {place} {incarnation}"),
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
    assert_eq!(back.audience, Audience { place: Some(1), min_incarnation: 2 });
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
    assert_eq!(crew.engine.chunk(0).unwrap().audience.min_incarnation, 0);
    crew.engine.retire_all();
    crew.submit(2, 1, 1);
    assert_eq!(crew.engine.chunk(1).unwrap().audience.min_incarnation, 3);
    crew.engine.vacate(1, true);
    crew.engine.staff(&mut crew.out);
    assert_eq!(told(&mut crew.out), ["start 0 3"]);
    // What a retired worker has in hand still goes to it.
    crew.ended(0, 2, 0, Why::Full);
    let back = crew.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().1;
    assert_eq!(back.audience, Audience { place: Some(1), min_incarnation: 2 });
}

#[test]
fn workers_that_never_get_ready_are_not_replaced_for_ever() {
    let mut engine = Engine::new(1, 2);
    let mut out = Vec::new();
    let mut starts = 0;
    while !engine.is_barren() {
        engine.staff(&mut out);
        starts += 1;
        let Some(Action::Start { incarnation, .. }) = out.pop() else { panic!("a vacant place") };
        engine.started(incarnation, 77);
        assert_eq!(engine.workers().collect::<Vec<_>>(), [(0, incarnation, 77)]);
        engine.vacate(incarnation, false);
    }
    assert_eq!(starts, 5);
    engine.forgive();
    assert!(!engine.is_barren());
}

// ---- retries

fn died(begun: bool) -> Why {
    Why::Died { begun, cause: KILLED }
}

#[test]
fn an_item_whose_worker_died_is_tried_again_and_then_fails() {
    let mut crew = Crew::new(1, 4);
    crew.submit_with_retries(1, 3, 2);
    assert_eq!(crew.ended(0, 1, 1, died(true)), ["results 0+1 in 0", "publish 1"]);
    assert_eq!(crew.engine.chunk(1).unwrap().start, 1);
    assert_eq!(crew.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    // Nothing was begun: that was no try.
    assert_eq!(crew.ended(2, 1, 0, died(false)), ["release 2", "publish 3"]);
    let told = crew.ended(3, 1, 0, died(true));
    assert_eq!(told, ["release 3", "failed 1 on 0 at try 3", "publish 1"]);
    // Every item has tries of its own.
    assert_eq!(crew.engine.chunk(1).unwrap().start, 2);
    assert_eq!(crew.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    assert_eq!(crew.ended(2, 1, 1, Why::Complete), ["results 2+1 in 2", "free 1", "ended"]);
}

#[test]
fn tries_are_counted_anew_behind_a_result() {
    let mut crew = Crew::new(1, 4);
    crew.submit_with_retries(1, 2, 1);
    assert_eq!(crew.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    assert_eq!(crew.ended(1, 1, 1, died(true)), ["results 0+1 in 1", "publish 2"]);
    let told = crew.ended(2, 1, 0, died(true));
    assert_eq!(told, ["release 2", "failed 1 on 0 at try 2", "free 1", "ended"]);
}

#[test]
fn a_panic_is_not_tried_again() {
    let mut crew = Crew::new(1, 4);
    crew.submit_with_retries(1, 1, 9);
    assert_eq!(crew.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    let told = crew.ended(1, 1, 0, Why::Failed(Cause::BadResult));
    assert_eq!(told, ["release 1", "failed 0 on 0 at try 2", "free 1", "ended"]);
}

#[test]
fn a_result_that_was_lost_in_hand_counts_as_a_try() {
    let mut crew = Crew::new(1, 4);
    crew.submit_with_retries(1, 2, 1);
    crew.ended(0, 1, 0, Why::Full);
    crew.engine.in_hand_lost(Some(1), 1, &KILLED, &mut crew.out);
    assert_eq!(told(&mut crew.out), ["publish 2"]);
    let chunk = crew.engine.chunk(2).unwrap();
    assert_eq!((chunk.start, chunk.in_hand, chunk.audience), (0, None, Audience::default()));
    let told = crew.ended(2, 1, 0, died(true));
    assert_eq!(told, ["release 2", "failed 0 on 0 at try 2", "publish 3"]);
}

#[test]
fn a_closed_job_tries_nothing_again() {
    let mut crew = Crew::new(1, 4);
    crew.submit_with_retries(1, 3, 9);
    assert_eq!(crew.close().0, [0]);
    assert_eq!(crew.ended(0, 1, 1, died(true)), ["release 0", "free 1"]);
    assert!(!crew.engine.has_chunks());
}

// ---- time limits

impl Crew {
    fn submit_limited(&mut self, offset: u64, len: u32, retries: u32) -> Vec<String> {
        let limit = Some(Duration::from_secs(1));
        let chunk = Chunk { limit, retries, ..chunk(self.job, offset, 0, len) };
        self.engine.submit(chunk, &mut self.out);
        told(&mut self.out)
    }

    fn overran(&mut self, slot: usize, finished: u32) -> Vec<String> {
        self.engine.overran(slot, 0, finished, &mut self.out);
        told(&mut self.out)
    }
}

#[test]
fn an_item_that_is_overdue_fails_at_once_and_the_others_when_its_worker_is_reaped() {
    let mut crew = Crew::new(1, 4);
    crew.submit_limited(1, 4, 0);
    assert_eq!(crew.overran(0, 1), ["failed 1 on 0"]);
    assert!(crew.overran(0, 1).is_empty(), "told twice");
    assert_eq!(crew.ended(0, 1, 1, died(true)), ["results 0+1 in 0", "publish 1"]);
    let chunk = crew.engine.chunk(1).unwrap();
    assert_eq!((chunk.start, chunk.overrun), (2, Overrun::No));
    // The next one dies of itself.
    let told = crew.ended(1, 1, 0, died(true));
    assert_eq!(told, ["release 1", "failed 2 on 0", "publish 2"]);
    assert_eq!(crew.ended(2, 1, 1, Why::Complete), ["results 3+1 in 2", "free 1", "ended"]);
}

#[test]
fn a_try_that_was_overdue_counts_as_one_that_died() {
    let mut crew = Crew::new(1, 4);
    crew.submit_limited(1, 2, 2);
    assert!(crew.overran(0, 0).is_empty(), "it is tried again");
    assert_eq!(crew.ended(0, 1, 0, died(true)), ["release 0", "publish 1"]);
    assert_eq!(crew.ended(1, 1, 0, died(true)), ["release 1", "publish 2"]);
    assert_eq!(crew.overran(2, 0), ["failed 0 on 0 at try 3"]);
    assert_eq!(crew.ended(2, 1, 0, died(true)), ["release 2", "publish 3"]);
    // Tries are counted anew, also behind results that the parent has not collected yet.
    assert!(crew.overran(3, 0).is_empty());
    assert_eq!(crew.ended(3, 1, 0, died(true)), ["release 3", "publish 0"]);
    assert_eq!(crew.ended(0, 1, 1, Why::Complete), ["results 1+1 in 0", "free 1", "ended"]);
}

#[test]
fn nobody_is_told_of_overdue_items_of_a_closed_job() {
    let mut crew = Crew::new(1, 4);
    crew.submit_limited(1, 3, 0);
    assert_eq!(crew.close().0, [0]);
    assert!(crew.overran(0, 1).is_empty());
    assert_eq!(crew.ended(0, 1, 1, died(true)), ["release 0", "free 1"]);
    // Nor of what a scribbled board says.
    let mut crew = Crew::new(1, 4);
    crew.submit(1, 0, 3);
    assert!(crew.overran(0, 1).is_empty(), "it has no limit");
    assert!(crew.overran(3, 1).is_empty(), "nothing is there");
    crew.submit_limited(2, 3, 0);
    assert!(crew.overran(1, 3).is_empty(), "all of it is finished");
}

// ---- whole lives

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Debug, Clone)]
enum Seat {
    Ready(Chunk),
    Claimed { by: u32, chunk: Chunk, finished: u32, begun: bool },
    Done { by: u32, finished: u32, end: End },
}

#[derive(Default)]
struct Account {
    items: u64,
    submitted: u64,
    runs: HashMap<u64, u32>,
    /// Deaths with the item in hand.
    lost: HashMap<u64, u32>,
    retries: u32,
    results: HashSet<u64>,
    failures: HashSet<u64>,
    ended: u64,
    chunks: u64,
    open: bool,
}

/// A board and workers made of plain values; what the engine says is done at once.
struct World {
    engine: Engine,
    dice: Dice,
    seats: Vec<Option<Seat>>,
    /// Living workers: incarnation, and what they have in hand.
    workers: Vec<(u32, Option<(JobId, u64)>)>,
    /// Slots with results that nobody has read.
    unread: Vec<usize>,
    blocks: HashMap<u64, JobId>,
    next_block: u64,
    jobs: Vec<(JobId, Account)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let places = 1 + dice.roll(4) as usize;
        let slots = places + 1 + dice.roll(6) as usize;
        let mut world = Self {
            engine: Engine::new(places, slots),
            dice,
            seats: vec![None; slots],
            workers: Vec::new(),
            unread: Vec::new(),
            blocks: HashMap::new(),
            next_block: 1,
            jobs: Vec::new(),
        };
        world.tell(Engine::staff);
        world
    }

    fn account(&mut self, job: JobId) -> &mut Account {
        &mut self.jobs.iter_mut().find(|(id, _)| *id == job).unwrap().1
    }

    fn tell<T>(&mut self, event: impl FnOnce(&mut Engine, &mut Vec<Action>) -> T) -> T {
        let mut out = Vec::new();
        let answer = event(&mut self.engine, &mut out);
        out.into_iter().for_each(|action| self.act(action));
        answer
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Publish { slot } => {
                assert!(self.seats[slot].is_none(), "a busy slot was published in");
                let chunk = self.engine.chunk(slot).unwrap().clone();
                assert!(self.blocks.contains_key(&chunk.items.offset), "its block is freed");
                self.seats[slot] = Some(Seat::Ready(chunk));
            }
            Action::FreeItems { block } => {
                assert!(self.blocks.remove(&block.offset).is_some(), "freed twice");
            }
            Action::Release { slot } => {
                assert!(matches!(self.seats[slot], Some(Seat::Done { .. })), "not done");
                self.seats[slot] = None;
                self.unread.retain(|unread| *unread != slot);
            }
            Action::Deliver { job, delivery } => {
                let account = self.account(job);
                assert!(account.open, "a closed job was told of something");
                match delivery {
                    Delivery::Results { slot, first, outcome, .. } => {
                        for index in first..first + u64::from(outcome.progress.finished) {
                            let lost = account.lost.get(&index).copied().unwrap_or(0);
                            assert_eq!(
                                account.runs[&index],
                                1 + lost,
                                "one more run for each loss"
                            );
                            assert!(lost <= account.retries, "tried too often");
                            assert!(account.results.insert(index), "two results");
                        }
                        self.unread.push(slot);
                    }
                    Delivery::Failed { index, tries, cause, .. } => {
                        let lost = account.lost.get(&index).copied().unwrap_or(0);
                        let by_death = u32::from(matches!(cause, Cause::Death(_)));
                        assert_eq!(tries, lost + 1 - by_death);
                        assert!(by_death == 0 || lost == account.retries + 1, "tried too little");
                        assert!(account.failures.insert(index), "two failures");
                    }
                    Delivery::Ended { .. } => account.ended += 1,
                }
            }
            Action::MakeRoom { incarnation } => {
                let of = |seat: &Option<Seat>| matches!(seat, Some(Seat::Done { by, .. }) if *by == incarnation);
                let slots: Vec<_> =
                    self.unread.iter().copied().filter(|slot| of(&self.seats[*slot])).collect();
                // Some are in a consumer's hands, which is out of reach.
                for slot in slots {
                    if self.dice.roll(2) == 0 {
                        self.read(slot);
                    }
                }
            }
            Action::Start { incarnation, .. } => self.workers.push((incarnation, None)),
        }
    }

    fn read(&mut self, slot: usize) {
        self.unread.retain(|unread| *unread != slot);
        self.seats[slot] = None;
        self.tell(|engine, out| engine.released(slot, out));
    }

    fn submit(&mut self, at: usize) {
        let len = 1 + self.dice.roll(5);
        let offset = self.next_block;
        self.next_block += 1;
        let (job, account) = &mut self.jobs[at];
        let retries = account.retries;
        let chunk = Chunk { retries, ..chunk(*job, offset, account.submitted, len as u32) };
        account.submitted += len;
        account.chunks += 1;
        self.blocks.insert(chunk.items.offset, *job);
        self.tell(|engine, out| engine.submit(chunk, out));
    }

    fn close(&mut self, at: usize) {
        let job = self.jobs[at].0;
        self.jobs[at].1.open = false;
        for slot in self.tell(|engine, out| engine.close_job(job, out)) {
            if let Some(Seat::Ready(chunk)) = &self.seats[slot]
                && chunk.in_hand.is_none()
            {
                self.seats[slot] = None;
                self.tell(|engine, out| engine.taken_back(slot, out));
            }
        }
    }

    /// One step of one worker.
    fn work(&mut self, at: usize) {
        let (incarnation, in_hand) = self.workers[at];
        let place = self.engine.place_of(incarnation).unwrap() as u32;
        let mine = |seat: &Option<Seat>| matches!(seat, Some(Seat::Claimed { by, .. }) if *by == incarnation);
        let Some(slot) = self.seats.iter().position(mine) else {
            let admits = |seat: &Option<Seat>| match seat {
                Some(Seat::Ready(chunk)) => {
                    chunk.audience.place.is_none_or(|wanted| wanted == place)
                        && chunk.audience.min_incarnation <= incarnation
                        && in_hand.is_some() == chunk.in_hand.is_some()
                }
                _ => false,
            };
            let open: Vec<_> = (0..self.seats.len()).filter(|s| admits(&self.seats[*s])).collect();
            if !open.is_empty() {
                let slot = open[self.dice.roll(open.len() as u64) as usize];
                let Some(Seat::Ready(chunk)) = self.seats[slot].take() else { unreachable!() };
                self.seats[slot] =
                    Some(Seat::Claimed { by: incarnation, chunk, finished: 0, begun: false });
            }
            return;
        };
        let Some(Seat::Claimed { chunk, mut finished, .. }) = self.seats[slot].clone() else {
            unreachable!()
        };
        let index = chunk.first + u64::from(chunk.start + finished);
        let open = self.account(chunk.job).open;
        let end = if !open && self.dice.roll(2) == 0 {
            self.workers[at].1 = None;
            Some(End::Cancelled)
        } else {
            if finished == 0 && chunk.in_hand.is_some() {
                assert_eq!(in_hand, Some((chunk.job, index)), "another one's result");
            } else {
                *self.account(chunk.job).runs.entry(index).or_default() += 1;
            }
            let has_unread = self.unread.iter().any(|unread| {
                matches!(self.seats[*unread], Some(Seat::Done { by, .. }) if by == incarnation)
            });
            match self.dice.roll(12) {
                0 => {
                    self.workers[at].1 = None;
                    Some(End::Failed)
                }
                1 | 2 if finished > 0 || has_unread => {
                    self.workers[at].1 = Some((chunk.job, index));
                    Some(End::Full)
                }
                _ => {
                    self.workers[at].1 = None;
                    finished += 1;
                    (chunk.start + finished == chunk.end).then_some(End::Complete)
                }
            }
        };
        // Whether a death finds the next item begun: it has run, or not quite.
        let begun = end.is_none() && self.dice.roll(3) == 0;
        if begun {
            *self.account(chunk.job).runs.entry(index + 1).or_default() += 1;
        }
        self.seats[slot] = Some(match end {
            Some(end) => Seat::Done { by: incarnation, finished, end },
            None if begun => {
                self.seats[slot] =
                    Some(Seat::Claimed { by: incarnation, chunk, finished, begun: true });
                return self.die(at);
            }
            None => Seat::Claimed { by: incarnation, chunk, finished, begun: false },
        });
        if end.is_some() && self.dice.roll(2) == 0 {
            self.collect();
        }
    }

    /// What the parent does when it looks at the board.
    fn collect(&mut self) {
        for slot in 0..self.seats.len() {
            let Some(Seat::Done { by, finished, end, .. }) = self.seats[slot].clone() else {
                continue;
            };
            if self.engine.chunk(slot).is_none() {
                continue; // collected before, and being read
            }
            let why = match end {
                End::Complete => Why::Complete,
                End::Failed => Why::Failed(Cause::BadResult),
                End::Full => Why::Full,
                _ => Why::Cancelled,
            };
            let outcome = outcome(end, finished, false);
            self.tell(|engine, out| engine.ended(slot, by, outcome, why, out));
        }
    }

    fn die(&mut self, at: usize) {
        self.collect();
        let (incarnation, in_hand) = self.workers.remove(at);
        let begun = self.seats.iter().flatten().find_map(|seat| match seat {
            Seat::Claimed { by, chunk, finished, begun: true } if *by == incarnation => {
                Some((chunk.job, chunk.first + u64::from(chunk.start + finished)))
            }
            _ => None,
        });
        if let Some((job, index)) = in_hand.or(begun) {
            *self.account(job).lost.entry(index).or_default() += 1;
        }
        for slot in 0..self.seats.len() {
            match self.seats[slot].clone() {
                Some(Seat::Claimed { by, finished, begun, .. }) if by == incarnation => {
                    self.seats[slot] = Some(Seat::Done { by, finished, end: End::Unknown });
                    let why = Why::Died { begun, cause: KILLED };
                    let outcome = outcome(End::Unknown, finished, begun);
                    self.tell(|engine, out| engine.ended(slot, by, outcome, why, out));
                }
                Some(Seat::Ready(chunk)) if chunk.in_hand == Some(incarnation) => {
                    self.seats[slot] = None;
                    self.tell(|engine, out| {
                        engine.in_hand_lost(Some(slot), incarnation, &KILLED, out);
                    });
                }
                _ => {}
            }
        }
        self.tell(|engine, out| engine.in_hand_lost(None, incarnation, &KILLED, out));
        self.engine.vacate(incarnation, true);
        self.tell(Engine::staff);
    }

    fn read_one(&mut self) {
        if !self.unread.is_empty() {
            let at = self.dice.roll(self.unread.len() as u64) as usize;
            self.read(self.unread[at]);
        }
    }

    fn step(&mut self) {
        match self.dice.roll(40) {
            0 if self.jobs.len() < 6 => {
                let job = self.engine.open_job();
                let (items, retries) = (self.dice.roll(40), self.dice.roll(3) as u32);
                let account = Account { items, retries, open: true, ..Account::default() };
                self.jobs.push((job, account));
            }
            1 => {
                let at = self.dice.roll(self.workers.len() as u64) as usize;
                self.die(at);
            }
            2 if !self.jobs.is_empty() && self.dice.roll(8) == 0 => {
                let at = self.dice.roll(self.jobs.len() as u64) as usize;
                if self.jobs[at].1.open {
                    self.close(at);
                }
            }
            3 if self.dice.roll(8) == 0 => {
                self.engine.retire_all();
                // They leave when they are idle, and new ones come.
                for at in (0..self.workers.len()).rev() {
                    if self.workers[at].1.is_none() {
                        self.die(at);
                    }
                }
            }
            4..=8 => {
                let at = self.jobs.iter().position(|(_, a)| a.open && a.submitted < a.items);
                at.into_iter().for_each(|at| self.submit(at));
            }
            9..=12 => self.read_one(),
            13..=16 => self.collect(),
            _ => {
                let at = self.dice.roll(self.workers.len() as u64) as usize;
                self.work(at);
            }
        }
        if self.engine.lacks_slots() {
            self.read_one(); // the session moves it out of the way
        }
    }

    /// Lets everything come to its end, without further deaths.
    fn finish(&mut self) {
        for turn in 0.. {
            assert!(turn < 20_000, "work is left that nobody takes");
            for at in 0..self.jobs.len() {
                if self.jobs[at].1.open && self.jobs[at].1.submitted < self.jobs[at].1.items {
                    self.submit(at);
                }
            }
            for at in (0..self.workers.len()).rev() {
                if at < self.workers.len() {
                    self.work(at);
                }
            }
            self.collect();
            self.read_one();
            let all = |(_, a): &(JobId, Account)| !a.open || a.submitted >= a.items;
            if !self.engine.has_chunks() && self.unread.is_empty() && self.jobs.iter().all(all) {
                break;
            }
        }
    }

    fn check(mut self) {
        for (job, account) in &self.jobs {
            for (index, runs) in &account.runs {
                let lost = account.lost.get(index).copied().unwrap_or(0);
                assert!(*runs <= 1 + lost, "item {index} of {job:?} ran {runs} times");
            }
            if account.open {
                let all: HashSet<u64> = account.results.union(&account.failures).copied().collect();
                assert!(account.results.is_disjoint(&account.failures));
                assert_eq!(all, (0..account.submitted).collect::<HashSet<_>>());
                assert_eq!(account.ended, account.chunks);
            }
        }
        for at in 0..self.jobs.len() {
            if self.jobs[at].1.open {
                self.close(at);
            }
        }
        assert!(self.blocks.is_empty(), "blocks that nobody freed");
        assert!(self.seats.iter().all(Option::is_none));
        assert_eq!(self.engine.free_slots, self.seats.len());
        assert!(self.engine.queue.is_empty() && self.engine.held.is_empty());
        assert_eq!(self.engine.jobs.iter().count(), 0);
    }
}

#[test]
fn whole_lives_account_for_every_item_and_block() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        world.finish();
        world.check();
    }
}
