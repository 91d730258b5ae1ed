//! The thread that stands for a process under Threads.
//!
//! Invariant: what the function returned, or its panic, is there before the thread is said to have
//! ended; its value never leaves this process.

use std::{
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use crate::{
    child::{ChildConfig, Running, children, identity},
    compact::Compact,
    error::{Error, FailureKind, OrResources},
    hooks::become_daemon_thread,
    mutex::lock,
    os::{self, Listed},
    panic::{in_task, learn_locations, take_panic},
    stack,
    watcher::Awaited,
};

/// A thread that runs one function.
pub(super) struct ThreadRun<R> {
    name: String,
    daemon: bool,
    owner: u32,
    detached: AtomicBool,
    state: Mutex<ThreadState<R>>,
    ended: Condvar,
    /// An event counter that is readable when it has ended.
    counter: Listed,
}

struct ThreadState<R> {
    /// Until it was joined.
    thread: Option<JoinHandle<()>>,
    id: Option<ThreadId>,
    /// `None` inside: the value was taken.
    end: Option<Result<Option<Compact<R>>, FailureKind>>,
}

/// The call of a function, which backtraces are cut at.
pub(super) fn call_of<A: Send + 'static, R: 'static>(
    function: fn(A) -> R,
    argument: Compact<A>,
) -> Box<dyn FnOnce() -> R + Send> {
    Box::new(move || function(argument.into_inner()))
}

impl<R: Send + 'static> ThreadRun<R> {
    /// Starts the thread.
    pub(super) fn start(
        config: ChildConfig,
        act: Box<dyn FnOnce() -> R + Send>,
    ) -> Result<Arc<Self>, Error> {
        let ChildConfig { identity, cpus, .. } = config;
        let counter = os::new_counter().and_then(Listed::new).or_resources("starting a thread")?;
        let run = Arc::new(Self {
            name: identity.name.clone(),
            daemon: identity.daemon,
            owner: process::id(),
            detached: AtomicBool::new(false),
            state: Mutex::new(ThreadState { thread: None, id: None, end: None }),
            ended: Condvar::new(),
            counter,
        });
        learn_locations(false);
        let own = run.clone();
        let (pinned, is_pinned) = std::sync::mpsc::channel();
        let bytes = stack::size(None);
        let builder = thread::Builder::new().name(identity.name.clone()).stack_size(bytes);
        let live = move || {
            let pin = cpus.map_or(Ok(()), |cpus| cpus.pin_current_thread());
            let goes_on = pin.is_ok();
            // The receiver waits for it.
            let _ = pinned.send(pin);
            if !goes_on {
                return;
            }
            if identity.daemon {
                become_daemon_thread();
            }
            identity::become_thread(identity);
            let end = stack::with_room::<(), R, _>(|| {
                in_task(|| catch_unwind(AssertUnwindSafe(act))).map(Compact::new)
            });
            own.finish(end.map(Some).map_err(take_panic));
        };
        // The list of children knows the thread before its function does.
        let running: Arc<dyn Running> = run.clone();
        children::add(running.clone());
        let started = run.begin(builder, live, bytes).and_then(|()| match is_pinned.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::resources("pinning a thread to its CPUs", error)),
            Err(_) => Err(Error::resources("starting a thread", "it ended at once")),
        });
        if let Err(error) = started {
            children::remove(&running);
            let thread = lock(&run.state).thread.take();
            // It has run no code of the user.
            let _ = thread.map(JoinHandle::join);
            return Err(error);
        }
        Ok(run)
    }

    /// Starts the thread, which cannot say that it has ended before this process knows it.
    fn begin(
        &self,
        builder: thread::Builder,
        live: impl FnOnce() + Send + 'static,
        bytes: usize,
    ) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let thread = builder
            .spawn(live)
            .map_err(|error| stack::refusal("starting the thread of a process", error, bytes))?;
        state.id = Some(thread.thread().id());
        state.thread = Some(thread);
        Ok(())
    }

    fn finish(&self, end: Result<Option<Compact<R>>, FailureKind>) {
        lock(&self.state).end = Some(end);
        self.ended.notify_all();
        self.counter.increment();
    }

    pub(super) fn is_mine(&self) -> bool {
        self.owner == process::id()
    }

    pub(super) fn detach(&self) {
        self.detached.store(true, Relaxed);
    }

    /// Waits until its function has ended, at most for `limit`; whether it has. If so, the thread
    /// is joined.
    pub(super) fn wait_within(&self, limit: Option<Duration>) -> bool {
        let runs = |state: &mut ThreadState<R>| state.end.is_none();
        let state = lock(&self.state);
        let mut state = match limit {
            None => self.ended.wait_while(state, runs).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.ended.wait_timeout_while(state, limit, runs);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let has_ended = state.end.is_some();
        // The destructors of thread-local values may still run, code of the user among them, and
        // are waited for beyond the limit. The thread does not wait for itself when its program
        // ends.
        let thread = state
            .thread
            .take_if(|thread| has_ended && thread.thread().id() != thread::current().id());
        drop(state);
        // Its panic is known.
        let _ = thread.map(JoinHandle::join);
        has_ended
    }

    /// How it has ended: with its panic, if it did.
    pub(super) fn end(&self) -> Option<Result<(), FailureKind>> {
        self.wait_within(Some(Duration::ZERO)).then_some(())?;
        lock(&self.state).end.as_ref().map(|end| match end {
            Ok(_) => Ok(()),
            Err(kind) => Err(kind.clone()),
        })
    }

    /// The value, which is taken; `None` inside if it was taken before.
    pub(super) fn take(&self) -> Option<Result<Option<Compact<R>>, FailureKind>> {
        self.wait_within(Some(Duration::ZERO)).then_some(())?;
        lock(&self.state).end.as_mut().map(|end| match end {
            Ok(value) => Ok(value.take()),
            Err(kind) => Err(kind.clone()),
        })
    }
}

impl<R: Send + 'static> Awaited for ThreadRun<R> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

impl<R: Send + 'static> Running for ThreadRun<R> {
    /// The destructors of its thread-local values may still run, and are not waited for here: they
    /// may wait for the caller.
    fn has_ended(&self, _: Duration) -> bool {
        lock(&self.state).end.is_some()
    }

    fn wait(&self) {
        self.wait_within(None);
    }

    fn kill(&self) {}

    fn is_daemon(&self) -> bool {
        self.daemon
    }

    fn is_detached(&self) -> bool {
        self.detached.load(Relaxed)
    }

    fn is_current(&self) -> bool {
        lock(&self.state).id == Some(thread::current().id())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn has_own_fd(&self) -> bool {
        self.counter.is_intact()
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}
