//! The way from a job to its workers, processes or threads, and back.

#[cfg(feature = "threads")]
use std::collections::VecDeque;
use std::{borrow::Borrow, num::NonZeroU64, sync::Arc, time::Instant};

use pool_ipc::Wire;

#[cfg(feature = "threads")]
use super::thread_transport::{self, ThreadTransport};
use super::{
    leaked::Borrows,
    options::{JobOptions, Opening},
    process_transport::{ProcessTransport, RawTransport},
    target::Target,
    transfer::{Arrival, Cut, Sent},
};
use crate::{
    calls::UnderWay,
    engine::{Awaited, JobId, MeasureResults, measure_results},
    error::Error,
    reentrancy::{InCall, Inside, is_inside},
    session::ResultBatch,
    shared::SharedValue,
    start::Backend,
    task::{Call, Form},
};

pub(crate) enum Transport<F: Form> {
    Processes(ProcessTransport<F::Item>),
    #[cfg(feature = "threads")]
    Threads(ThreadTransport<F>),
}

/// What has arrived from the workers of a job.
pub(super) enum Arrived<'t, R> {
    Processes(&'t mut RawTransport),
    #[cfg(feature = "threads")]
    Threads(&'t mut VecDeque<Arrival<R>>),
    #[cfg(not(feature = "threads"))]
    Never(std::convert::Infallible, std::marker::PhantomData<R>),
}

/// A transport that knows no types of the user.
enum Opened {
    Processes(RawTransport),
    #[cfg(feature = "threads")]
    Threads(thread_transport::RawTransport),
}

/// Opens the way to the workers of the backend for a new job. `what`: the function's name, for
/// processes, and what measures its results.
#[cfg_attr(not(feature = "threads"), allow(unused_variables))]
#[inline]
fn open(
    (backend, shared): (Backend, Option<SharedValue>),
    what: (&dyn Fn() -> Result<Call, Error>, MeasureResults),
    borrows: Borrows,
    options: &JobOptions,
    opening: Opening,
) -> Result<Opened, Error> {
    if is_inside(backend.id(), Some(Inside::View)) {
        return Err(Error::NestedUse);
    }
    Ok(match backend {
        Backend::Processes(session) => {
            let (call, measure) = what;
            Opened::Processes(RawTransport::open(
                session,
                (call()?, measure),
                borrows,
                options,
                opening,
            )?)
        }
        #[cfg(feature = "threads")]
        Backend::Threads(backend) => Opened::Threads(thread_transport::RawTransport::open(
            backend, shared, &borrows, options, opening,
        )?),
    })
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
        workers: (Backend, Option<SharedValue>),
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
        let (call, measure) = (|| call(function), measure_results::<F::Output> as MeasureResults);
        Ok(match open(workers, (&call, measure), borrows, options, opening)? {
            Opened::Processes(mut raw) => {
                if F::TAKES_CONTEXT {
                    let _inside = InCall::enter(raw.backend(), Inside::Call);
                    raw.set_context(context.borrow())?;
                }
                // Here, and not behind the answer: that would be leaked if this drop panics, and
                // the job never be closed.
                drop(context);
                Self::Processes(ProcessTransport::new(raw))
            }
            #[cfg(feature = "threads")]
            Opened::Threads(raw) => {
                // SAFETY: the caller's promise.
                Self::Threads(unsafe { ThreadTransport::new(raw, function, context.into()) })
            }
        })
    }

    /// Tasks of this job after which the life of one of its workers ends.
    pub(super) fn lifespan(&self) -> Option<NonZeroU64> {
        match self {
            Self::Processes(transport) => transport.raw.lifespan(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.lifespan(),
        }
    }

    /// Sets which worker chunks go to from now on.
    pub(crate) fn set_target(&mut self, target: Target) {
        match self {
            Self::Processes(transport) => transport.raw.set_target(target),
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
            Self::Processes(transport) => transport.raw.receive(awaited),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.receive(awaited),
        }
    }

    /// What [`Transport::receive`] found.
    #[inline]
    pub(super) fn arrived(&mut self) -> Arrived<'_, F::Output> {
        match self {
            Self::Processes(transport) => Arrived::Processes(&mut transport.raw),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => Arrived::Threads(transport.arrived()),
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
                transport.raw.go_to_background(queue.expect("a queue for processes has a job"))
            }
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.go_to_background(on_progress),
        }
    }

    /// Takes what has arrived, without waiting. `poll`: first reads the messages of workers and
    /// zygote.
    pub(super) fn take(&mut self, poll: bool) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.raw.take(poll),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.take(),
        }
    }

    /// Takes what had arrived when the call was cancelled.
    pub(super) fn take_rest(&mut self) {
        match self {
            Self::Processes(transport) => transport.raw.take_rest(),
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
            Self::Processes(transport) => transport.raw.backend(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.backend(),
        }
    }

    /// The number by which insights know the call, and what looks at what workers have in hand.
    pub(super) fn look(&self) -> (u64, Box<dyn Fn() -> UnderWay + Send>) {
        match self {
            Self::Processes(transport) => transport.raw.look(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.look(),
        }
    }

    /// All items have been handed on: waits for what the end of the call entails.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Processes(transport) => transport.raw.finish(),
            #[cfg(feature = "threads")]
            Self::Threads(transport) => transport.finish(),
        }
    }

    /// Releases what was read, so that a slow consumer holds nothing up.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Processes(transport) => transport.raw.flush(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }
}

impl<R> Arrived<'_, R> {
    #[inline]
    pub(super) fn next(&mut self) -> Option<Arrival<R>> {
        match self {
            Self::Processes(raw) => raw.next_message().map(Arrival::Message),
            #[cfg(feature = "threads")]
            Self::Threads(arrived) => arrived.pop_front(),
            #[cfg(not(feature = "threads"))]
            Self::Never(never, _) => match *never {},
        }
    }

    /// Has `read` read a batch that has arrived, and releases its slot.
    ///
    /// # Errors
    ///
    /// The batch could not be decoded completely, because the pool has come to its end.
    pub(super) fn read(
        &mut self,
        batch: ResultBatch,
        read: impl FnOnce(&ResultBatch, &mut RawTransport),
    ) -> Result<(), Error> {
        match self {
            Self::Processes(raw) => {
                read(&batch, raw);
                raw.release(batch);
                raw.check_cancelled()
            }
            #[cfg(feature = "threads")]
            Self::Threads(_) => Ok(()), // threads send no batches
            #[cfg(not(feature = "threads"))]
            Self::Never(never, _) => match *never {},
        }
    }
}
