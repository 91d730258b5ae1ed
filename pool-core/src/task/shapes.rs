//! The shapes of a task's function, on two axes: how its argument arrives, and what stands before
//! it.
//!
//! | argument | | before it | |
//! | --- | --- | --- | --- |
//! | [`Owned`] | the item itself | [`Plain`] | nothing |
//! | [`InPlace`] | the item's archive, read in place | [`With`] | the call's context |
//! | [`Part`], [`PartMut`] | a part of a shared array | [`OnWorker`] | the worker |
//! | [`NoItem`] | nothing | [`WithOnWorker`] | the worker, then the context |

use std::{fmt, marker::PhantomData};

use pool_ipc::{AlignedBytes, Decoder, Wire, WireFault, rkyv::Archive};

use super::{
    context::ContextCell,
    form::{Form, ItemAt, Portable, Surroundings, WorkerAccess, sealed::Sealed},
    shared_type::SharedType,
    worker_handle::Worker,
};

/// How a task's argument arrives: [`Owned`], [`InPlace`], [`Part`], [`PartMut`] or [`NoItem`].
pub trait Argument: Sealed + 'static {
    /// The argument. `A`: the item's type, or that of the array's elements.
    #[doc(hidden)]
    type Arg<'a, A: Wire>;
}

/// The function takes its item: `fn(A) -> R`.
#[derive(Debug)]
pub struct Owned(());

/// The function reads its item in place: `fn(&A::Archived) -> R`.
#[derive(Debug)]
pub struct InPlace(());

/// The function reads a part of a shared array: `fn(usize, &[T]) -> R`.
#[derive(Debug)]
pub struct Part(());

/// The function changes a part of a shared array: `fn(usize, &mut [T]) -> R`.
#[derive(Debug)]
pub struct PartMut(());

/// The function has no argument of its own: `fn(&mut Worker<S, W>) -> R`.
#[derive(Debug)]
pub struct NoItem(());

impl Argument for Owned {
    type Arg<'a, A: Wire> = A;
}

impl Argument for InPlace {
    type Arg<'a, A: Wire> = &'a A::Archived;
}

impl Argument for Part {
    type Arg<'a, A: Wire> = (usize, &'a [A]);
}

impl Argument for PartMut {
    type Arg<'a, A: Wire> = (usize, &'a mut [A]);
}

impl Argument for NoItem {
    type Arg<'a, A: Wire> = ();
}

/// Nothing stands before the argument.
#[derive(Debug)]
pub struct Plain;

/// A reference to the call's context stands before the argument.
#[derive(Debug)]
pub struct With<C>(pub C);

/// The worker stands before the argument.
pub struct OnWorker<S, W>(PhantomData<fn(S, W)>);

/// The worker and a reference to the call's context stand before the argument.
pub struct WithOnWorker<C, S, W>(pub C, pub OnWorker<S, W>);

impl<S, W> Default for OnWorker<S, W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S, W> fmt::Debug for OnWorker<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWorker")
    }
}

impl<C: fmt::Debug, S, W> fmt::Debug for WithOnWorker<C, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithOnWorker").field(&self.0).finish_non_exhaustive()
    }
}

/// What a function with an argument of kind `K` is. Implemented by [`Plain`], [`With`],
/// [`OnWorker`] and [`WithOnWorker`].
pub trait Shape<K: Argument>: Sealed + 'static {
    /// The context; `()` if the function takes none.
    type Context: Wire + Sync;
    /// The function.
    type Fn<A: Wire, R: Wire>: Copy + Send + Sync + 'static;
    /// Whether the function takes the context.
    #[doc(hidden)]
    const TAKES_CONTEXT: bool;

    /// The context.
    #[doc(hidden)]
    fn into_context(self) -> Self::Context;

    /// The type of the shared value that the function takes, if any.
    #[doc(hidden)]
    fn shares() -> Option<SharedType>;

    /// The type of the worker state that the function takes, if any.
    #[doc(hidden)]
    fn keeps() -> Option<SharedType>;

    /// The context as a worker process has it.
    #[doc(hidden)]
    fn find_context<'c>(
        cell: &'c mut ContextCell,
        decoder: &mut Decoder,
    ) -> Result<&'c Self::Context, WireFault>;

    /// Calls the function.
    #[doc(hidden)]
    fn call<A: Wire, R: Wire>(
        function: Self::Fn<A, R>,
        context: &Self::Context,
        access: WorkerAccess<'_>,
        argument: K::Arg<'_, A>,
    ) -> R;
}

