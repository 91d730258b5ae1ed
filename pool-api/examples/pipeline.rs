//! Three processes in a row, joined by channels: one reads lines, one adds up the numbers in each,
//! one collects the sums.
//!
//! A channel ends when no process has an end of its one side any more. So each stage takes the ends
//! that it uses, and drops its copies of all others. The first run comes to its end by itself: the
//! lines end, and each stage ends with the one before it. In the second run the stage in the middle
//! is killed: the stage before it gets its line back, and the one after it keeps what has arrived.

use std::sync::{Arc, Mutex, PoisonError};

use pool_api::{
    Cause, Error, ExitStatus, Process, StartMethod, Wire,
    channel::{Receiver, RecvError, SendError, Sender, channel},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const TEXT: &str = "3 4 5\n10\n\n1 1 1 1\n7 thirty 7";

/// A line and its number.
type Line = (u64, String);

/// What is known of a line: its number, and the sum or the word that is no number.
type Sum = (u64, Result<u64, String>);

/// The ends of both channels. Each method takes those of one stage, and drops the others.
struct Ends {
    lines: (Sender<Line>, Receiver<Line>),
    sums: (Sender<Sum>, Receiver<Sum>),
}

impl Ends {
    fn of_reader(self) -> Sender<Line> {
        self.lines.0
    }

    fn of_adder(self) -> (Receiver<Line>, Sender<Sum>) {
        (self.lines.1, self.sums.0)
    }

    fn of_collector(self) -> Receiver<Sum> {
        self.sums.1
    }
}

/// Where a process finds its copy of the ends.
#[derive(Clone)]
struct Pipeline(Arc<Mutex<Option<Ends>>>);

impl Pipeline {
    fn new() -> Outcome<Self> {
        let ends = Ends { lines: channel(4)?, sums: channel(4)? };
        Ok(Self(Arc::new(Mutex::new(Some(ends)))))
    }

    /// The ends that this process has. Another process has its own.
    fn take(&self) -> Option<Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Starts a stage, which is given all ends.
    fn start<R: Wire>(&self, name: &str, stage: fn(Ends) -> R) -> Outcome<Process<R>> {
        let theirs = self.clone();
        let builder = Process::builder().start_method(StartMethod::Fork).name(name).daemon(true);
        Ok(builder.spawn_closure(move || stage(theirs.take().expect("not taken before")))?)
    }
}

/// Sends all lines, again and again if there are no others; returns how many were taken, and the
/// one that came back because there is no stage behind this one any more.
fn send_all(to: &Sender<Line>, lines: impl Iterator<Item = String>) -> (u64, Option<String>) {
    let mut count = 0;
    for line in lines {
        match to.send((count, line)) {
            Ok(()) => count += 1,
            Err(SendError::Disconnected((_, line))) => return (count, Some(line)),
            Err(error) => panic!("{error}"),
        }
    }
    (count, None)
}

fn read(ends: Ends) -> (u64, Option<String>) {
    send_all(&ends.of_reader(), TEXT.lines().map(str::to_owned))
}

fn read_for_ever(ends: Ends) -> (u64, Option<String>) {
    send_all(&ends.of_reader(), TEXT.lines().cycle().map(str::to_owned))
}

fn add(ends: Ends) -> u64 {
    let (lines, sums) = ends.of_adder();
    let mut count = 0;
    for line in &lines {
        let (number, line) = line.expect("it is a line");
        let words = line.split_whitespace();
        let sum = words.map(|word| word.parse::<u64>().map_err(|_| word.to_owned())).sum();
        // Without a stage behind this one there is nothing left to do.
        if sums.send((number, sum)).is_err() {
            break;
        }
        count += 1;
    }
    count
}

fn collect(ends: Ends) -> Vec<Sum> {
    ends.of_collector().iter().collect::<Result<_, RecvError>>().expect("they are sums")
}

/// All lines go through all stages.
fn to_the_end() -> Outcome {
    let pipeline = Pipeline::new()?;
    let reader = pipeline.start("reader", read)?;
    let adder = pipeline.start("adder", add)?;
    let collector = pipeline.start("collector", collect)?;
    drop(pipeline.take()); // those of this process, which uses none

    let sums = collector.join()?;
    for (number, sum) in &sums {
        match sum {
            Ok(sum) => println!("line {number}: {sum}"),
            Err(word) => println!("line {number}: {word:?} is no number"),
        }
    }
    let expected = [Ok(12), Ok(10), Ok(0), Ok(4), Err("thirty".to_owned())];
    assert!(sums.into_iter().eq((0..).zip(expected)));
    assert_eq!((reader.join()?, adder.join()?), ((5, None), 5));
    Ok(())
}

/// The stage in the middle is killed at some line.
fn with_a_stage_that_is_killed() -> Outcome {
    let pipeline = Pipeline::new()?;
    let reader = pipeline.start("reader", read_for_ever)?;
    let adder = pipeline.start("adder", add)?;
    let collector = pipeline.start("collector", collect)?;
    let sums = pipeline.take().ok_or("not taken before")?.of_collector();
    let (first, _) = sums.recv()?; // all stages work
    drop(sums);
    adder.kill()?;

    let (sent, came_back) = reader.join()?;
    let collected = collector.join()?;
    let Err(Error::Process(end)) = adder.join() else { panic!("it was killed") };
    println!("{end}");
    println!("the reader has sent {sent} lines, and {came_back:?} came back");
    println!("the collector has {} sums", collected.len());
    assert_eq!(*end.cause(), Cause::Death(ExitStatus::Signal(9)));
    assert!(came_back.is_some());
    assert!(collected.is_sorted_by_key(|(number, _)| *number));
    assert!(collected.iter().all(|(number, _)| *number < sent && *number != first));
    Ok(())
}

fn main() -> Outcome {
    to_the_end()?;
    with_a_stage_that_is_killed()
}
