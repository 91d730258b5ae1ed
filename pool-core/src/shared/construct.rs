//! Runs the user's code for a shared value in a thread of its own.
//!
//! Thread-local state that the code touches (random generators, hash keys) ends with that thread,
//! so that the workers forked afterwards do not inherit it.

use std::{
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use pool_shm::ForkMark;

use super::SharedValue;
use crate::{
    error::{Fault, full_text},
    panic::{end_quietly, in_task, take_panic},
    stack,
};

/// The limit where none is set.
const LONG: Duration = Duration::from_secs(u32::MAX as u64);

/// Runs `act` on a stack of that size (see `stack.rs`) and waits until its thread has ended; after
/// `limit` it returns without waiting for the thread.
pub(crate) fn make_in_thread(
    (limit, stack): (Option<Duration>, Option<usize>),
    act: impl FnOnce() -> Result<SharedValue, Fault> + Send + 'static,
) -> Result<SharedValue, Fault> {
    let refused = |error: &dyn std::error::Error| Fault::Refused { why: full_text(error) };
    let mark = ForkMark::new(NonZeroU64::MIN).map_err(|error| refused(&error))?;
    let (tell, told) = channel();
    let run = move || {
        let made = in_task(|| catch_unwind(AssertUnwindSafe(act)));
        if mark.get() == 0 {
            end_quietly(); // the code has forked and come back in the child, too
        }
        // Nothing receives this any more once the limit is over.
        let _ = tell.send(made.unwrap_or_else(|panic| Err(Fault::Task(take_panic(panic)))));
    };
    let thread =
        thread::Builder::new().name("pool-shared".to_string()).stack_size(stack::size(stack));
    let thread = thread.spawn(run).map_err(|error| refused(&error))?;
    match told.recv_timeout(limit.unwrap_or(LONG)) {
        Ok(made) => {
            let _ = thread.join();
            made
        }
        Err(RecvTimeoutError::Timeout) => Err(Fault::timed_out(limit.unwrap_or(LONG))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Fault::Refused { why: "its thread ended without a value".to_string() })
        }
    }
}
