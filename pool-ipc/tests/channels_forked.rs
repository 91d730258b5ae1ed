//! Channels between processes: each message once and in order, and when a side counts as gone.
#![cfg(not(loom))]

#[path = "support/processes.rs"]
mod processes;

use std::{thread, time::Duration};

use pool_ipc::channel::{ProcessFault, RecvError, SendError, channel};
use processes::{finish, kill_and_reap, run, start};

const LONG: Duration = Duration::from_secs(20);

/// Messages of each sender.
const EACH: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

fn main() {
    run(
        120,
        &[
            ("a_message_crosses", crosses),
            ("processes_receive_each_message_once_and_in_order", each_once),
            ("a_copy_counts_before_it_is_used", copies_count),
            ("a_side_is_gone_with_its_last_process", gone_with_its_process),
            ("a_program_that_was_started_has_no_endpoint", exec_closes),
            ("more_than_64_processes_are_refused", too_many),
        ],
    );
}

fn crosses() {
    let (sender, receiver) = channel::<String>(4).expect("channel");
    let (answers, answered) = channel::<usize>(4).expect("channel");
    let child = start(|| {
        drop((sender.clone(), answered.clone()));
        answers.send(receiver.recv().expect("a message").len()).expect("sent");
    });
    sender.send("four".into()).expect("sent");
    assert_eq!(answered.recv_timeout(LONG).expect("an answer"), 4);
    finish(child);
}

fn each_once() {
    for capacity in [1, 100, 10_000] {
        // One slot is handed over at each message, so fewer will do.
        let each = if capacity == 1 { EACH / 10 } else { EACH };
        let (sender, receiver) = channel::<u64>(capacity).expect("channel");
        let (results, gathered) = channel::<(u64, u64)>(2).expect("channel");
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        let (mut results, mut gathered) = (Some(results), Some(gathered));
        let senders = [0, 1].map(|from| {
            start(|| {
                drop((receiver.take(), results.take(), gathered.take()));
                let sender = sender.take().expect("inherited");
                (0..each).for_each(|number| sender.send(number << 1 | from).expect("sent"));
            })
        });
        let receivers = [(); 2].map(|()| {
            start(|| {
                drop((sender.take(), gathered.take()));
                let (mut count, mut sum, mut last) = (0, 0u64, [None; 2]);
                for message in receiver.take().expect("inherited").iter() {
                    let message = message.expect("valid");
                    let from = (message & 1) as usize;
                    assert!(last[from] < Some(message), "the order of each sender is kept");
                    last[from] = Some(message);
                    (count, sum) = (count + 1, sum + message);
                }
                results.take().expect("inherited").send((count, sum)).expect("sent");
            })
        });
        drop((sender, receiver, results));
        let (mut count, mut sum) = (0, 0);
        for result in gathered.take().expect("kept").iter() {
            let result = result.expect("valid");
            (count, sum) = (count + result.0, sum + result.1);
        }
        // All numbers below 2 * each, and each receiver saw those of a sender rise: none came twice
        // in one process, and the sum would be another if one had come in both.
        assert_eq!((count, sum), (2 * each, 2 * each * (2 * each - 1) / 2));
        senders.into_iter().chain(receivers).for_each(finish);
    }
}

/// The parent drops its endpoint while the child, which has not used its own, sleeps.
fn copies_count() {
    let (go, wait) = channel::<()>(1).expect("channel");
    let (sender, receiver) = channel::<u8>(1).expect("channel");
    let mut sender = Some(sender);
    let child = start(|| {
        wait.recv().expect("a sign");
        sender.take().expect("inherited").send(7).expect("sent");
    });
    drop(sender);
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(receiver.recv_timeout(Duration::from_millis(50)), Err(RecvError::TimedOut)));
    go.send(()).expect("sent");
    assert_eq!(receiver.recv_timeout(LONG).expect("sent by the child"), 7);
    assert!(matches!(receiver.recv_timeout(LONG), Err(RecvError::Disconnected)));
    finish(child);
}

fn gone_with_its_process() {
    let (sender, receiver) = channel::<u64>(2).expect("channel");
    let mut sender = Some(sender);
    let child = start(|| {
        let sender = sender.take().expect("inherited");
        (0..u64::MAX).for_each(|number| sender.send(number).expect("sent"));
    });
    drop(sender);
    assert_eq!(receiver.recv_timeout(LONG).expect("sent"), 0);
    kill_and_reap(child);
    // What it has sent is there.
    let rest: Vec<u64> = receiver.iter().collect::<Result<_, _>>().expect("valid");
    assert!(rest.len() <= 3 && rest.is_sorted(), "{rest:?}");

    let (sender, receiver) = channel::<u64>(2).expect("channel");
    let mut receiver = Some(receiver);
    let child = start(|| {
        let _receiver = receiver.take();
        loop {
            thread::park();
        }
    });
    drop(receiver);
    sender.send(1).expect("sent");
    sender.send(2).expect("sent");
    kill_and_reap(child);
    assert!(matches!(sender.send(3), Err(SendError::Disconnected(3))));
    assert!(matches!(sender.try_send(4), Err(SendError::Disconnected(4))));
}

fn exec_closes() {
    let (sender, receiver) = channel::<u64>(2).expect("channel");
    let mut program = std::process::Command::new("sleep").arg("30").spawn().expect("sleep");
    drop(sender);
    assert!(matches!(receiver.recv_timeout(LONG), Err(RecvError::Disconnected)));
    program.kill().expect("kill");
    program.wait().expect("wait");
}

fn too_many() {
    let (sender, receiver) = channel::<u64>(100).expect("channel");
    let (go, wait) = channel::<()>(100).expect("channel");
    let (mut sender, mut go) = (Some(sender), Some(go));
    let children: Vec<_> = (1..64)
        .map(|number| {
            start(|| {
                drop(go.take());
                let sender = sender.take().expect("inherited");
                sender.send(number).expect("sent");
                assert!(wait.iter().next().is_none());
            })
        })
        .collect();
    let sum: u64 = (1..64).map(|_| receiver.recv_timeout(LONG).expect("sent")).sum();
    assert_eq!(sum, 63 * 64 / 2);
    finish(start(|| {
        let refused = sender.take().expect("inherited").send(64);
        let Err(SendError::Process { message: 64, fault: ProcessFault::TooMany }) = refused else {
            panic!("{refused:?}")
        };
    }));
    // The place of one that has gone is free.
    kill_and_reap(children[0]);
    finish(start(|| sender.take().expect("inherited").send(65).expect("sent")));
    drop(go);
    children.into_iter().skip(1).for_each(finish);
    assert_eq!(receiver.recv_timeout(LONG).expect("sent"), 65);
}