/// The parts of an implementation that depend on whether there is a context, and on whether there
/// is a worker.
macro_rules! shape {
    (no context) => {
        type Context = ();
        const TAKES_CONTEXT: bool = false;

        fn into_context(self) {}

        fn find_context<'c>(
            _: &'c mut ContextCell,
            _: &mut Decoder,
        ) -> Result<&'c (), WireFault> {
            Ok(&())
        }
    };
    (context) => {
        type Context = C;
        const TAKES_CONTEXT: bool = true;

        fn into_context(self) -> C {
            self.0
        }

        #[inline]
        fn find_context<'c>(
            cell: &'c mut ContextCell,
            decoder: &mut Decoder,
        ) -> Result<&'c C, WireFault> {
            cell.get::<C>(decoder)
        }
    };
    (no worker) => {
        fn shares() -> Option<SharedType> {
            None
        }

        fn keeps() -> Option<SharedType> {
            None
        }
    };
    (worker) => {
        fn shares() -> Option<SharedType> {
            Some(SharedType::of::<S>())
        }

        fn keeps() -> Option<SharedType> {
            Some(SharedType::of::<W>())
        }
    };
    ([$($takes:ident)+], [$($sees:ident)+], $kind:ty, [$($before:ty),*], [$($arg:ty),*],
        |$context:pat_param, $access:pat_param, $argument:pat_param| $function:ident($($value:expr),* $(,)?)) => {
        type Fn<A: Wire, R: Wire> = fn($($before,)* $($arg),*) -> R;
        shape!($($takes)+);
        shape!($($sees)+);

        #[inline]
        fn call<A: Wire, R: Wire>(
            $function: Self::Fn<A, R>,
            $context: &Self::Context,
            $access: WorkerAccess<'_>,
            $argument: <$kind as Argument>::Arg<'_, A>,
        ) -> R {
            $function($($value),*)
        }
    };
}

macro_rules! shapes {
    ($($kind:ident($($arg:ty),*) = $argument:pat_param => $($value:expr),*;)*) => { $(
        impl Shape<$kind> for Plain {
            shape!([no context], [no worker], $kind, [], [$($arg),*],
                |(), _, $argument| function($($value),*));
        }

        impl<C: Wire + Sync> Shape<$kind> for With<C> {
            shape!([context], [no worker], $kind, [&C], [$($arg),*],
                |context, _, $argument| function(context, $($value),*));
        }

        impl<S: Send + Sync + 'static, W: 'static> Shape<$kind> for OnWorker<S, W> {
            shape!([no context], [worker], $kind, [&mut Worker<'_, S, W>], [$($arg),*],
                |(), mut access, $argument| function(&mut access.worker(), $($value),*));
        }

        impl<C: Wire + Sync, S: Send + Sync + 'static, W: 'static> Shape<$kind>
            for WithOnWorker<C, S, W>
        {
            shape!([context], [worker], $kind, [&mut Worker<'_, S, W>, &C], [$($arg),*],
                |context, mut access, $argument|
                    function(&mut access.worker(), context, $($value),*));
        }
    )* };
}

shapes! {
    Owned(A) = item => item;
    InPlace(&<A as Archive>::Archived) = archive => archive;
    Part(usize, &[A]) = (part, slice) => part, slice;
    PartMut(usize, &mut [A]) = (part, slice) => part, slice;
    NoItem() = () =>;
}

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

    /// Hands the context and the argument of an item that carries both to `run`, in a worker
    /// process.
    #[doc(hidden)]
    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, Self::Arg<'_, A>) -> T,
    ) -> Result<T, WireFault>;
}

impl FromItem for Owned {
    type ThreadItem<A: Wire> = A;

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

    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, A) -> T,
    ) -> Result<T, WireFault> {
        let (context, item) = item.reader.decode(item.index, decoder)?;
        Ok(run(&context, item))
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

    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, &A::Archived) -> T,
    ) -> Result<T, WireFault> {
        item.reader.view(item.index, |pair| {
            let context = decoder.build::<C>(&pair.0)?;
            Ok(run(&context, &pair.1))
        })?
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

    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, ()) -> T,
    ) -> Result<T, WireFault> {
        let (context, _) = item.reader.decode(item.index, decoder)?;
        Ok(run(&context, ()))
    }
}

impl Sealed for Owned {}
impl Sealed for InPlace {}
impl Sealed for Part {}
impl Sealed for PartMut {}
impl Sealed for NoItem {}
impl Sealed for Plain {}
impl<C> Sealed for With<C> {}
impl<S, W> Sealed for OnWorker<S, W> {}
impl<C, S, W> Sealed for WithOnWorker<C, S, W> {}

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
