//! The forms that a task's function may have, each a type that implements the call.
//!
//! Invariant: `Function` is exactly one pointer wide, so it crosses as an offset; only the forms in
//! this folder exist (the trait is sealed), each with a `fn` pointer or a shared reference.

use std::{
    any::Any,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_ipc::{
    AlignedBytes, Decoder, SegmentId, Wire, WireFault, batch::BatchReader, rkyv::Archive,
};

use super::{shared_type::SharedType, worker_handle::Worker};

/// How a task's function takes its item. Implemented by [`Plain`], [`WithContext`], [`OnWorker`],
/// [`OnEvery`] and [`Viewing`] only.
pub trait Form: sealed::Sealed {
    /// What one task gets.
    type Item: Wire;
    /// What one task returns.
    type Output: Wire;
    /// The function: one pointer wide.
    type Function: Copy + Send + Sync;
    /// The value that all tasks of one job get a reference to.
    type Context: Send + Sync;
    /// The item on its way to a worker thread.
    type ThreadItem: Send;
    /// Whether the function takes the context.
    #[doc(hidden)]
    const TAKES_CONTEXT: bool = false;

    /// The type of the shared value that the function takes, if any.
    #[doc(hidden)]
    fn shares() -> Option<SharedType> {
        None
    }

    /// The type of the worker state that the function takes, if any.
    #[doc(hidden)]
    fn keeps() -> Option<SharedType> {
        None
    }

    /// Makes an item ready for a worker thread.
    #[doc(hidden)]
    fn pack(item: Self::Item) -> Result<Self::ThreadItem, WireFault>;

    /// Runs the function in a worker thread.
    #[doc(hidden)]
    fn call_thread_item(
        function: Self::Function,
        context: &Self::Context,
        surroundings: &mut Surroundings<'_>,
        thread_item: Self::ThreadItem,
    ) -> Self::Output;

    /// Runs the function on an item in a block; an error is that of decoding the item or the
    /// context.
    #[doc(hidden)]
    fn call_at(
        function: Self::Function,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, Self::Item>,
    ) -> Result<Self::Output, WireFault>;
}

/// A form whose function can be sent to a fresh copy of the executable: a `fn` pointer.
pub trait Portable: Form<Context: Wire> + 'static {
    /// The function's type, checked again on the other side.
    #[doc(hidden)]
    fn signature() -> std::any::TypeId;
}

pub(crate) mod sealed {
    /// Restricts [`Form`](super::Form) to this crate.
    pub trait Sealed {}
}

/// An item in a published block.
#[doc(hidden)]
#[derive(Debug)]
pub struct ItemAt<'a, A> {
    pub(crate) reader: &'a BatchReader<A>,
    pub(crate) index: usize,
}

/// What a worker provides to a task.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct Surroundings<'a> {
    pub(crate) worker: u32,
    pub(crate) shared: &'a (dyn Any + Send + Sync),
    pub(crate) state: &'a mut dyn Any,
    pub(crate) cancelled: &'a dyn Fn() -> bool,
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) context: &'a mut ContextCell,
}

impl Surroundings<'_> {
    fn worker<S: 'static, W: 'static>(&mut self) -> Worker<'_, S, W> {
        let shared = self.shared.downcast_ref::<S>();
        let shared = shared.expect("the pool shares what the job says that its function takes");
        let state = self.state.downcast_mut::<W>();
        let state =
            state.expect("the pool's workers keep what the job says that its function takes");
        Worker::new(shared, state, self.worker, self.cancelled)
    }
}

/// The context of a job in a worker process: bytes in the parent's arena until a task needs it.
#[derive(Default)]
pub(crate) struct ContextCell {
    /// The context's number, never used again for another one; 0: none.
    pub(crate) wanted: u64,
    /// Where the encoded context begins, and how many bytes lie from there on.
    pub(crate) bytes: Option<(*const u8, usize)>,
    /// The segments that its handles need.
    pub(crate) segments: Vec<SegmentId>,
    decoded: Option<(u64, Box<dyn Any>)>,
    /// The segments of the decoded context.
    held: Vec<SegmentId>,
}

