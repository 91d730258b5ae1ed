//! What the workers of a pool spend their time with, and what each of them is at.

use super::Pool;
use crate::insights::{Insights, WorkerActivity};

impl Pool {
    /// What the workers have spent their time with until now, from the first one on; also while
    /// calls are under way, and after their end. Empty where the pool records no insights, and in a
    /// forked child.
    #[must_use]
    pub fn insights(&self) -> Insights {
        match &self.plan.insights {
            Some(collection) if !self.is_foreign() => collection.insights(),
            _ => Insights::default(),
        }
    }

    /// What each worker is at now, and since when, in order of their ids. Empty where the pool
    /// records no insights, and in a forked child.
    #[must_use]
    pub fn worker_activity(&self) -> Vec<WorkerActivity> {
        match &self.plan.insights {
            Some(collection) if !self.is_foreign() => collection.activity(),
            _ => Vec::new(),
        }
    }
}
