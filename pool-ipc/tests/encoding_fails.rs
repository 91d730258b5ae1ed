//! Types whose own `Serialize` lies, fails or panics, all in safe code: the worst is a value that
//! does not decode.
#![cfg(not(loom))]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicIsize, Ordering::Relaxed},
};

use pool_ipc::{
    AlignedBytes, Decoder, Encoder, Wire, WireFault,
    batch::{BatchReader, BatchWriter},
    rkyv::{
        Archive, Deserialize, Place, Serialize,
        rancor::{Fallible, Source},
        ser::{Allocator, Positional, Writer, WriterExt},
        string::{ArchivedString, StringResolver},
        vec::{ArchivedVec, VecResolver},
    },
    to_bytes,
};

/// Counts the bytes in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The lie of a [`Liar`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// Writes few bytes and claims many.
    Length,
    /// Gives a position at which nothing of it lies: far behind the archive.
    Position(usize),
    /// Leaves everything unaligned.
    Skew,
    /// Goes on as if a failed write had not failed.
    Deafness,
    /// Tries to be far larger than any block.
    Size,
}

struct Liar(Lie);

impl Archive for Liar {
    type Archived = ArchivedVec<pool_ipc::rkyv::primitive::ArchivedU64>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(1 << 20, resolver, out);
    }
}

impl<S: Fallible + Writer + ?Sized> Serialize<S> for Liar {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let here = serializer.align_for::<u64>()?;
        match self.0 {
            Lie::Length => serializer.write(&[1; 8])?,
            Lie::Position(position) => return Ok(VecResolver::from_pos(position)),
            Lie::Skew => serializer.write(&[1; 3])?,
            Lie::Deafness => {
                let _ = serializer.write(&[1; 4096]);
                let _ = serializer.write(&[1; 40_000]);
            }
            Lie::Size => {
                for _ in 0..100_000 {
                    serializer.write(&[0; 1000])?;
                }
            }
        }
        assert!(serializer.pos() > here || self.0 == Lie::Deafness);
        Ok(VecResolver::from_pos(here))
    }
}

impl<D: Fallible + ?Sized> Deserialize<Liar, D> for <Liar as Archive>::Archived {
    fn deserialize(&self, _: &mut D) -> Result<Liar, D::Error> {
        Ok(Liar(Lie::Length))
    }
}

/// A string that is another one when it is resolved.
struct OtherWhenResolved;

impl Archive for OtherWhenResolved {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
        ArchivedString::resolve_from_str(&"z".repeat(3000), resolver, out);
    }
}

impl<S: Fallible + Writer + ?Sized> Serialize<S> for OtherWhenResolved
where
    S::Error: Source,
{
    fn serialize(&self, serializer: &mut S) -> Result<StringResolver, S::Error> {
        ArchivedString::serialize_from_str("a string that is no inline one", serializer)
    }
}

impl<D: Fallible + ?Sized> Deserialize<OtherWhenResolved, D> for ArchivedString {
    fn deserialize(&self, _: &mut D) -> Result<OtherWhenResolved, D::Error> {
        Ok(OtherWhenResolved)
    }
}

/// Writes `values` one by one into a block with a guard behind it; returns the results of reading
/// them.
fn survives<T: Wire>(values: &[T]) -> Vec<Result<(), WireFault>> {
    const ROOM: usize = 8192;
    let mut encoder = Encoder::new();
    let mut block = AlignedBytes::new();
    block.resize(ROOM + 4096);
    // SAFETY: the block is ours, aligned, and larger than the table.
    let mut writer = unsafe { BatchWriter::<T>::new(block.as_mut_ptr(), ROOM, 64) };
    for value in values {
        let used = writer.used_bytes();
        let pushed = catch_unwind(AssertUnwindSafe(|| writer.push(value, &mut encoder)));
        if !matches!(pushed, Ok(Ok(()))) {
            assert_eq!(writer.used_bytes(), used, "the batch is as before");
        }
        assert!(writer.used_bytes() <= ROOM);
        let _ = catch_unwind(AssertUnwindSafe(|| writer.room_for(value, &mut encoder)));
    }
    assert!(block[ROOM..].iter().all(|&byte| byte == 0), "written behind the room");
    // SAFETY: the block is ours and aligned, and the writer is done.
    let reader = unsafe { BatchReader::<T>::new(block.as_ptr(), ROOM, 64) };
    let decode = |index| reader.decode(index, &mut Decoder::new()).map(drop);
    (0..writer.count()).map(decode).collect()
}

/// A list whose resolvers take scratch room, whose items end as the given function does.
struct Ends(fn() -> Result<(), WireFault>);

impl Archive for Ends {
    type Archived = ();
    type Resolver = [u64; 40];

    fn resolve(&self, _: [u64; 40], _: Place<()>) {}
}

impl<S: Fallible + Writer + Allocator + ?Sized> Serialize<S> for Ends
where
    S::Error: Source,
{
    fn serialize(&self, _: &mut S) -> Result<[u64; 40], S::Error> {
        (self.0)().map_err(S::Error::new)?;
        Ok([0; 40])
    }
}

impl<D: Fallible + ?Sized> Deserialize<Ends, D> for () {
    fn deserialize(&self, _: &mut D) -> Result<Ends, D::Error> {
        Ok(Ends(|| Ok(())))
    }
}

/// All in one test, since it counts the memory of the whole program.
#[test]
fn the_worst_is_a_value_that_does_not_decode() {
    std::panic::set_hook(Box::new(|_| {}));
    for lie in [
        Lie::Length,
        Lie::Position(0),
        Lie::Position(100_000),
        Lie::Position(usize::MAX),
        Lie::Position(isize::MAX as usize),
        Lie::Skew,
        Lie::Deafness,
        Lie::Size,
    ] {
        for read in survives(&[Liar(lie), Liar(lie), Liar(Lie::Length), Liar(lie)]) {
            assert_eq!(read, Err(WireFault::Invalid), "{lie:?}");
        }
        let _ = catch_unwind(|| to_bytes(&Liar(lie)).map(drop));
    }
    for read in survives(&[OtherWhenResolved, OtherWhenResolved]) {
        assert_eq!(read, Err(WireFault::Invalid));
    }

    // 320 bytes for each of the items: in the scratch room, and far beyond it.
    let mut encoder = Encoder::new();
    let mut attempt = |len: usize, end: fn() -> Result<(), WireFault>| {
        let mut list: Vec<Ends> = (1..len).map(|_| Ends(|| Ok(()))).collect();
        list.push(Ends(end));
        catch_unwind(AssertUnwindSafe(|| encoder.measure(&vec![list], 0)))
    };
    for len in [3, 1000] {
        assert!(matches!(attempt(len, || Ok(())), Ok(Ok(_))));
        let refused = attempt(len, || Err(WireFault::Overflow));
        assert!(matches!(refused, Ok(Err(WireFault::Overflow))));
        assert!(attempt(len, || panic!("in the middle")).is_err());
        let before = IN_USE.load(Relaxed);
        for _ in 0..100 {
            let _ = attempt(len, || Err(WireFault::Invalid));
            let _ = attempt(len, || panic!("in the middle"));
        }
        let grown = IN_USE.load(Relaxed) - before;
        assert!(grown < 4096, "{grown} bytes are left behind");
        assert!(matches!(attempt(len, || Ok(())), Ok(Ok(_))));
    }
    let _ = std::panic::take_hook();
}
