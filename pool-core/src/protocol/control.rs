//! The messages between parent and zygote: packets of six 32-bit words over a socket pair.
//!
//! Invariant: neither side waits for the other to read; sending fails with `EAGAIN` when there is
//! no room. The parent ends the zygote by shutting its end down, for which there is always room.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use pool_ipc::board::Incarnation;

use super::packet::{self, Received};
use crate::ids::WorkerId;

const WORDS: usize = 6;
const PACKET: usize = WORDS * size_of::<u32>();

/// A chunk that a worker has claimed, and that is to be ended with its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimedChunk {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) incarnation: Incarnation,
}

/// An order of the parent.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start a worker, which allocates from the arena; that is missing when the zygote had no
    /// number left for its descriptor.
    Start { worker: WorkerId, incarnation: Incarnation, arena: Option<OwnedFd> },
    /// Kill a worker.
    Kill { incarnation: Incarnation },
    /// Kill the worker that has claimed this chunk if it still has it after so many nanoseconds.
    KillAt { chunk: ClaimedChunk, grace: u64 },
    /// Read the parent's requests about segments from this socket, which is missing when the zygote
    /// had no number left for it.
    Connect { socket: Option<OwnedFd> },
}

/// A report of the zygote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The zygote is ready.
    Running { pid: i32 },
    /// The zygote cannot begin, and ends: it has started nothing.
    Unable(StartFault),
    /// A worker was started.
    Started { incarnation: Incarnation, pid: i32 },
    /// A worker could not be started, with the error number, or [`Report::SEE_ARENA`].
    NotStarted { incarnation: Incarnation, errno: i32 },
    /// A worker was timed out for an item that is overdue, and killed; [`Report::Reaped`] follows.
    TimedOut { incarnation: Incarnation },
    /// A worker has been reaped, with its wait status; `segments`: whether segments of its results
    /// are left; `peak`: how many bytes of memory it had at most, in whole MiB.
    Reaped { incarnation: Incarnation, status: i32, segments: bool, peak: u64 },
}

/// Why a zygote cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartFault {
    /// The process that would fork workers has so many threads, which initialisers have started.
    Threads(u32),
    /// The system refused something, with this error number.
    System(i32),
}

pub(crate) fn send_order(
    socket: &impl AsFd,
    order: u32,
    worker: WorkerId,
    incarnation: Incarnation,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    send(socket, [order, worker.number(), incarnation.number(), 0, 0, 0], descriptor)
}

/// Sends [`Order::KillAt`].
pub(crate) fn send_kill_at(socket: &impl AsFd, chunk: ClaimedChunk, grace: u64) -> io::Result<()> {
    let ClaimedChunk { slot, generation, incarnation } = chunk;
    let (low, high) = (grace as u32, (grace >> 32) as u32);
    send(socket, [Order::KILL_AT, slot, incarnation.number(), generation, low, high], None)
}

impl Order {
    pub(crate) const START: u32 = 1;
    pub(crate) const KILL: u32 = 2;
    pub(crate) const CONNECT: u32 = 3;
    const KILL_AT: u32 = 4;

    /// The next order, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> io::Result<Received<Self>> {
        Ok(match receive(socket)? {
            Received::Message((words, descriptor)) => match words {
                [Self::START, worker, incarnation, ..] => {
                    let incarnation = Incarnation::new(incarnation);
                    Received::Message(Self::Start {
                        worker: WorkerId::new(worker),
                        incarnation,
                        arena: descriptor,
                    })
                }
                [Self::CONNECT, ..] => Received::Message(Self::Connect { socket: descriptor }),
                [Self::KILL, _, incarnation, ..] => {
                    Received::Message(Self::Kill { incarnation: Incarnation::new(incarnation) })
                }
                [Self::KILL_AT, slot, incarnation, generation, low, high] => {
                    let grace = u64::from(high) << 32 | u64::from(low);
                    let incarnation = Incarnation::new(incarnation);
                    let chunk = ClaimedChunk { slot, generation, incarnation };
                    Received::Message(Self::KillAt { chunk, grace })
                }
                _ => Received::Closed,
            },
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
        })
    }
}

impl Report {
    /// In place of an error number: the failure lies in the worker's arena.
    pub(crate) const SEE_ARENA: i32 = -1;

    pub(crate) fn send(self, socket: &impl AsFd) -> io::Result<()> {
        let words = match self {
            Self::Running { pid } => [4, 0, pid as u32, 0, 0, 0],
            Self::Started { incarnation, pid } => [1, incarnation.number(), pid as u32, 0, 0, 0],
            Self::NotStarted { incarnation, errno } => {
                [2, incarnation.number(), errno as u32, 0, 0, 0]
            }
            Self::TimedOut { incarnation } => [5, incarnation.number(), 0, 0, 0, 0],
            Self::Unable(StartFault::Threads(threads)) => [6, 0, threads, 0, 0, 0],
            Self::Unable(StartFault::System(errno)) => [7, 0, errno as u32, 0, 0, 0],
            Self::Reaped { incarnation, status, segments, peak } => {
                let mebibytes = (peak >> 20).min(u64::from(u32::MAX >> 1)) as u32;
                [3, incarnation.number(), status as u32, mebibytes << 1 | u32::from(segments), 0, 0]
            }
        };
        send(socket, words, None)
    }

    /// The next report, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> io::Result<Received<Self>> {
        Ok(match receive(socket)? {
            Received::Message(([kind, number, value, more, ..], _)) => {
                let incarnation = Incarnation::new(number);
                match kind {
                    1 => Received::Message(Self::Started { incarnation, pid: value as i32 }),
                    2 => Received::Message(Self::NotStarted { incarnation, errno: value as i32 }),
                    3 => Received::Message(Self::Reaped {
                        incarnation,
                        status: value as i32,
                        segments: more & 1 != 0,
                        peak: u64::from(more >> 1) << 20,
                    }),
                    4 => Received::Message(Self::Running { pid: value as i32 }),
                    5 => Received::Message(Self::TimedOut { incarnation }),
                    6 => Received::Message(Self::Unable(StartFault::Threads(value))),
                    7 => Received::Message(Self::Unable(StartFault::System(value as i32))),
                    _ => Received::Closed,
                }
            }
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
        })
    }
}

fn send(socket: &impl AsFd, words: [u32; WORDS], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    packet::send(socket, words.map(u32::to_ne_bytes).as_flattened(), fd)
}

fn receive(socket: &impl AsFd) -> io::Result<Received<([u32; WORDS], Option<OwnedFd>)>> {
    let mut packet = [0; PACKET];
    Ok(match packet::receive(socket, &mut packet)? {
        Received::Message((PACKET, fd)) => {
            let mut words = packet.as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes));
            Received::Message((
                std::array::from_fn(|_| words.next().expect("the packet has them all")),
                fd,
            ))
        }
        Received::Empty => Received::Empty,
        Received::Message(_) | Received::Closed => Received::Closed,
    })
}
