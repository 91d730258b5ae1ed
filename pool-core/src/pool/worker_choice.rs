//! Which workers a call's chunks go to: the pool's setting, and the check of a worker's id.

use std::borrow::Cow;

use super::Pool;
use crate::{error::Error, job::JobOptions};

impl Pool {
    /// The options of a call over several items, completed by the pool's `order_tasks`.
    pub(super) fn with_order_tasks<'o>(&self, options: Cow<'o, JobOptions>) -> Cow<'o, JobOptions> {
        if options.order_tasks.is_some() || !self.settings.order_tasks() {
            return options;
        }
        Cow::Owned(JobOptions { order_tasks: Some(true), ..options.into_owned() })
    }

    /// Refuses a worker that the pool does not have; `call` names the method in the error.
    pub(super) fn check_worker(&self, call: &str, options: &JobOptions) -> Result<(), Error> {
        let n_jobs = self.plan.n_jobs;
        match options.worker {
            Some(worker) if worker as usize >= n_jobs => Err(Error::InvalidInput(format!(
                "{call}: worker id must be below {n_jobs}, got {worker}"
            ))),
            _ => Ok(()),
        }
    }
}
