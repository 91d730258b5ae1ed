//! Maps over parts of a shared array.
//!
//! Invariant: when a call returns or unwinds, no task of it runs any more, so a part is borrowed no
//! longer than the call borrows the array; and tasks work on the elements themselves only while an
//! [`Alone`] excludes all other access, which goes on for ever if a killed worker could not be
//! waited for.

use pool_ipc::Wire;
use pool_shm::{Alone, Element, SharedArray};

use super::Pool;
use crate::{
    calls::Function,
    engine::Pace,
    error::{Error, TaskError},
    job::{Borrows, Job, JobOptions, LeakFlag, Opening, Transport},
    start_method::StartMethod,
    task::{ArrayBorrow, Call, FromPart, Parts, Shape, Sliced},
};

/// Excludes all other access to the elements of an array as long as a task may have them.
struct ExclusiveBorrow {
    alone: Option<Alone>,
    leaked: LeakFlag,
}

impl Drop for ExclusiveBorrow {
    fn drop(&mut self) {
        if self.leaked.is_kept() {
            // For ever: a later check whether the array is alone fails.
            std::mem::forget(self.alone.take());
        }
    }
}

/// The job of a call on the parts of an array.
type PartsJob<K, H, T, R> = Job<Sliced<K, H, T, R>, std::ops::Range<usize>>;

