//! The types whose values may lie in shared memory without a lock: numbers, and `bool`.
//!
//! Invariant: every bit pattern that another process may write is read as some value of the type.

use super::cell::{Bits, Cell};
use crate::ElementType;

/// A type whose values can be accessed by several processes at once: `u8` to `u64`, `i8` to `i64`,
/// `usize`, `isize`, `f32`, `f64` and `bool`. No other type can be.
pub trait Element: sealed::Element {}

/// An [`Element`] to calculate with: all but `bool`.
pub trait Number: Element + sealed::Number {}

/// An [`Element`] that consists of bits: integers and `bool`.
pub trait Bitwise: Element + sealed::Bitwise {}

pub(crate) mod sealed {
    use super::{Bits, Cell, ElementType};

    pub trait Element: Copy + PartialEq + Send + Sync + std::fmt::Debug + 'static {
        /// The integer that one instruction accesses in place of the value.
        type Bits: Bits;

        /// The name of the element type in every process.
        const TYPE: ElementType;

        const ZERO: Self;

        fn to_bits(self) -> Self::Bits;

        /// The value that any bits stand for.
        fn from_bits(bits: Self::Bits) -> Self;

        /// Whether a reference to these bits may be made one to the values.
        fn are_plain(_: &[Self::Bits]) -> bool {
            true
        }

        /// Makes these bits plain, where they stand for a value in another way.
        fn make_plain(_: &mut [Self::Bits]) {}
    }

    pub trait Number: Element + PartialOrd {
        fn fetch_add(cell: Cell<Self>, value: Self) -> Self;
        fn fetch_sub(cell: Cell<Self>, value: Self) -> Self;
        fn smaller(self, other: Self) -> Self;
        fn larger(self, other: Self) -> Self;
    }

    pub trait Bitwise: Element {
        fn and(self, other: Self) -> Self;
        fn or(self, other: Self) -> Self;
        fn xor(self, other: Self) -> Self;
    }
}

macro_rules! integers {
    ($($type:ident: $bits:ident = $tag:literal),* $(,)?) => { $(
        impl Element for $type {}
        impl Number for $type {}
        impl Bitwise for $type {}

        impl sealed::Element for $type {
            type Bits = $bits;
            const TYPE: ElementType = ElementType::fixed($tag, size_of::<$type>() as u32);
            const ZERO: Self = 0 as $type;

            #[inline]
            fn to_bits(self) -> $bits {
                self as $bits
            }

            #[inline]
            fn from_bits(bits: $bits) -> Self {
                bits as $type
            }
        }

        impl sealed::Number for $type {
            #[inline]
            fn fetch_add(cell: Cell<Self>, value: Self) -> Self {
                cell.fetch_add(value)
            }

            #[inline]
            fn fetch_sub(cell: Cell<Self>, value: Self) -> Self {
                cell.fetch_add(value.wrapping_neg())
            }

            #[inline]
            fn smaller(self, other: Self) -> Self {
                self.min(other)
            }

            #[inline]
            fn larger(self, other: Self) -> Self {
                self.max(other)
            }
        }

        bitwise!($type);
    )* };
}

macro_rules! bitwise {
    ($type:ident) => {
        impl sealed::Bitwise for $type {
            #[inline]
            fn and(self, other: Self) -> Self {
                self & other
            }

            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }

            #[inline]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
        }
    };
}

macro_rules! floats {
    ($($type:ident: $bits:ident = $tag:literal),* $(,)?) => { $(
        impl Element for $type {}
        impl Number for $type {}

        impl sealed::Element for $type {
            type Bits = $bits;
            const TYPE: ElementType = ElementType::fixed($tag, size_of::<$type>() as u32);
            const ZERO: Self = 0 as $type;

            #[inline]
            fn to_bits(self) -> $bits {
                self.to_bits()
            }

            #[inline]
            fn from_bits(bits: $bits) -> Self {
                $type::from_bits(bits)
            }
        }

        impl sealed::Number for $type {
            #[inline]
            fn fetch_add(cell: Cell<Self>, value: Self) -> Self {
                cell.update(|now| now + value)
            }

            #[inline]
            fn fetch_sub(cell: Cell<Self>, value: Self) -> Self {
                cell.update(|now| now - value)
            }

            #[inline]
            fn smaller(self, other: Self) -> Self {
                self.min(other)
            }

            #[inline]
            fn larger(self, other: Self) -> Self {
                self.max(other)
            }
        }
    )* };
}

integers! {
    u8: u8 = 1,
    u16: u16 = 2,
    u32: u32 = 3,
    u64: u64 = 4,
    i8: u8 = 5,
    i16: u16 = 6,
    i32: u32 = 7,
    i64: u64 = 8,
}

#[cfg(target_pointer_width = "64")]
integers! { usize: u64 = 9, isize: u64 = 10 }

#[cfg(target_pointer_width = "32")]
integers! { usize: u32 = 9, isize: u32 = 10 }

floats! { f32: u32 = 11, f64: u64 = 12 }

impl Element for bool {}
impl Bitwise for bool {}
bitwise!(bool);

impl sealed::Element for bool {
    type Bits = u8;
    const TYPE: ElementType = ElementType::fixed(13, 1);
    const ZERO: Self = false;

    #[inline]
    fn to_bits(self) -> u8 {
        u8::from(self)
    }

    #[inline]
    fn from_bits(bits: u8) -> Self {
        bits != 0
    }

    fn are_plain(bits: &[u8]) -> bool {
        bits.iter().all(|byte| *byte < 2)
    }

    fn make_plain(bits: &mut [u8]) {
        bits.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
    }
}
