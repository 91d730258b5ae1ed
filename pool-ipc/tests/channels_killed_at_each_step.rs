//! Kills a process after its first instruction, its second, its third … while it sends or receives.
//!
//! `cargo test -p pool-ipc --release --test channels_killed_at_each_step -- --all` tries every
//! instruction, where those are not too many; without `--all` it is a sample of them. Whatever the
//! moment: the others send and receive, no message comes twice or in another order, and what is
//! missing was in the hands of the dead.
#![cfg(not(loom))]

#[path = "support/processes.rs"]
#[allow(dead_code, reason = "this program kills by itself")]
mod processes;
#[path = "channels_killed_at_each_step/scenario.rs"]
mod scenario;

use std::{cell::Cell, time::Duration};

use nix::unistd::Pid;
use pool_ipc::{
    Wire,
    channel::{ChannelBuilder, JoinableQueue, Receiver, RecvError, Sender},
};
use processes::{finish, run, start};
use scenario::{Scenario, asleep, can_trace};

/// No process may wait so long.
const LIMIT: Duration = Duration::from_secs(2);
/// Bytes in a message of which a region holds one, not two. A text is checked and copied in few
/// instructions.
const LARGE: usize = 2400;

const TESTS: &[(&str, fn())] = &[
    ("a_sender", || sender(&|number| number)),
    ("a_sender_of_encoded_messages", || sender(&|number| number.to_string())),
    ("a_sender_of_large_messages", || sender(&large)),
    ("a_sender_that_takes_its_place", new_sender),
    ("a_receiver", || receiver(&|number| number)),
    ("a_receiver_of_large_messages", || receiver(&large)),
    ("a_receiver_for_whose_room_another_waits", receiver_with_waiter),
    ("a_sender_for_whose_message_another_waits", sender_with_waiter),
    ("a_sender_to_a_queue_that_is_joined", joined_sender),
    ("a_receiver_of_a_queue_that_is_joined", || joined(&|number| number)),
    ("a_receiver_of_a_queue_of_large_messages", || joined(&large)),
];

fn main() {
    if can_trace() {
        run(300, TESTS);
    } else {
        println!("skipped: processes cannot be traced here");
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", TESTS.len());
    }
}

fn large(number: u64) -> String {
    number.to_string().repeat(LARGE)
}

fn channel<T: Wire>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ChannelBuilder::new(capacity).max_bytes(64 * 4096).build().expect("channel")
}

/// Receives what is left, and returns it.
fn rest<T: Wire>(receiver: &Receiver<T>) -> Vec<T> {
    receiver.try_iter().collect::<Result<_, _>>().expect("valid")
}

/// Sends a message by the parent, and receives all up to that.
fn goes_on<T: Wire + PartialEq + Clone>(
    (sender, receiver): &(Sender<T>, Receiver<T>),
    last: T,
) -> Vec<T> {
    sender.send_timeout(last.clone(), LIMIT).map_err(|_| "full").expect("there is room");
    let mut got = Vec::new();
    loop {
        let message = receiver.recv_timeout(LIMIT).expect("the last one is there");
        if message == last {
            return got;
        }
        got.push(message);
    }
}

fn sender<T: Wire + PartialEq + Clone + std::fmt::Debug>(message: &dyn Fn(u64) -> T) {
    let both = channel::<T>(2);
    let (sent, lost) = (Cell::new(0), Cell::new(0));
    Scenario {
        before: &|| {
            // It takes its place here.
            both.0.send(message(1)).expect("there is room");
            both.1.recv().expect("sent");
        },
        meanwhile: &|| (),
        work: &|| both.0.send(message(2)).expect("there is room"),
        after: &|| {
            let got = goes_on(&both, message(3));
            let now_lost = both.1.lost();
            let is_lost = now_lost > lost.replace(now_lost);
            assert!(got.is_empty() || got == [message(2)] && !is_lost, "{}", got.len());
            sent.set(sent.get() + got.len());
        },
    }
    .run();
    println!("  {} times the message was sent, {} times lost", sent.get(), lost.get());
}

fn new_sender() {
    let both = channel::<u64>(2);
    Scenario {
        // The child finds out its own name here, so that it need not later.
        before: &|| drop(channel::<u64>(1)),
        meanwhile: &|| (),
        work: &|| both.0.send(2).expect("there is room"),
        after: &|| {
            let got = goes_on(&both, 3);
            assert!(got.is_empty() || got == [2], "{got:?}");
        },
    }
    .run();
}

