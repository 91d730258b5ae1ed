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

use pool_ipc::{Decoder, Wire, WireFault, rkyv::Archive};

use super::{
    context::ContextCell,
    form::{WorkerAccess, sealed::Sealed},
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

impl Sealed for Owned {}
impl Sealed for InPlace {}
impl Sealed for Part {}
impl Sealed for PartMut {}
impl Sealed for NoItem {}
impl Sealed for Plain {}
impl<C> Sealed for With<C> {}
impl<S, W> Sealed for OnWorker<S, W> {}
impl<C, S, W> Sealed for WithOnWorker<C, S, W> {}

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
