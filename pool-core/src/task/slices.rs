//! The forms of functions that work on parts of a shared array.
//!
//! Invariant: the parts of a call do not overlap, and each is given to one task at a time. These
//! forms are private to this crate, so only
//! [`Pool::map_slices_mut`](crate::pool::Pool::map_slices_mut) and `Pool::map_slices`, which wait
//! until no task is left, use them.

use std::{any::TypeId, marker::PhantomData};

use pool_ipc::{Wire, WireFault};
use pool_shm::{Element, Exclusive, LentArray, SharedArray};

use super::form::{Form, ItemAt, Portable, Surroundings, sealed::Sealed};

pool_ipc::wire! {
    /// An array that tasks work on part by part.
    #[derive(Debug)]
    pub(crate) struct Parts<T: Element> {
        pub(crate) array: LentArray<T>,
        pub(crate) part_len: u64,
        /// Whether no other handle to the elements exists.
        pub(crate) alone: bool,
    }
}

impl<T: Element> Parts<T> {
    pub(crate) fn new(array: &SharedArray<T>, part_len: usize, alone: bool) -> Self {
        Self { array: array.lend(), part_len: part_len as u64, alone }
    }

    /// The elements of part `index`.
    ///
    /// # Safety
    ///
    /// The call that these parts belong to has not returned, and no other task has the part while
    /// the handle is used.
    unsafe fn part(&self, index: usize) -> SharedArray<T> {
        // SAFETY: the caller's promise; parts do not overlap.
        let elements = unsafe { self.array.elements() };
        let len = usize::try_from(self.part_len).unwrap_or(usize::MAX);
        let start = index.saturating_mul(len).min(elements.len());
        elements.slice(start..start.saturating_add(len).min(elements.len()))
    }
}

/// A copy of a part that is written back when it is dropped, also when the task panics; but not in
/// a child that the task has forked, which may drop it when the call is long over.
struct Copied<T: Element> {
    copy: Vec<T>,
    part: SharedArray<T>,
    process: u32,
}

impl<T: Element> Copied<T> {
    fn of(part: SharedArray<T>) -> Self {
        Self { copy: part.to_vec(), part, process: std::process::id() }
    }
}

impl<T: Element> Drop for Copied<T> {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            self.part.copy_from_slice(&self.copy);
        }
    }
}

/// `fn(usize, &mut [T]) -> R`: the task changes its part.
#[derive(Debug)]
pub(crate) struct SlicesMut<T, R>(PhantomData<fn(T) -> R>);

/// `fn(usize, &[T]) -> R`: the task reads its part.
#[derive(Debug)]
pub(crate) struct Slices<T, R>(PhantomData<fn(T) -> R>);

impl<T, R> Sealed for SlicesMut<T, R> {}
impl<T, R> Sealed for Slices<T, R> {}

impl<T: Element> Parts<T> {
    /// Runs a task on a slice of the array itself, or of a copy that is written back.
    fn change<R>(&self, f: fn(usize, &mut [T]) -> R, index: usize) -> R {
        // SAFETY: a task of the call, which sends each index once and waits for every task.
        let part = unsafe { self.part(index) };
        // A fork in the task would duplicate the slice.
        let _exclusive = Exclusive::begin();
        if self.alone {
            // SAFETY: the call keeps every other handle away from the elements (`Alone`), and this
            // task alone has the part.
            f(index, unsafe { part.as_mut_slice() })
        } else {
            f(index, &mut Copied::of(part).copy)
        }
    }

    /// Runs a task on a copy.
    fn read<R>(&self, f: fn(usize, &[T]) -> R, index: usize) -> R {
        // SAFETY: as in `change`; nothing is written through this handle.
        f(index, &unsafe { self.part(index) }.to_vec())
    }
}

macro_rules! forms {
    ($($form:ident: fn(usize, $slice:ty), $run:ident;)*) => { $(
        impl<T: Element, R: Wire> Form for $form<T, R> {
            type Item = usize;
            type Output = R;
            type Function = fn(usize, $slice) -> R;
            type Context = Parts<T>;
            type ThreadItem = usize;
            const TAKES_CONTEXT: bool = true;

            fn pack(index: usize) -> Result<usize, WireFault> {
                Ok(index)
            }

            fn call_thread_item(
                f: Self::Function,
                parts: &Parts<T>,
                _: &mut Surroundings<'_>,
                index: usize,
            ) -> R {
                parts.$run(f, index)
            }

            fn call_at(
                f: Self::Function,
                around: &mut Surroundings<'_>,
                item: ItemAt<'_, usize>,
            ) -> Result<R, WireFault> {
                let index = item.reader.decode(item.index, around.decoder)?;
                Ok(around.context.get::<Parts<T>>(around.decoder)?.$run(f, index))
            }
        }

        impl<T: Element, R: Wire> Portable for $form<T, R> {
            fn signature() -> TypeId {
                TypeId::of::<Self::Function>()
            }
        }
    )* };
}

forms! {
    SlicesMut: fn(usize, &mut [T]), change;
    Slices: fn(usize, &[T]), read;
}
