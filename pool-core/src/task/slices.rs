//! The forms of functions that work on parts of a shared array.
//!
//! Invariant: the parts of a call do not overlap, and each is given to one task at a time. These
//! forms are private to this crate, so only
//! [`Pool::map_slices`](crate::pool::Pool::map_slices) and `Pool::map_slices_results`, which wait
//! until no task is left, use them.

use std::marker::PhantomData;

use pool_ipc::{Wire, WireFault};
use pool_shm::{Element, Exclusive, LentArray, SharedArray};

use super::{
    form::{Form, ItemAt, Portable, Surroundings, sealed::Sealed},
    shapes::{Argument, Part, PartMut, Shape},
    shared_type::SharedType,
};

pool_ipc::wire! {
    /// An array that tasks work on part by part.
    #[doc(hidden)]
    #[derive(Debug)]
    pub struct Parts<T: Element> {
        pub(crate) array: LentArray<T>,
        pub(crate) part_len: u64,
        /// Whether no other handle to the elements exists.
        pub(crate) alone: bool,
        /// A copy of the elements from before the call, for tasks that may be tried again.
        pub(crate) original: Option<LentArray<T>>,
    }
}

impl<T: Element> Parts<T> {
    pub(crate) fn new(
        array: &SharedArray<T>,
        part_len: usize,
        alone: bool,
        original: Option<&SharedArray<T>>,
    ) -> Self {
        let original = original.map(SharedArray::lend);
        Self { array: array.lend(), part_len: part_len as u64, alone, original }
    }

    /// The elements of part `index`.
    ///
    /// # Safety
    ///
    /// The call that these parts belong to has not returned, and no other task has the part while
    /// the handle is used.
    unsafe fn part(&self, index: usize) -> SharedArray<T> {
        // SAFETY: the caller's promise.
        unsafe { self.part_of(&self.array, index) }
    }

    /// The elements of part `index` of an array as long as that of the call.
    ///
    /// # Safety
    ///
    /// As for [`Parts::part`].
    unsafe fn part_of(&self, array: &LentArray<T>, index: usize) -> SharedArray<T> {
        // SAFETY: the caller's promise; parts do not overlap.
        let elements = unsafe { array.elements() };
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
    fn of(part: SharedArray<T>, original: Option<&SharedArray<T>>) -> Self {
        let copy = original.unwrap_or(&part).to_vec();
        Self { copy, part, process: std::process::id() }
    }
}

impl<T: Element> Drop for Copied<T> {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            self.part.copy_from_slice(&self.copy);
        }
    }
}

/// How a part of an array gets to a task's function: implemented by [`Part`] and [`PartMut`].
pub trait FromPart: Argument {
    /// The array: borrowed, or borrowed mutably.
    #[doc(hidden)]
    type Array<'a, T: Element>;

    /// The array that the tasks change, if they do.
    #[doc(hidden)]
    fn split<'a, T: Element>(array: Self::Array<'a, T>) -> ArrayBorrow<'a, T>;

    /// Hands part `index` to `run`.
    ///
    /// # Safety
    ///
    /// A task of the call that made the parts calls this; the call has not returned, and no other
    /// task has the part.
    #[doc(hidden)]
    unsafe fn run<T: Element + Wire, R>(
        parts: &Parts<T>,
        index: usize,
        run: impl FnOnce(Self::Arg<'_, T>) -> R,
    ) -> R;
}

/// An array, and how a call borrows it.
#[doc(hidden)]
#[derive(Debug)]
pub enum ArrayBorrow<'a, T: Element> {
    Shared(&'a SharedArray<T>),
    Exclusive(&'a mut SharedArray<T>),
}

impl<T: Element> ArrayBorrow<'_, T> {
    pub(crate) fn elements(&self) -> &SharedArray<T> {
        match self {
            Self::Shared(array) => array,
            Self::Exclusive(array) => array,
        }
    }
}

