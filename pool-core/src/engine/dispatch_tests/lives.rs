//! Random runs of simulated sets of workers: every item has one end and every block is freed once.

use std::collections::{HashMap, HashSet};

use pool_ipc::board::Incarnation;

use super::*;

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
enum SlotState {
    Ready(Chunk),
    Claimed { by: Incarnation, chunk: Chunk, finished: u32, begun: bool },
    Done { by: Incarnation, finished: u32, end: End },
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

/// A board and workers made of plain values, which carry out the engine's actions at once.
struct World {
    engine: Engine,
    dice: Dice,
    board: Vec<Option<SlotState>>,
    /// Living workers: incarnation, and what they have in hand.
    workers: Vec<(Incarnation, Option<(JobId, u64)>)>,
    /// Slots with results that no job has read.
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
            board: vec![None; slots],
            workers: Vec::new(),
            unread: Vec::new(),
            blocks: HashMap::new(),
            next_block: 1,
            jobs: Vec::new(),
        };
        world.tell(Engine::start_missing);
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
                let slot = slot.index();
                assert!(self.board[slot].is_none(), "a busy slot was published in");
                let chunk = self.engine.chunk(SlotIndex::new(slot)).unwrap().clone();
                assert!(self.blocks.contains_key(&chunk.items.offset), "its block is freed");
                self.board[slot] = Some(SlotState::Ready(chunk));
            }
            Action::FreeItems { block } => {
                assert!(self.blocks.remove(&block.offset).is_some(), "freed twice");
            }
            Action::Release { slot } => {
                let slot = slot.index();
                assert!(matches!(self.board[slot], Some(SlotState::Done { .. })), "not done");
                self.board[slot] = None;
                self.unread.retain(|unread| *unread != slot);
            }
            Action::Deliver { job, delivery } => {
                let account = self.account(job);
                assert!(account.open, "a closed job was told of something");
                match delivery {
                    Delivery::Results { slot, first, outcome, .. } => {
                        for index in (first.number()..).take(outcome.progress.finished as usize) {
                            let lost = account.lost.get(&index).copied().unwrap_or(0);
                            assert_eq!(
                                account.runs[&index],
                                1 + lost,
                                "one more run for each loss"
                            );
                            assert!(lost <= account.retries, "tried too often");
                            assert!(account.results.insert(index), "two results");
                        }
                        self.unread.push(slot.index());
                    }
                    Delivery::Failed { index, tries, cause, .. } => {
                        let index = index.number();
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
                let of = |state: &Option<SlotState>| matches!(state, Some(SlotState::Done { by, .. }) if *by == incarnation);
                let slots: Vec<_> =
                    self.unread.iter().copied().filter(|slot| of(&self.board[*slot])).collect();
                // Some are in a consumer's hands, and cannot be copied away.
                for slot in slots {
                    if self.dice.roll(2) == 0 {
                        self.read(slot);
                    }
                }
                self.tell(|engine, out| engine.let_past_limit(incarnation, out));
            }
            Action::Start { incarnation, .. } => self.workers.push((incarnation, None)),
        }
    }

    fn read(&mut self, slot: usize) {
        self.unread.retain(|unread| *unread != slot);
        self.board[slot] = None;
        self.tell(|engine, out| engine.released(SlotIndex::new(slot), out));
    }

    fn submit(&mut self, at: usize) {
        let len = 1 + self.dice.roll(5);
        let offset = self.next_block;
        self.next_block += 1;
        let places = self.engine.workers.len() as u64;
        let worker = (self.dice.roll(3) == 0).then(|| WorkerId::new(self.dice.roll(places) as u32));
        let (job, account) = &mut self.jobs[at];
        let retries = account.retries;
        let chunk = Chunk { retries, worker, ..chunk(*job, offset, account.submitted, len as u32) };
        account.submitted += len;
        account.chunks += 1;
        self.blocks.insert(chunk.items.offset, *job);
        self.tell(|engine, out| engine.submit(chunk, out));
    }

    fn close(&mut self, at: usize) {
        let job = self.jobs[at].0;
        self.jobs[at].1.open = false;
        for slot in self.tell(|engine, out| engine.close_job(job, out)) {
            let at = slot.index();
            if let Some(SlotState::Ready(chunk)) = &self.board[at]
                && chunk.in_hand.is_none()
            {
                self.board[at] = None;
                self.tell(|engine, out| engine.taken_back(slot, out));
            }
        }
    }

    /// One step of one worker.
    fn work(&mut self, at: usize) {
        let (incarnation, in_hand) = self.workers[at];
        let own = self.engine.workers.worker_of(incarnation).unwrap();
        let mine = |state: &Option<SlotState>| matches!(state, Some(SlotState::Claimed { by, .. }) if *by == incarnation);
        let Some(slot) = self.board.iter().position(mine) else {
            if in_hand.is_none()
                && self.engine.workers.serial_of(incarnation) < self.engine.workers.min_serial()
            {
                return self.die(at); // it leaves as it was asked to
            }
            let admits = |state: &Option<SlotState>| match state {
                Some(SlotState::Ready(chunk)) => {
                    chunk.audience.place.is_none_or(|place| place == own.number())
                        && chunk.audience.min_serial <= self.engine.workers.serial_of(incarnation)
                        && in_hand.is_some() == chunk.in_hand.is_some()
                }
                _ => false,
            };
            let open: Vec<_> = (0..self.board.len()).filter(|s| admits(&self.board[*s])).collect();
            if !open.is_empty() {
                let slot = open[self.dice.roll(open.len() as u64) as usize];
                let Some(SlotState::Ready(chunk)) = self.board[slot].take() else { unreachable!() };
                assert!(chunk.worker.is_none_or(|worker| worker == own), "not its worker");
                self.board[slot] =
                    Some(SlotState::Claimed { by: incarnation, chunk, finished: 0, begun: false });
            }
            return;
        };
        let Some(SlotState::Claimed { chunk, mut finished, .. }) = self.board[slot].clone() else {
            unreachable!()
        };
        let index = chunk.first.number() + u64::from(chunk.start + finished);
        let open = self.account(chunk.job).open;
        let for_others = finished > 0 && self.dice.roll(10) == 0;
        let end = if for_others || (!open && self.dice.roll(2) == 0) {
            self.workers[at].1 = None;
            Some(End::Cancelled)
        } else {
            if finished == 0 && chunk.in_hand.is_some() {
                assert_eq!(in_hand, Some((chunk.job, index)), "another one's result");
            } else {
                *self.account(chunk.job).runs.entry(index).or_default() += 1;
            }
            let has_unread = self.unread.iter().any(|unread| {
                matches!(self.board[*unread], Some(SlotState::Done { by, .. }) if by == incarnation)
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
        // Whether the worker dies when it has begun the next item.
        let begun = end.is_none() && self.dice.roll(3) == 0;
        if begun {
            *self.account(chunk.job).runs.entry(index + 1).or_default() += 1;
        }
        self.board[slot] = Some(match end {
            Some(end) => SlotState::Done { by: incarnation, finished, end },
            None if begun => {
                self.board[slot] =
                    Some(SlotState::Claimed { by: incarnation, chunk, finished, begun: true });
                return self.die(at);
            }
            None => SlotState::Claimed { by: incarnation, chunk, finished, begun: false },
        });
        if end.is_some() && self.dice.roll(2) == 0 {
            self.collect();
        }
    }

    /// What the parent does when it looks at the board.
    fn collect(&mut self) {
        assert_eq!(self.engine.published_slots, self.engine.published().count());
        for slot in 0..self.board.len() {
            let Some(SlotState::Done { by, finished, end, .. }) = self.board[slot].clone() else {
                continue;
            };
            if self.engine.chunk(SlotIndex::new(slot)).is_none() {
                continue; // collected before, and being read
            }
            let why = match end {
                End::Complete => Why::Complete,
                End::Failed => Why::Failed(Cause::BadResult),
                End::Full => Why::Full,
                _ => Why::Cancelled,
            };
            let outcome = outcome(end, finished, false);
            self.tell(|engine, out| engine.ended(SlotIndex::new(slot), by, outcome, why, out));
        }
    }

    fn die(&mut self, at: usize) {
        self.collect();
        let (incarnation, in_hand) = self.workers.remove(at);
        let begun = self.board.iter().flatten().find_map(|state| match state {
            SlotState::Claimed { by, chunk, finished, begun: true } if *by == incarnation => {
                Some((chunk.job, chunk.first.number() + u64::from(chunk.start + finished)))
            }
            _ => None,
        });
        let at_fault = self.board.iter().flatten().find_map(|state| match state {
            SlotState::Claimed { by, chunk, finished: 0, begun: false }
                if *by == incarnation && chunk.unbegun_deaths >= 2 =>
            {
                Some((chunk.job, chunk.first.number() + u64::from(chunk.start)))
            }
            _ => None,
        });
        if let Some((job, index)) = at_fault.filter(|_| in_hand.is_none()) {
            *self.account(job).runs.entry(index).or_default() += 1; // as if it had begun
        }
        if let Some((job, index)) = in_hand.or(begun).or(at_fault) {
            *self.account(job).lost.entry(index).or_default() += 1;
        }
        for slot in 0..self.board.len() {
            match self.board[slot].clone() {
                Some(SlotState::Claimed { by, finished, begun, .. }) if by == incarnation => {
                    self.board[slot] = Some(SlotState::Done { by, finished, end: End::Unknown });
                    let why = Why::Died { begun, cause: KILLED };
                    let outcome = outcome(End::Unknown, finished, begun);
                    self.tell(|engine, out| {
                        engine.ended(SlotIndex::new(slot), by, outcome, why, out)
                    });
                }
                Some(SlotState::Ready(chunk)) if chunk.in_hand == Some(incarnation) => {
                    self.board[slot] = None;
                    self.tell(|engine, out| {
                        engine.in_hand_lost(Some(SlotIndex::new(slot)), incarnation, &KILLED, out);
                    });
                }
                _ => {}
            }
        }
        self.tell(|engine, out| engine.in_hand_lost(None, incarnation, &KILLED, out));
        self.engine.workers.vacate(incarnation, true);
        self.tell(Engine::start_missing);
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
                self.engine.workers.retire_all();
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
        for step in 0.. {
            assert!(step < 20_000, "work is left that no worker takes");
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
        assert!(self.blocks.is_empty(), "blocks that were not freed");
        assert!(self.board.iter().all(Option::is_none));
        assert_eq!(self.engine.free_slots, self.board.len());
        assert!(self.engine.queue.is_empty() && self.engine.held.is_empty());
        assert!(self.engine.targeted.is_empty());
        assert_eq!(self.engine.jobs.len(), 0);
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
