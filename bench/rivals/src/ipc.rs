//! ipc-channel: a sender of serialized values, one receiver.
//!
//! A channel has one receiver, so that two of them cannot share the work.

use ipc_channel::ipc::{IpcSharedMemory, bytes_channel, channel};
use pool_bench::{
    Outcome,
    channels::{LARGE, Sides, large_rate, nanos, rate},
    peer::Peer,
};

/// `count` numbers from this process to another one.
pub(crate) fn one_to_one(count: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = channel::<u64>()?;
    let peer = Peer::working(None, move || {
        for number in 0..count as u64 {
            assert_eq!(receiver.recv().expect("the sender lives"), number);
        }
    })?;
    Ok(move || {
        Ok(rate(count, || {
            peer.ask();
            (0..count as u64).for_each(|number| sender.send(number).expect("the receiver lives"));
            peer.wait();
        }))
    })
}

/// `count` large messages to another process, each in shared memory of its own, which is read in
/// place.
pub(crate) fn large(count: usize, source: &'static [u8]) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = channel::<IpcSharedMemory>()?;
    let peer = Peer::working(None, move || {
        for _ in 0..count {
            let message = receiver.recv().expect("the sender lives");
            assert_eq!(message[LARGE - 1], 7);
        }
    })?;
    Ok(move || {
        Ok(large_rate(count, || {
            peer.ask();
            for _ in 0..count {
                let message = IpcSharedMemory::from_bytes(source);
                sender.send(message).expect("the receiver lives");
            }
            peer.wait();
        }))
    })
}

/// `count` large messages to another process, as bytes through the channel.
pub(crate) fn large_bytes(
    count: usize,
    source: &'static [u8],
) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = bytes_channel()?;
    let peer = Peer::working(None, move || {
        for _ in 0..count {
            let message = receiver.recv().expect("the sender lives");
            assert_eq!(message[LARGE - 1], 7);
        }
    })?;
    Ok(move || {
        Ok(large_rate(count, || {
            peer.ask();
            (0..count).for_each(|_| sender.send(source).expect("the receiver lives"));
            peer.wait();
        }))
    })
}

/// A message that goes to another process and back, `count` times.
pub(crate) fn to_and_fro(count: usize, sides: Sides) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (there, todo) = channel::<u64>()?;
    let (back, answers) = channel::<u64>()?;
    let peer = Peer::fork(Some(sides.theirs), move |_| {
        while let Ok(ball) = todo.recv() {
            back.send(ball + 1).expect("the other one lives");
        }
    })?;
    Ok(move || {
        let _alive = &peer;
        Ok(nanos(count, || {
            there.send(1).expect("the other one lives");
            assert_eq!(answers.recv().expect("the other one lives"), 2);
        }))
    })
}
