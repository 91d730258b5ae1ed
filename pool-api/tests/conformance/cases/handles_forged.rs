//! Bytes that look like handles and are none: their item fails with a typed error, and nothing else
//! happens.

use std::marker::PhantomData;

use pool_api::{
    Cause, SegmentFault, SharedArray, SharedMutex, SharedObject, SharedSemaphore, SharedValue,
    StartMethod, Wire,
    rkyv::{
        Archive, Deserialize, Place, Serialize,
        rancor::{Fallible, Source},
    },
};
use pool_shm::wire::{ArchivedArray, ArchivedBlock, GiveSegment};

use crate::{
    case::{Case, Outcome, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("handles_forged_as_items", as_items).processes(),
    Case::new("handles_forged_as_results", as_results).processes(),
    Case::new("handles_forged_at_random", at_random).processes(),
    Case::new("handles_in_bytes_of_their_own", in_bytes),
];

/// A value that claims to be a handle `T` and is archived as these numbers, beside a segment that
/// really comes along.
enum Forged<T> {
    Sent { beside: SharedArray<u64>, numbers: Numbers, of: PhantomData<T> },
    Came(T),
}

/// The parts of a handle to an array; a handle to anything else is the latter half.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    start: u64,
    len: u64,
    segment: u32,
    slot: u32,
}

impl<T: Archive> Archive for Forged<T> {
    type Archived = T::Archived;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<T::Archived>) {
        let Self::Sent { numbers: Numbers { start, len, segment, slot }, .. } = self else {
            panic!("what came is not sent on");
        };
        let words = [start.to_le_bytes(), len.to_le_bytes()].concat();
        let block = [segment.to_le_bytes(), slot.to_le_bytes()].concat();
        let bytes = [words, block].concat();
        let tail = &bytes[bytes.len() - size_of::<T::Archived>()..];
        // SAFETY: both archived forms consist of integers only, of which these are all the bytes.
        unsafe {
            let target = out.ptr().cast::<u8>();
            target.copy_from_nonoverlapping(tail.as_ptr(), tail.len());
        }
    }
}

impl<T: Archive, S> Serialize<S> for Forged<T>
where
    S: Fallible<Error: Source> + GiveSegment + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
        match self {
            Self::Sent { beside, .. } => beside.serialize(serializer).map(drop),
            Self::Came(_) => Ok(()),
        }
    }
}

impl<T, D> Deserialize<Forged<T>, D> for ArchivedArray
where
    T: Archive<Archived = Self>,
    D: Fallible + ?Sized,
    Self: Deserialize<T, D>,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<Forged<T>, D::Error> {
        Deserialize::<T, D>::deserialize(self, deserializer).map(Forged::Came)
    }
}

impl<T, D> Deserialize<Forged<T>, D> for ArchivedBlock
where
    T: Archive<Archived = Self>,
    D: Fallible + ?Sized,
    Self: Deserialize<T, D>,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<Forged<T>, D::Error> {
        Deserialize::<T, D>::deserialize(self, deserializer).map(Forged::Came)
    }
}

/// A segment with an array of 50 000 and nothing else.
fn beside() -> SharedArray<u64> {
    SharedArray::new(50_000).expect("an array")
}

const FINE: Numbers = Numbers { start: 10, len: 5, segment: 0, slot: 0 };

fn wrong() -> [(Numbers, SegmentFault); 8] {
    let outside = SegmentFault::OtherLength;
    [
        (Numbers { segment: 100, ..FINE }, SegmentFault::NotSent),
        (Numbers { segment: u32::MAX, ..FINE }, SegmentFault::NotSent),
        (Numbers { slot: 1, ..FINE }, SegmentFault::NoSuchObject),
        (Numbers { slot: u32::MAX, ..FINE }, SegmentFault::NoSuchObject),
        (Numbers { start: 49_996, ..FINE }, outside),
        (Numbers { len: 49_991, ..FINE }, outside),
        (Numbers { start: u64::MAX - 3, ..FINE }, outside),
        (Numbers { len: u64::MAX, ..FINE }, outside),
    ]
}

fn forged<T>(numbers: Numbers) -> Forged<T> {
    Forged::Sent { beside: beside(), numbers, of: PhantomData }
}

fn came<T>(item: Forged<T>) -> T {
    match item {
        Forged::Came(handle) => handle,
        Forged::Sent { .. } => panic!("it was decoded"),
    }
}