impl Pool {
    /// Runs `function` on consecutive parts of `chunk_len` elements, the last of which may be
    /// shorter; it gets the part's number, from 0, and its elements. Values in order. `K`: whether
    /// it only reads them ([`Part`](crate::task::Part)), then each task gets a copy of its part,
    /// since others may write meanwhile, or changes them ([`PartMut`](crate::task::PartMut)).
    ///
    /// Returns, also with an error or by a panic, only when no task of it runs any more: parts that
    /// were not begun are taken back, and worker processes that are still at a part 100 ms later
    /// are killed; threads that are at a part are waited for. What tasks have written until then
    /// stays.
    ///
    /// If a killed worker has not ended 2 s later, because the kernel holds it in a system call
    /// that no signal interrupts, the pool ends: [`Error::PoolBroken`]. If 2 s more do not help,
    /// the call returns while the worker may still have its part. The array then counts as shared
    /// with other processes for ever.
    ///
    /// Tasks change the elements in place when only this handle gives access to them: this process
    /// has made the array and was not forked since (by start method Fork, for example), no handle
    /// to it was ever sent to another process, and no clone of this one lives. Otherwise each task
    /// works on a copy of its part that is written back when the task ends, also by a panic, but
    /// not when its worker dies. That takes as long as copying all elements twice, and as much
    /// memory as the parts under way.
    ///
    /// With retries under a start method of processes the call first copies all elements, and each
    /// task works on a copy of its part as it was then: so what a worker has changed that died is
    /// not changed twice.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`]; [`Error::InvalidInput`] for a `chunk_len` of 0.
    pub fn map_slices<K: FromPart, H: Shape<K>, T: Element + Wire, R: Wire>(
        &self,
        (array, chunk_len): (K::Array<'_, T>, usize),
        function: H::Fn<T, R>,
        context: H::Context,
        options: &JobOptions,
    ) -> Result<Vec<R>, Error> {
        let collect = |job: PartsJob<K, H, T, R>| job.values(true);
        self.map_parts::<K, H, T, R, R>((array, chunk_len), function, context, options, collect)
    }

    /// Runs `function` on consecutive parts of `chunk_len` elements like [`Pool::map_slices`]; one
    /// result per part, in order.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::map_slices`], but failures of tasks are among the results.
    pub fn map_slices_results<K: FromPart, H: Shape<K>, T: Element + Wire, R: Wire>(
        &self,
        (array, chunk_len): (K::Array<'_, T>, usize),
        function: H::Fn<T, R>,
        context: H::Context,
        options: &JobOptions,
    ) -> Result<Vec<Result<R, TaskError>>, Error> {
        let collect = |job: PartsJob<K, H, T, R>| job.outcomes();
        let input = (array, chunk_len);
        self.map_parts::<K, H, T, R, Result<R, TaskError>>(
            input, function, context, options, collect,
        )
    }

    /// Runs `function` on each part, and returns when no task runs any more. `collect` drops the
    /// job, or hands it on to be dropped, before it returns.
    fn map_parts<K: FromPart, H: Shape<K>, T: Element + Wire, R: Wire, V>(
        &self,
        (array, chunk_len): (K::Array<'_, T>, usize),
        function: H::Fn<T, R>,
        context: H::Context,
        options: &JobOptions,
        collect: impl FnOnce(PartsJob<K, H, T, R>) -> Result<Vec<V>, Error>,
    ) -> Result<Vec<V>, Error> {
        let name = || Function::portable::<Sliced<K, H, T, R>>(function);
        let options = &*self.watched(self.checked(options)?, name);
        if chunk_len == 0 {
            return Err(Error::InvalidInput("chunk_len must be at least 1, got 0".to_string()));
        }
        self.refuse_if_foreign()?;
        let mut array = K::split(array);
        let count = array.elements().len().div_ceil(chunk_len);
        if count == 0 {
            return Ok(Vec::new());
        }
        self.plan.life.check_state(H::keeps())?;
        let (backend, shared, claim) = self.backend(H::shares())?;
        // Checked after the backend was opened, for which Fork may have forked.
        let alone = match &mut array {
            ArrayBorrow::Shared(_) => None,
            ArrayBorrow::Exclusive(array) => array.alone(),
        };
        let borrow = ExclusiveBorrow { alone, leaked: LeakFlag::default() };
        // A worker that dies may leave its part partly changed, or partly written back.
        let may_be_tried_again = options.retries > 0 && !matches!(array, ArrayBorrow::Shared(_));
        let original = (may_be_tried_again && self.plan.method != StartMethod::Threads)
            .then(|| copy_of(array.elements()))
            .transpose()?;
        let alone = borrow.alone.is_some();
        let parts = Parts::new(array.elements(), chunk_len, alone, original.as_ref());
        let call = Call::portable::<Sliced<K, H, T, R>>;
        let borrows = Borrows::Parts(borrow.leaked.clone());
        // SAFETY: the parts do not overlap. Tasks either read them only, by atomics, or nothing
        // else accesses the elements while `borrow` lives, which is longer than any task: the
        // transport is dropped with its job, in `collect` at the latest when that unwinds.
        let transport = unsafe {
            let context = (parts, context);
            Transport::open(
                (backend, shared),
                call,
                function,
                context,
                borrows,
                options,
                Opening::Waits,
            )?
        };
        claim.release();
        let collected =
            collect(Job::new(transport, 0..count, options, self.plan.n_jobs, Pace::Call));
        // Tasks read it until here.
        drop(original);
        collected
    }
}

/// A copy of the array in shared memory of its own.
fn copy_of<T: Element>(array: &SharedArray<T>) -> Result<SharedArray<T>, Error> {
    const AT_ONCE: usize = 1 << 16;
    let copy = SharedArray::new(array.len())?;
    for start in (0..array.len()).step_by(AT_ONCE) {
        let range = start..array.len().min(start + AT_ONCE);
        copy.slice(range.clone()).copy_from_slice(&array.slice(range).to_vec());
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_a_worker_may_have_kept_is_never_alone_again() {
        let mut array = SharedArray::<u8>::new(3).unwrap();
        let mut borrow = |kept| {
            let borrow = ExclusiveBorrow { alone: array.alone(), leaked: LeakFlag::default() };
            if kept {
                borrow.leaked.clone().keep();
            }
            borrow.alone.is_some()
        };
        assert!(borrow(false) && borrow(false) && borrow(true));
        assert!(!borrow(false) && !borrow(true));
    }
}
