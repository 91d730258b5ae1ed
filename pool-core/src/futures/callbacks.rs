//! Runs the callbacks of a backend's futures one after the other, in a thread that exists while
//! there are any.
//!
//! Invariant: a callback holds up other callbacks only, never a result; it holds up a stop, unless
//! it calls that stop itself; its panic goes no further.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, ThreadId},
};

use crate::{
    driver::NAME,
    mutex::lock,
    panic::quietly,
    reentrancy::{InCall, Inside},
};

/// A callback together with its argument.
pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// The callbacks of one backend.
pub(super) struct Callbacks {
    backend: usize,
    /// Bytes of the thread's stack.
    stack: usize,
    queue: Mutex<Queue>,
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Callback>,
    /// Whether a thread runs callbacks.
    runs: bool,
    thread: Option<ThreadId>,
}

impl Callbacks {
    /// For the backend with this number.
    pub(super) fn new(backend: usize, stack: usize) -> Self {
        Self { backend, stack, queue: Mutex::default(), idle: Condvar::new() }
    }

    pub(super) fn run(self: &Arc<Self>, callback: Callback) {
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(callback);
        if std::mem::replace(&mut queue.runs, true) {
            return;
        }
        drop(queue);
        self.start();
    }

    fn start(self: &Arc<Self>) {
        let this = self.clone();
        let thread = thread::Builder::new().name(NAME.to_string()).stack_size(self.stack);
        if thread.spawn(move || this.work()).is_err() {
            self.work(); // better late than in no thread at all
        }
    }

    fn work(&self) {
        // A thread that stops the pool waits for callbacks, so a callback must not wait for such a
        // stop.
        let _inside = InCall::enter(self.backend, Inside::Callback);
        let here = Some(thread::current().id());
        let mut queue = lock(&self.queue);
        queue.thread = here;
        while let Some(callback) = queue.waiting.pop_front() {
            drop(queue);
            quietly(callback);
            queue = lock(&self.queue);
            if queue.thread != here {
                return; // see `resign`
            }
        }
        (queue.runs, queue.thread) = (false, None);
        drop(queue);
        self.idle.notify_all();
    }

    /// Called before waiting for the end of a stop: if the calling thread runs a callback, the stop
    /// does not wait for that callback from now on. The callbacks behind it get a thread of their
    /// own.
    pub(super) fn resign(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        if queue.thread != Some(thread::current().id()) {
            return;
        }
        queue.thread = None;
        queue.runs = !queue.waiting.is_empty();
        let goes_on = queue.runs;
        drop(queue);
        if goes_on {
            self.start();
        } else {
            self.idle.notify_all();
        }
    }

    /// Waits until all callbacks have run but those that have resigned. Returns at once in the
    /// thread that runs them.
    pub(super) fn wait(&self) {
        let queue = lock(&self.queue);
        if queue.thread != Some(thread::current().id()) {
            let idle = self.idle.wait_while(queue, |queue| queue.runs);
            drop(idle.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
