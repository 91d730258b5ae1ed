//! Which futures have ended, for threads that wait for several.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::queue::QueueShared;
use crate::mutex::lock;

/// Which futures have ended, in that order, and how.
#[derive(Debug)]
pub(super) struct Notices {
    pub(super) ended: Mutex<VecDeque<(usize, bool)>>,
    changed: Condvar,
    /// The queues of the futures that had not ended at first: a thread that waits works there.
    shared_parts: Vec<Arc<QueueShared>>,
    /// The process that made this: in a process forked from it nothing ever arrives.
    process: u32,
}

impl Notices {
    /// Notices for futures of the queues with these shared parts, at which a thread that waits
    /// works.
    pub(super) fn new(shared_parts: Vec<Arc<QueueShared>>) -> Arc<Self> {
        let process = std::process::id();
        Arc::new(Self { ended: Mutex::default(), changed: Condvar::new(), shared_parts, process })
    }

    /// Sleeps until a future has ended, or until `until`.
    pub(super) fn sleep_until(&self, until: Option<Instant>) {
        let ended = lock(&self.ended);
        let left =
            until.map_or(LONGEST_SLEEP, |until| until.saturating_duration_since(Instant::now()));
        if ended.is_empty() {
            let woken = self.changed.wait_timeout(ended, left.min(POLL_INTERVAL));
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Wakes the threads that sleep for a notice.
    pub(super) fn wake(&self) {
        drop(lock(&self.ended));
        self.changed.notify_all();
    }

    /// The notice of the future at `index`.
    pub(super) fn notice(self: &Arc<Self>, index: usize) -> Notice {
        Notice { to: Arc::downgrade(self), index }
    }

    pub(super) fn is_foreign(&self) -> bool {
        std::process::id() != self.process
    }

    /// The next future that has ended; `None` once it is `until`. The calling thread works at the
    /// queues meanwhile: the driver thread may depend on that.
    pub(super) fn next(&self, until: Option<Instant>) -> Option<(usize, bool)> {
        let some = || !lock(&self.ended).is_empty();
        let queues: Vec<_> =
            self.shared_parts.iter().filter_map(|queue_shared| queue_shared.queue()).collect();
        let mut longest = POLL_INTERVAL;
        loop {
            if let Some(next) = lock(&self.ended).pop_front() {
                return Some(next);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                // What has arrived belongs to the time before.
                queues.iter().for_each(|queue| queue.poll());
                return lock(&self.ended).pop_front();
            }
            if let ([queue_shared], [queue]) = (&*self.shared_parts, &*queues) {
                queue_shared.wait(&**queue, until, &some);
                continue;
            }
            let ended = lock(&self.ended);
            if ended.is_empty() {
                let left = left.map_or(longest, |left| left.min(longest));
                longest = (2 * longest).min(LONGEST_SLEEP);
                let woken = self.changed.wait_timeout(ended, left);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
                if !some() {
                    queues.iter().for_each(|queue| queue.poll());
                }
            }
        }
    }
}

/// Tells `Notices` that one future has ended.
#[derive(Debug)]
pub(super) struct Notice {
    to: Weak<Notices>,
    index: usize,
}

impl Notice {
    /// Notes that the call has ended; `true`: with a value.
    pub(super) fn send(self, well: bool) {
        if let Some(to) = self.to.upgrade() {
            lock(&to.ended).push_back((self.index, well));
            to.changed.notify_all();
        }
    }

    /// Whether no thread waits for it any more.
    pub(super) fn is_vain(&self) -> bool {
        self.to.strong_count() == 0
    }
}

/// The first pause between two looks of a thread that waits for futures of several queues, whose
/// own threads work meanwhile. Doubled after each look that finds nothing, up to the longest.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

const LONGEST_SLEEP: Duration = Duration::from_millis(250);
