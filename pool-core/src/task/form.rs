//! The interface to a task's function, whatever it takes.
//!
//! Invariant: `Function` is exactly one pointer wide, so it crosses as an offset; only the forms in
//! this folder exist (the trait is sealed), each with a `fn` pointer or a shared reference.

use std::any::Any;

use pool_ipc::{Decoder, Wire, WireFault, batch::BatchReader};

use super::{context::ContextCell, shared_type::SharedType, worker_handle::Worker};

/// A function and what it takes. Implemented by [`Shaped`](super::Shaped) and forms that are
/// private to this crate only.
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

    /// Fails where [`Form::pack`] would, so that the item can be given back.
    #[doc(hidden)]
    fn check(_item: &Self::Item) -> Result<(), WireFault> {
        Ok(())
    }

    /// Makes an item ready for a worker thread.
    #[doc(hidden)]
    fn pack(item: Self::Item) -> Result<Self::ThreadItem, WireFault>;

    /// The text of an item on its way to a worker thread, by the function that makes that of items;
    /// `None` where the item is encoded, or left out.
    #[doc(hidden)]
    fn text_of(_: &Self::ThreadItem, _: fn(&Self::Item) -> String) -> Option<String> {
        None
    }

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

/// A form whose function can be sent to a fresh copy of the executable: a `fn` pointer. The form's
/// type is checked again on the other side.
pub trait Portable: Form<Context: Wire> + 'static {}

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
    pub(crate) report: &'a dyn Fn(u64, u64),
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) context: &'a mut ContextCell,
}

impl Surroundings<'_> {
    /// The parts: what a task may see of its worker, the decoder, and the context's cell.
    pub(super) fn split(&mut self) -> (WorkerAccess<'_>, &mut Decoder, &mut ContextCell) {
        let Self { worker, shared, state, cancelled, report, decoder, context } = self;
        let (worker, shared, state) = (*worker, *shared, &mut **state);
        let access = WorkerAccess { worker, shared, state, cancelled, report };
        (access, decoder, context)
    }
}

/// What a task may see of its worker.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct WorkerAccess<'a> {
    worker: u32,
    shared: &'a (dyn Any + Send + Sync),
    state: &'a mut dyn Any,
    cancelled: &'a dyn Fn() -> bool,
    report: &'a dyn Fn(u64, u64),
}

impl WorkerAccess<'_> {
    pub(super) fn worker<S: 'static, W: 'static>(&mut self) -> Worker<'_, S, W> {
        let shared = self.shared.downcast_ref::<S>();
        let shared = shared.expect("the pool shares what the job says that its function takes");
        let state = self.state.downcast_mut::<W>();
        let state =
            state.expect("the pool's workers keep what the job says that its function takes");
        Worker::new(shared, state, self.worker, (self.cancelled, self.report))
    }
}
