//! The ring of channels: each message once and in order, no wake-up lost, and no sender missed that
//! ends with a slot in hand.

use loom::thread;
use pool_ipc::{
    board::SeqCstAs,
    channel::{BlockId, Blocked, Blocks, EventCount, EventTicket, InHand, Ring, Ticket},
};

use super::Cell;

fn ticket(place: usize) -> Ticket {
    Ticket::new(place, 1)
}

/// Sends a number; waits while the ring is full.
fn send(ring: Ring, number: u64) {
    while !ring.try_send(ticket(0), number) {
        thread::yield_now();
    }
}

/// Receives so many numbers; waits while there is none.
fn receive(ring: Ring, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    while got.len() < count {
        match ring.try_recv() {
            Ok(number) => got.push(number),
            Err(_) => thread::yield_now(),
        }
    }
    got
}

/// A slot is used again and again: the payload of a lap is never taken for that of another, and the
/// memory that a message leads to is handed over.
#[test]
fn one_slot_hands_over_in_order() {
    SeqCstAs::AcqRel.check(|| {
        let ring = Ring::leaked(1);
        let memory = [Cell::new(), Cell::new()];
        let sender = thread::spawn(move || {
            for number in 0..2 {
                memory[number].set(10 + number as u32);
                send(ring, number as u64);
            }
        });
        for number in 0..2 {
            assert_eq!(receive(ring, 1), [number]);
            assert_eq!(memory[number as usize].get(), 10 + number as u32);
        }
        sender.join().unwrap();
        assert_eq!(ring.lost(), 0);
    });
}

/// Two senders, two slots, one receiver: nothing comes twice, and each sender's order is kept.
#[test]
fn two_senders_keep_their_order() {
    SeqCstAs::AcqRel.check(|| {
        let ring = Ring::leaked(2);
        let send = move |from: usize, numbers: &[u64]| -> Vec<u64> {
            numbers.iter().copied().filter(|number| ring.try_send(ticket(from), *number)).collect()
        };
        let one = thread::spawn(move || send(0, &[0, 1]));
        let other = thread::spawn(move || send(1, &[10]));
        let mut got: Vec<u64> = (0..2).filter_map(|_| ring.try_recv().ok()).collect();
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        got.extend(std::iter::from_fn(|| ring.try_recv().ok()));
        let of = |senders: bool| -> Vec<u64> {
            got.iter().copied().filter(|number| (*number < 10) == senders).collect()
        };
        assert_eq!((of(true), of(false)), (one, other));
    });
}

/// Two receivers of two messages: each is received once, and what a receiver copied before another
/// one took it is not used.
#[test]
fn two_receivers_share_the_messages() {
    SeqCstAs::AcqRel.check(|| {
        let ring = Ring::leaked(1);
        let receivers = [0, 1].map(|_| thread::spawn(move || ring.try_recv().ok()));
        let sent = (1..=2).filter(|number| ring.try_send(ticket(0), *number)).collect::<Vec<_>>();
        let mut got: Vec<u64> =
            receivers.into_iter().filter_map(|receiver| receiver.join().unwrap()).collect();
        got.extend(std::iter::from_fn(|| ring.try_recv().ok()));
        got.sort_unstable();
        assert_eq!(got, sent);
    });
}

/// A sender that ends with a slot in hand costs that message only, whether one process recovers the
/// slot or two do, and receivers count it once.
#[test]
fn a_slot_of_the_dead_is_passed_over() {
    SeqCstAs::AcqRel.check(|| {
        let ring = Ring::leaked(2);
        let dying = thread::spawn(move || {
            // Never published.
            ring.claim(ticket(0)).map(std::mem::forget).is_ok()
        });
        let living = thread::spawn(move || ring.try_send(ticket(1), 5));
        assert!(dying.join().unwrap(), "there was room");
        let recover =
            move |blocked: Blocked| blocked.writer() == Some(ticket(0)) && ring.recover(blocked);
        let try_receive = move || ring.try_recv().map_err(recover).ok();
        let other = thread::spawn(try_receive);
        let mut got = Vec::from_iter(try_receive());
        assert!(living.join().unwrap(), "there was room");
        got.extend(other.join().unwrap());
        // One takes the message, one recovers the slot, one passes it over.
        (0..3).for_each(|_| got.extend(try_receive()));
        assert_eq!((got, ring.lost()), (vec![5], 1));
        // The slots are free again.
        assert!(ring.try_send(ticket(1), 6) && ring.try_send(ticket(1), 7));
        assert!(!ring.try_send(ticket(1), 8));
        assert_eq!(receive(ring, 2), [6, 7]);
    });
}

