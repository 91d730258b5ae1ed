//! Channels of `pool-ipc` and their baselines, as subjects of bouts.
//!
//! Invariant: a subject with processes forks them when it is made. So all of them are made before
//! those with threads. The ends that they inherit stay open in this process, too.

use std::{
    hint::black_box,
    io::{Read as _, Write as _, pipe},
    sync::atomic::Ordering::SeqCst,
    thread,
};

use crossbeam_channel::bounded;
use pool_affinity::{CpuSet, current_cpus};
use pool_ipc::{
    channel::channel,
    rkyv::{
        Archive, Deserialize, Place, Serialize,
        rancor::Fallible,
        ser::{Allocator, Writer},
        vec::{ArchivedVec, VecResolver},
    },
};
use pool_shm::{Segment, futex};

use crate::{Outcome, bout::timed, peer::Peer, quantiles::median};

/// The name of a channel of `pool-ipc`.
pub const OURS: &str = "channel, processes";
/// The name of a channel between threads.
pub const CROSSBEAM: &str = "crossbeam, threads";
/// The name of a bare copy.
pub const COPY: &str = "one copy into warm shared memory";
/// The name of a bare ping-pong.
pub const SPIN: &str = "bare spin, two CPUs";
/// Messages that a channel holds.
pub const CAPACITY: usize = 1024;
/// Bytes of a large message.
pub const LARGE: usize = 1 << 20;
/// Large messages that a channel holds.
pub const LARGE_CAPACITY: usize = 4;

/// Millions of messages a second.
pub fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let ((), seconds) = timed(work);
    count as f64 / seconds / 1e6
}

/// GiB a second in `count` large messages.
pub fn large_rate(count: usize, work: impl FnOnce()) -> f64 {
    let ((), seconds) = timed(work);
    (count * LARGE) as f64 / seconds / (1 << 30) as f64
}

/// `count` numbers from this process to another one.
///
/// # Errors
///
/// There is no memory, or no process.
pub fn one_to_one(count: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = channel::<u64>(CAPACITY)?;
    let peer = Peer::working(None, || {
        for number in 0..count as u64 {
            assert_eq!(receiver.recv().expect("the sender lives"), number);
        }
    })?;
    Ok(move || {
        let _open = &receiver;
        Ok(rate(count, || {
            peer.ask();
            (0..count as u64).for_each(|number| sender.send(number).expect("the receiver lives"));
            peer.wait();
        }))
    })
}

/// `count` numbers from this process through a pipe to another one.
///
/// # Errors
///
/// There is no pipe, or no process.
pub fn one_to_one_by_pipe(count: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (mut output, mut input) = pipe()?;
    let reader = Peer::working(None, || {
        for number in 0..count as u64 {
            let mut bytes = [0; 8];
            output.read_exact(&mut bytes).expect("the writer lives");
            assert_eq!(u64::from_ne_bytes(bytes), number);
        }
    })?;
    Ok(move || {
        Ok(rate(count, || {
            reader.ask();
            for number in 0..count as u64 {
                input.write_all(&number.to_ne_bytes()).expect("the reader lives");
            }
            reader.wait();
        }))
    })
}

/// `count` numbers from this thread to another one.
pub fn one_to_one_of_threads(count: usize) -> impl FnMut() -> Outcome<f64> {
    let (there, todo) = bounded::<u64>(CAPACITY);
    let (back, answers) = bounded::<()>(1);
    thread::spawn(move || {
        for number in todo {
            if number == count as u64 - 1 && back.send(()).is_err() {
                break;
            }
        }
    });
    move || {
        Ok(rate(count, || {
            (0..count as u64).for_each(|number| there.send(number).expect("the thread lives"));
            answers.recv().expect("the thread lives");
        }))
    }
}

/// `each` numbers from each of two processes, taken by two others.
///
/// # Errors
///
/// There is no memory, or no process.
pub fn two_by_two(each: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = channel::<u64>(CAPACITY)?;
    let send = || (0..each as u64).for_each(|number| sender.send(number).expect("there is one"));
    let receive = || (0..each).for_each(|_| assert!(receiver.recv().is_ok()));
    let peers = [
        Peer::working(None, send)?,
        Peer::working(None, send)?,
        Peer::working(None, receive)?,
        Peer::working(None, receive)?,
    ];
    Ok(move || {
        let _open = (&sender, &receiver);
        Ok(rate(2 * each, || {
            peers.iter().for_each(Peer::ask);
            peers.iter().for_each(Peer::wait);
        }))
    })
}

