//! The form of a closure with captures: for start methods that share or copy the caller's memory.

use std::marker::PhantomData;

use pool_ipc::{Wire, WireFault};

use super::form::{Form, ItemAt, Surroundings, sealed::Sealed};

/// `&F` where `F: Fn(A) -> R + Sync`, captures and borrows included.
#[derive(Debug)]
pub(crate) struct Scoped<'f, F, A, R> {
    closure: PhantomData<&'f F>,
    task: PhantomData<fn(A) -> R>,
}

impl<F, A, R> Sealed for Scoped<'_, F, A, R> {}

impl<'f, F: Fn(A) -> R + Sync, A: Wire, R: Wire> Form for Scoped<'f, F, A, R> {
    type Item = A;
    type Output = R;
    type Function = &'f F;
    type Context = ();
    type ThreadItem = A;

    fn pack(item: A) -> Result<A, WireFault> {
        Ok(item)
    }

    fn call_thread_item(f: &'f F, _: &(), _: &mut Surroundings<'_>, item: A) -> R {
        f(item)
    }

    fn call_at(
        f: &'f F,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, A>,
    ) -> Result<R, WireFault> {
        Ok(f(item.reader.decode(item.index, surroundings.decoder)?))
    }
}
