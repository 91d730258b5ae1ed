//! Fork: the zygote is forked from this process: a snapshot from which all workers are forked.
//!
//! Invariant: without the caller's own `unsafe` promise, the process forks only while it has one
//! thread, so no lock is copied that another thread holds; and never while the forking thread has a
//! reference into shared memory that the child would have too, or that would lead to other memory
//! there.

use nix::unistd::{ForkResult, fork, getpid};
use pool_shm::{SharedSegment, exclusive_borrows};

use super::{Start, backend::Backend};
use crate::{
    bootstrap,
    child::ForkLocks,
    config::PoolConfig,
    driver::pause_drivers,
    error::{Error, OrResources},
    os::{self, own_descriptors},
    session::{Session, ZygoteMaker},
    shared::Source,
    zygote::{ZygoteFds, run_guarded},
};

pub(super) struct Fork;

/// Refuses to fork this process where the child could not work; `allowed`: by the caller's own
/// promise also beside threads.
pub(crate) fn check_fork(allowed: bool) -> Result<(), Error> {
    if exclusive_borrows() > 0 {
        return Err(Error::ForkWhileBorrowed);
    }
    if allowed {
        return Ok(());
    }
    // The pool's own threads have ended while the process is forked.
    let _paused = pause_drivers();
    match os::lasting_thread_count().or_resources("counting the threads of this process")? {
        1 => Ok(()),
        threads => Err(Error::ForkWithThreads { threads }),
    }
}

impl Start for Fork {
    fn check(&self, plan: &PoolConfig) -> Result<(), Error> {
        check_fork(plan.allow_fork_with_threads)
    }

    fn is_eager(&self) -> bool {
        true
    }

    fn open(&self, plan: &PoolConfig, shared: &Source) -> Result<Backend, Error> {
        let _paused = pause_drivers();
        self.check(plan)?;
        // Endpoints of channels get to workers by messages, and those in memory are not theirs:
        // they would keep the channels open as long as the pool lives.
        let inherits = plan.borrows || matches!(shared, Source::Value(_));
        let maker: &ZygoteMaker<'_> = &|config, fds: ZygoteFds| {
            // A child would write once more what is buffered.
            os::flush_output();
            let parent = getpid();
            let locks = ForkLocks::take();
            let foreign = own_descriptors();
            let endpoints = if inherits { Vec::new() } else { SharedSegment::presences() };
            // SAFETY: one thread (checked just now), so no lock is copied while another thread
            // holds it, or the caller has promised that this does no harm. Handles of ended threads
            // are copied, too: the documentation of `StartMethod::Fork` forbids their use.
            match unsafe { fork() }.or_resources("forking this process")? {
                ForkResult::Parent { child } => Ok(child),
                ForkResult::Child => {
                    bootstrap::reset_signals();
                    os::null_stdin();
                    os::fill_output();
                    foreign.close();
                    endpoints.iter().for_each(SharedSegment::abandon);
                    std::mem::forget(endpoints);
                    drop(locks);
                    run_guarded(config, fds, parent)
                }
            }
        };
        Session::open(plan, shared, false, maker).map(Backend::Processes)
    }
}
