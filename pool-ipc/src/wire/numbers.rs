//! Lists of numbers: checked and copied as a whole, where rkyv goes from element to element.
//!
//! Every bit pattern is a number, so only the place of the list has to be checked. Optimised
//! programs do that anyway; unoptimised ones would look at each byte of a `Vec<u8>` for seconds.
//!
//! Invariant: an archive that is not found right here is checked as any other (`decoder.rs`), so
//! this only ever accepts, and what it accepts rkyv accepts too.

use std::{
    alloc::Layout,
    any::{Any, TypeId},
};

use rkyv::{Archive, RelPtr, api::root_position, primitive::ArchivedUsize, vec::ArchivedVec};

/// Shorter archives are checked by rkyv: the search for their type would take as long.
const WORTHWHILE: usize = 16 << 10;

/// Hands the types of numbers to a macro.
macro_rules! of_numbers {
    ($macro:ident) => { $macro!(u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64) };
}

/// A kind of lists whose elements accept every bit pattern, and have the very bytes that they have
/// in an archive.
#[derive(Clone, Copy)]
struct List {
    /// One element in an archive.
    element: Layout,
    /// Puts a `Vec` of the bytes into an `Option` of that type; fails without memory.
    fill: fn(bytes: &[u8], into: &mut dyn Any) -> Option<()>,
}

/// An [`ArchivedVec`], whose fields rkyv lends to none before it has checked all elements.
#[repr(C)]
struct Root {
    first: RelPtr<u8>,
    len: ArchivedUsize,
}

const _: () = assert!(
    size_of::<Root>() == size_of::<ArchivedVec<u8>>()
        && align_of::<Root>() == align_of::<ArchivedVec<u8>>(),
    "the root of a list has two fields"
);

/// Whether `archive` is a valid one of `T`, a long list of numbers. Otherwise nothing is said.
#[inline]
pub(super) fn is_valid<T: 'static>(archive: &[u8]) -> bool {
    archive.len() >= WORTHWHILE
        && List::of(TypeId::of::<T>()).is_some_and(|list| elements(archive, list.element).is_some())
}

/// The value of `archive`, if that is a valid one of `T`, a long list of numbers.
#[inline]
pub(crate) fn decode_numbers<T: 'static>(archive: &[u8]) -> Option<T> {
    if archive.len() < WORTHWHILE {
        return None;
    }
    let list = List::of(TypeId::of::<T>())?;
    let mut value = None::<T>;
    (list.fill)(elements(archive, list.element)?, &mut value)?;
    value
}

/// Whether `T` is a number, `bool`, `char` or `()`: coding or dropping it runs no code but rkyv's.
/// (Optimised programs know the answer when they are compiled.)
#[inline]
#[must_use]
pub fn is_scalar<T: 'static>() -> bool {
    macro_rules! any {
        ($($number:ty)*) => { $(TypeId::of::<T>() == TypeId::of::<$number>())||* };
    }
    let is = |scalar: TypeId| TypeId::of::<T>() == scalar;
    of_numbers!(any)
        || is(TypeId::of::<bool>())
        || is(TypeId::of::<char>())
        || is(TypeId::of::<()>())
}

impl List {
    /// The kind that `list` is of.
    fn of(list: TypeId) -> Option<Self> {
        macro_rules! find {
            ($($number:ty)*) => {
                $(find!(@ $number, [$number; 2], [$number; 3], [$number; 4]);)*
            };
            (@ $($element:ty),*) => {
                $(if list == TypeId::of::<Vec<$element>>() {
                    // SAFETY: a number, or an array of them, accepts every bit pattern.
                    return unsafe { Self::new::<$element>() };
                })*
            };
        }
        of_numbers!(find);
        None
    }

    /// None where numbers have other bytes in an archive, as rkyv's features may have it.
    ///
    /// # Safety
    ///
    /// Every bit pattern is an `E`, and a `E::Archived`.
    unsafe fn new<E: Archive + Copy + 'static>() -> Option<Self> {
        let same = E::COPY_OPTIMIZATION.is_enabled() && size_of::<E>() == size_of::<E::Archived>();
        let fill = |bytes: &[u8], into: &mut dyn Any| {
            let len = bytes.len() / size_of::<E>();
            let mut values = Vec::<E>::new();
            values.try_reserve_exact(len).ok()?;
            // SAFETY: there is room for `len` elements, which all bytes are (promised to `new`;
            // an archive has the very bytes of a value: `COPY_OPTIMIZATION`).
            unsafe {
                let target = values.as_mut_ptr().cast::<u8>();
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, len * size_of::<E>());
                values.set_len(len);
            }
            *into.downcast_mut::<Option<Vec<E>>>()? = Some(values);
            Some(())
        };
        same.then_some(Self { element: Layout::new::<E::Archived>(), fill })
    }
}

