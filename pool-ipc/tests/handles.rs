//! A handle to a shared object in a value: how it travels, and how long its segment lives.
#![cfg(not(loom))]

use pool_ipc::{
    Decoder, Encoder, SegmentFault, SharedObject, Wire, WireFault, from_bytes,
    rkyv::{
        Archive, Deserialize, Place, Serialize,
        rancor::{Fallible, Source},
    },
    to_bytes,
};
use pool_shm::{
    Block, ElementType, Kind, Shape, SharedArray, SharedSegment, SharedValue,
    wire::{ArchivedBlock, BlockResolver, GiveSegment, TakeSegment},
};

/// A handle to bytes.
#[derive(Debug, Clone, PartialEq)]
struct Bytes(Block);

const BYTE: ElementType = ElementType::fixed(77, 1);

impl Bytes {
    fn new(len: usize) -> Self {
        Self(Block::new(Shape { kind: Kind::Array, element: BYTE, len }).expect("a block"))
    }
}

impl Archive for Bytes {
    type Archived = ArchivedBlock;
    type Resolver = BlockResolver;

    fn resolve(&self, resolver: BlockResolver, out: Place<ArchivedBlock>) {
        self.0.resolve_into(&resolver, out);
    }
}

impl<S: Fallible<Error: Source> + GiveSegment + ?Sized> Serialize<S> for Bytes {
    fn serialize(&self, serializer: &mut S) -> Result<BlockResolver, S::Error> {
        self.0.give(serializer)
    }
}

impl<D: Fallible<Error: Source> + TakeSegment + ?Sized> Deserialize<Bytes, D> for ArchivedBlock {
    fn deserialize(&self, deserializer: &mut D) -> Result<Bytes, D::Error> {
        Ok(Bytes(self.take(Kind::Array, BYTE, deserializer)?.0))
    }
}

fn encode<T: Wire>(value: &T, encoder: &mut Encoder) -> pool_ipc::AlignedBytes {
    let len = encoder.measure(value, 0).expect("measure");
    let mut bytes = pool_ipc::AlignedBytes::new();
    bytes.resize(len);
    // SAFETY: the buffer is ours, aligned, and has `len` bytes.
    unsafe { encoder.encode_at(value, bytes.as_mut_ptr(), len, 0).expect("encode") };
    bytes
}

#[test]
fn handles_come_back_as_the_same_objects() {
    let (small, large) = (Bytes::new(10), Bytes::new(1 << 20));
    let value = (vec![small.clone(), large.clone(), small.clone()], Some(large.clone()), 7u8);
    let mut encoder = Encoder::new();
    let bytes = encode(&value, &mut encoder);

    let segments = encoder.take_segments();
    assert_eq!(segments, [small.0.segment().clone(), large.0.segment().clone()]);
    assert!(encoder.segments().is_empty());

    let mut decoder = Decoder::new();
    decoder.set_segments(&segments.iter().map(SharedSegment::id).collect::<Vec<_>>());
    let back: (Vec<Bytes>, Option<Bytes>, u8) = decoder.decode(&bytes).unwrap();
    assert_eq!(back, value);
    assert_eq!(back.0[1].0.as_ptr(), large.0.as_ptr());
}

#[test]
fn a_message_keeps_its_segments_and_nothing_else_does() {
    let bytes = Bytes::new(1 << 20);
    let id = bytes.0.segment().id();
    let mut encoder = Encoder::new();
    let archive = encode(&bytes, &mut encoder);
    drop(bytes);

    let mut decoder = Decoder::new();
    decoder.set_segments(&[id]);
    assert!(decoder.decode::<Bytes>(&archive).is_ok());
    drop(encoder.take_segments());
    assert_eq!(decoder.decode::<Bytes>(&archive), Err(WireFault::Segment(SegmentFault::Gone)));
}

#[test]
fn what_only_measures_or_fails_keeps_nothing() {
    let value = (Bytes::new(1), vec![0u8; 100]);
    let mut encoder = Encoder::new();
    encoder.measure(&value, 0).unwrap();
    assert!(encoder.segments().is_empty());

    let mut room = pool_ipc::AlignedBytes::new();
    room.resize(64);
    // SAFETY: the buffer is ours, aligned, and has 64 bytes.
    let result = unsafe { encoder.encode_at(&value, room.as_mut_ptr(), 64, 0) };
    assert_eq!(result, Err(WireFault::Overflow));
    assert!(encoder.segments().is_empty());
}

#[test]
fn wrong_handles_are_typed_errors() {
    let bytes = Bytes::new(10);
    let mut encoder = Encoder::new();
    let archive = encode(&bytes, &mut encoder);
    let fault = |decoder: &mut Decoder| match decoder.decode::<Bytes>(&archive) {
        Err(WireFault::Segment(fault)) => fault,
        other => panic!("{other:?}"),
    };

    assert_eq!(fault(&mut Decoder::new()), SegmentFault::NotSent);
    assert!(matches!(
        from_bytes::<Bytes>(&to_bytes(&bytes).unwrap()),
        Err(WireFault::Segment(SegmentFault::NotSent))
    ));

    let other = Block::new(Shape { kind: Kind::Value, element: BYTE, len: 1 << 20 }).unwrap();
    let mut decoder = Decoder::new();
    decoder.set_segments(&[other.segment().id()]);
    assert_ne!(fault(&mut decoder), SegmentFault::Gone); // another segment: its slots say anything
}

pool_ipc::wire! {
    #[derive(Debug)]
    struct Work {
        name: String,
        samples: SharedArray<f32>,
        parts: Vec<SharedArray<f32>>,
        done: Option<SharedValue<u64>>,
    }
}