/// A thread that finds the ring drained and nothing in hand sees what was done with each message.
#[test]
fn what_is_joined_is_done() {
    SeqCstAs::check_both(|| {
        let (ring, work) = (Ring::leaked(1), Cell::new());
        let in_hand = InHand::leaked();
        assert!(ring.try_send(ticket(0), 1));
        let receiver = thread::spawn(move || {
            if ring.try_recv_counted(in_hand).is_ok() {
                work.set(1);
                in_hand.done();
            }
        });
        if ring.drained().is_ok() && in_hand.is_none() {
            assert_eq!(work.get(), 1, "the message is neither in the ring nor in hand");
        }
        receiver.join().unwrap();
    });
}

/// A thread that listens, tries, and sleeps if that fails; returns what it got, or its ticket.
fn try_or_sleep<R>(
    events: &'static EventCount,
    attempt: impl FnOnce() -> Option<R> + 'static,
) -> thread::JoinHandle<Result<R, EventTicket>>
where
    R: 'static,
{
    thread::spawn(move || {
        let ticket = events.listen();
        attempt().ok_or(ticket)
    })
}

/// Receivers that go to sleep have seen the messages, or are woken.
#[test]
fn receivers_that_sleep_see_or_are_woken() {
    for receivers in [1, 2] {
        SeqCstAs::check_both(move || {
            let (ring, events) = (Ring::leaked(2), EventCount::leaked());
            let receivers: Vec<_> = (0..receivers)
                .map(|_| try_or_sleep(events, move || ring.try_recv().ok()))
                .collect();
            for number in [1, 2] {
                assert!(ring.try_send(ticket(0), number));
                events.wake_one();
            }
            let received: Vec<_> = receivers.into_iter().map(|r| r.join().unwrap()).collect();
            let is_left = ring.try_recv().is_ok();
            for sleep in received.into_iter().filter_map(Result::err) {
                assert!(!is_left || events.has_changed_since(sleep), "asleep beside a message");
            }
        });
    }
}

/// A sender that goes to sleep has seen the room, or is woken.
#[test]
fn a_sender_that_sleeps_sees_or_is_woken() {
    SeqCstAs::check_both(|| {
        let (ring, events) = (Ring::leaked(1), EventCount::leaked());
        assert!(ring.try_send(ticket(0), 1));
        let sender = try_or_sleep(events, move || ring.try_send(ticket(0), 2).then_some(()));
        assert_eq!(ring.try_recv().ok(), Some(1));
        events.wake_one();
        if let Err(sleep) = sender.join().unwrap() {
            assert!(events.has_changed_since(sleep), "asleep beside a free slot");
        }
    });
}

/// Sends the block of party 0, filled with `value`, if there is room.
fn send_block(ring: Ring, blocks: Blocks, memory: Cell, value: u32) -> Option<BlockId> {
    let id = blocks.send(0, 0);
    memory.set(value);
    let is_sent = blocks.try_send(&ring, ticket(0), id);
    if !is_sent {
        blocks.free(id);
    }
    is_sent.then_some(id)
}

/// Takes a block if there is one, reads it, and gives it back.
fn receive_block(ring: Ring, blocks: Blocks, memory: Cell, by: Ticket) -> Option<u32> {
    let id = blocks.try_recv(&ring, by).ok()?;
    let value = memory.get();
    blocks.free(id);
    Some(value)
}

/// A block is received once, by whichever of two receivers, and used again only when it was read:
/// its memory is handed over and back.
#[test]
fn a_block_is_handed_over_and_back() {
    SeqCstAs::AcqRel.check(|| {
        let (ring, blocks, memory) = (Ring::leaked(1), Blocks::leaked(), Cell::new());
        let receivers = [1, 2]
            .map(|place| thread::spawn(move || receive_block(ring, blocks, memory, ticket(place))));
        let first = send_block(ring, blocks, memory, 1).expect("there is room");
        let mut sent = vec![1];
        if blocks.is_over(first) && send_block(ring, blocks, memory, 2).is_some() {
            sent.push(2);
        }
        let mut got: Vec<u32> =
            receivers.into_iter().filter_map(|receiver| receiver.join().unwrap()).collect();
        got.extend(receive_block(ring, blocks, memory, ticket(3)));
        got.extend(receive_block(ring, blocks, memory, ticket(3)));
        got.sort_unstable();
        assert_eq!(got, sent);
    });
}

