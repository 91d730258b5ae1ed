//! A value aligned to more than rkyv can pad for is an error for its sender, wherever it lies.
#![cfg(not(loom))]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_ipc::{
    AlignedBytes, Decoder, Encoder, SealError, SealedArchive, Wire, WireFault,
    batch::{BatchReader, BatchWriter},
    from_bytes, rkyv, to_bytes, wire,
};
use rkyv::{Archive, Place, Serialize, rancor::Fallible};

wire! {
    /// A type whose archive is aligned to 64 bytes.
    #[derive(Debug, Clone, PartialEq)]
    #[rkyv(attr(repr(align(64))))]
    struct Wide(u64);

    /// A type aligned to 64 bytes whose archive is aligned to 8 bytes.
    #[derive(Debug, Clone, PartialEq)]
    #[repr(align(64))]
    struct Full([u64; 8]);

    #[derive(Debug, Clone, PartialEq)]
    #[repr(align(128))]
    struct Part(u8);

    #[derive(Debug, Clone, PartialEq)]
    enum Holds { Nothing, List(u8, Vec<Wide>) }
}

/// Refuses values whose padding is too long, since only a few bytes lie before them.
fn refused<T: Wire>(value: &T) {
    assert_eq!(to_bytes(value).err(), Some(WireFault::Alignment));
    let sealed = SealedArchive::new(value);
    assert!(matches!(sealed, Err(SealError::Encode(WireFault::Alignment))), "{sealed:?}");
}

fn crosses<T: Wire + PartialEq + std::fmt::Debug>(value: T) {
    let bytes = to_bytes(&value).expect("it can be placed");
    assert_eq!(from_bytes::<T>(&bytes), Ok(value));
}

#[test]
fn a_wide_archive_within_a_value_is_a_fault() {
    refused(&(vec![1u8], vec![Wide(1)]));
    refused(&(vec![1u8], Box::new(Wide(1))));
    refused(&(vec![1u8], Some(vec![(1u8, Wide(1))])));
    refused(&(vec![1u8], BTreeMap::from([(1u8, Wide(1))])));
    refused(&(vec![1u8], Holds::List(1, vec![Wide(1)])));
    crosses((vec![1u8], Holds::Nothing));
    crosses((vec![1u8], Vec::<Vec<Wide>>::new()));
}

#[test]
fn the_alignment_of_the_type_itself_matters_not() {
    crosses((vec![1u8], vec![Full([1; 8]); 3]));
    crosses((vec![1u8], vec![Part(1); 3], Box::new(Part(2))));
}

#[test]
fn a_batch_goes_on_after_a_refused_value() {
    let (mut encoder, mut room) = (Encoder::new(), AlignedBytes::new());
    room.resize(4096);
    // SAFETY: the block is ours and aligned, with room for the head.
    let mut writer =
        unsafe { BatchWriter::<(Vec<u8>, Option<Vec<Wide>>)>::new(room.as_mut_ptr(), 4096, 3) };
    writer.push(&(vec![1], None), &mut encoder).unwrap();
    // The table takes 24 bytes and the first value 33, so that a `Wide` behind it needs much
    // padding.
    let wide = |before: usize| (vec![1; before], Some(vec![Wide(1)]));
    let refused = [0, 16, 40].map(|before| writer.room_for(&wide(before), &mut encoder));
    assert!(refused.contains(&Err(WireFault::Alignment)), "{refused:?}");
    writer.push(&(vec![2; 9], None), &mut encoder).unwrap();
    // SAFETY: as above, and nothing is written any more.
    let reader =
        unsafe { BatchReader::<(Vec<u8>, Option<Vec<Wide>>)>::new(room.as_ptr(), 4096, 3) };
    assert_eq!(reader.decode(1, &mut Decoder::new()).unwrap().0, [2; 9]);
}

/// Panics where it is serialized.
struct Panics;

impl Archive for Panics {
    type Archived = ();
    type Resolver = ();
    fn resolve(&self, (): (), _: Place<()>) {}
}

impl<S: Fallible + ?Sized> Serialize<S> for Panics {
    fn serialize(&self, _: &mut S) -> Result<(), S::Error> {
        std::panic::panic_any("of the type itself")
    }
}

impl<D: Fallible + ?Sized> rkyv::Deserialize<Panics, D> for () {
    fn deserialize(&self, _: &mut D) -> Result<Panics, D::Error> {
        Ok(Panics)
    }
}

#[test]
fn another_panic_goes_on() {
    let panic = catch_unwind(AssertUnwindSafe(|| to_bytes(&(vec![1u8], Panics)))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"of the type itself"));
}
