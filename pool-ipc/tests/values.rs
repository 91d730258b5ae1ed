//! Own types through batches, in both layouts, and through whole archives.
#![cfg(not(loom))]

use std::{collections::BTreeMap, fmt::Debug, marker::PhantomData, num::NonZeroU64};

use pool_ipc::{
    AlignedBytes, Decoder, Encoder, Wire, WireFault,
    batch::{BatchReader, BatchWriter, head_len, is_fixed},
    from_bytes, rkyv, to_bytes, wire,
};

wire! {
    #[derive(Debug, Clone, PartialEq)]
    struct Point { x: f64, y: f64 }

    #[derive(Debug, Clone, PartialEq)]
    struct Segment([Point; 2], NonZeroU64);

    #[derive(Debug, Clone, PartialEq)]
    struct Padded { small: u8, large: u64 }

    #[derive(Debug, Clone, PartialEq)]
    struct Flagged { flags: [bool; 3], sign: char }

    #[derive(Debug, Clone, PartialEq)]
    struct Unit;

    #[derive(Debug, Clone, PartialEq)]
    struct AlignedNothing { nothing: [u64; 0], mark: PhantomData<String> }

    #[derive(Debug, Clone, PartialEq)]
    enum Shape { Dot, Line(Segment), Polygon { corners: Vec<Point>, name: String } }

    #[derive(Debug, Clone, PartialEq)]
    struct Pair<A, B> { first: A, second: Vec<Option<B>> }

    #[derive(Debug, Clone, PartialEq)]
    enum Either<A, B = u8> where A: Clone { Left(A), Right { inner: Pair<A, B> } }

    #[derive(Debug, Clone, PartialEq)]
    #[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator))]
    #[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext)))]
    enum Tree {
        Leaf(u32),
        Node(#[rkyv(omit_bounds)] Vec<Tree>),
    }
}

/// Sends `values` through a batch, a moved batch and whole archives.
fn cross<T: Wire + PartialEq + Debug>(fixed: bool, values: &[T]) {
    assert_eq!(is_fixed::<T>(), fixed, "{}", std::any::type_name::<T>());
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let (mut block, mut larger) = (AlignedBytes::new(), AlignedBytes::new());
    block.resize(head_len::<T>(values.len()));
    // SAFETY: the block is ours, aligned, and has the table or all fixed values.
    let mut writer =
        unsafe { BatchWriter::<T>::new(block.as_mut_ptr(), block.len(), values.len()) };
    let mut room = block.len();
    for value in values {
        let needed = writer.room_for(value, &mut encoder).expect("measures");
        if needed > room {
            assert_eq!(writer.push(value, &mut encoder), Err(WireFault::Overflow));
            assert!(!fixed);
            // The written values move into a block that is just large enough.
            let mut next = AlignedBytes::new();
            next.resize(needed);
            // SAFETY: the new block is ours, aligned, apart from the old one and larger.
            unsafe { writer.move_to(next.as_mut_ptr(), needed, &encoder) };
            (larger, room) = (next, needed);
        }
        writer.push(value, &mut encoder).expect("there is room");
        assert_eq!(writer.used_bytes(), needed);
    }
    assert!(writer.is_full() && writer.count() == values.len());
    let block = if larger.is_empty() { block } else { larger };
    // SAFETY: the block is ours and aligned, and the writer is done.
    let reader = unsafe { BatchReader::<T>::new(block.as_ptr(), room, values.len()) };
    let mut scratch = AlignedBytes::new();
    for (index, value) in values.iter().enumerate() {
        assert_eq!(reader.decode(index, &mut decoder).as_ref(), Ok(value));
        let copied = reader.decode_copied(index, &mut scratch, &mut decoder);
        assert_eq!(copied.as_ref(), Ok(value));
        let bytes = to_bytes(value).expect("encodes");
        assert_eq!(from_bytes::<T>(&bytes).as_ref(), Ok(value));
    }
    assert_eq!(reader.extent(values.len()), Err(WireFault::Invalid));
    assert_eq!(reader.extent(usize::MAX), Err(WireFault::Invalid));
}

fn point(x: f64) -> Point {
    Point { x, y: -x }
}

#[test]
fn structs_of_plain_numbers_lie_side_by_side() {
    let points: Vec<Point> = (0..50).map(|i| point(f64::from(i))).collect();
    cross(true, &points);
    cross(true, &vec![[point(1.0), point(f64::INFINITY)]; 9]);
    cross(true, &[NonZeroU64::MAX, NonZeroU64::MIN]);
    cross(true, &[Flagged { flags: [true, false, true], sign: 'ß' }].map(|f| [f.flags, f.flags]));
    cross(true, &[[1u16, 2, 3]; 7]);
    cross(true, &[u128::MAX, 0, 1]);
}

#[test]
fn what_has_padding_goes_into_a_table() {
    // Uninitialised bytes must not leave the process.
    cross(false, &[Padded { small: 1, large: 2 }, Padded { small: 3, large: 4 }]);
    cross(false, &[Flagged { flags: [true, false, true], sign: 'ß' }]);
    cross(false, &[(1u8, 2u32), (3, 4)]);
}

#[test]
fn enums_and_nested_generics_go_into_a_table() {
    cross(
        false,
        &[
            Shape::Dot,
            Shape::Line(Segment([point(1.0), point(2.0)], NonZeroU64::MIN)),
            Shape::Polygon { corners: vec![point(3.0); 40], name: "ä".repeat(40) },
        ],
    );
    let inner = |n: u64| Pair { first: Unit, second: vec![Some(n), None] };
    let either = vec![
        Either::<Pair<Unit, u64>, BTreeMap<String, char>>::Left(inner(1)),
        Either::Right {
            inner: Pair {
                first: inner(2),
                second: vec![None, Some(BTreeMap::from([("k".to_string(), 'v')]))],
            },
        },
    ];
    cross(false, &either);
    cross(false, &[vec![either; 3], vec![]]);
    cross(false, &[Some(Ok::<u8, String>(1)), Some(Err("e".into())), None]);
}

#[test]
fn recursive_types_cross() {
    let deep = (0..1000).fold(Tree::Leaf(7), |tree, _| Tree::Node(vec![tree, Tree::Leaf(1)]));
    cross(false, &[Tree::Leaf(1), deep]);
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    // Made where there is room for it; read on a thread like any other.
    let maker = std::thread::Builder::new().stack_size(1 << 30).spawn(|| {
        let mut deep = Tree::Leaf(1);
        for _ in 0..50_000 {
            deep = Tree::Node(vec![deep]);
        }
        to_bytes(&deep)
    });
    let bytes = maker.unwrap().join().unwrap().unwrap();
    assert_eq!(from_bytes::<Tree>(&bytes), Err(WireFault::Invalid));
}

#[test]
fn nothing_crosses() {
    cross(true, &[(); 5]);
    cross(true, &[PhantomData::<String>; 2]);
    cross(true, &[[0u64; 0]; 3]);
    cross::<u64>(true, &[]);
    cross::<String>(false, &[]);
    assert_eq!(is_fixed::<Unit>(), is_fixed::<AlignedNothing>());
    cross(is_fixed::<Unit>(), &[Unit, Unit]);
    let nothing = AlignedNothing { nothing: [], mark: PhantomData };
    cross(is_fixed::<AlignedNothing>(), &[nothing.clone(), nothing]);
}

#[test]
fn batches_that_cannot_be_are_refused() {
    let block = [0u64; 16];
    // 128 bytes, aligned as they must be: read as a batch of any number of values.
    let mut aligned = AlignedBytes::new();
    // SAFETY: the source has 128 bytes.
    unsafe { aligned.copy_from(block.as_ptr().cast(), 128, 0) };
    for capacity in [17, usize::MAX / 8, usize::MAX / 8 + 2, usize::MAX] {
        for index in [16, usize::MAX / 16 + 8, capacity - 1] {
            // SAFETY: 128 bytes, ours, aligned.
            let (fixed, table) = unsafe {
                (
                    BatchReader::<u64>::new(aligned.as_ptr(), 128, capacity),
                    BatchReader::<String>::new(aligned.as_ptr(), 128, capacity),
                )
            };
            assert_eq!(fixed.extent(index), Err(WireFault::Invalid));
            assert_eq!(table.extent(index), Err(WireFault::Invalid));
            assert!(table.view(0, |_| ()).is_err());
        }
        assert!(head_len::<u64>(capacity) > 128);
    }
}

#[test]
#[should_panic(expected = "at most its capacity")]
fn a_full_batch_takes_nothing() {
    let mut block = AlignedBytes::new();
    // SAFETY: no bytes are needed.
    let mut writer = unsafe { BatchWriter::<u8>::new(block.as_mut_ptr(), 0, 0) };
    let _ = writer.push(&1, &mut Encoder::new());
}
