//! Catches a task's panic and makes it a record for the parent.
//!
//! Invariant: the hook is set at most once per process and passes on all panics that are not a
//! task's; in worker processes it prints nothing for a task, under Threads the user's own hook
//! still runs.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::backtrace;
use crate::error::FailureKind;

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What the hook has seen of the panic that `take_panic` gets next.
struct Seen {
    location: Option<String>,
    backtrace: Option<Backtrace>,
}

static HOOK: Once = Once::new();
static QUIET: AtomicBool = AtomicBool::new(false);
/// Whether the hook does nothing at all: the handler of a signal runs.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Wraps the panic hook so that it notes the location of tasks' panics. `quiet`: this is a worker
/// process, which prints nothing for them.
pub(crate) fn learn_locations(quiet: bool) {
    // A forked worker inherits both, and then needs no page of its own for them.
    if quiet && !QUIET.load(Ordering::Relaxed) {
        QUIET.store(true, Ordering::Relaxed);
    }
    if thread::panicking() {
        // A destructor during a panic uses a pool, or this process was forked there: std does not
        // allow to change the hook then. Tasks' panics are reported without a location.
        return;
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if SILENT.load(Ordering::Relaxed) {
                return;
            }
            let in_task = IN_TASK.try_with(Cell::get).unwrap_or(false);
            if in_task {
                let seen = Seen {
                    location: info.location().map(ToString::to_string),
                    // Names are looked up later: they take a tenth of a second, and the item's
                    // clock still runs.
                    backtrace: backtrace::capture(),
                };
                let _ = LAST.try_with(|last| last.replace(Some(seen)));
            }
            // Where a panic aborts, the parent gets no record of it: it has to be printed.
            if !(in_task && QUIET.load(Ordering::Relaxed) && cfg!(panic = "unwind")) {
                before(info);
            }
        }));
    });
}

/// Has the hook print tasks' panics: this process was forked from a worker perhaps, and is none.
pub(crate) fn print_panics() {
    QUIET.store(false, Ordering::Relaxed);
}

/// Runs `act` in the handler of a signal by which this process ends, which has one thread; the hook
/// does nothing for its panics.
pub(crate) fn silently(act: impl FnOnce()) {
    SILENT.store(true, Ordering::Relaxed);
    act();
    SILENT.store(false, Ordering::Relaxed);
}

/// Runs `act`, whose panics count as a task's.
#[inline]
pub(crate) fn in_task<T>(act: impl FnOnce() -> T) -> T {
    let before = IN_TASK.replace(true);
    let value = act();
    IN_TASK.set(before);
    value
}

/// Runs code of the user; its panic goes no further.
pub(crate) fn quietly(act: impl FnOnce()) {
    let mut act = Some(act);
    caught(&mut || {
        if let Some(act) = act.take() {
            act();
        }
    });
}

/// Drops a value of the user; a panic of its `Drop` goes no further.
pub(crate) fn drop_quietly<T>(value: T) {
    let mut value = Some(value);
    caught(&mut || value = None);
}

fn caught(act: &mut dyn FnMut()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(act)) {
        take_panic(payload);
    }
}

/// Makes a record of a caught panic: its message, its location and its backtrace.
pub(crate) fn take_panic(payload: Box<dyn Any + Send>) -> FailureKind {
    let message = match payload.downcast_ref::<&'static str>() {
        Some(text) => (*text).to_string(),
        None => match payload.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => "a value that is no text".to_string(),
        },
    };
    // A payload whose drop panics must not end the worker.
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    let seen = LAST.take();
    let (location, backtrace) = seen.map_or((None, None), |seen| (seen.location, seen.backtrace));
    let backtrace = backtrace.map(|backtrace| backtrace::of_task(&backtrace));
    FailureKind::Panic { message, location, backtrace }
}
