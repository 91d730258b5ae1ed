//! An endpoint of a channel that tasks of an executor wait for.
//!
//! Invariant: a task that is told to wait has its waker with the watcher, which calls it at the
//! next news of the other side, and after [`LONGEST`] whatever comes.

use std::{
    os::fd::{AsFd, BorrowedFd},
    process,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    error::Error,
    watcher::{Awaited, Watcher},
};

/// How long a task waits before it looks again: an endpoint that is killed between its step and
/// the notice of it leaves news of which its descriptor says nothing.
const LONGEST: Duration = Duration::from_millis(50);

/// An endpoint that tasks wait for: its descriptor is readable when a further attempt may succeed.
#[derive(Debug)]
pub struct AwaitedEndpoint<E: AsFd + Send + Sync + 'static> {
    endpoint: Arc<Watched<E>>,
    /// The watcher, and the process that it is of.
    watcher: Option<(Arc<Watcher>, u32)>,
    /// Whether a task waits.
    is_watched: bool,
}

#[derive(Debug)]
struct Watched<E>(E);

impl<E: AsFd + Send + Sync> Awaited for Watched<E> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn longest(&self) -> Option<Duration> {
        Some(LONGEST)
    }
}

impl<E: AsFd + Send + Sync + 'static> AwaitedEndpoint<E> {
    /// One for which no task waits yet.
    pub fn new(endpoint: E) -> Self {
        Self { endpoint: Arc::new(Watched(endpoint)), watcher: None, is_watched: false }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &E {
        &self.endpoint.0
    }

    /// What `attempt` returns once it succeeds; until then the task is woken for further attempts.
    pub fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&E) -> Option<R>,
    ) -> Poll<R> {
        let mut found = attempt(self.endpoint());
        if found.is_none() {
            if self.watch(context).is_err() {
                // No thread can be had that would wake the task: it looks by itself.
                context.waker().wake_by_ref();
            }
            // What has come before the watch is found by one more attempt.
            found = attempt(self.endpoint());
        }
        let Some(found) = found else { return Poll::Pending };
        self.stop();
        Poll::Ready(found)
    }

    fn watch(&mut self, context: &Context<'_>) -> Result<(), Error> {
        self.forget_that_of_parent();
        let awaited: Arc<dyn Awaited> = self.endpoint.clone();
        let (watcher, _) = match self.watcher.take() {
            Some(present) => present,
            None => (Watcher::get()?, 0),
        };
        // Asked for its descriptor, the endpoint is told of what comes from now on.
        let _ = awaited.fd();
        let watched = watcher.watch(&awaited, context.waker());
        self.is_watched = watched.is_ok();
        self.watcher = Some((watcher, process::id()));
        watched
    }

    /// In a forked child: leaves the watcher of its parent, whose thread is not here.
    fn forget_that_of_parent(&mut self) {
        if self.watcher.as_ref().is_some_and(|(_, of)| *of != process::id()) {
            std::mem::forget(self.watcher.take());
        }
    }

    /// Forgets the waker of a task that waits no more.
    fn stop(&mut self) {
        self.forget_that_of_parent();
        if let Some((watcher, _)) = self.watcher.as_ref().filter(|_| self.is_watched) {
            let awaited: Arc<dyn Awaited> = self.endpoint.clone();
            watcher.forget(&awaited);
            self.is_watched = false;
        }
    }
}

impl<E: AsFd + Send + Sync + 'static> Drop for AwaitedEndpoint<E> {
    fn drop(&mut self) {
        self.stop();
    }
}
