//! The macro that makes an own type `Wire` with one dependency.
//!
//! Beside rkyv's derives it names each field's type once more, where the compiler is asked whether
//! the type can cross: so an error points at the field, in words of this crate. In types with
//! parameters the question is asked with `u32` for each of them, and only if no parameter has a
//! bound: such a type must be valid for every argument.
//!
//! The derives' own errors stay behind these, and point at the whole invocation. The compiler
//! checks the bounds in the derived impls by themselves, since no parameter occurs in them, and
//! gives them the place of the derive's name, which is a word of the macro and not of its caller.
//! rkyv has no attribute that removes the bound on `Portable`, and one that replaces the others
//! (`with`) has numbers no longer copied as a whole.

/// Puts rkyv's derives, and the path of the re-exported rkyv, on structs and enums.
///
/// ```
/// # use pool_ipc as pool_api;
/// pool_api::wire! {
///     #[derive(Debug, PartialEq)]
///     pub struct Row { pub name: String, pub values: Vec<f64> }
///
///     #[derive(Debug, PartialEq)]
///     pub enum Verdict { Keep(Row), Drop }
/// }
/// // Both are `Wire` now: they can be items, results, contexts.
/// # let row = Row { name: "a".into(), values: vec![1.5] };
/// # let bytes = pool_ipc::to_bytes(&Verdict::Keep(row)).unwrap();
/// # assert!(matches!(pool_ipc::from_bytes::<Verdict>(&bytes), Ok(Verdict::Keep(r)) if r.name == "a"));
/// ```
///
/// An enum named `Tag` needs `#[rkyv(archived = TagArchive)]` (any other name), since rkyv's derive
/// has an `ArchivedTag` of its own. A key of a map needs `#[rkyv(derive(PartialEq, Eq, Hash))]`, of
/// a `BTreeMap` `PartialOrd, Ord` instead of `Hash`.
#[macro_export]
macro_rules! wire {
    ($($tokens:tt)*) => {
        // First, so that what it says comes before what the derives have the compiler say.
        $crate::wire_fields! {
            @items [;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;] $($tokens)*
        }
        $crate::wire_derives! { $($tokens)* }
    };
}

/// The derives of [`wire!`](crate::wire).
#[doc(hidden)]
#[macro_export]
macro_rules! wire_derives {
    ($($item:item)*) => {
        $(
            #[derive(
                $crate::rkyv::Archive,
                $crate::rkyv::Serialize,
                $crate::rkyv::Deserialize,
            )]
            #[rkyv(crate = $crate::rkyv)]
            $item
        )*
    };
}