/// `each` numbers from each of two threads, taken by two others.
pub fn two_by_two_of_threads(each: usize) -> impl FnMut() -> Outcome<f64> {
    let (there, todo) = bounded::<u64>(CAPACITY);
    move || {
        Ok(rate(2 * each, || {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        (0..each as u64).for_each(|n| there.send(n).expect("there is one"));
                    });
                    scope.spawn(|| {
                        (0..each).for_each(|_| assert!(todo.recv().is_ok()));
                    });
                }
            });
        }))
    }
}

/// The bytes of all large messages, so that no allocation and no cold memory is measured.
pub fn large_source() -> &'static [u8] {
    vec![7; LARGE].leak()
}

/// `count` large messages from this process to another one, which reads them in place.
///
/// # Errors
///
/// There is no memory, or no process.
pub fn large(count: usize, source: &'static [u8]) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (sender, receiver) = channel::<Frame>(LARGE_CAPACITY)?;
    let peer = Peer::working(None, || {
        for _ in 0..count {
            let last = receiver.recv_view(|message| message[message.len() - 1]);
            assert_eq!(last.expect("the sender lives"), 7);
        }
    })?;
    Ok(move || {
        let _open = &receiver;
        Ok(large_rate(count, || {
            peer.ask();
            (0..count).for_each(|_| sender.send(Frame(source)).expect("the receiver lives"));
            peer.wait();
        }))
    })
}

/// `count` copies into shared memory.
///
/// # Errors
///
/// There is no memory.
pub fn large_copies(count: usize, source: &'static [u8]) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let target = Segment::create("target", LARGE as u64)?.map()?;
    Ok(move || {
        Ok(large_rate(count, || {
            for _ in 0..count {
                // SAFETY: as many bytes are mapped, and no other code has the segment.
                unsafe { black_box(target.as_ptr()).copy_from(black_box(source.as_ptr()), LARGE) };
            }
        }))
    })
}

/// Bytes that are sent from where they lie.
struct Frame(&'static [u8]);

impl Archive for Frame {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_slice(self.0, resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Frame {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        ArchivedVec::<u8>::serialize_from_slice(self.0, serializer)
    }
}

impl<D: Fallible + ?Sized> Deserialize<Frame, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> Result<Frame, D::Error> {
        Ok(Frame(self.to_vec().leak()))
    }
}

/// The CPUs of a ping-pong, far from each other.
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    /// The CPU of this process.
    pub ours: usize,
    /// The CPU of the other process.
    pub theirs: usize,
}

impl Sides {
    /// Picks the first and the last of the CPUs that this process may use.
    ///
    /// # Errors
    ///
    /// The system does not say which ones these are.
    pub fn pick() -> Outcome<Self> {
        let all = current_cpus()?;
        Ok(Self { ours: all.first().unwrap_or(0), theirs: all.last().unwrap_or(0) })
    }

    /// Moves this thread to its side.
    ///
    /// # Errors
    ///
    /// The system does not allow it.
    pub fn take_ours(self) -> Outcome {
        Ok(CpuSet::from_ids([self.ours])?.pin_current_thread()?)
    }
}

/// Nanoseconds of one of `count` turns: the median of short runs, since in the mean of a long one
/// other programs show.
pub fn nanos(count: usize, mut turn: impl FnMut()) -> f64 {
    const RUN: usize = 500;
    let run = |_| timed(|| (0..RUN).for_each(|_| turn())).1 * 1e9 / RUN as f64;
    median(&(0..count / RUN).map(run).collect::<Vec<_>>())
}

/// A message that goes to another process and back, `count` times.
///
/// # Errors
///
/// There is no memory, or no process.
pub fn to_and_fro(count: usize, sides: Sides) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let (there, todo) = channel::<u64>(1)?;
    let (back, answers) = channel::<u64>(1)?;
    let peer = Peer::fork(Some(sides.theirs), |_| {
        for ball in todo.iter() {
            let sent = ball.map(|ball| back.send(ball + 1));
            sent.expect("valid").expect("the other one lives");
        }
    })?;
    Ok(move || {
        let _open = (&peer, &todo, &back);
        Ok(nanos(count, || {
            there.send(1).expect("the other one lives");
            assert_eq!(answers.recv().expect("the other one lives"), 2);
        }))
    })
}

/// A word that another process spins on, to and back, `count` times.
///
/// # Errors
///
/// There is no memory, or no process.
pub fn to_and_fro_spinning(count: usize, sides: Sides) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let peer = Peer::spinning(Some(sides.theirs))?;
    Ok(move || {
        peer.words().switch().store(1, SeqCst);
        futex::wake(peer.words().switch(), 1);
        let sample = nanos(count, || peer.hit_spinning());
        peer.words().switch().store(0, SeqCst);
        Ok(sample)
    })
}
