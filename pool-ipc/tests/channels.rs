//! Channels between threads: what each call does, and what comes back.
#![cfg(not(loom))]

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use deadline::within_a_minute;
use pool_ipc::{
    SegmentFault, WireFault,
    channel::{
        ChannelBuilder, ChannelError, JoinableQueue, NothingInHand, RecvError, SendError, channel,
        duplex,
    },
};
use pool_shm::SharedArray;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

pool_ipc::wire! {
    #[derive(Debug, PartialEq, Clone)]
    struct Row { name: String, values: Vec<u16> }
}

#[test]
fn a_channel_for_nothing_is_refused() {
    assert!(matches!(channel::<u8>(0), Err(ChannelError::NoCapacity)));
    let refused = channel::<u8>(usize::MAX).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains(&usize::MAX.to_string()), "{refused}");
}

#[test]
fn messages_come_in_their_order_over_many_laps() {
    within_a_minute(|| {
        for capacity in [1, 2, 3, 7, 64] {
            let (sender, receiver) = channel::<u64>(capacity).unwrap();
            let mut next = 0;
            for round in 0..1000u64 {
                let count = round % (capacity as u64 + 1);
                (0..count).for_each(|_| {
                    sender.try_send(next).unwrap();
                    next += 1;
                });
                assert_eq!((sender.len(), receiver.len()), (count as usize, count as usize));
                assert_eq!(sender.is_full(), count == capacity as u64);
                assert_eq!(receiver.is_empty(), count == 0);
                let got: Vec<u64> = receiver.try_iter().collect::<Result<_, _>>().unwrap();
                assert_eq!(got, (next - count..next).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn a_full_channel_gives_the_message_back() {
    let (sender, receiver) = channel::<String>(1).unwrap();
    sender.send("a".into()).unwrap();
    let SendError::Full(message) = sender.try_send("b".into()).unwrap_err() else {
        panic!("it is full")
    };
    assert_eq!(message, "b");
    let SendError::TimedOut(message) = sender.send_timeout(message, SHORT).unwrap_err() else {
        panic!("it stays full")
    };
    assert_eq!((message.as_str(), receiver.capacity()), ("b", 1));
    assert_eq!(receiver.recv().unwrap(), "a");
    sender.send_timeout(message, LONG).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), "b");
}

#[test]
fn an_empty_channel_says_so_until_the_last_sender_is_gone() {
    let (sender, receiver) = channel::<u32>(4).unwrap();
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(receiver.recv_timeout(SHORT), Err(RecvError::TimedOut)));
    let second = sender.clone();
    drop(sender);
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    second.send(5).unwrap();
    drop(second);
    assert_eq!(receiver.try_recv().unwrap(), 5);
    assert!(matches!(receiver.try_recv(), Err(RecvError::Disconnected)));
    assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
    assert!(receiver.iter().next().is_none());
}

#[test]
fn without_receivers_the_message_comes_back() {
    let (sender, receiver) = channel::<Row>(4).unwrap();
    let row = Row { name: "a".into(), values: vec![1, 2] };
    sender.send(row.clone()).unwrap();
    drop(receiver.clone());
    sender.send(row.clone()).unwrap();
    drop(receiver);
    for refused in [sender.send(row.clone()), sender.try_send(row.clone())] {
        let Err(SendError::Disconnected(message)) = refused else { panic!("{refused:?}") };
        assert_eq!(message, row);
    }
}

#[test]
fn threads_that_wait_are_woken() {
    within_a_minute(|| {
        let (sender, receiver) = channel::<u64>(1).unwrap();
        let waiting = thread::spawn(move || receiver.into_iter().map(Result::unwrap).sum::<u64>());
        (0..100).for_each(|number| sender.send(number).unwrap());
        drop(sender);
        assert_eq!(waiting.join().unwrap(), 4950);

        let (sender, receiver) = channel::<u64>(1).unwrap();
        sender.send(1).unwrap();
        let waiting = thread::spawn(move || sender.send(2));
        drop(receiver);
        assert!(matches!(waiting.join().unwrap(), Err(SendError::Disconnected(2))));
    });
}

#[test]
fn each_message_is_received_once_by_many_threads() {
    const EACH: u64 = 20_000;
    within_a_minute(|| {
        for capacity in [1, 3, 128] {
            let (sender, receiver) = channel::<(u64, u64)>(capacity).unwrap();
            let begin = Barrier::new(6);
            let mut got = thread::scope(|scope| {
                for from in 0..3 {
                    let (sender, begin) = (sender.clone(), &begin);
                    scope.spawn(move || {
                        begin.wait();
                        (0..EACH).for_each(|number| sender.send((from, number)).unwrap());
                    });
                }
                drop(sender);
                let takers: Vec<_> = (0..3)
                    .map(|_| {
                        let (receiver, begin) = (receiver.clone(), &begin);
                        scope.spawn(move || {
                            begin.wait();
                            let got: Vec<_> = receiver.iter().map(Result::unwrap).collect();
                            for from in 0..3 {
                                let of = got.iter().filter(|(sender, _)| *sender == from);
                                assert!(of.is_sorted(), "the order of each sender is kept");
                            }
                            got
                        })
                    })
                    .collect();
                takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
            });
            got.sort_unstable();
            let all = (0..3).flat_map(|from| (0..EACH).map(move |number| (from, number)));
            assert!(got.into_iter().eq(all));
            assert_eq!(receiver.lost(), 0);
        }
    });
}

#[test]
fn messages_of_all_sizes_cross() {
    let (sender, receiver) = channel::<[u8; 256]>(2).unwrap();
    sender.send(std::array::from_fn(|at| at as u8)).unwrap();
    assert!(receiver.recv().unwrap().iter().enumerate().all(|(at, byte)| at as u8 == *byte));
    let (sender, receiver) = channel::<()>(2).unwrap();
    sender.send(()).unwrap();
    receiver.recv().unwrap();
    let (sender, receiver) = channel::<(u8, u128)>(2).unwrap();
    sender.send((1, u128::MAX)).unwrap();
    assert_eq!(receiver.recv().unwrap(), (1, u128::MAX));
    let (sender, receiver) = channel::<Option<bool>>(2).unwrap();
    sender.send(Some(true)).unwrap();
    assert_eq!(receiver.recv().unwrap(), Some(true));
}

#[test]
fn what_cannot_cross_comes_back() {
    let (sender, receiver) = channel::<SharedArray<u8>>(2).unwrap();
    let refused = sender.send(SharedArray::new(1).unwrap()).unwrap_err();
    let SendError::Encode { fault, message } = refused else { panic!("{refused:?}") };
    assert_eq!(fault, WireFault::Segment(SegmentFault::NotCarried));
    assert_eq!((message.len(), receiver.len()), (1, 0));
}

#[test]
fn large_messages_cross_and_are_read_in_place() {
    within_a_minute(|| {
        let (sender, receiver) = channel::<Vec<u32>>(3).unwrap();
        let message = |len: usize, seed: u32| (0..len as u32).map(|at| at ^ seed).collect();
        // Around the sizes of a slot and of the scratch room, and larger.
        let sizes = [0, 1, 20, 24, 25, 26, 27, 28, 30, 1000, 1020, 1024, 1030, 5000, 1 << 20];
        for (seed, len) in (0..3).flat_map(|seed| sizes.map(|len| (seed, len))) {
            let sent: Vec<u32> = message(len, seed);
            sender.send(sent.clone()).unwrap();
            sender.send(sent.clone()).unwrap();
            assert_eq!(receiver.recv().unwrap(), sent);
            let is_same = receiver.recv_view(|got| got.iter().map(|w| w.to_native()).eq(sent));
            assert!(is_same.unwrap());
        }
        assert!(matches!(receiver.try_recv_view(|_| ()), Err(RecvError::Empty)));
        assert!(matches!(receiver.recv_view_timeout(SHORT, |_| ()), Err(RecvError::TimedOut)));
    });
}

#[test]
fn a_region_is_used_again_and_again() {
    within_a_minute(|| {
        // 1 MiB for each process: 600 KiB once, but not twice.
        let (sender, receiver) =
            ChannelBuilder::new(100).max_bytes(64 << 20).build::<Vec<u8>>().unwrap();
        let message = vec![1u8; 600 << 10];
        for _ in 0..100 {
            sender.send(message.clone()).unwrap();
            let refused = sender.try_send(message.clone());
            assert!(matches!(refused, Err(SendError::Full(_))), "{refused:?}");
            let refused = sender.send_timeout(message.clone(), Duration::from_millis(1));
            assert!(matches!(refused, Err(SendError::TimedOut(_))), "{refused:?}");
            sender.send(vec![2; 300 << 10]).unwrap();
            assert_eq!(receiver.recv().unwrap(), message);
            assert_eq!(receiver.recv().unwrap().len(), 300 << 10);
        }
        // A sender that waits for room goes on when a message was read, not before.
        sender.send(message.clone()).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| sender.send(message.clone()));
            let seen = receiver.recv_view(|first| {
                assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
                first.len()
            });
            assert_eq!(seen.unwrap(), message.len());
            assert_eq!(receiver.recv().unwrap(), message);
            waiting.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_message_larger_than_a_region_comes_back() {
    let builder = ChannelBuilder::new(2).max_bytes(64 << 20);
    let (sender, receiver) = builder.build::<Vec<u8>>().unwrap();
    let refused = sender.send(vec![0; 1 << 20]).unwrap_err();
    let text = refused.to_string();
    let SendError::TooLarge { bytes, most, message } = refused else { panic!("{refused:?}") };
    assert!(bytes > most && most == 1 << 20 && message.len() == 1 << 20);
    assert!(text.contains(&bytes.to_string()) && text.contains(&most.to_string()), "{text}");
    drop(receiver);
    assert!(matches!(sender.send(message), Err(SendError::Disconnected(_))));
    // Without regions, only what fits into a slot.
    let (sender, receiver) = ChannelBuilder::new(2).max_bytes(0).build::<String>().unwrap();
    sender.send("a".repeat(90)).unwrap();
    assert_eq!(receiver.recv().unwrap().len(), 90);
    assert!(matches!(sender.send("a".repeat(200)), Err(SendError::TooLarge { most: 112, .. })));
}

#[test]
fn large_messages_are_received_once_by_many_threads() {
    const EACH: usize = 2000;
    within_a_minute(|| {
        let builder = ChannelBuilder::new(5).max_bytes(64 << 20);
        let (sender, receiver) = builder.build::<Vec<usize>>().unwrap();
        let mut got = thread::scope(|scope| {
            for from in 0..2 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        let len = 1 + (number * 37 + from) % 5000;
                        sender.send(vec![number << 1 | from; len]).unwrap();
                    }
                });
            }
            drop(sender);
            let takers = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut got = Vec::new();
                    loop {
                        let taken = receiver.recv_view(|message| {
                            let first = message[0].to_native() as usize;
                            assert!(message.iter().all(|word| word.to_native() as usize == first));
                            assert_eq!(message.len(), 1 + ((first >> 1) * 37 + (first & 1)) % 5000);
                            first
                        });
                        match taken {
                            Ok(first) => got.push(first),
                            Err(RecvError::Disconnected) => return got,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            });
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
        });
        got.sort_unstable();
        assert!(got.into_iter().eq(0..2 * EACH));
    });
}

#[test]
fn a_panic_while_a_message_is_read_gives_its_room_back() {
    let builder = ChannelBuilder::new(2).max_bytes(64 << 20);
    let (sender, receiver) = builder.build::<Vec<u8>>().unwrap();
    for _ in 0..3 {
        sender.send_timeout(vec![0; 900 << 10], LONG).unwrap();
        let panic = std::panic::AssertUnwindSafe(|| receiver.recv_view(|_| panic!("on purpose")));
        assert!(std::panic::catch_unwind(panic).is_err());
    }
    assert_eq!(receiver.lost(), 0);
}

#[test]
fn two_ends_talk_to_each_other() {
    within_a_minute(|| {
        let (ours, theirs) = duplex::<u64, String>(1).unwrap();
        let other = thread::spawn(move || {
            while let Ok(number) = theirs.recv() {
                theirs.send(number.to_string()).unwrap();
            }
        });
        for number in 0..100 {
            ours.send(number).unwrap();
            assert_eq!(ours.recv_timeout(LONG).unwrap(), number.to_string());
        }
        assert!(matches!(ours.try_recv(), Err(RecvError::Empty)));
        drop(ours);
        other.join().unwrap();

        let (ours, theirs) = duplex::<u8, u8>(1).unwrap();
        ours.try_send(1).unwrap();
        assert!(matches!(ours.send_timeout(2, SHORT), Err(SendError::TimedOut(2))));
        assert_eq!((ours.sender().len(), theirs.receiver().len()), (1, 1));
        let (sender, _receiver) = theirs.into_parts();
        sender.send(3).unwrap();
        assert_eq!(ours.recv().unwrap(), 3);
    });
}

#[test]
fn a_queue_is_joined_when_all_is_done() {
    within_a_minute(|| {
        let queue = JoinableQueue::<String>::new(100).unwrap();
        queue.join();
        assert_eq!(queue.task_done(), Err(NothingInHand));
        queue.send("a".into()).unwrap();
        assert!(!queue.join_timeout(SHORT), "it lies in the queue");
        assert_eq!(queue.recv().unwrap(), "a");
        assert!(queue.is_empty() && !queue.join_timeout(SHORT), "it is in hand");
        assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
        queue.task_done().unwrap();
        assert!(queue.join_timeout(LONG));
        assert_eq!(queue.task_done(), Err(NothingInHand));

        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while queue.recv().unwrap() != "end" {
                        done.fetch_add(1, SeqCst);
                        queue.task_done().unwrap();
                    }
                    queue.task_done().unwrap();
                });
            }
            for round in 1..=100 {
                (0..round).for_each(|_| queue.send("x".into()).unwrap());
                queue.join();
                assert_eq!(done.swap(0, SeqCst), round);
            }
            (0..2).for_each(|_| queue.send("end".into()).unwrap());
        });
        assert_eq!(queue.lost(), 0);
    });
}

#[test]
fn an_error_says_each_thing_once() {
    let fault = RecvError::Decode(WireFault::Invalid);
    let source = std::error::Error::source(&fault).unwrap().to_string();
    assert!(!fault.to_string().contains(&source));
}
