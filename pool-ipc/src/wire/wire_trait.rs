//! The trait that says what may cross.

use rkyv::{Archive, Deserialize, Serialize, bytecheck::CheckBytes};

use super::{WireCheck, WireDecode, WireEncode};

/// A value that may cross a process boundary: owned, sendable between threads, and encodable.
///
/// Implemented for every type that has rkyv's three derives and consists of such types. Numbers,
/// `String`, `Vec`, `Option`, `Result`, tuples, arrays, maps and sets of them are `Wire`; for an own
/// type write [`wire!`](crate::wire) around it.
///
/// Not `Wire`: borrowed data (`&str`), `Rc` and `Arc` (sharing cannot survive a process boundary:
/// for these the compiler names an inner bound such as `Sharing`), `PathBuf` and `OsString` (send a
/// `String`), boxed closures and trait objects.
///
/// ```
/// # use pool_ipc as pool_api;
/// fn crosses<T: pool_api::Wire>() {}
/// crosses::<(String, Vec<Option<f64>>)>();
/// ```
///
/// A borrow cannot cross:
///
/// ```compile_fail,E0277
/// # use pool_ipc as pool_api;
/// fn crosses<T: pool_api::Wire>() {}
/// crosses::<&'static str>();
/// ```
///
/// nor a type that is not `Send`, since threads move the value itself (a marker field passes rkyv's
/// derives, so the bound is spelled out):
///
/// ```compile_fail,E0277
/// # use pool_ipc as pool_api;
/// pool_api::wire! { struct Tied { value: u32, tie: std::marker::PhantomData<*const ()> } }
/// fn crosses<T: pool_api::Wire>() {}
/// crosses::<Tied>();
/// ```
///
/// nor a type without the derives:
///
/// ```compile_fail,E0277
/// # use pool_ipc as pool_api;
/// struct Plain { value: u32 }
/// fn crosses<T: pool_api::Wire>() {}
/// crosses::<Plain>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross a process boundary",
    label = "not `Wire`",
    note = "wrap the definition of an own type in `wire! {{ … }}`, or derive `rkyv::Archive`, `rkyv::Serialize` and `rkyv::Deserialize` for it",
    note = "borrowed data, `Rc`, `Arc`, paths and trait objects cannot cross: send an owned `String`, `Vec`, … instead"
)]
pub trait Wire:
    Sized
    + Send
    + 'static
    + Serialize<WireEncode>
    + Archive<Archived: for<'a> CheckBytes<WireCheck<'a>> + rkyv::Deserialize<Self, WireDecode>>
{
}

impl<T> Wire for T
where
    T: Send + 'static + Serialize<WireEncode>,
    T: Archive<Archived: for<'a> CheckBytes<WireCheck<'a>> + Deserialize<T, WireDecode>>,
{
}