/// A receiver that is slow to look at a slot does not take what is written there for the next lap
/// and not published yet.
#[test]
fn a_block_is_not_taken_before_it_is_published() {
    SeqCstAs::AcqRel.check(|| {
        let (ring, blocks, memory) = (Ring::leaked(1), Blocks::leaked(), Cell::new());
        let first = send_block(ring, blocks, memory, 1).expect("there is room");
        let slow = thread::spawn(move || blocks.try_recv(&ring, ticket(1)).ok());
        let taken = blocks.try_recv(&ring, ticket(2)).ok();
        let second = blocks.send(3, 0);
        let claim = blocks.begin_send(&ring, ticket(3), second);
        let got = slow.join().unwrap();
        assert_ne!(got, Some(second), "it is not published");
        assert!(got.is_none() != taken.is_none(), "one has the first");
        assert!([got, taken].contains(&Some(first)));
        std::mem::forget(claim);
    });
}

/// A receiver that ends with a block in hand, before it has freed the slot, costs that message
/// only.
#[test]
fn a_block_of_the_dead_is_passed_over() {
    SeqCstAs::AcqRel.check(|| {
        let (ring, blocks, memory) = (Ring::leaked(2), Blocks::leaked(), Cell::new());
        let first = send_block(ring, blocks, memory, 1).expect("there is room");
        let dying = thread::spawn(move || blocks.hold(first, ticket(1)));
        let living = thread::spawn(move || receive_block(ring, blocks, memory, ticket(2)));
        let is_lost = dying.join().unwrap();
        let dead = |holder| holder == ticket(1);
        assert!(!blocks.free_of_the_dead(first, |holder| holder == ticket(9)));
        assert_eq!(blocks.free_of_the_dead(first, dead), is_lost);
        let mut got = Vec::from_iter(living.join().unwrap());
        got.extend(receive_block(ring, blocks, memory, ticket(3)));
        assert_eq!(got, if is_lost { vec![] } else { vec![1] });
        // Slot and block are free again.
        assert!(blocks.is_over(first) && send_block(ring, blocks, memory, 2).is_some());
        assert_eq!(receive_block(ring, blocks, memory, ticket(3)), Some(2));
    });
}

/// A thread that joins frees a slot for its receiver if that has taken the block, and no other one.
#[test]
fn a_slot_is_freed_for_another_only_if_its_block_was_taken() {
    SeqCstAs::AcqRel.check(|| {
        let (ring, blocks, memory) = (Ring::leaked(1), Blocks::leaked(), Cell::new());
        let first = send_block(ring, blocks, memory, 1).expect("there is room");
        let receiver = thread::spawn(move || receive_block(ring, blocks, memory, ticket(1)));
        let joining = thread::spawn(move || blocks.free_if_taken(&ring));
        let mut sent = vec![1];
        if blocks.is_over(first) && send_block(ring, blocks, memory, 2).is_some() {
            sent.push(2);
        }
        joining.join().unwrap();
        let mut got = Vec::from_iter(receiver.join().unwrap());
        (0..2).for_each(|_| got.extend(receive_block(ring, blocks, memory, ticket(3))));
        assert_eq!(got, sent);
    });
}

/// A sender that goes to sleep has seen that its block is free, or is woken.
#[test]
fn a_sender_that_sleeps_sees_a_free_block_or_is_woken() {
    SeqCstAs::check_both(|| {
        let (blocks, events) = (Blocks::leaked(), EventCount::leaked());
        let id = blocks.send(0, 0);
        assert!(blocks.hold(id, ticket(1)));
        let sender = try_or_sleep(events, move || blocks.is_over(id).then_some(()));
        blocks.free(id);
        events.wake_one();
        if let Err(sleep) = sender.join().unwrap() {
            assert!(events.has_changed_since(sleep), "asleep beside a free block");
        }
    });
}

/// A receiver that ends after it has freed the slot of another one's block, before it wakes a
/// sender, does not keep that asleep: the other one wakes it.
#[test]
fn the_receiver_of_a_block_wakes_for_the_one_that_has_freed_its_slot() {
    SeqCstAs::check_both(|| {
        let (ring, blocks, memory) = (Ring::leaked(1), Blocks::leaked(), Cell::new());
        let events = EventCount::leaked();
        send_block(ring, blocks, memory, 1).expect("there is room");
        let dying = thread::spawn(move || blocks.try_recv(&ring, ticket(1)).is_ok());
        let sender = try_or_sleep(events, move || ring.try_send(ticket(0), 2).then_some(()));
        let is_taken = blocks.try_recv(&ring, ticket(2)).is_ok();
        if is_taken {
            events.wake_one();
        }
        let sleep = sender.join().unwrap().err();
        assert!(dying.join().unwrap() != is_taken, "one of them has it");
        if let Some(sleep) = sleep.filter(|_| is_taken) {
            assert!(events.has_changed_since(sleep), "asleep beside a free slot");
        }
    });
}
