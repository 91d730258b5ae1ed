//! The form of a call of one item that carries its context with it.

use std::marker::PhantomData;

use pool_ipc::{Decoder, Wire, WireFault};

use super::{
    form::{Form, ItemAt, Portable, Surroundings, sealed::Sealed},
    shaped::{FromItem, Shaped},
    shapes::{InPlace, OnWorker, Owned, Plain, Shape, With, WithOnWorker},
    shared_type::SharedType,
};
use crate::compact::Compact;

/// How an item that carries its context gets to a task's function: implemented by [`Owned`] and
/// [`InPlace`].
pub trait FromPair: FromItem {
    /// Hands the context and the argument to `run`, in a worker process.
    #[doc(hidden)]
    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, Self::Arg<'_, A>) -> T,
    ) -> Result<T, WireFault>;
}

impl FromPair for Owned {
    fn read_pair<C: Wire, A: Wire, T>(
        item: &ItemAt<'_, (C, A)>,
        decoder: &mut Decoder,
        run: impl FnOnce(&C, A) -> T,
    ) -> Result<T, WireFault> {
        let (context, item) = item.reader.decode(item.index, decoder)?;
        Ok(run(&context, item))
    }
}

impl FromPair for InPlace {
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

/// A function like that of [`Shaped`](super::Shaped) whose context comes with the item: for calls
/// that are queued one by one.
#[derive(Debug)]
pub struct Carried<K, H, A, R>(PhantomData<fn(K, H, A, R)>);

impl<K, H, A, R> Sealed for Carried<K, H, A, R> {}

impl<K: FromPair, H: Shape<K>, A: Wire, R: Wire> Form for Carried<K, H, A, R> {
    type Item = (H::Context, A);
    type Output = R;
    type Function = H::Fn<A, R>;
    type Context = ();
    type ThreadItem = (H::Context, K::ThreadItem<A>);

    fn shares() -> Option<SharedType> {
        H::shares()
    }

    fn keeps() -> Option<SharedType> {
        H::keeps()
    }

    fn check((_, item): &(H::Context, A)) -> Result<(), WireFault> {
        K::check(item)
    }

    fn pack((context, item): (H::Context, A)) -> Result<Self::ThreadItem, WireFault> {
        Ok((context, K::pack(item)?))
    }

    fn call_thread_item(
        function: H::Fn<A, R>,
        _: &(),
        surroundings: &mut Surroundings<'_>,
        (context, item): Self::ThreadItem,
    ) -> R {
        let (access, ..) = surroundings.split();
        K::unpack::<A, R>(item, |argument| H::call(function, &context, access, argument))
    }

    fn call_at(
        function: H::Fn<A, R>,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, (H::Context, A)>,
    ) -> Result<R, WireFault> {
        let (access, decoder, _) = surroundings.split();
        K::read_pair(&item, decoder, |context, argument| {
            H::call(function, context, access, argument)
        })
    }
}

impl<K: FromPair, H: Shape<K>, A: Wire, R: Wire> Portable for Carried<K, H, A, R> {}

/// What a call of one item hands to the queue, by the shape of its function: the item, with the
/// context if there is one.
pub trait ShapeOfOne<K: FromPair>: Shape<K> {
    /// The item of the call.
    #[doc(hidden)]
    type Joined<A: Wire>: Wire;
    /// The form of the call.
    #[doc(hidden)]
    type Single<A: Wire, R: Wire>: Portable<Context = ()>
        + Form<Item = Self::Joined<A>, Output = R, Function = Self::Fn<A, R>>;

    /// Joins the context with the item.
    #[doc(hidden)]
    fn join<A: Wire>(self, item: Compact<A>) -> Compact<Self::Joined<A>>;

    /// The item alone.
    #[doc(hidden)]
    fn split<A: Wire>(joined: Self::Joined<A>) -> A;
}

/// What the queue gets of a call, without a context and with one.
macro_rules! item {
    (alone) => {
        type Joined<A: Wire> = A;
        type Single<A: Wire, R: Wire> = Shaped<K, Self, A, R>;

        fn join<A: Wire>(self, item: Compact<A>) -> Compact<A> {
            item
        }

        fn split<A: Wire>(item: A) -> A {
            item
        }
    };
    (with a context) => {
        type Joined<A: Wire> = (C, A);
        type Single<A: Wire, R: Wire> = Carried<K, Self, A, R>;

        fn join<A: Wire>(self, item: Compact<A>) -> Compact<(C, A)> {
            Compact::new((self.into_context(), item.into_inner()))
        }

        fn split<A: Wire>((_, item): (C, A)) -> A {
            item
        }
    };
}

impl<K: FromPair> ShapeOfOne<K> for Plain
where
    Self: Shape<K, Context = ()>,
{
    item!(alone);
}

impl<K: FromPair, S: Send + Sync + 'static, W: 'static> ShapeOfOne<K> for OnWorker<S, W>
where
    Self: Shape<K, Context = ()>,
{
    item!(alone);
}

impl<K: FromPair, C: Wire + Sync> ShapeOfOne<K> for With<C>
where
    Self: Shape<K, Context = C>,
{
    item!(with a context);
}

impl<K: FromPair, C: Wire + Sync, S: Send + Sync + 'static, W: 'static> ShapeOfOne<K>
    for WithOnWorker<C, S, W>
where
    Self: Shape<K, Context = C>,
{
    item!(with a context);
}
