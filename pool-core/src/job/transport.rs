//! The way from a job to its workers, processes or threads, and back.

use std::{borrow::Borrow, num::NonZeroU64, sync::Arc, time::Instant};

use pool_ipc::{Wire, WireFault};

#[cfg(feature = "threads")]
use super::threads::ThreadTransport;
use super::{
    leaked::Borrows,
    options::{JobOptions, Opening},
    processes::ProcessTransport,
    target::Target,
    transfer::{Arrival, Cut, Sent},
};
use crate::{
    engine::{Awaited, JobId},
    error::Error,
    ids::ItemIndex,
    reentrancy::{InCall, Inside, is_inside},
    session::ResultBatch,
    shared::SharedValue,
    start::Backend,
    task::{Call, Form},
};

pub(crate) enum Transport<F: Form> {
    Processes(ProcessTransport<F>),
    #[cfg(feature = "threads")]
    Threads(ThreadTransport<F>),
}

impl<F: Form> Transport<F> {
    /// Opens the way to the workers of the backend for a new job; `call` names the function to
    /// processes.
    ///
    /// # Errors
    ///
    /// [`Error::NestedUse`] in a callback that reads results of the backend in place; what the
    /// function or the context cannot do; a backend that cannot be used.
    ///
    /// # Safety
    ///
    /// Except with [`Borrows::Captures`] the form is `'static`; except with [`Borrows::Nothing`]
    /// the transport is dropped before anything that its tasks borrow.
    #[cfg_attr(not(feature = "threads"), allow(unused_variables))]
    pub(crate) unsafe fn open(
        (backend, shared): (Backend, Option<SharedValue>),
        call: fn(F::Function) -> Result<Call, Error>,
        function: F::Function,
        context: impl Borrow<F::Context> + Into<Arc<F::Context>>,
        borrows: Borrows,
        options: &JobOptions,
        opening: Opening,
    ) -> Result<Self, Error>
    where
        F::Context: Wire,
    {
        let number = backend.id();
        if is_inside(number, Some(Inside::View)) {
            return Err(Error::NestedUse);
        }
        Ok(match backend {
            Backend::Processes(session) => {
                let mut transport =
                    ProcessTransport::open(session, call(function)?, options, opening)?;
                if let Borrows::Parts(leaked) = borrows {
                    transport.set_leak_flag(leaked);
                }
                if F::TAKES_CONTEXT {
                    let _inside = InCall::enter(number, Inside::Call);
                    transport.set_context(context.borrow())?;
                }
                Self::Processes(transport)
            }
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => {
                let context = context.into();
                // SAFETY: the caller's promise.
                Self::Threads(unsafe {
                    ThreadTransport::open(
                        backend, function, context, shared, &borrows, options, opening,
                    )?
                })
            }
        })
    }

    /// Tasks of this job after which the life of one of its workers ends.
    pub(super) fn lifespan(&self) -> Option<NonZeroU64> {
        match self {
            Self::Processes(transport) => transport.lifespan(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.lifespan(),
        }
    }

    /// Sets which worker chunks go to from now on.
    pub(crate) fn set_target(&mut self, target: Target) {
        match self {
            Self::Processes(transport) => transport.set_target(target),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.set_target(target),
        }
    }

    /// Sends the next chunk.
    pub(super) fn send(
        &mut self,
        items: &mut impl Iterator<Item = F::Item>,
        cut: Cut,
    ) -> Result<Sent, Error> {
        match self {
            Self::Processes(transport) => transport.send(items, cut),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.send(items, cut),
        }
    }

    /// Sends the one item of the job and waits for its result.
    #[inline]
    pub(super) fn exchange(&mut self, item: F::Item, awaited: Awaited) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.exchange(item, awaited),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => {
                let cut = Cut { most: 1, timed: false, idle: true, until: None };
                transport.send(&mut std::iter::once(item), cut)?;
                transport.receive(awaited)
            }
        }
    }

    /// Waits until something arrives, or as long as `awaited` says. Called when everything that had
    /// arrived was taken.
    pub(super) fn receive(&mut self, awaited: Awaited) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.receive(awaited),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.receive(awaited),
        }
    }

    /// The next arrival that [`Transport::receive`] found.
    #[inline]
    pub(super) fn next_arrival(&mut self) -> Option<Arrival<F::Output>> {
        match self {
            Self::Processes(transport) => transport.next_arrival(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.next_arrival(),
        }
    }

    /// Makes it a background job: from now on its arrivals are announced to the queue that
    /// has the job `queue`, or by a call of `on_progress`. Returns the number to announce, which no
    /// other job of the backend has.
    #[cfg_attr(not(feature = "threads"), allow(unused_variables))]
    pub(super) fn go_to_background(
        &mut self,
        queue: Option<JobId>,
        on_progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> u64 {
        match self {
            Self::Processes(transport) => {
                transport.go_to_background(queue.expect("a queue for processes has a job"))
            }
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.go_to_background(on_progress),
        }
    }

    /// Takes what has arrived, without waiting. `poll`: first reads the messages of workers and
    /// zygote.
    pub(super) fn take(&mut self, poll: bool) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.take(poll),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.take(),
        }
    }

    /// Takes what had arrived when the call was cancelled.
    pub(super) fn take_rest(&mut self) {
        match self {
            Self::Processes(transport) => transport.take_rest(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.take_rest(),
        }
    }

    /// How many items were pulled from the input.
    pub(super) fn pulled(&self) -> u64 {
        match self {
            Self::Processes(transport) => transport.pulled(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.pulled(),
        }
    }

    /// When a thread has to look at a job without a caller although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            // The zygote watches time limits, and the thread that drives the session watches
            // tokens.
            Self::Processes(_) => None,
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.due(),
        }
    }

    /// The identity of this transport's backend.
    pub(super) fn backend(&self) -> usize {
        match self {
            Self::Processes(transport) => transport.backend(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.backend(),
        }
    }

    /// Fails if the last batch could not be decoded completely, because the pool has come to its
    /// end.
    #[inline]
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.check_cancelled(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => Ok(()),
        }
    }

    /// All items have been handed on: waits for what the end of the call entails.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.finish(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.finish(),
        }
    }

    /// Releases what was read, so that a slow consumer holds nothing up.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Processes(transport) => transport.flush(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }

    /// Releases the slot of a batch that was read.
    #[inline]
    pub(super) fn release(&mut self, batch: ResultBatch) {
        match self {
            Self::Processes(transport) => transport.release(batch),
            #[cfg(feature = "threads")]
            Self::Threads(_) => drop(batch),
        }
    }

    /// Decodes a batch, result by result; `out` gets what `made` makes of an item's index and its
    /// result, which is a fault if it is no valid value.
    pub(super) fn decode<T>(
        &mut self,
        batch: &ResultBatch,
        out: &mut Vec<T>,
        made: impl FnMut(ItemIndex, Result<F::Output, WireFault>) -> Option<T>,
    ) {
        match self {
            Self::Processes(transport) => transport.decode(batch, out, made),
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }
}