/// The bytes of all elements of the list in `archive`, if they lie before its root and are aligned:
/// what rkyv's own check asks for.
fn elements(archive: &[u8], element: Layout) -> Option<&[u8]> {
    let at = root_position::<ArchivedVec<u8>>(archive.len());
    let root = archive.get(at..)?.as_ptr().cast::<Root>();
    if archive.len() - at != size_of::<Root>() || !root.is_aligned() {
        return None;
    }
    // SAFETY: within the archive and aligned, as just checked; its fields are numbers, which every
    // bit pattern is.
    let root = unsafe { &*root };
    let first = root.first.as_ptr_wrapping();
    let start = first.addr().checked_sub(archive.as_ptr().addr())?;
    let len = usize::try_from(root.len.to_native()).ok()?.checked_mul(element.size())?;
    let end = start.checked_add(len).filter(|end| *end <= at)?;
    first.addr().is_multiple_of(element.align()).then(|| &archive[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlignedBytes, Wire, from_bytes, to_bytes, view_bytes};

    fn crosses<T: Wire + PartialEq>(value: &T) {
        let archive = to_bytes(value).unwrap();
        assert!(is_valid::<T>(&archive), "{}", std::any::type_name::<T>());
        assert!(decode_numbers::<T>(&archive).as_ref() == Some(value));
        assert!(from_bytes::<T>(&archive).as_ref() == Ok(value));
        assert!(view_bytes::<T>(&archive).is_ok());
        // A byte less, at either end, is no archive.
        assert!(from_bytes::<T>(&archive[..archive.len() - 1]).is_err());
        assert!(from_bytes::<T>(&archive[AlignedBytes::ALIGN..]).is_err());
    }

    #[test]
    fn lists_of_numbers_come_back() {
        crosses(&(0..40_000).map(|i| i as u8).collect::<Vec<_>>());
        crosses(&(0..20_000).map(|i| i as i16).collect::<Vec<_>>());
        crosses(&(0..9_000).map(|i| i << 30).collect::<Vec<usize>>());
        crosses(&(0..2_000).map(|i| i << 100).collect::<Vec<u128>>());
        crosses(&(0..9_000).map(|i| [i as f32, 0.5, -1.5]).collect::<Vec<_>>());
        crosses(&(0..9_000).map(|i| [f64::from(i), 1.0]).collect::<Vec<_>>());
    }

    #[test]
    fn other_types_and_short_ones_are_left_to_rkyv() {
        assert!(!is_valid::<Vec<bool>>(&to_bytes(&vec![true; 40_000]).unwrap()));
        assert!(!is_valid::<Vec<char>>(&to_bytes(&vec!['a'; 40_000]).unwrap()));
        assert!(!is_valid::<Vec<[bool; 2]>>(&to_bytes(&vec![[true; 2]; 40_000]).unwrap()));
        assert!(!is_valid::<Vec<u8>>(&to_bytes(&vec![1u8; 100]).unwrap()));
        assert!(!is_valid::<String>(&to_bytes(&"a".repeat(40_000)).unwrap()));
    }

    /// Roots that lead elsewhere are judged as rkyv does.
    #[test]
    fn wild_roots_are_refused() {
        let archive = to_bytes(&vec![7u32; 10_000]).unwrap();
        let at = archive.len() - size_of::<Root>();
        let half = size_of::<Root>() / 2;
        let native = |offset: usize| {
            let mut number = [0; 8];
            number[..half].copy_from_slice(&archive[at + offset..at + offset + half]);
            i64::from_le_bytes(number)
        };
        let (first, len) = (native(0), native(half));
        let forged = |offset: usize, number: i64| {
            let mut bytes = AlignedBytes::new();
            // SAFETY: the archive is readable.
            unsafe { bytes.copy_from(archive.as_ptr(), archive.len(), 0) };
            let number = &number.to_le_bytes()[..half];
            // SAFETY: within the copy.
            unsafe {
                let target = bytes.as_mut_ptr().add(at + offset);
                std::ptr::copy_nonoverlapping(number.as_ptr(), target, half);
            }
            from_bytes::<Vec<u32>>(&bytes).is_ok()
        };
        assert!(forged(0, first) && forged(half, len) && forged(half, len - 1));
        for wild in [first - 4, first + 4, first + 1, 0, 4, i64::MAX, i64::MIN, first - 128] {
            assert!(!forged(0, wild), "{wild}");
        }
        for wild in [len + 1, len + 4, i64::MAX, i64::MIN, -1, 1 << 62] {
            assert!(!forged(half, wild), "{wild}");
        }
    }
}
