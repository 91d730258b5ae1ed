//! The trait that says what may cross.

use rkyv::{Archive, Deserialize, Serialize, bytecheck::CheckBytes};

use super::{WireCheck, WireDecode, WireEncode};

// The texts stand once, for the trait that users name and for those that it is made of.
macro_rules! in_plain_words {
    ($($definition:item)*) => {
        $(
            #[diagnostic::on_unimplemented(
                message = "`{Self}` cannot cross a process boundary",
                label = "this, or a part of it, cannot be sent to another process",
                note = "an own type crosses when its definition stands in `wire! {{ … }}`, as \
                    well as those of the types in it; or derive `Archive`, `Serialize` and \
                    `Deserialize` of `pool_api::rkyv`, with `#[rkyv(crate = pool_api::rkyv)]`",
                note = "`Arc` and `Rc` do not cross, since what they share ends at the process: \
                    send the value itself, or hand one value to all tasks by \
                    `tasks(items).with(value)` or `builder().shared(value)`",
                note = "a `PathBuf` crosses as text: mark the field of a type in `wire!` by \
                    `#[rkyv(with = pool_api::rkyv::with::AsString)]`, or send a `String`",
                note = "a type with serde's `Serialize` and `Deserialize` crosses inside of a `Serde` \
                    or a `SerdeDyn` of `pool_api`, with its feature `serde`",
                note = "the key of a `HashMap` needs `#[rkyv(derive(PartialEq, Eq, Hash))]` on its \
                    type in `wire!`, that of a `BTreeMap` \
                    `#[rkyv(derive(PartialEq, Eq, PartialOrd, Ord))]`",
                note = "borrowed data, closures in a `Box` and trait objects do not cross: send an \
                    owned `String`, `Vec`, enum, … instead"
            )]
            $definition
        )*
    };
}

in_plain_words! {
    /// A value that may cross a process boundary: owned, sendable between threads, and encodable.
    ///
    /// Implemented for every type that has rkyv's three derives and consists of such types.
    /// Numbers, `String`, `Vec`, `Option`, `Result`, tuples, arrays, maps and sets of them are
    /// `Wire`; for an own type write [`wire!`](crate::wire) around it.
    ///
    /// Not `Wire`: borrowed data (`&str`), `Rc` and `Arc` (sharing cannot survive a process
    /// boundary), `PathBuf` and `OsString` (send a `String`), boxed closures and trait objects.
    ///
    /// ```
    /// fn crosses<T: pool_ipc::Wire>() {}
    /// crosses::<(String, Vec<Option<f64>>)>();
    /// ```
    ///
    /// A borrow cannot cross:
    ///
    /// ```compile_fail,E0277
    /// fn crosses<T: pool_ipc::Wire>() {}
    /// crosses::<&'static str>();
    /// ```
    ///
    /// nor a type that is not `Send`, since threads move the value itself (a marker field passes
    /// rkyv's derives, so the bound is spelled out):
    ///
    /// ```compile_fail,E0277
    /// pool_ipc::wire! { struct Tied { value: u32, tie: std::marker::PhantomData<*const ()> } }
    /// fn crosses<T: pool_ipc::Wire>() {}
    /// crosses::<Tied>();
    /// ```
    ///
    /// nor a type without the derives:
    ///
    /// ```compile_fail,E0277
    /// struct Plain { value: u32 }
    /// fn crosses<T: pool_ipc::Wire>() {}
    /// crosses::<Plain>();
    /// ```
    pub trait Wire:
        Sized
        + Send
        + 'static
        + Serialize<WireEncode>
        + Archive<Archived: for<'a> CheckBytes<WireCheck<'a>> + Deserialize<Self, WireDecode>>
    {
    }

    /// What [`Wire`] asks of a type's archive.
    ///
    /// It is a trait of its own so that the compiler names the type and what to do about it, where
    /// rkyv's bounds would have it name the serializer.
    #[doc(hidden)]
    pub trait Encodable:
        Sized
        + Serialize<WireEncode>
        + Archive<Archived: for<'a> CheckBytes<WireCheck<'a>> + Deserialize<Self, WireDecode>>
    {
    }

    /// [`Encodable`] for the type of a field in [`wire!`](crate::wire). It has no traits above it,
    /// since the compiler would name each of those first.
    #[doc(hidden)]
    pub trait EncodableField {}
}

impl<T: Encodable + Send + 'static> Wire for T {}

#[diagnostic::do_not_recommend]
impl<T> Encodable for T
where
    T: Serialize<WireEncode>,
    T: Archive<Archived: for<'a> CheckBytes<WireCheck<'a>> + Deserialize<T, WireDecode>>,
{
}

#[diagnostic::do_not_recommend]
impl<T: Encodable> EncodableField for T {}

/// The type `F` stands for a field in [`wire!`](crate::wire): the compiler says of the field's type
/// whether it can cross.
#[doc(hidden)]
pub trait FieldType<F> {
    type Type: EncodableField;
}
