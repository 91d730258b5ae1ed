//! Maps over parts of a shared array.
//!
//! Invariant: when a call returns or unwinds, no task of it runs any more, so a part is borrowed no
//! longer than the call borrows the array; and tasks work on the elements themselves only while an
//! [`Alone`] excludes all other access, which goes on for ever if a killed worker could not be
//! waited for.

use std::borrow::Cow;

use pool_ipc::Wire;
use pool_shm::{Alone, Element, SharedArray};

use super::{ClaimedBackend, Pool};
#[cfg(feature = "threads")]
use crate::job::ThreadTransport;
use crate::{
    engine::Pace,
    error::Error,
    job::{Job, JobOptions, LeakFlag, ProcessTransport, Transport},
    reentrancy::{Inside, is_inside},
    start::Backend,
    task::{Call, Form, Parts, Portable, Slices, SlicesMut},
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

impl Pool {
    /// Runs `function` on consecutive parts of `chunk_len` elements, the last of which may be
    /// shorter; it gets the part's number, from 0, and its elements. Values in order.
    ///
    /// Returns, also with an error or by a panic, only when no task of it runs any more: parts that
    /// were not begun are taken back, and worker processes that are still at a part 100 ms later
    /// are killed; threads are waited for. What tasks have written until then stays.
    ///
    /// If a killed worker has not ended 2 s later, because the kernel holds it in a system call
    /// that no signal interrupts, the pool ends: [`Error::PoolBroken`]. If 2 s more do not help,
    /// the call returns while the worker may still have its part. The array then counts as shared
    /// with other processes for ever.
    ///
    /// Tasks work in place when only this handle gives access to the elements: this process has
    /// made the array and was not forked since (by start method Fork, for example), no handle to it
    /// was ever sent to another process, and no clone of this one lives. Otherwise each task works
    /// on a copy of its part that is written back when the task ends, also by a panic, but not when
    /// its worker dies. That takes as long as copying all elements twice, and as much memory as the
    /// parts under way.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`]; [`Error::InvalidInput`] for a `chunk_len` of 0.
    pub fn map_slices_mut<T: Element, R: Wire>(
        &self,
        array: &mut SharedArray<T>,
        chunk_len: usize,
        function: fn(usize, &mut [T]) -> R,
    ) -> Result<Vec<R>, Error> {
        let Some((backend, count)) = self.backend_for_parts(array, chunk_len)? else {
            return Ok(Vec::new());
        };
        // Checked after the backend was opened, for which Fork may have forked.
        let borrow = ExclusiveBorrow { alone: array.alone(), leaked: LeakFlag::default() };
        let parts = Parts::new(array, chunk_len, borrow.alone.is_some());
        // SAFETY: the parts do not overlap, and nothing else accesses the elements while `borrow`
        // lives, which is longer than any task.
        unsafe {
            self.map_parts::<T, SlicesMut<T, R>>(
                backend,
                function,
                parts,
                count,
                borrow.leaked.clone(),
            )
        }
    }

    /// Runs `function` on consecutive parts of `chunk_len` elements like [`Pool::map_slices_mut`],
    /// but to read them only. Each task gets a copy of its part, since others may write meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::map_slices_mut`].
    pub fn map_slices<T: Element, R: Wire>(
        &self,
        array: &SharedArray<T>,
        chunk_len: usize,
        function: fn(usize, &[T]) -> R,
    ) -> Result<Vec<R>, Error> {
        let Some((backend, count)) = self.backend_for_parts(array, chunk_len)? else {
            return Ok(Vec::new());
        };
        let parts = Parts::new(array, chunk_len, false);
        // SAFETY: tasks only read, and by atomics.
        unsafe {
            self.map_parts::<T, Slices<T, R>>(backend, function, parts, count, LeakFlag::default())
        }
    }

    /// The backend, and the number of parts; `None` if there are no parts.
    fn backend_for_parts<T: Element>(
        &self,
        array: &SharedArray<T>,
        chunk_len: usize,
    ) -> Result<Option<(ClaimedBackend, usize)>, Error> {
        if chunk_len == 0 {
            return Err(Error::InvalidInput("chunk_len must be at least 1, got 0".to_string()));
        }
        self.refuse_if_foreign()?;
        if array.is_empty() {
            return Ok(None);
        }
        let (backend, shared, claim) = self.backend(None)?;
        if is_inside(backend.id(), Some(Inside::View)) {
            return Err(Error::NestedUse);
        }
        Ok(Some(((backend, shared, claim), array.len().div_ceil(chunk_len))))
    }

    /// Runs `function` on each part, and returns when no task runs any more.
    ///
    /// # Safety
    ///
    /// Until this returns, the tasks may access the parts in the way of the form.
    unsafe fn map_parts<T, F>(
        &self,
        (backend, shared, claim): ClaimedBackend,
        function: F::Function,
        parts: Parts<T>,
        count: usize,
        leaked: LeakFlag,
    ) -> Result<Vec<F::Output>, Error>
    where
        T: Element,
        F: Portable + Form<Item = usize, Context = Parts<T>>,
    {
        #[cfg(not(feature = "threads"))]
        let _ = shared;
        let options = &*self.with_order_tasks(Cow::Owned(JobOptions::default()));
        let transport = match backend {
            Backend::Processes(session) => {
                let call = Call::portable::<F>(function)?;
                let mut transport = ProcessTransport::<F>::open(session, call, options, false)?;
                transport.borrow(leaked);
                transport.set_context(&parts)?;
                Transport::Processes(transport)
            }
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => {
                // SAFETY: the transport is dropped in this function, at the latest when it unwinds.
                let transport = unsafe {
                    ThreadTransport::open_scoped(backend, function, parts, shared, options)?
                };
                Transport::Threads(transport.begins_lives())
            }
        };
        claim.release();
        Job::new(transport, 0..count, options, self.plan.n_jobs, Pace::Call).values(true)
    }
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
