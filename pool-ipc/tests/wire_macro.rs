//! What may stand in `wire!`: every form of a type, wherever and however it is written.

use std::{collections::BTreeMap, fmt::Debug, marker::PhantomData};

use pool_ipc::{Wire, from_bytes, to_bytes, wire};

wire! {
    /// One.
    /// Two.
    /// Three.
    /// Four.
    /// Five.
    /// Six.
    /// Seven.
    /// Eight.
    /// Nine.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Named {
        /// One.
        /// Two.
        /// Three.
        /// Four.
        /// Five.
        /// Six.
        /// Seven.
        /// Eight.
        /// Nine.
        pub text: String,
        pub(crate) r#type: Option<[u8; 3]>,
        #[cfg(any())]
        missing: nowhere::Missing,
        #[cfg_attr(all(), allow(dead_code))]
        last: (u8, bool)
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Unit;

    #[derive(Debug, Clone, PartialEq)]
    struct Empty {}

    /// For all.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Tuple(pub u8, pub(crate) Named, (u8, char),);

    #[cfg(any())]
    struct Missing(nowhere::Missing);

    #[derive(Debug, Clone, PartialEq)]
    struct Generic<T, U: Clone> { value: T, other: Vec<U> }

    #[derive(Debug, Clone, PartialEq)]
    enum Number { Zero, One = 1, Nine = 4 + 5 }

    #[derive(Debug, Clone, PartialEq)]
    enum Choice {
        #[allow(dead_code)]
        Nothing,
        Tuple(u8, #[allow(dead_code)] Unit),
        Named { generic: Generic<u8, String>, numbers: BTreeMap<u8, Number> },
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Pair<T, U,>(T, Option<U>, BTreeMap<T, Vec<U>>);

    #[derive(Debug, Clone, PartialEq)]
    enum Either<T, U> {
        Neither,
        First(T, PhantomData<U>),
        Both { first: T, second: Box<[U]> },
    }

    // No field of it is looked at.
    #[derive(Debug, Clone, PartialEq)]
    struct Bounded<T>(T, PhantomData<T>) where T: Clone + 'static;

    #[derive(Debug, Clone, PartialEq)]
    struct Last(Bounded<u16>);
}

macro_rules! in_another_macro {
    ($name:ident: $type:ty) => {
        wire! {
            #[derive(Debug, PartialEq)]
            struct $name {
                value: $type,
                values: Vec<$type>,
            }
        }
    };
}

in_another_macro! { Inside: Option<Number> }

fn comes_back<T: Wire + Debug + PartialEq>(value: T) {
    let bytes = to_bytes(&value).expect("it is encoded");
    assert_eq!(from_bytes::<T>(&bytes).expect("it is decoded"), value);
}

#[test]
fn every_form_crosses() {
    let named = Named { text: "a".into(), r#type: Some([1, 2, 3]), last: (1, true) };
    comes_back((Unit, Empty {}, named.clone()));
    comes_back(Tuple(1, named, (2, 'b')));
    let generic = Generic { value: 1, other: vec!["c".into()] };
    let numbers = [(0, Number::Zero), (1, Number::One), (9, Number::Nine)].into();
    comes_back([Choice::Tuple(2, Unit), Choice::Named { generic, numbers }]);
    comes_back(Last(Bounded(7, PhantomData)));
    let second = ['d'].into();
    comes_back([Either::Neither, Either::First(3, PhantomData), Either::Both { first: 4, second }]);
    comes_back(Pair(1, Some('e'), [(2, vec!['f'])].into()));
    comes_back(Inside { value: Some(Number::Nine), values: vec![None] });
}

#[test]
fn types_of_a_function_cross() {
    wire! {
        #[derive(Debug, PartialEq)]
        struct Local { value: [u32; Self::LEN] }

        #[derive(Debug, PartialEq)]
        struct Around(Local);
    }
    impl Local {
        const LEN: usize = 2;
    }
    comes_back(Around(Local { value: [7; Local::LEN] }));
}

macro_rules! many {
    ($($name:ident)*) => {
        wire! { $(#[derive(Debug, PartialEq)] struct $name { value: u8 })* }
    };
}

many! {
    A00 A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A17 A18 A19
    B00 B01 B02 B03 B04 B05 B06 B07 B08 B09 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19
    C00 C01 C02 C03 C04 C05 C06 C07 C08 C09 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19
    D00 D01 D02 D03 D04 D05 D06 D07 D08 D09 D10 D11 D12 D13 D14 D15 D16 D17 D18 D19
    E00 E01 E02 E03 E04 E05 E06 E07 E08 E09 E10 E11 E12 E13 E14 E15 E16 E17 E18 E19
    F00 F01 F02 F03 F04 F05 F06 F07 F08 F09 F10 F11 F12 F13 F14 F15 F16 F17 F18 F19
    G00 G01 G02 G03 G04 G05 G06 G07 G08 G09 G10 G11 G12 G13 G14 G15 G16 G17 G18 G19
}

#[test]
fn many_types_in_one_macro_cross() {
    comes_back((A00 { value: 1 }, G19 { value: 2 }));
}

#[allow(missing_docs, missing_debug_implementations)]
mod owners {
    pub trait Sized4 {
        type Size;
    }

    impl Sized4 for Header {
        type Size = u32;
    }

    pool_ipc::wire! {
        struct Private(u8);

        #[derive(Debug, Clone, PartialEq)]
        pub struct Header {
            pub magic: [u8; Self::LEN],
            pub size: <Self as Sized4>::Size,
        }

        pub struct Holder {
            inner: Private,
        }

        // No field of it is looked at.
        pub struct Bound<T: for<'a> Fn(&'a u32)> {
            pub value: u8,
            pub function: std::marker::PhantomData<T>,
        }
    }

    impl Header {
        const LEN: usize = 4;
    }

    impl Holder {
        pub fn new(value: u8) -> Self {
            Self { inner: Private(value) }
        }

        pub fn value(&self) -> u8 {
            self.inner.0
        }
    }
}

#[test]
fn fields_may_name_their_owner_and_be_less_visible() {
    let header = owners::Header { magic: *b"pool", size: 7 };
    assert_eq!(from_bytes::<owners::Header>(&to_bytes(&header).unwrap()), Ok(header));
    let holder = to_bytes(&owners::Holder::new(3)).unwrap();
    assert_eq!(from_bytes::<owners::Holder>(&holder).unwrap().value(), 3);
}
