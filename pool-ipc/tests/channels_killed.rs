//! Kills processes at random moments while they send and receive, and checks that the others go on,
//! and that each message is received once.
//!
//! ```text
//! cargo test -p pool-ipc --release --test channels_killed -- --kills 1000 --seed 7
//! ```
//!
//! Without arguments it is short. It prints how many messages were lost in the hands of the dead,
//! and how long it took until others sent and received. No process may wait for 2 s; shorter times
//! are not judged.
#![cfg(not(loom))]

#[path = "support/processes.rs"]
#[allow(dead_code, reason = "this program prints by itself")]
mod processes;
#[path = "support/random.rs"]
mod random;

use std::{
    env,
    sync::atomic::{
        AtomicU8, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::unistd::{Pid, alarm};
use pool_ipc::{
    Wire,
    channel::{ChannelBuilder, Receiver, RecvError, Sender},
};
use pool_shm::{Mapping, Segment};
use processes::{kill_and_reap, start};
use random::Random;

/// A message that is one word, many times.
trait Message: Wire {
    fn of(word: u64) -> Self;
    fn words(&self) -> &[u64];
}

/// The largest message that lies in a slot, so that a sender has it in hand for long.
type InSlot = [u64; 32];

impl Message for InSlot {
    fn of(word: u64) -> Self {
        [word; 32]
    }

    fn words(&self) -> &[u64] {
        self
    }
}

/// Lies in the region of its sender.
type InRegion = Vec<u64>;

impl Message for InRegion {
    fn of(word: u64) -> Self {
        vec![word; 100 + word as usize % 3000]
    }

    fn words(&self) -> &[u64] {
        self
    }
}

/// Senders, and as many receivers.
const EACH: usize = 2;
/// The most messages that one process sends.
const MOST: usize = 16 << 20;
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let number = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        let text = arguments.get(position + 1).expect("a value behind the option");
        Some(text.parse::<u64>().expect("a number"))
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = number("--seed").unwrap_or(since.as_nanos() as u64);
    let kills = number("--kills").unwrap_or(100) as usize;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let capacities = [1, 2, 1000];
    let each = kills.div_ceil(2 * capacities.len());
    for capacity in capacities {
        alarm::set(600);
        let report = Run::<InSlot>::new(capacity, each).all(&mut random);
        println!("test in_slots_{capacity} ... ok: {report}");
        let report = Run::<InRegion>::new(capacity, each).all(&mut random);
        println!("test in_regions_{capacity} ... ok: {report}");
    }
    println!("\ntest result: ok. {} passed; 0 failed", 2 * capacities.len());
}

/// What all processes write down: plain counters in shared memory.
struct Notes {
    mapping: Mapping,
    senders: usize,
}

impl Notes {
    /// Room for so many senders, one after the other.
    fn new(senders: usize) -> Self {
        let bytes = senders * (size_of::<u64>() + MOST) + 2 * EACH * size_of::<u64>();
        let segment = Segment::create("notes", bytes as u64).expect("create");
        Self { mapping: segment.map_unlocked().expect("map"), senders }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < 2 * EACH + self.senders);
        // SAFETY: within the mapping, aligned, and used as an atomic only.
        unsafe { AtomicU64::from_ptr(self.mapping.as_ptr().cast::<u64>().add(index)) }
    }

    /// How often the process at this place has gone on.
    fn progress(&self, place: usize) -> &AtomicU64 {
        self.word(place)
    }

    /// How many messages a sender has sent.
    fn sent(&self, sender: usize) -> &AtomicU64 {
        self.word(2 * EACH + sender)
    }

    /// How often a message was received.
    fn received(&self, sender: usize, number: usize) -> &AtomicU8 {
        assert!(sender < self.senders && number < MOST);
        let at = (2 * EACH + self.senders) * size_of::<u64>() + sender * MOST + number;
        // SAFETY: as above.
        unsafe { AtomicU8::from_ptr(self.mapping.as_ptr().add(at)) }
    }

    fn send_all<M: Message>(&self, place: usize, sender: usize, by: &Sender<M>) {
        for number in 0..MOST as u64 {
            by.send(M::of((sender as u64) << 32 | number)).expect("there are receivers");
            self.sent(sender).store(number + 1, SeqCst);
            self.progress(place).fetch_add(1, Relaxed);
        }
        loop {
            thread::park();
        }
    }

    /// Notes that a message was received, and returns its word.
    fn take_down(&self, message: &impl Message) -> u64 {
        let words = message.words();
        assert!(words.iter().all(|word| *word == words[0]), "torn: {words:x?}");
        let (sender, number) = (words[0] >> 32, words[0] & 0xffff_ffff);
        let before = self.received(sender as usize, number as usize).fetch_add(1, SeqCst);
        assert_eq!(before, 0, "message {number} of sender {sender} came twice");
        words[0]
    }

    fn receive_all(&self, place: usize, from: &Receiver<impl Message>) {
        let mut last = vec![None; self.senders];
        for message in from.iter() {
            let word = self.take_down(&message.expect("valid"));
            let last = &mut last[(word >> 32) as usize];
            assert!(*last < Some(word), "the order of each sender is kept");
            *last = Some(word);
            self.progress(place).fetch_add(1, Relaxed);
        }
    }
}

