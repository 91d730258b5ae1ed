//! What a worker does before its first chunk: it calls the functions that the user wants called
//! first, and makes the shared value if it does not inherit it.
//!
//! Invariant: whatever ends the process meanwhile, its row on the board says what it was at. A time
//! limit has a clock there, too, since a process that is stopped (SIGSTOP) does not see it pass.

use std::{
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_ipc::board::{Claimer, Stopped};
use pool_shm::ForkMark;

use super::config::WorkerStart;
use crate::{
    bootstrap,
    error::{Fault, Stage, StartFailure, WorkerStage},
    os::{self, KeptFd, nanos},
    panic::{end_quietly, in_task, take_panic},
    protocol,
    shared::{SharedConfig, SharedValue, make_in_thread},
};

/// Runs the start-up; answers with the shared value of this worker's tasks, or why it cannot go on.
pub(super) fn awake(
    start: &WorkerStart,
    shared: Vec<OwnedFd>,
    claimer: &Claimer,
    mark: &ForkMark,
    handshake_socket: &KeptFd,
) -> Result<Option<SharedValue>, StartFailure> {
    let at = |stage: Stage| {
        claimer.set_stage(WorkerStage::from(stage).number());
        move |fault| StartFailure { stage, fault }
    };
    if !start.config.first.is_empty() {
        let failed = at(Stage::AtWorkerStart);
        call_first(&start.config.first, mark).map_err(failed)?;
        #[cfg(feature = "capture-log")]
        crate::capture::settle();
    }
    let value = match &start.config.shared {
        SharedConfig::Nothing => None,
        SharedConfig::Value(value) => Some(value.clone()),
        SharedConfig::Constructed(shared_spec) => {
            let failed = at(Stage::Shared);
            let (limit, shared_spec) = (shared_spec.limit, shared_spec.clone());
            if let Some(outside) = shared_spec.limit_from_outside().map(nanos)
                && claimer.start_clock(os::monotonic_nanos(), outside, 0)
            {
                protocol::send_alarm(handshake_socket);
            }
            let act = move || shared_spec.construct(shared, false);
            let made = make_in_thread((limit, start.config.bounds.stack), act);
            if claimer.stop_clock() == Stopped::TimedOut {
                end_quietly(); // it is being killed
            }
            Some(made.map_err(failed)?)
        }
    };
    claimer.set_stage(WorkerStage::Ready.number());
    Ok(value)
}

fn call_first(functions: &[u64], mark: &ForkMark) -> Result<(), Fault> {
    for offset in functions {
        let lost = || Fault::Refused {
            why: "a function to be called first is not in this executable".to_string(),
        };
        let function = bootstrap::address_of(*offset).ok_or_else(lost)?;
        // SAFETY: the parent made the offset of a `fn()`, and all processes of a pool run the same
        // image.
        let function = unsafe { std::mem::transmute::<usize, fn()>(function) };
        let called = in_task(|| catch_unwind(AssertUnwindSafe(function)));
        if mark.get() == 0 {
            end_quietly(); // it has forked and come back in the child, too
        }
        called.map_err(|panic| Fault::Task(take_panic(panic)))?;
    }
    Ok(())
}
