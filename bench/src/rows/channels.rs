//! What do channels between processes carry?
//!
//! They are compared with crossbeam's channels between threads and with a pipe, which a system call
//! on either side takes eight bytes in and out of; and a message that goes to and fro with a word
//! that two processes spin on.

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

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, median, timed},
    line::{Goal, Unit},
    peer::Peer,
};

const OURS: &str = "channel, processes";
const CROSSBEAM: &str = "crossbeam, threads";
const PIPE: &str = "pipe, processes";
const COPY: &str = "one copy into warm shared memory";
const SPIN: &str = "bare spin, two CPUs";
/// Messages that a channel holds.
const CAPACITY: usize = 1024;

/// Millions of messages a second.
fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let ((), seconds) = timed(work);
    count as f64 / seconds / 1e6
}

/// One sender, one receiver.
pub(crate) fn one_to_one(scale: &Scale) -> Outcome {
    let count = scale.count(1_000_000);
    let by_pipe = count / 10;
    let (sender, receiver) = channel::<u64>(CAPACITY)?;
    let peer = Peer::working(|| {
        for number in 0..count as u64 {
            assert_eq!(receiver.recv().expect("the sender lives"), number);
        }
    })?;
    let (mut output, mut input) = pipe()?;
    let reader = Peer::working(|| {
        for number in 0..by_pipe as u64 {
            let mut bytes = [0; 8];
            output.read_exact(&mut bytes).expect("the writer lives");
            assert_eq!(u64::from_ne_bytes(bytes), number);
        }
    })?;

    let (there, todo) = bounded::<u64>(CAPACITY);
    let (back, answers) = bounded::<()>(1);
    thread::spawn(move || {
        for number in todo {
            if number == count as u64 - 1 && back.send(()).is_err() {
                break;
            }
        }
    });

    let mut bout = Bout::new("channels", "u64, one to one", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(8.0)).aim(Goal::Ratio(0.5));
    bout.subject(OURS, expected, || {
        Ok(rate(count, || {
            peer.ask();
            (0..count as u64).for_each(|number| sender.send(number).expect("the receiver lives"));
            peer.wait();
        }))
    });
    bout.baseline(CROSSBEAM, || {
        Ok(rate(count, || {
            (0..count as u64).for_each(|number| there.send(number).expect("the thread lives"));
            answers.recv().expect("the thread lives");
        }))
    });
    bout.subject(PIPE, Expected::beside(CROSSBEAM), || {
        Ok(rate(by_pipe, || {
            reader.ask();
            for number in 0..by_pipe as u64 {
                input.write_all(&number.to_ne_bytes()).expect("the reader lives");
            }
            reader.wait();
        }))
    });
    bout.run(scale.rounds(15))
}

/// Two senders, two receivers.
pub(crate) fn two_by_two(scale: &Scale) -> Outcome {
    let each = scale.count(500_000);
    let (sender, receiver) = channel::<u64>(CAPACITY)?;
    let send = || (0..each as u64).for_each(|number| sender.send(number).expect("there is one"));
    let receive = || (0..each).for_each(|_| assert!(receiver.recv().is_ok()));
    let peers = [
        Peer::working(send)?,
        Peer::working(send)?,
        Peer::working(receive)?,
        Peer::working(receive)?,
    ];
    let (there, todo) = bounded::<u64>(CAPACITY);
    let mut bout = Bout::new("channels", "u64, two senders, two receivers", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(2.0));
    bout.subject(OURS, expected, || {
        Ok(rate(2 * each, || {
            peers.iter().for_each(Peer::ask);
            peers.iter().for_each(Peer::wait);
        }))
    });
    bout.baseline(CROSSBEAM, || {
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
    });
    bout.run(scale.rounds(15))
}

/// Messages of 1 MiB, read in place. All are encoded from the same memory, so that no allocation
/// and no cold memory is measured.
pub(crate) fn large(scale: &Scale) -> Outcome {
    const LEN: usize = 1 << 20;
    let count = scale.count(200);
    let source: &'static [u8] = vec![7; LEN].leak();
    let (sender, receiver) = channel::<Frame>(4)?;
    let peer = Peer::working(|| {
        for _ in 0..count {
            let last = receiver.recv_view(|message| message[message.len() - 1]);
            assert_eq!(last.expect("the sender lives"), 7);
        }
    })?;
    let target = Segment::create("target", LEN as u64)?.map()?;
    let gib = |seconds: f64| (count * LEN) as f64 / seconds / (1 << 30) as f64;
    let mut bout = Bout::new("channels", "1 MiB, one to one", Unit::GibPerSecond);
    bout.subject("channel, read in place", Expected::beside(COPY), || {
        let ((), seconds) = timed(|| {
            peer.ask();
            (0..count).for_each(|_| sender.send(Frame(source)).expect("the receiver lives"));
            peer.wait();
        });
        Ok(gib(seconds))
    });
    bout.baseline(COPY, || {
        let ((), seconds) = timed(|| {
            for _ in 0..count {
                // SAFETY: as many bytes are mapped, and no other code has the segment.
                unsafe { black_box(target.as_ptr()).copy_from(black_box(source.as_ptr()), LEN) };
            }
        });
        Ok(gib(seconds))
    });
    bout.run(scale.rounds(15))
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

/// A message that goes to and fro.
pub(crate) fn ping_pong(scale: &Scale) -> Outcome {
    const RUN: usize = 500;
    let count = scale.count(100_000);
    let all = current_cpus()?;
    let (ours, theirs) = (all.first().unwrap_or(0), all.last().unwrap_or(0));
    let spinning = Peer::spinning(Some(theirs))?;
    let (there, todo) = channel::<u64>(1)?;
    let (back, answers) = channel::<u64>(1)?;
    let _peer = Peer::fork(Some(theirs), |_| {
        for ball in todo.iter() {
            let sent = ball.map(|ball| back.send(ball + 1));
            sent.expect("valid").expect("the other one lives");
        }
    })?;
    CpuSet::from_ids([ours])?.pin_current_thread()?;
    // The median of short runs: in the mean of a long one other programs show.
    let nanos = |turn: &mut dyn FnMut()| {
        let run = |_| timed(|| (0..RUN).for_each(|_| turn())).1 * 1e9 / RUN as f64;
        median(&(0..count / RUN).map(run).collect::<Vec<_>>())
    };
    let mut bout = Bout::new("channels", "to and fro, hot", Unit::Nanos);
    bout.subject(OURS, Expected::beside(SPIN).floor(Goal::Ratio(4.0)), || {
        Ok(nanos(&mut || {
            there.send(1).expect("the other one lives");
            assert_eq!(answers.recv().expect("the other one lives"), 2);
        }))
    });
    bout.baseline(SPIN, || {
        spinning.words().switch().store(1, SeqCst);
        futex::wake(spinning.words().switch(), 1);
        let sample = nanos(&mut || spinning.hit_spinning());
        spinning.words().switch().store(0, SeqCst);
        Ok(sample)
    });
    bout.run(scale.rounds(15))
}
