//! Handles to locks in values.
#![cfg(not(loom))]

use pool_ipc::{AlignedBytes, Decoder, Encoder, SegmentFault, Wire, WireFault};
use pool_shm::{
    SharedBarrier, SharedCondvar, SharedEvent, SharedMutex, SharedReentrantMutex, SharedRwLock,
    SharedSegment, SharedSemaphore,
};

fn sent<T: Wire>(value: &T) -> Result<T, WireFault> {
    sent_as(value)
}

fn sent_as<T: Wire, R: Wire>(value: &T) -> Result<R, WireFault> {
    let mut encoder = Encoder::new();
    let len = encoder.measure(value, 0)?;
    let mut bytes = AlignedBytes::new();
    bytes.resize(len);
    // SAFETY: the buffer is ours, aligned, and has `len` bytes.
    unsafe { encoder.encode_at(value, bytes.as_mut_ptr(), len, 0)? };
    let segments = encoder.take_segments();
    let mut decoder = Decoder::new();
    decoder.set_segments(&segments.iter().map(SharedSegment::id).collect::<Vec<_>>());
    decoder.decode(&bytes)
}

#[test]
fn every_lock_arrives_as_the_same_one() {
    let value = (
        SharedMutex::new([1u64, 2]).unwrap(),
        SharedMutex::from_slice(&[1.5f32, 2.5]).unwrap(),
        vec![SharedRwLock::new(7i32).unwrap()],
        SharedRwLock::<[u8]>::zeroed(3, 100_000).unwrap(),
        SharedSemaphore::with_limit(2, 5).unwrap(),
        SharedEvent::new().unwrap(),
        SharedCondvar::new().unwrap(),
        SharedBarrier::new(4).unwrap(),
        SharedReentrantMutex::new([1u64, 2]).unwrap(),
        SharedReentrantMutex::from_slice(&[1.5f32, 2.5]).unwrap(),
    );
    let back = sent(&value).unwrap();

    back.0.lock().unwrap()[0] = 5;
    assert_eq!(*value.0.lock().unwrap(), [5, 2]);
    assert_eq!(*back.1.lock().unwrap(), [1.5, 2.5]);
    *back.2[0].write().unwrap() = -7;
    assert_eq!(*value.2[0].read().unwrap(), -7);
    back.3.write().unwrap()[99_999] = 1;
    assert_eq!(value.3.read().unwrap()[99_999], 1);
    let permit = back.4.acquire().unwrap();
    assert_eq!((value.4.available(), back.4.limit()), (1, 5));
    drop(permit);
    back.5.set();
    assert!(value.5.is_set());
    assert_eq!(back.6.block(), value.6.block());
    back.7.abort();
    assert!(value.7.is_broken() && back.7.parties() == 4);
    let outer = value.8.lock().unwrap();
    back.8.lock().unwrap().set([5, 2]);
    assert_eq!(outer.get(), [5, 2]);
    back.9.lock().unwrap()[1].set(0.5);
    assert_eq!(value.9.lock().unwrap()[1].get(), 0.5);
}

#[test]
fn a_lock_is_not_taken_for_another() {
    let mutex = SharedMutex::new(1u32).unwrap();
    let kind = sent_as::<_, SharedRwLock<u32>>(&mutex).map(drop);
    assert_eq!(kind, Err(WireFault::Segment(SegmentFault::OtherKind)));
    let element = sent_as::<_, SharedMutex<f32>>(&mutex).map(drop);
    assert_eq!(element, Err(WireFault::Segment(SegmentFault::OtherElement)));
    let array = sent_as::<_, SharedMutex<[u32; 2]>>(&mutex).map(drop);
    assert_eq!(array, Err(WireFault::Segment(SegmentFault::OtherElement)));
    let reentrant = sent_as::<_, SharedReentrantMutex<u32>>(&mutex).map(drop);
    assert_eq!(reentrant, Err(WireFault::Segment(SegmentFault::OtherKind)));
    let plain = SharedReentrantMutex::new(1u32).unwrap();
    let plain = sent_as::<_, SharedMutex<u32>>(&plain).map(drop);
    assert_eq!(plain, Err(WireFault::Segment(SegmentFault::OtherKind)));
    let slice = SharedMutex::from_slice(&[1u32, 2]).unwrap();
    let length = sent_as::<_, SharedMutex<u32>>(&slice).map(drop);
    assert_eq!(length, Err(WireFault::Segment(SegmentFault::OtherLength)));
}
