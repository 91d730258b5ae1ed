//! Channels between processes: each message once and in order, and when a side counts as gone.
#![cfg(not(loom))]

#[path = "support/processes.rs"]
mod processes;

use std::{thread, time::Duration};

use pool_ipc::channel::{
    ChannelBuilder, JoinableQueue, NothingInHand, ProcessFault, Receiver, RecvError, SendError,
    Sender, channel,
};
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
            ("the_block_of_a_dead_reader_comes_back", dead_readers),
            ("what_the_dead_have_sent_is_read", sent_by_the_dead),
            ("messages_of_64_mib_cross_both_ways", both_ways),
            ("a_queue_is_joined_when_all_processes_are_done", joined),
            ("no_join_waits_for_the_dead", joined_without_the_dead),
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

/// Larger than half a region.
const LARGE: usize = 600 << 10;

fn wait_for_ever() -> ! {
    loop {
        thread::park();
    }
}

fn large_channel() -> (Sender<Vec<u8>>, Receiver<Vec<u8>>) {
    ChannelBuilder::new(10).max_bytes(64 << 20).build().expect("channel")
}

fn dead_readers() {
    let (sender, receiver) = large_channel();
    let (reading, is_reading) = channel::<()>(1).expect("channel");
    for lost in 1..=3 {
        let child = start(|| {
            let read = receiver.recv_view(|_| {
                reading.send(()).expect("sent");
                wait_for_ever()
            });
            read.expect("killed before");
        });
        sender.send_timeout(vec![1; LARGE], LONG).expect("sent");
        is_reading.recv_timeout(LONG).expect("it reads");
        assert!(matches!(sender.try_send(vec![2; LARGE]), Err(SendError::Full(_))));
        kill_and_reap(child);
        sender.send_timeout(vec![2; LARGE], LONG).expect("the room came back");
        assert_eq!(receiver.recv().expect("sent"), vec![2; LARGE]);
        assert_eq!(receiver.lost(), lost);
    }
}

fn sent_by_the_dead() {
    let (sender, receiver) = large_channel();
    let (sent, was_sent) = channel::<()>(1).expect("channel");
    let (mut sender, mut receiver, mut sent) = (Some(sender), Some(receiver), Some(sent));
    // More processes than there are places, ten messages of which are unread each time.
    let mut children = |is_killed: bool| {
        for number in 0..10u8 {
            let child = start(|| {
                // One that is not killed drops all that it has of the channel.
                drop(receiver.take());
                let sender: Sender<Vec<u8>> = sender.take().expect("inherited");
                sender.send(vec![number; LARGE]).expect("sent");
                drop(sender);
                sent.take().expect("inherited").send(()).expect("sent");
                if is_killed {
                    wait_for_ever();
                }
            });
            was_sent.recv_timeout(LONG).expect("it has sent");
            if is_killed { kill_and_reap(child) } else { finish(child) }
        }
        let receiver = receiver.as_ref().expect("kept");
        for number in 0..10u8 {
            assert_eq!(receiver.recv_timeout(LONG).expect("sent"), vec![number; LARGE]);
        }
    };
    for round in 0..8 {
        children(round % 2 == 0);
    }
    drop((sender, sent));
    let receiver = receiver.expect("kept");
    assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
    assert_eq!(receiver.lost(), 0);
}

fn both_ways() {
    const LEN: usize = 64 << 20;
    let builder = ChannelBuilder::new(4).max_bytes(64 * (LEN as u64 + (1 << 20)));
    let (there, todo) = builder.build::<Vec<u8>>().expect("channel");
    let (back, answers) = builder.build::<Vec<u8>>().expect("channel");
    let child = start(|| {
        for number in 0..3u8 {
            back.send(vec![number + 100; LEN]).expect("sent");
            let seen = todo.recv_view(|message| (message.len(), message[LEN - 1]));
            assert_eq!(seen.expect("sent"), (LEN, number));
        }
    });
    for number in 0..3u8 {
        there.send(vec![number; LEN]).expect("sent");
        let message = answers.recv().expect("sent");
        assert_eq!((message.len(), message[0]), (LEN, number + 100));
    }
    finish(child);
}

fn joined() {
    let queue = JoinableQueue::<u64>::new(16).expect("queue");
    let (results, gathered) = channel::<u64>(1000).expect("channel");
    let workers = [(); 3].map(|()| {
        start(|| {
            loop {
                let number = queue.recv().expect("valid");
                if number == u64::MAX {
                    return queue.task_done().expect("in hand");
                }
                results.send(number).expect("there is room");
                queue.task_done().expect("in hand");
            }
        })
    });
    (0..1000).for_each(|number| queue.send(number).expect("there is room again"));
    queue.join();
    let done = gathered.try_iter().collect::<Result<Vec<_>, _>>().expect("valid");
    assert_eq!((done.len(), done.iter().sum::<u64>()), (1000, 999 * 500), "all are done");
    assert_eq!(queue.task_done(), Err(NothingInHand), "others have received them");
    (0..3).for_each(|_| queue.send(u64::MAX).expect("there is room"));
    queue.join();
    workers.into_iter().for_each(finish);
    assert_eq!(queue.lost(), 0);
}

fn joined_without_the_dead() {
    let mut queue = Some(JoinableQueue::<Vec<u8>>::new(16).expect("queue"));
    let (taken, was_taken) = channel::<()>(1).expect("channel");
    for (round, way) in (1..).zip(["killed", "ended", "dropped"]) {
        let ours = queue.as_ref().expect("kept");
        ours.send(vec![0; 1000]).expect("there is room");
        ours.send(vec![0; 10]).expect("there is room");
        let child = start(|| {
            let theirs = queue.take().expect("inherited");
            assert_eq!(theirs.recv().expect("sent").len(), 1000);
            assert_eq!(theirs.recv().expect("sent").len(), 10);
            theirs.task_done().expect("two are in hand");
            taken.send(()).expect("sent");
            match way {
                "ended" => std::mem::forget(theirs),
                "dropped" => drop(theirs),
                _ => wait_for_ever(),
            }
            if way == "dropped" {
                wait_for_ever();
            }
        });
        let ours = queue.as_ref().expect("kept");
        was_taken.recv_timeout(LONG).expect("taken");
        match way {
            "killed" => {
                assert!(!ours.join_timeout(Duration::from_millis(30)), "one is in hand");
                kill_and_reap(child);
            }
            "ended" => finish(child),
            _ => {}
        }
        assert!(ours.join_timeout(LONG));
        assert_eq!(ours.lost(), round, "{way}");
        if way == "dropped" {
            kill_and_reap(child);
        }
    }
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