/// The value that arrives when `value` is sent.
fn sent<T: Wire, R: Wire>(value: &T) -> Result<R, WireFault> {
    let mut encoder = Encoder::new();
    let bytes = encode(value, &mut encoder);
    let mut decoder = Decoder::new();
    let segments = encoder.take_segments();
    decoder.set_segments(&segments.iter().map(SharedSegment::id).collect::<Vec<_>>());
    decoder.decode(&bytes)
}

#[test]
fn arrays_and_values_are_parts_of_messages() {
    let samples = SharedArray::from_slice(&[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let done = SharedValue::new(1u64).unwrap();
    let parts = vec![samples.slice(1..3), samples.slice(4..), samples.slice(1..3).slice(1..)];
    let work = Work { name: "a".into(), samples: samples.clone(), parts, done: Some(done.clone()) };
    let back: Work = sent(&work).unwrap();

    assert_eq!(back.name, "a");
    assert!(back.samples.ptr_eq(&samples));
    assert!(back.parts.iter().zip(&work.parts).all(|(ours, theirs)| ours.ptr_eq(theirs)));
    back.parts[2].set(0, 30.0);
    assert_eq!(samples.to_vec(), [1.0, 2.0, 30.0, 4.0]);
    back.done.unwrap().fetch_add(1);
    assert_eq!(done.get(), 2);
}

#[test]
fn a_handle_of_another_type_is_a_typed_error() {
    fn fault<T: Wire, R: Wire + std::fmt::Debug>(value: &T) -> SegmentFault {
        match sent::<T, R>(value) {
            Err(WireFault::Segment(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }
    let floats = SharedArray::<f32>::new(10).unwrap();
    assert_eq!(fault::<_, SharedArray<u32>>(&floats), SegmentFault::OtherElement);
    assert_eq!(fault::<_, SharedArray<f64>>(&floats), SegmentFault::OtherElement);
    let value = SharedValue::new(1.0f32).unwrap();
    assert_eq!(fault::<_, SharedValue<i32>>(&value), SegmentFault::OtherElement);
    assert_eq!(fault::<_, Bytes>(&value), SegmentFault::OtherKind);

    // An array's archive is two words, start and length, and its block.
    let tail = |block: &Block| Bytes(block.clone());
    assert_eq!(
        fault::<_, SharedArray<f32>>(&(0u64, 11u64, tail(floats.block()))),
        SegmentFault::OtherLength
    );
    assert_eq!(
        fault::<_, SharedArray<f32>>(&(11u64, 0u64, tail(floats.block()))),
        SegmentFault::OtherLength
    );
    let wild = (u64::MAX, 2u64, tail(floats.block()));
    assert_eq!(fault::<_, SharedArray<f32>>(&wild), SegmentFault::OtherLength);
    let fine = (2u64, 8u64, tail(floats.block()));
    assert!(sent::<_, SharedArray<f32>>(&fine).unwrap().ptr_eq(&floats.slice(2..)));
}

#[test]
fn objects_are_parts_of_messages_and_keep_what_they_hold() {
    let array = SharedArray::from_slice(&vec![1u64; 40_000]).unwrap();
    let id = array.block().segment().id();
    let table = SharedObject::new(&(String::from("a"), vec![array.slice(3..5)])).unwrap();
    drop(array);
    type Table = SharedObject<(String, Vec<SharedArray<u64>>)>;
    let back: Option<Vec<Table>> = sent(&Some(vec![table.clone(), table.clone()])).unwrap();
    let back = back.unwrap();
    assert_eq!((back[1].archived().0.as_str(), back[1].1.len()), ("a", 1));
    assert!(std::ptr::eq(back[0].archived(), table.archived()), "the same memory");
    drop(table);
    let (_, arrays) = back[0].decode().unwrap();
    assert_eq!(arrays[0].to_vec(), [1, 1]);
    drop((arrays, back));
    assert!(SharedSegment::find(id).is_none());

    // An object within an object.
    let inner = SharedObject::new(&7u32).unwrap();
    let outer = SharedObject::new(&vec![inner.clone()]).unwrap();
    let back: SharedObject<Vec<SharedObject<u32>>> = sent(&outer).unwrap();
    assert_eq!(*back.decode().unwrap()[0].archived(), 7);
}

#[test]
fn an_object_of_another_type_is_a_typed_error() {
    let object = SharedObject::new(&vec![1u32]).unwrap();
    let fault = Err(WireFault::Segment(SegmentFault::OtherElement));
    assert_eq!(sent::<_, SharedObject<Vec<u64>>>(&object).map(drop), fault);
    let array = SharedArray::<u32>::new(1).unwrap();
    // Bytes that pass for a handle to an object and lead to memory that can be written to.
    let forged = sent::<_, SharedObject<Vec<u32>>>(&(vec![0u32], Bytes(array.block().clone())));
    assert!(forged.is_err());
    let nothing = sent::<_, SharedObject<Vec<u32>>>(&Vec::<u32>::new());
    assert_eq!(nothing.map(drop), Err(WireFault::Segment(SegmentFault::NotSent)));
}

#[test]
fn ten_thousand_arrays_are_few_segments() {
    let arrays: Vec<_> =
        (0..10_000).map(|index| SharedArray::from_slice(&[index; 5]).unwrap()).collect();
    let mut encoder = Encoder::new();
    let bytes = encode(&arrays, &mut encoder);
    let segments = encoder.take_segments();
    assert!(segments.len() < 5, "{} segments", segments.len());
    drop(arrays);

    let mut decoder = Decoder::new();
    decoder.set_segments(&segments.iter().map(SharedSegment::id).collect::<Vec<_>>());
    let back: Vec<SharedArray<i32>> = decoder.decode(&bytes).unwrap();
    assert!((0..).zip(&back).all(|(index, array)| array.to_vec() == [index; 5]));
}