/// Asks of each field in [`wire!`](crate::wire) whether it can cross.
///
/// The semicolons are how many items or attributes are still looked at, since each is a macro in
/// the one before, and the compiler bounds how deep that goes (128). Fields and items with an
/// attribute that may change what they are (`rkyv`, `cfg`) are left to the derives.
#[doc(hidden)]
#[macro_export]
macro_rules! wire_fields {
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis struct $name:ident { $($fields:tt)* } $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @named [$name] $($fields)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis struct $name:ident ( $($fields:tt)* ) ; $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @tuple [$name] $($fields)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis enum $name:ident { $($variants:tt)* } $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @variants [$name] $($variants)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis struct $name:ident ; $($rest:tt)*
    ) => {
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis struct $name:ident < $($parameter:ident),* $(,)? >
        { $($fields:tt)* } $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @named [$name $($parameter)*] $($fields)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis struct $name:ident < $($parameter:ident),* $(,)? >
        ( $($fields:tt)* ) ; $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @tuple [$name $($parameter)*] $($fields)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    (
        @items [;$($left:tt)*]
        $(#[$($attribute:tt)*])* $vis:vis enum $name:ident < $($parameter:ident),* $(,)? >
        { $($variants:tt)* } $($rest:tt)*
    ) => {
        $crate::wire_fields! {
            @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
            [$([$($attribute)*])*] @variants [$name $($parameter)*] $($variants)*
        }
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    // An item that is not looked at.
    (@items [;$($left:tt)*] $item:item $($rest:tt)*) => {
        $crate::wire_fields! { @items [$($left)*] $($rest)* }
    };
    // The end, or too many items.
    (@items $($rest:tt)*) => {};

    (@attributes $left:tt [[cfg $($_1:tt)*] $($more:tt)*] $($what:tt)*) => {};
    (@attributes $left:tt [[cfg_attr $($_1:tt)*] $($more:tt)*] $($what:tt)*) => {};
    (
        @attributes [;$($left:tt)*]
        [
            [doc $($_1:tt)*] [doc $($_2:tt)*] [doc $($_3:tt)*] [doc $($_4:tt)*]
            [doc $($_5:tt)*] [doc $($_6:tt)*] [doc $($_7:tt)*] [doc $($_8:tt)*]
            $($more:tt)*
        ]
        $($what:tt)*
    ) => {
        $crate::wire_fields! { @attributes [$($left)*] [$($more)*] $($what)* }
    };
    (@attributes [;$($left:tt)*] [$attribute:tt $($more:tt)*] $($what:tt)*) => {
        $crate::wire_fields! { @attributes [$($left)*] [$($more)*] $($what)* }
    };
    (@attributes $left:tt [] $($what:tt)*) => {
        $crate::wire_fields! { $($what)* }
    };
    (@attributes $($rest:tt)*) => {};

    (
        @variants $owner:tt $(
            $(#[$($attribute:tt)*])* $name:ident
            $({ $($named:tt)* })? $(( $($tuple:tt)* ))? $(= $number:expr)?
        ),* $(,)?
    ) => {
        $(
            $crate::wire_fields! {
                @attributes [;;;;;;;;;;;;;;;;;;;;;;;;]
                [$([$($attribute)*])*] @variant $owner $({ $($named)* })? $(( $($tuple)* ))?
            }
        )*
    };
    (@variant $owner:tt { $($fields:tt)* }) => {
        $crate::wire_fields! { @named $owner $($fields)* }
    };
    (@variant $owner:tt ( $($fields:tt)* )) => {
        $crate::wire_fields! { @tuple $owner $($fields)* }
    };
    (@named $owner:tt $($(#[$($attribute:tt)*])* $vis:vis $name:ident : $type:ty),* $(,)?) => {
        $(
            $crate::wire_fields! {
                @field [;;;;;;;;;;;;;;;;;;;;;;;;]
                [$([$($attribute)*])*] $owner $type
            }
        )*
    };
    (@tuple $owner:tt $($(#[$($attribute:tt)*])* $vis:vis $type:ty),* $(,)?) => {
        $(
            $crate::wire_fields! {
                @field [;;;;;;;;;;;;;;;;;;;;;;;;]
                [$([$($attribute)*])*] $owner $type
            }
        )*
    };

    (@field $left:tt [[rkyv $($_1:tt)*] $($more:tt)*] $owner:tt $type:ty) => {};
    (@field $left:tt [[cfg $($_1:tt)*] $($more:tt)*] $owner:tt $type:ty) => {};
    (@field $left:tt [[cfg_attr $($_1:tt)*] $($more:tt)*] $owner:tt $type:ty) => {};
    (
        @field [;$($left:tt)*]
        [
            [doc $($_1:tt)*] [doc $($_2:tt)*] [doc $($_3:tt)*] [doc $($_4:tt)*]
            [doc $($_5:tt)*] [doc $($_6:tt)*] [doc $($_7:tt)*] [doc $($_8:tt)*]
            $($more:tt)*
        ]
        $owner:tt $type:ty
    ) => {
        $crate::wire_fields! { @field [$($left)*] [$($more)*] $owner $type }
    };
    (@field [;$($left:tt)*] [$attribute:tt $($more:tt)*] $owner:tt $type:ty) => {
        $crate::wire_fields! { @field [$($left)*] [$($more)*] $owner $type }
    };
    // (The type is that of the owner's field, so that `Self` in it means the owner.)
    (@field $left:tt [] [$owner:ident] $type:ty) => {
        const _: () = {
            struct __WireField;
            impl $crate::FieldType<__WireField> for $owner {
                type Type = $type;
            }
        };
    };
    (@field $left:tt [] [$owner:ident $($parameter:ident)*] $type:ty) => {
        const _: () = {
            struct __WireField;
            $(type $parameter = u32;)*
            impl $crate::FieldType<__WireField> for $owner<$($parameter),*> {
                type Type = $type;
            }
        };
    };
    // Nothing is asked of what the derives say better, such as a field without a type.
    ($($rest:tt)*) => {};
}
