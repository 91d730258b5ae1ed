//! The settings that may change between two calls.

#[cfg(feature = "capture-log")]
use std::sync::{Arc, Mutex};
use std::{
    borrow::Cow,
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::options::PoolOptions;
#[cfg(feature = "capture-log")]
use crate::{capture::Capture, mutex::lock};
use crate::{config::PoolConfig, hooks::Bounds, job::JobOptions, os::nanos};

/// The present settings. A thread that changes one also takes the lock of the pool's backend, which
/// makes the change visible to the next call.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) keep_alive: AtomicBool,
    pub(super) order_tasks: AtomicBool,
    timeout_grace: Duration,
    /// In this field and those below, 0 stands for none.
    pub(super) task_timeout: AtomicU64,
    pub(super) lifespan: AtomicU64,
    pub(super) init_timeout: AtomicU64,
    pub(super) exit_timeout: AtomicU64,
    #[cfg(feature = "capture-log")]
    capture: Mutex<Option<Arc<Capture>>>,
    /// Whether there is one.
    #[cfg(feature = "capture-log")]
    captures: AtomicBool,
}

impl Settings {
    pub(super) fn new(plan: &PoolConfig, options: &PoolOptions) -> Self {
        let time = |limit: Option<Duration>| AtomicU64::new(limit.map_or(0, nanos));
        Self {
            keep_alive: AtomicBool::new(plan.keep_alive),
            order_tasks: AtomicBool::new(options.order_tasks),
            timeout_grace: options.timeout_grace,
            task_timeout: time(options.task_timeout),
            lifespan: AtomicU64::new(plan.life.span.map_or(0, NonZeroU64::get)),
            init_timeout: time(plan.bounds.init),
            exit_timeout: time(plan.bounds.exit),
            #[cfg(feature = "capture-log")]
            capture: Mutex::new(plan.capture.clone()),
            #[cfg(feature = "capture-log")]
            captures: AtomicBool::new(plan.capture.is_some()),
        }
    }

    /// Whether workers live on from call to call.
    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive.load(Relaxed)
    }

    /// What of workers' logs is captured.
    #[cfg(feature = "capture-log")]
    #[inline]
    pub(super) fn capture(&self) -> Option<Arc<Capture>> {
        // Relaxed: a thread that changes it also takes the lock of the pool's backend.
        if self.captures.load(Relaxed) { lock(&self.capture).clone() } else { None }
    }

    #[cfg(feature = "capture-log")]
    pub(super) fn set_capture(&self, capture: Option<Arc<Capture>>) {
        self.captures.store(capture.is_some(), Relaxed);
        *lock(&self.capture) = capture;
    }

    /// The options of a call, completed by the settings where the call sets none.
    #[inline]
    pub(super) fn complete<'o>(&self, options: &'o JobOptions) -> Cow<'o, JobOptions> {
        let task_timeout = options.task_timeout.or_else(|| time_of(&self.task_timeout));
        // Without a limit there is no grace.
        let lacks_grace = task_timeout.is_some() && options.timeout_grace.is_none();
        let goes_in_turn = options.order_tasks.is_none() && self.order_tasks.load(Relaxed);
        if task_timeout == options.task_timeout && !lacks_grace && !goes_in_turn {
            return Cow::Borrowed(options);
        }
        self.complete_with(options, task_timeout, (lacks_grace, goes_in_turn))
    }

    #[cold]
    fn complete_with<'o>(
        &self,
        options: &JobOptions,
        task_timeout: Option<Duration>,
        (lacks_grace, goes_in_turn): (bool, bool),
    ) -> Cow<'o, JobOptions> {
        let mut complete = JobOptions { task_timeout, ..options.clone() };
        if lacks_grace {
            complete.timeout_grace = Some(self.timeout_grace);
        }
        if goes_in_turn {
            complete.order_tasks = Some(true);
        }
        Cow::Owned(complete)
    }

    /// Tasks after which a worker's life ends.
    fn lifespan(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.lifespan.load(Relaxed))
    }

    /// The configuration of a backend that is opened now.
    pub(super) fn plan(&self, plan: &PoolConfig) -> PoolConfig {
        let (init, exit) = (time_of(&self.init_timeout), time_of(&self.exit_timeout));
        PoolConfig {
            life: plan.life.span(self.lifespan()),
            bounds: Bounds { init, exit, ..plan.bounds },
            keep_alive: self.keep_alive(),
            #[cfg(feature = "capture-log")]
            capture: self.capture(),
            ..plan.clone()
        }
    }
}

fn time_of(limit: &AtomicU64) -> Option<Duration> {
    let nanos = NonZeroU64::new(limit.load(Relaxed))?;
    Some(Duration::from_nanos(nanos.get()))
}
