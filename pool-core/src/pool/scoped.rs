//! Maps of closures with captures.

use super::Pool;
use crate::{
    calls::Function,
    config::PoolConfig,
    engine::Pace,
    error::Error,
    hooks::{Exits, WorkerLife},
    job::{Borrows, Job, JobOptions, Opening, Transport},
    shared::Source,
    start::{BackendClaim, start_of},
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
        let options = &*self.watched(self.checked(options)?, Function::closure::<G>);
        self.refuse_if_foreign()?;
        let method = self.plan.method;
        let (backend, shared, claim) = match method {
            StartMethod::Fork => {
                // The workers of this call have nothing but the closure.
                let plan = PoolConfig {
                    borrows: true,
                    life: WorkerLife::plain(),
                    exits: Arc::new(Exits::new(0)),
                    ..self.settings.plan(&self.plan)
                };
                (start_of(method)?.open(&plan, &Source::Nothing)?, None, BackendClaim::default())
            }
            StartMethod::Threads => self.backend(None)?,
            method => {
                return Err(Error::NotSupported {
                    method,
                    what: "map_scoped, since captures cannot cross: give them by with(context), or use fork or threads",
                });
            }
        };
        // The session of this call ends, and its processes with it, when this returns or unwinds.
        let own = (method == StartMethod::Fork).then(|| backend.clone());
        let (call, borrows) = (Call::scoped::<Scoped<'_, G, A, R>>, Borrows::Captures);
        let workers = (backend, shared);
        // SAFETY: the transport is dropped in this function, at the latest when it unwinds; the
        // closure is borrowed for longer.
        let transport: Transport<Scoped<'_, G, A, R>> = unsafe {
            Transport::open(workers, call, closure, (), borrows, options, Opening::Waits)?
        };
        claim.release();
        let mut job = Job::new(transport, items, options, self.plan.n_jobs, Pace::Call);
        job.call_it("map_scoped");
        let result = job.values(true);
        if let (Some(own), Ok(_)) = (own, &result) {
            // Stopped in order, since tasks may have waited at a barrier that outlives them.
            own.stop();
        }
        result
    }
}
