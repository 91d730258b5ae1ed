//! The guard of fields that lead back to their own type.
//!
//! Invariant: a value that is encoded through such fields goes at most [`MAX_DEPTH`] of them deep,
//! so the recursion of its `Serialize` ends in a fault before the stack does. rkyv calls the
//! encoder only on the way back, so nothing else sees the depth.

use std::cell::Cell;

use rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::{Fallible, Source},
    with::{ArchiveWith, DeserializeWith, SerializeWith},
};

use super::WireFault;

/// How many of such fields may lie within each other.
const MAX_DEPTH: usize = 1000;

std::thread_local! {
    /// How deep this thread is in fields of values that it encodes: all of them lie on its one
    /// stack.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Bounds how deep a type that contains itself may be when it is encoded: `#[rkyv(omit_bounds, with
/// = Recursive)]` on each field that leads back to the type.
///
/// A value that is nested more than 1000 deep is [`WireFault::TooDeep`]. Without the wrapper a deep
/// one overflows the stack of the thread that sends it. The archive is the same with it and
/// without.
///
/// ```
/// # use pool_ipc::{self as pool_api, from_bytes, to_bytes};
/// use pool_api::{Recursive, WireFault};
///
/// pool_api::wire! {
///     #[rkyv(
///         serialize_bounds(
///             __S: pool_api::rkyv::ser::Writer,
///             __S::Error: pool_api::rkyv::rancor::Source,
///         ),
///         deserialize_bounds(__D::Error: pool_api::rkyv::rancor::Source),
///         bytecheck(bounds(
///             __C: pool_api::rkyv::validation::ArchiveContext,
///             __C::Error: pool_api::rkyv::rancor::Source,
///         )),
///     )]
///     struct List {
///         value: u32,
///         #[rkyv(omit_bounds, with = Recursive)]
///         next: Option<Box<List>>,
///     }
/// }
/// let list = |len| (1..len).fold(List { value: 0, next: None }, |next, value| List { value, next: Some(Box::new(next)) });
/// let deepest = list(1000); // crosses
/// let too_deep = list(1001); // `WireFault::TooDeep`
/// # assert_eq!(from_bytes::<List>(&to_bytes(&deepest)?)?.value, 999);
/// # assert_eq!(to_bytes(&too_deep).unwrap_err(), WireFault::TooDeep);
/// # Ok::<(), WireFault>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Recursive;

/// One level, as long as it lives.
struct Level;

impl Level {
    fn enter() -> Result<Self, WireFault> {
        let depth = DEPTH.get();
        if depth >= MAX_DEPTH {
            return Err(WireFault::TooDeep);
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl<F: Archive> ArchiveWith<F> for Recursive {
    type Archived = F::Archived;
    type Resolver = F::Resolver;

    fn resolve_with(field: &F, resolver: F::Resolver, out: Place<F::Archived>) {
        field.resolve(resolver, out);
    }
}

impl<F, S> SerializeWith<F, S> for Recursive
where
    F: Serialize<S>,
    S: Fallible<Error: Source> + ?Sized,
{
    fn serialize_with(field: &F, serializer: &mut S) -> Result<F::Resolver, S::Error> {
        let _level = Level::enter().map_err(Source::new)?;
        field.serialize(serializer)
    }
}

impl<F, D> DeserializeWith<F::Archived, F, D> for Recursive
where
    F: Archive<Archived: Deserialize<F, D>>,
    D: Fallible + ?Sized,
{
    fn deserialize_with(archived: &F::Archived, deserializer: &mut D) -> Result<F, D::Error> {
        archived.deserialize(deserializer)
    }
}