fn receiver<T: Wire + PartialEq + Clone + std::fmt::Debug>(message: &dyn Fn(u64) -> T) {
    let both = channel::<T>(2);
    let (taken, left) = (Cell::new(0), Cell::new(0));
    Scenario {
        before: &|| {
            both.0.send(message(1)).expect("there is room");
            both.1.recv().expect("sent");
        },
        meanwhile: &|| both.0.send_timeout(message(2), LIMIT).map_err(|_| "full").expect("room"),
        work: &|| assert_eq!(both.1.recv().expect("sent"), message(2)),
        after: &|| {
            let got = rest(&both.1);
            assert!(got.is_empty() || got == [message(2)], "{}", got.len());
            let count = if got.is_empty() { &taken } else { &left };
            count.set(count.get() + 1);
            // What the dead had in hand is room again.
            assert!(goes_on(&both, message(3)).is_empty());
        },
    }
    .run();
    println!("  {} times the message was taken, {} times left", taken.get(), left.get());
}

fn receiver_with_waiter() {
    let both = channel::<u64>(1);
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    Scenario {
        before: &|| (),
        meanwhile: &|| {
            both.0.send(1).expect("there is room");
            let waits = || both.0.send_timeout(2, LIMIT).expect("there is room in time");
            waiter.set(Some(asleep(start(waits))));
        },
        work: &|| assert_eq!(both.1.recv().expect("sent"), 1),
        after: &|| {
            // If the message is still there, it is taken here; if not, its taker has died, maybe
            // before it has woken the waiter.
            let next = both.1.recv_timeout(LIMIT).expect("one is there");
            if next == 1 {
                assert_eq!(both.1.recv_timeout(LIMIT).expect("sent by the waiter"), 2);
            }
            finish(waiter.take().expect("started"));
            assert!(matches!(both.1.try_recv(), Err(RecvError::Empty)));
        },
    }
    .run();
}

fn sender_with_waiter() {
    let both = channel::<u64>(1);
    let waiter: Cell<Option<Pid>> = Cell::new(None);
    Scenario {
        before: &|| {
            // It takes its place here.
            both.0.send(0).expect("there is room");
            both.1.recv().expect("sent");
        },
        meanwhile: &|| {
            let waits = || assert!(both.1.recv_timeout(LIMIT).is_ok());
            waiter.set(Some(asleep(start(waits))));
        },
        work: &|| both.0.send(1).expect("there is room"),
        after: &|| {
            // Wakes the waiter if the message was not sent, and lies there else.
            both.0.send_timeout(2, LIMIT).expect("there is room in time");
            finish(waiter.take().expect("started"));
            let left = rest(&both.1);
            assert!(left.is_empty() || left == [2], "{left:?}");
        },
    }
    .run();
}

fn joinable<T: Wire>() -> JoinableQueue<T> {
    ChannelBuilder::new(2).max_bytes(64 * 4096).joinable_queue().expect("queue")
}

/// Joins a queue, which no other process receives from, after one was killed. A join that is not
/// over waits for a message that can be received.
fn join_after<T: Wire + PartialEq + Clone + std::fmt::Debug>(
    queue: &JoinableQueue<T>,
    message: &T,
    lost: &Cell<u64>,
) {
    // The last look of a join sees everything, however short it is.
    if !queue.join_timeout(Duration::from_millis(5)) {
        assert_eq!(queue.try_recv().expect("it waits for the dead"), *message);
        queue.task_done().expect("in hand");
        assert!(queue.join_timeout(LIMIT), "it waits for the dead");
    }
    let before = lost.replace(queue.lost());
    assert!(lost.get() - before <= 1, "the dead had one in hand");
}

fn joined<T: Wire + PartialEq + Clone + std::fmt::Debug>(message: &dyn Fn(u64) -> T) {
    let (queue, lost) = (joinable::<T>(), Cell::new(0));
    Scenario {
        before: &|| {
            queue.send(message(1)).expect("there is room");
            queue.recv().expect("sent");
            queue.task_done().expect("in hand");
        },
        meanwhile: &|| queue.send_timeout(message(2), LIMIT).map_err(|_| "full").expect("room"),
        work: &|| {
            queue.recv().expect("sent");
            queue.task_done().expect("in hand");
        },
        after: &|| join_after(&queue, &message(2), &lost),
    }
    .run();
    println!("  {} times it was lost", queue.lost());
}

fn joined_sender() {
    let (queue, lost) = (joinable::<u64>(), Cell::new(0));
    Scenario {
        before: &|| {
            queue.send(1).expect("there is room");
            queue.recv().expect("sent");
            queue.task_done().expect("in hand");
        },
        meanwhile: &|| (),
        work: &|| queue.send(2).expect("there is room"),
        after: &|| join_after(&queue, &2, &lost),
    }
    .run();
    println!("  {} times it was lost", queue.lost());
}