impl ContextCell {
    /// The context that the chunk names, decoded when this worker first uses it.
    pub(super) fn get<C: Wire>(&mut self, decoder: &mut Decoder) -> Result<&C, WireFault> {
        if self.decoded.as_ref().is_none_or(|(id, _)| *id != self.wanted) {
            self.decoded = None;
            self.held.clone_from(&self.segments);
            let (base, room) = self.bytes.ok_or(WireFault::Invalid)?;
            // SAFETY: the parent's arena is mapped for the life of the worker, and the block of a
            // context is not used again before every chunk that names it has ended.
            let reader = unsafe { BatchReader::<C>::new(base, room, 1) };
            decoder.swap_segments(&mut self.segments);
            let context = reader.decode(0, decoder);
            decoder.swap_segments(&mut self.segments);
            self.decoded = Some((self.wanted, Box::new(context?)));
        }
        let decoded = self.decoded.as_ref().and_then(|(_, any)| any.downcast_ref::<C>());
        decoded.ok_or(WireFault::Invalid)
    }

    /// Whether the decoded context contains handles.
    pub(crate) fn keeps(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops a context that keeps a segment which the parent has released: its job is over.
    pub(crate) fn let_go(&mut self, gone: impl Fn(SegmentId) -> bool) {
        if self.held.iter().any(|id| gone(*id)) {
            self.held.clear();
            let decoded = self.decoded.take();
            // A panic in the user's drop must not end the worker.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(decoded))) {
                std::mem::forget(panic);
            }
        }
    }
}

/// `fn(A) -> R`.
#[derive(Debug)]
pub struct Plain<A, R>(PhantomData<fn(A) -> R>);

/// `fn(&C, A) -> R`: all tasks of a job get a reference to one context.
#[derive(Debug)]
pub struct WithContext<C, A, R>(PhantomData<fn(C, A) -> R>);

/// `fn(&mut Worker<S, W>, A) -> R`: the task sees its worker, and with it what the pool shares and
/// the worker's state.
#[derive(Debug)]
pub struct OnWorker<S, W, A, R>(PhantomData<fn(S, W, A) -> R>);

/// `fn(&mut Worker<S, W>) -> R`: the task is the same for every worker.
#[derive(Debug)]
pub struct OnEvery<S, W, R>(PhantomData<fn(S, W) -> R>);

/// `fn(&A::Archived) -> R`: the task reads its item in place.
#[derive(Debug)]
pub struct Viewing<A, R>(PhantomData<fn(A) -> R>);

impl<A, R> sealed::Sealed for Plain<A, R> {}
impl<C, A, R> sealed::Sealed for WithContext<C, A, R> {}
impl<S, W, A, R> sealed::Sealed for OnWorker<S, W, A, R> {}
impl<S, W, R> sealed::Sealed for OnEvery<S, W, R> {}
impl<A, R> sealed::Sealed for Viewing<A, R> {}

impl<A: Wire, R: Wire> Form for Plain<A, R> {
    type Item = A;
    type Output = R;
    type Function = fn(A) -> R;
    type Context = ();
    type ThreadItem = A;

    fn pack(item: A) -> Result<A, WireFault> {
        Ok(item)
    }

    fn call_thread_item(f: fn(A) -> R, _: &(), _: &mut Surroundings<'_>, item: A) -> R {
        f(item)
    }

    #[inline]
    fn call_at(
        f: fn(A) -> R,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        match item.reader.decode(item.index, surroundings.decoder) {
            Ok(item) => Ok(f(item)),
            Err(fault) => Err(fault),
        }
    }
}

impl<A: Wire, R: Wire> Portable for Plain<A, R> {
    fn signature() -> std::any::TypeId {
        std::any::TypeId::of::<fn(A) -> R>()
    }
}

impl<C: Wire + Sync, A: Wire, R: Wire> Form for WithContext<C, A, R> {
    type Item = A;
    type Output = R;
    type Function = fn(&C, A) -> R;
    type Context = C;
    type ThreadItem = A;
    const TAKES_CONTEXT: bool = true;

    fn pack(item: A) -> Result<A, WireFault> {
        Ok(item)
    }

