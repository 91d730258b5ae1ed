//! Three processes in a row, joined by channels: one reads lines, one adds up the numbers in each,
//! one collects the sums.
//!
//! A channel ends when no process has an end of its one side any more. Each stage is given the ends
//! that it uses, and has no others; this process gives all of them away. The first run comes to its
//! end by itself: the lines end, and each stage ends with the one before it. In the second run the
//! stage in the middle is killed: the stage before it gets its line back, and the one after it
//! keeps what has arrived.
//!
//! `cargo run --example pipeline -- spawn` starts them in another way: `fork`, `threads` (which
//! cannot be killed: only the first run).

use pool_api::{
    Cause, Error, ExitStatus, Process, StartMethod, Wire,
    channel::{Receiver, RecvError, SendError, Sender, channel},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const TEXT: &str = "3 4 5\n10\n\n1 1 1 1\n7 thirty 7";

/// A line and its number.
type Line = (u64, String);

/// What is known of a line: its number, and the sum or the word that is no number.
type Sum = (u64, Result<u64, String>);

/// Sends the lines; returns how many were taken, and the one that came back because there is no
/// stage behind this one any more.
fn send_all(lines: impl Iterator<Item = &'static str>, to: Sender<Line>) -> (u64, Option<String>) {
    let mut count = 0;
    for line in lines {
        match to.send((count, line.to_owned())) {
            Ok(()) => count += 1,
            Err(SendError::Disconnected((_, line))) => return (count, Some(line)),
            Err(error) => panic!("{error}"),
        }
    }
    (count, None)
}

fn read(to: Sender<Line>) -> (u64, Option<String>) {
    send_all(TEXT.lines(), to)
}

fn read_for_ever(to: Sender<Line>) -> (u64, Option<String>) {
    send_all(TEXT.lines().cycle(), to)
}

/// Returns how many lines it has added up.
fn add((lines, sums): (Receiver<Line>, Sender<Sum>)) -> u64 {
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

fn collect(sums: Receiver<Sum>) -> Vec<Sum> {
    sums.iter().collect::<Result<_, RecvError>>().expect("they are sums")
}

/// Starts a stage, which ends with this process at the latest.
fn start<A: Wire, R: Wire>(
    method: StartMethod,
    name: &str,
    stage: fn(A) -> R,
    ends: A,
) -> Result<Process<R>, Error> {
    Process::builder().start_method(method).name(name).daemon(true).spawn(stage, ends)
}

/// All lines go through all stages.
fn to_the_end(method: StartMethod) -> Outcome {
    let (lines_in, lines) = channel(4)?;
    let (sums_in, sums) = channel(4)?;
    let reader = start(method, "reader", read, lines_in)?;
    let adder = start(method, "adder", add, (lines, sums_in))?;
    let collector = start(method, "collector", collect, sums)?;

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
fn with_a_stage_that_is_killed(method: StartMethod) -> Outcome {
    let (lines_in, lines) = channel(4)?;
    let (sums_in, sums) = channel(4)?;
    let reader = start(method, "reader", read_for_ever, lines_in)?;
    let adder = start(method, "adder", add, (lines, sums_in))?;
    let collector = start(method, "collector", collect, sums.clone())?;
    let (first, _) = sums.recv()?; // the stages work
    drop(sums);
    adder.kill()?;

    let Err(Error::Process(end)) = adder.join() else { panic!("it was killed") };
    println!("{end}");
    assert_eq!(*end.cause(), Cause::Death(ExitStatus::Signal(9)));
    let (sent, came_back) = reader.join()?;
    println!("the reader has sent {sent} lines, and {came_back:?} came back");
    assert!(came_back.is_some());
    let collected = collector.join()?;
    println!("the collector has {} sums", collected.len());
    assert!(collected.is_sorted_by_key(|(number, _)| *number));
    assert!(collected.iter().all(|(number, _)| *number < sent && *number != first));
    Ok(())
}

fn main() -> Outcome {
    let named = std::env::args().nth(1);
    let method = named.map_or(Ok(StartMethod::ForkServer), |name| name.parse())?;
    to_the_end(method)?;
    if method != StartMethod::Threads {
        with_a_stage_that_is_killed(method)?;
    }
    Ok(())
}
