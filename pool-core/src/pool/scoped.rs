//! Maps of closures with captures.

use super::Pool;
#[cfg(feature = "threads")]
use crate::job::ThreadTransport;
use crate::{
    config::PoolConfig,
    engine::Pace,
    error::Error,
    hooks::{Exits, WorkerLife},
    job::{Job, JobOptions, ProcessTransport, Transport},
    shared::Source,
    start::{Backend, start_of},
    start_method::StartMethod,
    task::{Call, Scoped},
};
use pool_ipc::Wire;
use std::sync::Arc;

impl Pool {
    /// Runs a closure with captures over the items; values in input order.
    ///
    /// Under Fork the process is forked afresh for the call; under Threads the closure itself is
    /// shared. Returns, also with an error or by a panic, only when no task of the call runs any
    /// more.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`]; [`Error::NotSupported`] under Spawn and ForkServer.
    pub fn map_scoped<A, R, G, I>(
        &self,
        items: I,
        closure: &G,
        options: &JobOptions,
    ) -> Result<Vec<R>, Error>
    where
        A: Wire,
        R: Wire,
        G: Fn(A) -> R + Sync,
        I: Iterator<Item = A>,
    {
        options.check()?;
        self.check_worker("on_worker", options)?;
        let options = &*self.with_order_tasks(self.complete(options));
        self.refuse_if_foreign()?;
        let method = self.plan.method;
        let workers = self.plan.n_jobs;
        match method {
            StartMethod::Fork => {
                // The workers of this call have nothing but the closure.
                let plan = PoolConfig {
                    life: WorkerLife::plain(),
                    exits: Arc::new(Exits::new(0)),
                    ..self.settings.plan(&self.plan)
                };
                #[allow(irrefutable_let_patterns)]
                let Backend::Processes(session) =
                    start_of(method)?.open(&plan, &Source::Nothing)?
                else {
                    unreachable!("fork makes processes");
                };
                let call = Call::scoped::<Scoped<'_, G, A, R>>(closure)?;
                let transport = ProcessTransport::<Scoped<'_, G, A, R>>::open(
                    session.clone(),
                    call,
                    options,
                    (false, true),
                )?;
                let job =
                    Job::new(Transport::Processes(transport), items, options, workers, Pace::Call);
                // The session ends, and its processes with it, when this returns or unwinds.
                let result = job.values(true);
                if result.is_ok() {
                    // Stopped in order, since tasks may have waited at a barrier that outlives
                    // them.
                    session.stop();
                }
                drop(session);
                result
            }
            #[cfg(feature = "threads")]
            StartMethod::Threads => {
                #[allow(irrefutable_let_patterns, clippy::infallible_destructuring_match)]
                let (Backend::Threads(backend), shared, claim) = self.backend(None)? else {
                    unreachable!("threads make threads");
                };
                // SAFETY: the transport is dropped in this function, at the latest when it unwinds;
                // the closure is borrowed for longer.
                let transport = unsafe {
                    ThreadTransport::<Scoped<'_, G, A, R>>::open_scoped(
                        backend,
                        closure,
                        (),
                        shared,
                        options,
                    )?
                };
                claim.release();
                Job::new(Transport::Threads(transport), items, options, workers, Pace::Call)
                    .values(true)
            }
            method => Err(Error::NotSupported {
                method,
                what: "map_scoped, since captures cannot cross: give them by with(context), or use fork or threads",
            }),
        }
    }
}