    fn call_thread_item(f: fn(&C, A) -> R, context: &C, _: &mut Surroundings<'_>, item: A) -> R {
        f(context, item)
    }

    #[inline]
    fn call_at(
        f: fn(&C, A) -> R,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        let item = item.reader.decode(item.index, surroundings.decoder)?;
        Ok(f(surroundings.context.get::<C>(surroundings.decoder)?, item))
    }
}

impl<C: Wire + Sync, A: Wire, R: Wire> Portable for WithContext<C, A, R> {
    fn signature() -> std::any::TypeId {
        std::any::TypeId::of::<fn(&C, A) -> R>()
    }
}

impl<S: Send + Sync + 'static, W: 'static, A: Wire, R: Wire> Form for OnWorker<S, W, A, R> {
    type Item = A;
    type Output = R;
    type Function = fn(&mut Worker<'_, S, W>, A) -> R;
    type Context = ();
    type ThreadItem = A;

    fn shares() -> Option<SharedType> {
        Some(SharedType::of::<S>())
    }

    fn keeps() -> Option<SharedType> {
        Some(SharedType::of::<W>())
    }

    fn pack(item: A) -> Result<A, WireFault> {
        Ok(item)
    }

    fn call_thread_item(f: Self::Function, _: &(), around: &mut Surroundings<'_>, item: A) -> R {
        f(&mut around.worker(), item)
    }

    #[inline]
    fn call_at(
        f: Self::Function,
        around: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        let item = item.reader.decode(item.index, around.decoder)?;
        Ok(Self::call_thread_item(f, &(), around, item))
    }
}

impl<S: Send + Sync + 'static, W: 'static, A: Wire, R: Wire> Portable for OnWorker<S, W, A, R> {
    fn signature() -> std::any::TypeId {
        std::any::TypeId::of::<fn(&mut Worker<'_, S, W>, A) -> R>()
    }
}

impl<S: Send + Sync + 'static, W: 'static, R: Wire> Form for OnEvery<S, W, R> {
    type Item = ();
    type Output = R;
    type Function = fn(&mut Worker<'_, S, W>) -> R;
    type Context = ();
    type ThreadItem = ();

    fn shares() -> Option<SharedType> {
        Some(SharedType::of::<S>())
    }

    fn keeps() -> Option<SharedType> {
        Some(SharedType::of::<W>())
    }

    fn pack((): ()) -> Result<(), WireFault> {
        Ok(())
    }

    fn call_thread_item(f: Self::Function, _: &(), around: &mut Surroundings<'_>, (): ()) -> R {
        f(&mut around.worker())
    }

    fn call_at(
        f: Self::Function,
        around: &mut Surroundings<'_>,
        _: ItemAt<'_, ()>,
    ) -> Result<R, WireFault> {
        Ok(f(&mut around.worker()))
    }
}

impl<S: Send + Sync + 'static, W: 'static, R: Wire> Portable for OnEvery<S, W, R> {
    fn signature() -> std::any::TypeId {
        std::any::TypeId::of::<fn(&mut Worker<'_, S, W>) -> R>()
    }
}

impl<A: Wire, R: Wire> Form for Viewing<A, R> {
    type Item = A;
    type Output = R;
    type Function = fn(&<A as Archive>::Archived) -> R;
    type Context = ();
    type ThreadItem = AlignedBytes;

    fn pack(item: A) -> Result<AlignedBytes, WireFault> {
        pool_ipc::to_bytes(&item)
    }

    fn call_thread_item(
        f: Self::Function,
        _: &(),
        _: &mut Surroundings<'_>,
        thread_item: AlignedBytes,
    ) -> R {
        f(pool_ipc::view_bytes::<A>(&thread_item).expect("the bytes were encoded by `pack`"))
    }

    #[inline]
    fn call_at(
        f: Self::Function,
        _: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        item.reader.view(item.index, f)
    }
}

impl<A: Wire, R: Wire> Portable for Viewing<A, R> {
    fn signature() -> std::any::TypeId {
        std::any::TypeId::of::<fn(&<A as Archive>::Archived) -> R>()
    }
}
