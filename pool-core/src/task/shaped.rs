//! The form of a function whose argument is made of an item.

use std::{fmt, marker::PhantomData};

use pool_ipc::{AlignedBytes, Decoder, Wire, WireFault};

use super::{
    form::{Form, ItemAt, Portable, Surroundings, sealed::Sealed},
    shapes::{Argument, InPlace, NoItem, Owned, Plain, Shape},
    shared_type::SharedType,
};

/// How an item gets to a task's function: implemented by [`Owned`], [`InPlace`] and [`NoItem`].
pub trait FromItem: Argument {
    /// The item on its way to a worker thread.
    #[doc(hidden)]
    type ThreadItem<A: Wire>: Send;

    /// Fails where `pack` would.
    #[doc(hidden)]
    fn check<A: Wire>(_item: &A) -> Result<(), WireFault> {
        Ok(())
    }

    /// Makes an item ready for a worker thread.
    #[doc(hidden)]
    fn pack<A: Wire>(item: A) -> Result<Self::ThreadItem<A>, WireFault>;

    /// The text of an item on its way to a worker thread, if it has one.
    #[doc(hidden)]
    fn text_of<A: Wire>(_: &Self::ThreadItem<A>, _: fn(&A) -> String) -> Option<String> {
        None
    }

    /// Hands the argument to `run`, in a worker thread.
    #[doc(hidden)]
    fn unpack<A: Wire, T>(item: Self::ThreadItem<A>, run: impl FnOnce(Self::Arg<'_, A>) -> T) -> T;

    /// Hands the argument to `run`, in a worker process.
    #[doc(hidden)]
    fn read<A: Wire, T>(
        item: &ItemAt<'_, A>,
        decoder: &mut Decoder,
        run: impl FnOnce(Self::Arg<'_, A>, &mut Decoder) -> Result<T, WireFault>,
    ) -> Result<T, WireFault>;
}

impl FromItem for Owned {
    type ThreadItem<A: Wire> = A;

    fn text_of<A: Wire>(item: &A, text_of: fn(&A) -> String) -> Option<String> {
        Some(text_of(item))
    }

    fn pack<A: Wire>(item: A) -> Result<A, WireFault> {
        Ok(item)
    }

    #[inline]
    fn unpack<A: Wire, T>(item: A, run: impl FnOnce(A) -> T) -> T {
        run(item)
    }

    #[inline]
    fn read<A: Wire, T>(
        item: &ItemAt<'_, A>,
        decoder: &mut Decoder,
        run: impl FnOnce(A, &mut Decoder) -> Result<T, WireFault>,
    ) -> Result<T, WireFault> {
        match item.reader.decode(item.index, decoder) {
            Ok(item) => run(item, decoder),
            Err(fault) => Err(fault),
        }
    }
}

impl FromItem for InPlace {
    type ThreadItem<A: Wire> = AlignedBytes;

    fn check<A: Wire>(item: &A) -> Result<(), WireFault> {
        pool_ipc::to_bytes(item).map(drop)
    }

    fn pack<A: Wire>(item: A) -> Result<AlignedBytes, WireFault> {
        pool_ipc::to_bytes(&item)
    }

    fn unpack<A: Wire, T>(item: AlignedBytes, run: impl FnOnce(&A::Archived) -> T) -> T {
        run(pool_ipc::view_bytes::<A>(&item).expect("the bytes were encoded by `pack`"))
    }

    #[inline]
    fn read<A: Wire, T>(
        item: &ItemAt<'_, A>,
        decoder: &mut Decoder,
        run: impl FnOnce(&A::Archived, &mut Decoder) -> Result<T, WireFault>,
    ) -> Result<T, WireFault> {
        item.reader.view(item.index, |archive| run(archive, decoder))?
    }
}

impl FromItem for NoItem {
    type ThreadItem<A: Wire> = ();

    fn pack<A: Wire>(_: A) -> Result<(), WireFault> {
        Ok(())
    }

    fn unpack<A: Wire, T>((): (), run: impl FnOnce(()) -> T) -> T {
        run(())
    }

    fn read<A: Wire, T>(
        _: &ItemAt<'_, A>,
        decoder: &mut Decoder,
        run: impl FnOnce((), &mut Decoder) -> Result<T, WireFault>,
    ) -> Result<T, WireFault> {
        run((), decoder)
    }
}

/// A function of shape `H` whose argument, of kind `K`, is made of an item of type `A`.
pub struct Shaped<K, H, A, R>(PhantomData<fn(K, H, A, R)>);

impl<K, H, A, R> fmt::Debug for Shaped<K, H, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shaped")
    }
}

impl<K, H, A, R> Sealed for Shaped<K, H, A, R> {}

impl<K: FromItem, H: Shape<K>, A: Wire, R: Wire> Form for Shaped<K, H, A, R> {
    type Item = A;
    type Output = R;
    type Function = H::Fn<A, R>;
    type Context = H::Context;
    type ThreadItem = K::ThreadItem<A>;
    const TAKES_CONTEXT: bool = H::TAKES_CONTEXT;

    fn shares() -> Option<SharedType> {
        H::shares()
    }

    fn keeps() -> Option<SharedType> {
        H::keeps()
    }

    fn check(item: &A) -> Result<(), WireFault> {
        K::check(item)
    }

    fn pack(item: A) -> Result<K::ThreadItem<A>, WireFault> {
        K::pack(item)
    }

    fn text_of(item: &K::ThreadItem<A>, text_of: fn(&A) -> String) -> Option<String> {
        K::text_of(item, text_of)
    }

    #[inline]
    fn call_thread_item(
        function: H::Fn<A, R>,
        context: &H::Context,
        surroundings: &mut Surroundings<'_>,
        item: K::ThreadItem<A>,
    ) -> R {
        let (access, ..) = surroundings.split();
        K::unpack::<A, R>(item, |argument| H::call(function, context, access, argument))
    }

    #[inline]
    fn call_at(
        function: H::Fn<A, R>,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        let (access, decoder, cell) = surroundings.split();
        K::read(&item, decoder, |argument, decoder| {
            let context = H::find_context(cell, decoder)?;
            Ok(H::call(function, context, access, argument))
        })
    }
}

impl<K: FromItem, H: Shape<K>, A: Wire, R: Wire> Portable for Shaped<K, H, A, R> {}

/// The form of `fn(A) -> R`.
pub type PlainForm<A, R> = Shaped<Owned, Plain, A, R>;
