//! How fast do large items get in, and large results out?
//!
//! The views move a [`Frame`], which stays in place and costs nothing to make or drop: the row
//! measures the one copy into shared memory and the pool's own cost. *Peek* reads the length and
//! three bytes, *sum* reads every word. The owned forms move `Vec<u8>`s, with all that their
//! allocation costs.

use std::{hint::black_box, sync::OnceLock};

use pool_api::rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::{Fallible, Source},
    ser::{Allocator, Writer},
    vec::{ArchivedVec, VecResolver},
};
use pool_shm::Segment;

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
    peer::Peer,
    pools::Pools,
    thread_pool::ThreadPool,
};

const MIB: usize = 1 << 20;
const WORKERS: usize = 2;
/// Bytes of the sources that are sent in turn, at most.
const SOURCES: usize = 32;

const WARM: &str = "memcpy, warm shared, 1 process";
const WARM_TWO: &str = "memcpy, warm shared, 2 processes";
const FRESH: &str = "memcpy, fresh memory";
const CROSSBEAM: &str = "crossbeam, clone and move";

/// Bytes that lie somewhere for good.
#[derive(Debug, Clone, Copy)]
struct Frame(&'static [u8]);

impl Archive for Frame {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(self.0, resolver, out);
    }
}

impl<S: Fallible<Error: Source> + Allocator + Writer + ?Sized> Serialize<S> for Frame {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        ArchivedVec::serialize_from_slice(self.0, serializer)
    }
}

// A `Wire` type can be decoded; no row does it, so the bytes may leak.
impl<D: Fallible + ?Sized> Deserialize<Frame, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> Result<Frame, D::Error> {
        Ok(Frame(Vec::leak(self.as_slice().to_vec())))
    }
}

/// The frame number `index` of `mib` MiB: the same few in turn.
fn frame(index: usize, mib: usize) -> Frame {
    static FRAMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let frames = FRAMES.get_or_init(|| {
        let count = (SOURCES / mib).clamp(2, 8);
        (0..count).map(|fill| vec![fill as u8 + 1; mib * MIB]).collect()
    });
    Frame(&frames[index % frames.len()])
}

/// The next frame of a worker, by its size.
fn made<const MIB_EACH: usize>(index: u64) -> Frame {
    frame(index as usize, MIB_EACH)
}

fn made_owned<const MIB_EACH: usize>(index: u64) -> Vec<u8> {
    frame(index as usize, MIB_EACH).0.to_vec()
}