/// The middle and the longest of some times.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("{:.1?} (99 %: {:.1?}, longest: {:.1?})", at(50), at(99), at(100))
}

struct Run<M> {
    notes: Notes,
    sender: Option<Sender<M>>,
    receiver: Option<Receiver<M>>,
    /// The senders, then the receivers.
    processes: Vec<Pid>,
    senders: usize,
    kills: usize,
}

impl<M: Message> Run<M> {
    fn new(capacity: usize, kills: usize) -> Self {
        // Regions hold some messages only, so senders wait for room, too.
        let builder = ChannelBuilder::new(capacity).max_bytes(64 * (96 << 10));
        let (sender, receiver) = builder.build().expect("channel");
        let mut run = Self {
            notes: Notes::new(EACH + kills),
            sender: Some(sender),
            receiver: Some(receiver),
            processes: Vec::new(),
            senders: 0,
            kills,
        };
        for place in 0..2 * EACH {
            let process = run.start(place);
            run.processes.push(process);
        }
        run
    }

    fn start(&mut self, place: usize) -> Pid {
        let sender = self.senders;
        self.senders += usize::from(place < EACH);
        let (mut ours, mut theirs) = (self.sender.take(), self.receiver.take());
        let process = start(|| {
            if place < EACH {
                drop(theirs.take());
                self.notes.send_all(place, sender, &ours.take().expect("inherited"));
            } else {
                drop(ours.take());
                self.notes.receive_all(place, &theirs.take().expect("inherited"));
            }
        });
        (self.sender, self.receiver) = (ours, theirs);
        process
    }

    fn all(&mut self, random: &mut Random) -> String {
        let mut dead = [0; 2];
        let (mut undisturbed, mut times) = (Vec::new(), Vec::new());
        for _ in 0..self.kills {
            let place = random.below(2 * EACH);
            self.wait_for(place, 1 + random.below(20_000) as u64, LIMIT);
            undisturbed.push(self.others_go_on(place));
            kill_and_reap(self.processes[place]);
            dead[place / EACH] += 1;
            times.push(self.others_go_on(place));
            self.processes[place] = self.start(place);
        }
        // Receivers that still run take what is left over, so they go last.
        self.processes.drain(..EACH).for_each(kill_and_reap);
        dead[0] += EACH;
        let receiver = self.receiver.take().expect("kept");
        drop(self.sender.take());
        loop {
            match receiver.recv() {
                Ok(message) => {
                    self.notes.take_down(&message);
                }
                Err(RecvError::Disconnected) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.processes.drain(..).for_each(processes::finish);
        let missing = (0..self.senders).map(|sender| self.missing(sender)).sum::<usize>();
        let lost = receiver.lost() as usize;
        // A receiver that is killed has one message in hand at most, a sender too.
        assert!(missing <= dead[1], "{missing} messages are missing, {} receivers dead", dead[1]);
        assert!(lost <= dead[0] + dead[1], "{lost} messages were lost, dead are {dead:?}");
        format!(
            "{} senders and {} receivers killed, {lost} messages lost in their hands; the others \
             sent and received after {}, without a kill after {}",
            dead[0],
            dead[1],
            spread(&mut times),
            spread(&mut undisturbed)
        )
    }

    /// Messages that were sent and not received.
    fn missing(&self, sender: usize) -> usize {
        let sent = self.notes.sent(sender).load(SeqCst) as usize;
        (0..sent).filter(|number| self.notes.received(sender, *number).load(SeqCst) == 0).count()
    }

    /// Waits until the process at `place` has gone on by `steps`.
    fn wait_for(&self, place: usize, steps: u64, limit: Duration) {
        let progress = self.notes.progress(place);
        let (first, begun) = (progress.load(Relaxed), Instant::now());
        while progress.load(Relaxed).wrapping_sub(first) < steps {
            // A process that got no turn so far is killed as well.
            if begun.elapsed() > limit / 20 {
                return;
            }
            thread::yield_now();
        }
    }

    /// How long it takes until messages are sent and received by others than the process at
    /// `place`. Then waits until each of the others has gone on: one may find the channel full, or
    /// empty, each time that it has its turn.
    fn others_go_on(&self, place: usize) -> Duration {
        let others: Vec<_> = (0..2 * EACH)
            .filter(|other| *other != place)
            .map(|other| (other, self.notes.progress(other).load(Relaxed)))
            .collect();
        let begun = Instant::now();
        let (mut gone_on, mut flow) = ([false; 2 * EACH], None);
        while others.iter().any(|(other, _)| !gone_on[*other]) {
            for (other, before) in &others {
                gone_on[*other] |= self.notes.progress(*other).load(Relaxed) != *before;
            }
            let (senders, receivers) = gone_on.split_at(EACH);
            if flow.is_none() && senders.contains(&true) && receivers.contains(&true) {
                flow = Some(begun.elapsed());
            }
            assert!(begun.elapsed() < LIMIT, "of the processes only these go on: {gone_on:?}");
            thread::yield_now();
        }
        flow.expect("all have gone on")
    }
}
