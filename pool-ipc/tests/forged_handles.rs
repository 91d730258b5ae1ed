//! Forged identities and numbers: each is a typed fault or the very object that it names.
#![cfg(not(loom))]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use pool_ipc::{
    AlignedBytes, Decoder, Encoder, SegmentBroker, SegmentFault, SegmentId, Wire, WireFault,
};
use pool_shm::{SharedArray, SharedMutex, SharedSegment, SharedValue};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn id(&mut self) -> SegmentId {
        SegmentId(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}

/// A table of segments that leads to nothing, or to another segment than the one asked for.
struct Liar {
    leads_to: Option<SharedSegment>,
    asked: AtomicUsize,
}

impl SegmentBroker for Liar {
    fn register(&self, _: &SharedSegment) -> Result<(), SegmentFault> {
        Ok(())
    }

    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        self.asked.fetch_add(1, Relaxed);
        let Some(other) = &self.leads_to else { return Err(SegmentFault::Gone) };
        // SAFETY: it is only opened.
        let descriptor = unsafe { other.as_fd() }.try_clone_to_owned().expect("a number");
        // SAFETY: the descriptor of a segment.
        unsafe { SharedSegment::open(descriptor, id) }
    }
}

fn encode<T: Wire>(value: &T) -> (AlignedBytes, Vec<SharedSegment>) {
    let mut encoder = Encoder::new();
    let len = encoder.measure(value, 0).expect("measure");
    let mut bytes = AlignedBytes::new();
    bytes.resize(len);
    // SAFETY: the buffer is ours, aligned, and has `len` bytes.
    unsafe { encoder.encode_at(value, bytes.as_mut_ptr(), len, 0).expect("encode") };
    (bytes, encoder.take_segments())
}

fn fault_of<T>(result: Result<T, WireFault>) -> SegmentFault {
    match result {
        Err(WireFault::Segment(fault)) => fault,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is no such object"),
    }
}

#[test]
fn an_unknown_identity_is_requested_once_and_is_gone() {
    let (bytes, _held) = encode(&SharedArray::<u64>::new(10).unwrap());
    let mut random = Random(1);
    let liar = Arc::new(Liar { leads_to: None, asked: AtomicUsize::new(0) });
    let mut decoder = Decoder::new();
    decoder.set_broker(liar.clone());
    for _ in 0..1000 {
        decoder.set_segments(&[random.id()]);
        assert_eq!(fault_of(decoder.decode::<SharedArray<u64>>(&bytes)), SegmentFault::Gone);
    }
    assert_eq!(liar.asked.load(Relaxed), 1000);
}

#[test]
fn a_descriptor_that_leads_to_another_segment_is_not_believed() {
    let array = SharedArray::<u64>::new(100_000).unwrap();
    let (bytes, _held) = encode(&array);
    let leads_to = Some(array.block().segment().clone());
    let mut decoder = Decoder::new();
    decoder.set_broker(Arc::new(Liar { leads_to, asked: AtomicUsize::new(0) }));
    // The lowest bits say what the segment is to be: memory, or one of a pair of sockets.
    for (content, fault) in [(0, SegmentFault::OtherIdentity), (2, SegmentFault::NotASegment)] {
        decoder.set_segments(&[SegmentId(Random(2).id().0 & !3 | content)]);
        assert_eq!(fault_of(decoder.decode::<SharedArray<u64>>(&bytes)), fault);
    }
}

/// Objects of every kind in one segment, and handles that name them by any number as any type.
#[test]
fn numbers_at_random_lead_to_the_object_that_they_name_or_nowhere() {
    let array = SharedArray::<u64>::from_slice(&[1, 2, 3]).unwrap();
    let value = SharedValue::new(7u64).unwrap();
    let lock = SharedMutex::new(9u64).unwrap();
    let (bytes, held) = encode(&(array.clone(), value.clone(), lock.clone()));
    let ids: Vec<_> = held.iter().map(SharedSegment::id).collect();
    let mut random = Random(3);
    let (mut fine, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut copy = AlignedBytes::new();
        // SAFETY: the bytes are as many and readable.
        unsafe { copy.copy_from(bytes.as_ptr(), bytes.len(), 0) };
        let at = random.next() as usize % bytes.len();
        let by = match random.next() % 3 {
            0 => random.next() as u8,
            1 => bytes[at] ^ 1,
            _ => bytes[at].wrapping_add(1),
        };
        // SAFETY: within the copy.
        unsafe { copy.as_mut_ptr().add(at).write(by) };
        let mut decoder = Decoder::new();
        let mut table = ids.clone();
        if random.next().is_multiple_of(4) {
            table[0] = random.id();
        }
        decoder.set_segments(&table);
        type All = (SharedArray<u64>, SharedValue<u64>, SharedMutex<u64>);
        match decoder.decode::<All>(&copy) {
            Ok((array, value, lock)) => {
                fine += 1;
                assert!(array.len() <= array.iter().count() && array.len() < 1 << 20);
                let _ = (value.get(), lock.try_lock().map(|guard| *guard).is_ok());
            }
            Err(WireFault::Segment(_) | WireFault::Invalid) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(fine > 100 && refused > 100, "{fine} {refused}");
    assert_eq!((array.to_vec(), value.get()), (vec![1, 2, 3], 7));
    assert_eq!(lock.lock().map(|guard| *guard).ok(), Some(9));
}

/// Two types of one name, as two functions' own types may have.
#[test]
fn an_endpoint_is_not_one_of_another_type_of_the_same_name() {
    use pool_ipc::channel::{Receiver, channel};

    let (bytes, held, _open) = {
        pool_ipc::wire! { struct Message { value: u64 } }
        let (sender, receiver) = channel::<Message>(4).unwrap();
        let (bytes, held) = encode(&receiver);
        (bytes, held, (sender, receiver))
    };
    pool_ipc::wire! { struct Message { values: [u64; 32] } }
    let mut decoder = Decoder::new();
    decoder.set_segments(&held.iter().map(SharedSegment::id).collect::<Vec<_>>());
    let fault = fault_of(decoder.decode::<Receiver<Message>>(&bytes));
    assert!(matches!(fault, SegmentFault::OtherElement | SegmentFault::OtherLength), "{fault:?}");
}

/// The memory of one channel with the presence of another, whose messages are of another type.
#[test]
fn an_endpoint_is_not_made_of_two_channels() {
    use pool_ipc::channel::{Receiver, channel};

    let (small, large) = (channel::<u64>(4).unwrap(), channel::<[u64; 32]>(4).unwrap());
    let ((_, of_small), (bytes, of_large)) = (encode(&small.1), encode(&large.1));
    let mut ids: Vec<_> = of_large.iter().map(SharedSegment::id).collect();
    let presence = ids.iter().position(|id| id.is_presence()).unwrap();
    let others = of_small.iter().map(SharedSegment::id).find(|id| id.is_presence()).unwrap();
    ids[presence] = others;
    let mut decoder = Decoder::new();
    decoder.set_segments(&ids);
    let fault = fault_of(decoder.decode::<Receiver<[u64; 32]>>(&bytes));
    assert_eq!(fault, SegmentFault::OtherKind);
}
