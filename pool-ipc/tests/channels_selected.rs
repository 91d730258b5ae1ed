//! Waiting for any of several receivers, and descriptors of endpoints.
#![cfg(not(loom))]

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use deadline::within_a_minute;
use pool_ipc::channel::{RecvError, Select, SendError, channel};

const SOON: Duration = Duration::from_secs(20);

fn is_readable(file: &impl AsFd) -> bool {
    !pool_shm::readable_within(&[file.as_fd()], Duration::ZERO).expect("a poll").is_empty()
}

#[test]
fn a_selection_is_ready_for_whichever_comes_first() {
    within_a_minute(|| {
        let (numbers, of_numbers) = channel::<u64>(4).unwrap();
        let (texts, of_texts) = channel::<String>(4).unwrap();
        let (pipe, mut writer) = std::io::pipe().unwrap();
        let mut select = Select::new();
        let indices = (select.recv(&of_numbers), select.recv(&of_texts), select.readable(&pipe));
        assert_eq!(indices, (0, 1, 2));
        assert_eq!(select.try_ready().unwrap(), None);
        assert_eq!(select.ready_timeout(Duration::from_millis(1)).unwrap(), None);
        thread::scope(|scope| {
            scope.spawn(|| texts.send("a".into()).unwrap());
            assert_eq!(select.ready().unwrap(), 1);
        });
        // As long as it is not received.
        assert_eq!(select.try_ready().unwrap(), Some(1));
        assert_eq!(of_texts.recv().unwrap(), "a");
        assert_eq!(select.try_ready().unwrap(), None);
        // By turns.
        numbers.send(1).unwrap();
        texts.send("b".into()).unwrap();
        let turns: BTreeSet<_> = (0..2).map(|_| select.ready().unwrap()).collect();
        assert!(turns.into_iter().eq([0, 1]));
        of_numbers.recv().unwrap();
        of_texts.recv().unwrap();
        writer.write_all(b"a").unwrap();
        assert_eq!(select.ready_timeout(SOON).unwrap(), Some(2));
        let (mut byte, mut reader) = ([0], &pipe);
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(select.try_ready().unwrap(), None);
        drop(numbers);
        assert_eq!(select.ready_timeout(SOON).unwrap(), Some(0));
        assert!(matches!(of_numbers.try_recv(), Err(RecvError::Disconnected)));
        assert_eq!(Select::new().try_ready().unwrap(), None);
    });
}

/// Several threads that select take each message once, and the last ends with the senders.
#[test]
fn several_selections_take_every_message_once() {
    within_a_minute(|| {
        let channels: Vec<_> = (0..3).map(|_| channel::<u64>(2).unwrap()).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let take = || {
            let (mut sum, mut open) = (0, vec![true; receivers.len()]);
            while open.contains(&true) {
                let mut select = Select::new();
                let at: Vec<_> = (0..open.len()).filter(|index| open[*index]).collect();
                at.iter().for_each(|index| _ = select.recv(&receivers[*index]));
                let index = at[select.ready_timeout(SOON).unwrap().expect("in time")];
                match receivers[index].try_recv() {
                    Ok(number) => sum += number,
                    Err(RecvError::Disconnected) => open[index] = false,
                    Err(RecvError::Empty) => {} // another was faster
                    Err(error) => panic!("{error}"),
                }
            }
            sum
        };
        let sum = thread::scope(|scope| {
            for sender in senders {
                scope.spawn(move || (0..2000).for_each(|number| sender.send(number).unwrap()));
            }
            let takers: Vec<_> = (0..2).map(|_| scope.spawn(take)).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<u64>()
        });
        assert_eq!(sum, 3 * (0..2000).sum::<u64>());
    });
}

#[test]
fn a_descriptor_is_readable_when_there_is_news_of_the_other_side() {
    within_a_minute(|| {
        let (sender, receiver) = channel::<Vec<u8>>(2).unwrap();
        let (messages, room) = (|| is_readable(&receiver), || is_readable(&sender));
        assert!(!messages() && !room());
        assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
        for len in [1, 100_000] {
            assert!(!messages());
            let mut sent = 0;
            let full = loop {
                match sender.try_send(vec![7; len]) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(full, SendError::Full(_)) && sent == 2);
            assert!(messages());
            while room() {
                // Each try that finds no room takes one of the notices.
                assert!(matches!(sender.try_send(vec![7; len]), Err(SendError::Full(_))));
            }
            for _ in 0..sent {
                assert!(messages(), "as long as there are messages");
                assert_eq!(receiver.try_recv().unwrap().len(), len);
            }
            assert!(room());
            // Each try that finds none takes one of the notices.
            while messages() {
                assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
            }
        }
        drop(sender);
        assert!(is_readable(&receiver));
    });
}

/// What stays ready does not keep others from their turn.
#[test]
fn all_that_are_ready_have_their_turn() {
    within_a_minute(|| {
        let (_, gone) = channel::<u64>(4).unwrap();
        let (full, receiver) = channel::<u64>(4).unwrap();
        full.send(1).unwrap();
        let pipes = [std::io::pipe().unwrap().0, std::io::pipe().unwrap().0];
        let mut select = Select::new();
        select.recv(&gone);
        select.recv(&receiver);
        pipes.iter().for_each(|pipe| _ = select.readable(pipe));
        let turns: Vec<_> = (0..8).map(|_| select.ready().unwrap()).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3]);
    });
}