impl FromPart for Part {
    type Array<'a, T: Element> = &'a SharedArray<T>;

    fn split<'a, T: Element>(array: Self::Array<'a, T>) -> ArrayBorrow<'a, T> {
        ArrayBorrow::Shared(array)
    }

    /// The task reads a copy.
    unsafe fn run<T: Element + Wire, R>(
        parts: &Parts<T>,
        index: usize,
        run: impl FnOnce((usize, &[T])) -> R,
    ) -> R {
        // SAFETY: the caller's promise; nothing is written through this handle.
        run((index, &unsafe { parts.part(index) }.to_vec()))
    }
}

impl FromPart for PartMut {
    type Array<'a, T: Element> = &'a mut SharedArray<T>;

    fn split<'a, T: Element>(array: Self::Array<'a, T>) -> ArrayBorrow<'a, T> {
        ArrayBorrow::Exclusive(array)
    }

    /// The task works on a slice of the array itself, or of a copy that is written back.
    unsafe fn run<T: Element + Wire, R>(
        parts: &Parts<T>,
        index: usize,
        run: impl FnOnce((usize, &mut [T])) -> R,
    ) -> R {
        // SAFETY: the caller's promise.
        let part = unsafe { parts.part(index) };
        // A fork in the task would duplicate the slice.
        let _exclusive = Exclusive::begin();
        if let Some(original) = &parts.original {
            // SAFETY: as above; no task writes to the original.
            let original = unsafe { parts.part_of(original, index) };
            run((index, &mut Copied::of(part, Some(&original)).copy))
        } else if parts.alone {
            // SAFETY: the call keeps every other handle away from the elements (`Alone`), and by
            // the caller's promise this task alone has the part.
            run((index, unsafe { part.as_mut_slice() }))
        } else {
            run((index, &mut Copied::of(part, None).copy))
        }
    }
}

/// A function of shape `H` for the parts of an array; its items are their numbers.
#[derive(Debug)]
pub(crate) struct Sliced<K, H, T, R>(PhantomData<fn(K, H, T, R)>);

impl<K, H, T, R> Sealed for Sliced<K, H, T, R> {}

impl<K: FromPart, H: Shape<K>, T: Element + Wire, R: Wire> Form for Sliced<K, H, T, R> {
    type Item = usize;
    type Output = R;
    type Function = H::Fn<T, R>;
    type Context = (Parts<T>, H::Context);
    type ThreadItem = usize;
    const TAKES_CONTEXT: bool = true;

    fn shares() -> Option<SharedType> {
        H::shares()
    }

    fn keeps() -> Option<SharedType> {
        H::keeps()
    }

    fn pack(index: usize) -> Result<usize, WireFault> {
        Ok(index)
    }

    fn call_thread_item(
        function: H::Fn<T, R>,
        (parts, context): &(Parts<T>, H::Context),
        surroundings: &mut Surroundings<'_>,
        index: usize,
    ) -> R {
        let (access, ..) = surroundings.split();
        let run = |argument: K::Arg<'_, T>| H::call(function, context, access, argument);
        // SAFETY: the call sends each index once, and waits for every task.
        unsafe { K::run(parts, index, run) }
    }

    fn call_at(
        function: H::Fn<T, R>,
        surroundings: &mut Surroundings<'_>,
        item: ItemAt<'_, usize>,
    ) -> Result<R, WireFault> {
        let (access, decoder, cell) = surroundings.split();
        let index = item.reader.decode(item.index, decoder)?;
        let (parts, context) = cell.get::<Self::Context>(decoder)?;
        let run = |argument: K::Arg<'_, T>| H::call(function, context, access, argument);
        // SAFETY: the call waits for every task. It sends each index once, and again only after the
        // process that had it is gone.
        Ok(unsafe { K::run(parts, index, run) })
    }
}

impl<K: FromPart, H: Shape<K>, T: Element + Wire, R: Wire> Portable for Sliced<K, H, T, R> {}