fn peek(bytes: &[u8]) -> u64 {
    let (first, last) = (bytes[0], bytes[bytes.len() - 1]);
    bytes.len() as u64 + u64::from(black_box(first ^ bytes[bytes.len() / 2] ^ last ^ first))
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// Items in: by view, and owned.
pub(crate) fn items(scale: &Scale, mib: usize) -> Outcome {
    let count = scale.count(256) / mib;
    let bytes = count * mib * MIB;
    let frames = move || (0..count).map(move |index| frame(index, mib));
    let copiers = Copiers::new(mib, count)?;
    let pools = Pools::build(WORKERS)?;
    let moved = ThreadPool::new(WORKERS, |bytes: Vec<u8>| peek(&bytes));
    let crossbeam = || {
        let owned = frames().map(|frame| frame.0.to_vec());
        let (lens, seconds) = timed(|| moved.map(owned, 1));
        assert_eq!(lens.len(), count);
        Ok(speed(bytes, seconds))
    };

    for (name, read) in [("peek", peek as fn(&[u8]) -> u64), ("sum", sum)] {
        let expected: u64 = frames().fold(0, |total: u64, frame| total.wrapping_add(read(frame.0)));
        let case = format!("{mib} MiB items in by view, {name}, {WORKERS} workers");
        let mut bout = Bout::new("payload", case, Unit::GibPerSecond);
        for pool in pools.processes() {
            let mut goals = Expected::beside(WARM);
            if name == "peek" {
                goals.aim = Some(Goal::Value(if mib == 1 { 9.0 } else { 7.0 }));
                goals.floor = (mib == 1).then_some(Goal::Ratio(0.5));
            }
            bout.subject(pool.start_method().to_string(), goals, move || {
                let tasks = pool.tasks(frames());
                let (read, seconds) = timed(|| match name {
                    "peek" => tasks.view().map(|bytes| peek(bytes)),
                    _ => tasks.view().map(|bytes| sum(bytes)),
                });
                let total = read?.into_iter().fold(0, |total: u64, one| total.wrapping_add(one));
                assert_eq!(total, expected);
                Ok(speed(bytes, seconds))
            });
        }
        copiers.join(&mut bout, crossbeam);
        bout.run(scale.rounds(9))?;
    }

    let case = format!("{mib} MiB items in, owned on both sides, {WORKERS} workers");
    let mut bout = Bout::new("payload", case, Unit::GibPerSecond);
    for pool in pools.iter() {
        bout.subject(pool.start_method().to_string(), Expected::beside(FRESH), move || {
            let owned: Vec<Vec<u8>> = frames().map(|frame| frame.0.to_vec()).collect();
            let (lens, seconds) = timed(|| pool.map(owned, |bytes| peek(&bytes)));
            assert_eq!(lens?.len(), count);
            Ok(speed(bytes, seconds))
        });
    }
    copiers.join(&mut bout, crossbeam);
    bout.run(scale.rounds(7))
}

/// Results out: by view, and owned.
pub(crate) fn results(scale: &Scale, mib: usize) -> Outcome {
    let count = scale.count(256) / mib;
    let bytes = count * mib * MIB;
    let (make, make_owned) = match mib {
        1 => (made::<1> as fn(u64) -> Frame, made_owned::<1> as fn(u64) -> Vec<u8>),
        _ => (made::<16> as fn(u64) -> Frame, made_owned::<16> as fn(u64) -> Vec<u8>),
    };
    let copiers = Copiers::new(mib, count)?;
    let pools = Pools::build(WORKERS)?;
    let moved = ThreadPool::new(WORKERS, make_owned);
    let crossbeam = || {
        let (results, seconds) = timed(|| moved.map(0..count as u64, 1));
        assert!(results.iter().all(|bytes| bytes.len() == mib * MIB));
        Ok(speed(bytes, seconds))
    };

    for (name, read) in [("peek", peek as fn(&[u8]) -> u64), ("sum", sum)] {
        let expected =
            (0..count as u64).fold(0, |total: u64, index| total.wrapping_add(read(make(index).0)));
        let case = format!("{mib} MiB results out by for_each_view, {name}, {WORKERS} workers");
        let mut bout = Bout::new("payload", case, Unit::GibPerSecond);
        for pool in pools.processes() {
            let mut goals = Expected::beside(WARM);
            if name == "peek" {
                goals.aim = Some(Goal::Value(if mib == 1 { 9.0 } else { 7.0 }));
                goals.floor = (mib == 1).then_some(Goal::Ratio(0.4));
            }
            bout.subject(pool.start_method().to_string(), goals, move || {
                let mut total = 0u64;
                let tasks = pool.tasks(0..count as u64);
                let (done, seconds) = timed(|| {
                    tasks.for_each_view(make, |_, bytes| total = total.wrapping_add(read(bytes)))
                });
                done?;
                assert_eq!(total, expected);
                Ok(speed(bytes, seconds))
            });
        }
        copiers.join(&mut bout, crossbeam);
        bout.run(scale.rounds(9))?;
    }

    let case = format!("{mib} MiB results out, owned on both sides, {WORKERS} workers");
    let mut bout = Bout::new("payload", case, Unit::GibPerSecond);
    for pool in pools.iter() {
        bout.subject(pool.start_method().to_string(), Expected::beside(FRESH), move || {
            let (results, seconds) = timed(|| pool.map(0..count as u64, make_owned));
            assert!(results?.iter().all(|bytes| bytes.len() == mib * MIB));
            Ok(speed(bytes, seconds))
        });
    }
    copiers.join(&mut bout, crossbeam);
    bout.run(scale.rounds(7))
}

fn speed(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds / (1u64 << 30) as f64
}

/// Copies every frame into an allocation of its own and keeps them all, as owned results are kept.
fn fresh(mib: usize, count: usize) -> impl FnMut() -> Outcome<f64> {
    move || {
        let copies = || (0..count).map(|index| frame(index, mib).0.to_vec()).collect::<Vec<_>>();
        let (copies, seconds) = timed(|| black_box(copies()));
        Ok(speed(copies.iter().map(Vec::len).sum(), seconds))
    }
}

/// Two processes that copy frames into warm shared memory, each into its own.
struct Copiers {
    mib: usize,
    count: usize,
    target: pool_shm::Mapping,
    /// Copies half of the frames.
    other: Peer,
}

/// Blocks that a copier fills in turn, as many as a small arena would have in flight.
const BLOCKS: usize = 4;

/// Copies `count` frames into the blocks at `target`.
fn copy(target: &pool_shm::Mapping, mib: usize, count: usize) {
    for index in 0..count {
        let source = frame(index, mib).0;
        let at = index % BLOCKS * mib * MIB;
        assert!(at + source.len() <= target.len());
        // SAFETY: source and target are mapped, do not overlap, and no other code uses the target.
        unsafe {
            target.as_ptr().add(at).copy_from_nonoverlapping(source.as_ptr(), source.len());
        }
    }
}

impl Copiers {
    fn new(mib: usize, count: usize) -> Outcome<Self> {
        let map = || Segment::create("copies", (BLOCKS * mib * MIB) as u64)?.map();
        let (target, theirs) = (map()?, map()?);
        let other = Peer::working(None, move || copy(&theirs, mib, count / 2))?;
        Ok(Self { mib, count, target, other })
    }

    /// Adds the copiers and the other baselines to a bout.
    fn join<'a>(&'a self, bout: &mut Bout<'a>, crossbeam: impl FnMut() -> Outcome<f64> + 'a) {
        bout.baseline(WARM, self.one());
        bout.baseline(WARM_TWO, self.both());
        bout.baseline(FRESH, fresh(self.mib, self.count));
        bout.baseline(CROSSBEAM, crossbeam);
    }

    fn one(&self) -> impl FnMut() -> Outcome<f64> {
        let (mib, count) = (self.mib, self.count);
        move || {
            let ((), seconds) = timed(|| copy(&self.target, mib, count));
            Ok(speed(count * mib * MIB, seconds))
        }
    }

    fn both(&self) -> impl FnMut() -> Outcome<f64> {
        let (mib, half) = (self.mib, self.count / 2);
        move || {
            let ((), seconds) = timed(|| {
                self.other.ask();
                copy(&self.target, mib, half);
                self.other.wait();
            });
            Ok(speed(2 * half * mib * MIB, seconds))
        }
    }
}
