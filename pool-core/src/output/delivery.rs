//! Calls the user's function, and the logger, with what workers write.
//!
//! Invariant: code of the user is called here in a thread of its own, with no lock of the pool
//! held, in the order in which the bytes were read. The reader waits for it while it goes on; where
//! it does not for a second, what comes is dropped and counted, so that code of the user that waits
//! for a worker never keeps that worker from writing.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{event::OutputEvent, options::OutputPlan};
use crate::{
    driver::{Driven, Driver, Leave, Work, drives_here},
    error::Error,
    mutex::lock,
    panic::quietly,
};

/// Bytes that may wait for the user's function.
const MOST_BYTES: usize = 1 << 20;
/// How long the reader waits for a call of the user's function to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the end of a pool waits for each of those calls.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks whether this process is to be forked.
const SLICE: Duration = Duration::from_millis(20);

/// The events that wait, and the thread that delivers them.
pub(super) struct Delivery {
    plan: OutputPlan,
    queue: Mutex<Queue>,
    changed: Condvar,
    driver: OnceLock<Driver>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<OutputEvent>,
    bytes: usize,
    /// Bytes that were dropped since the last event that waits.
    dropped: u64,
    /// Whether the user's function is being called.
    calling: bool,
    /// Counts its calls that have ended.
    calls: u64,
    /// The value of `calls` at which the reader had no patience any more.
    stuck_at: Option<u64>,
    closed: bool,
}

/// What an event counts as: a short one takes memory, too.
fn bytes_of(event: &OutputEvent) -> usize {
    event.bytes.len() + size_of::<OutputEvent>()
}

impl Delivery {
    /// A delivery if there is anything to call.
    pub(super) fn new(plan: &OutputPlan) -> Option<Arc<Self>> {
        if plan.on_output.is_none() && plan.logged == [false; 2] {
            return None;
        }
        let delivery = Arc::new(Self {
            plan: plan.clone(),
            queue: Mutex::default(),
            changed: Condvar::new(),
            driver: OnceLock::new(),
        });
        let driven: Weak<dyn Driven> = Arc::downgrade(&(delivery.clone() as Arc<dyn Driven>));
        let _ = delivery.driver.set(Driver::new(driven, crate::stack::size_beside(None)));
        Some(delivery)
    }

    pub(super) fn start(&self) -> Result<(), Error> {
        self.driver.get().map_or(Ok(()), Driver::start)
    }

    /// Has an event delivered; waits while too much waits. `leave`: the caller is to end soon.
    pub(super) fn push(&self, event: OutputEvent, leave: &Leave<'_>) {
        let mut queue = lock(&self.queue);
        let (mut calls, mut since) = (queue.calls, Instant::now());
        while queue.bytes > MOST_BYTES && !leave() {
            if queue.calls != calls {
                (calls, since) = (queue.calls, Instant::now());
            }
            if queue.stuck_at == Some(calls) || since.elapsed() >= PATIENCE {
                queue.stuck_at = Some(calls);
                queue.dropped += event.bytes.len() as u64;
                return;
            }
            let waited = self.changed.wait_timeout(queue, SLICE);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.bytes += bytes_of(&event);
        let dropped = mem::take(&mut queue.dropped);
        queue.events.push_back(OutputEvent { dropped, ..event });
        drop(queue);
        self.changed.notify_all();
    }

    /// Waits until all was delivered that was read so far, as long as the user's function goes on.
    pub(super) fn flush(&self) {
        if drives_here() {
            return; // the function itself may be this thread's caller
        }
        let mut queue = lock(&self.queue);
        let (mut calls, mut since) = (queue.calls, Instant::now());
        while (queue.calling || !queue.events.is_empty()) && since.elapsed() < LAST_PATIENCE {
            let waited = self.changed.wait_timeout(queue, SLICE);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if queue.calls != calls {
                (calls, since) = (queue.calls, Instant::now());
            }
        }
    }

    /// Ends the thread once all was delivered.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.changed.notify_all();
        if let Some(driver) = self.driver.get()
            && !drives_here()
        {
            driver.stop_within(Some(Duration::ZERO));
        }
    }

    fn deliver(&self, event: &OutputEvent) {
        #[cfg(feature = "log")]
        if self.plan.logged[event.stream.index()] {
            quietly(|| log_lines(event));
        }
        if let Some(on_output) = &self.plan.on_output {
            quietly(|| on_output(event));
        }
    }
}

#[cfg(feature = "log")]
fn log_lines(event: &OutputEvent) {
    use super::event::Stream;

    let target = match event.stream {
        Stream::Stdout => "pool::stdout",
        Stream::Stderr => "pool::stderr",
    };
    for line in event.text().lines() {
        log::info!(target: target, "worker {}: {line}", event.worker);
    }
}

impl Driven for Delivery {
    fn demand(&self) -> (Work, u64) {
        let queue = lock(&self.queue);
        let over = queue.closed && queue.events.is_empty();
        (if over { Work::Over } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let mut queue = lock(&self.queue);
        while !leave() {
            if let Some(event) = queue.events.pop_front() {
                queue.bytes -= bytes_of(&event);
                queue.calling = true;
                drop(queue);
                self.deliver(&event);
                queue = lock(&self.queue);
                queue.calling = false;
                queue.calls += 1;
                self.changed.notify_all();
            } else if queue.closed {
                break;
            } else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        // With the lock, so that a thread that is about to sleep has either seen its order or hears
        // this.
        drop(lock(&self.queue));
        self.changed.notify_all();
    }

    fn no_driver(&self, _: Error) {}
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