fn as_items(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let read: fn(Forged<SharedArray<u64>>) -> usize = |item| came(item).to_vec().len();
    let items = wrong().map(|(numbers, _)| forged(numbers));
    let results = pool.tasks(items).chunk_size(3).map_results(read)?;
    for (result, (numbers, fault)) in results.into_iter().zip(wrong()) {
        let error = result.expect_err("no such array");
        assert_eq!(*error.cause(), Cause::Handle(fault), "{numbers:?}");
    }
    assert_eq!(pool.map([forged(FINE)], read)?, [5]);

    /// The fault of a handle of another type than that of the array.
    fn refused<T>(pool: &pool_api::WorkerPool) -> SegmentFault
    where
        Forged<T>: Wire,
    {
        let error = pool.map([forged::<T>(FINE)], |item| drop(came(item)));
        match error {
            Err(pool_api::Error::Task(error)) => match error.cause() {
                Cause::Handle(fault) => *fault,
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused::<SharedArray<f64>>(&pool), SegmentFault::OtherElement);
    assert_eq!(refused::<SharedArray<u8>>(&pool), SegmentFault::OtherElement);
    assert_eq!(refused::<SharedValue<u64>>(&pool), SegmentFault::OtherKind);
    assert_eq!(refused::<SharedMutex<u64>>(&pool), SegmentFault::OtherKind);
    assert_eq!(refused::<SharedMutex<[u8]>>(&pool), SegmentFault::OtherKind);
    assert_eq!(refused::<SharedSemaphore>(&pool), SegmentFault::OtherKind);
    assert_eq!(pool.map(0..3u8, |x| x)?, [0, 1, 2]);
    Ok(())
}

fn as_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let make: fn(usize) -> Forged<SharedArray<u64>> = |at| forged(wrong()[at].0);
    let results = pool.tasks(0..wrong().len()).chunk_size(3).map_results(make)?;
    for (result, (numbers, fault)) in results.into_iter().zip(wrong()) {
        let error = result.err().expect("no such array");
        assert_eq!(*error.cause(), Cause::Handle(fault), "{numbers:?}");
        assert!(error.worker() < 2);
    }
    assert_eq!(came(pool.apply(0u8, |_| forged::<SharedArray<u64>>(FINE))?).len(), 5);
    Ok(())
}

/// Numbers that a faulty program might write: items fail or succeed, and no worker dies of them.
fn at_random(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..100u64, |x| x)?;
    wait_until("both workers run", || pool.worker_pids().len() == 2);
    let workers = pool.worker_pids();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        // Xorshift, 64 bits (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let shift = state >> 58;
        (state.rotate_left(29)) >> shift
    };
    let mut numbers = || Numbers {
        start: random(),
        len: random(),
        segment: (random() % 3) as u32,
        slot: (random() % 4) as u32,
    };
    let beside = beside();
    let mut forged =
        move || Forged::Sent { beside: beside.clone(), numbers: numbers(), of: PhantomData };
    let items: Vec<Forged<SharedArray<u64>>> = (0..2000).map(|_| forged()).collect();
    let mut fine = 0;
    let sum: fn(Forged<SharedArray<u64>>) -> u64 = |item| came(item).iter().sum();
    for result in pool.tasks(items).map_results(sum)? {
        match result {
            Ok(sum) => {
                assert_eq!(sum, 0, "elements of another array");
                fine += 1;
            }
            Err(error) => assert!(matches!(error.cause(), Cause::Handle(_)), "{error}"),
        }
    }
    assert!(0 < fine && fine < 2000, "{fine} of 2000 were handles");
    assert_eq!(pool.worker_pids(), workers, "no holder died");
    Ok(())
}

/// A handle in bytes that were made beside the pool leads nowhere: nothing keeps its segment.
fn in_bytes(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let array = beside();
    let bytes = pool_ipc::to_bytes(&array).expect("bytes").to_vec();
    let fault = |bytes: &[u8]| match pool_ipc::from_bytes::<SharedArray<u64>>(bytes) {
        Err(pool_api::WireFault::Segment(fault)) => Some(fault),
        _ => None,
    };
    assert_eq!(fault(&bytes), Some(SegmentFault::NotSent));
    let there = pool.apply(bytes, |bytes: Vec<u8>| {
        let mut aligned = pool_ipc::AlignedBytes::new();
        aligned.resize(bytes.len());
        // SAFETY: the buffer has so many bytes.
        unsafe {
            aligned.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        let decoded = pool_ipc::from_bytes::<SharedArray<u64>>(&aligned);
        format!("{:?}", decoded.map(|array| array.len()))
    })?;
    assert_eq!(there, "Err(Segment(NotSent))");
    // Nor does an object of one type pass for one of another.
    let object = SharedObject::new(&vec![1u32]).expect("an object");
    assert_eq!(pool.apply(object, |object| object.len())?, 1);
    Ok(())
}
