//! An endpoint of a channel that tasks of an executor wait for.
//!
//! Invariant: a task that is told to wait has its waker with the watcher, which calls it at the
//! next news of the other side, and after [`LONGEST`] whatever comes.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    error::Error,
    watcher::{Awaited, WatcherHandle},
};

/// How long a task waits before it looks again: an endpoint that is killed between its step and
/// the notice of it leaves news of which its descriptor says nothing.
const LONGEST: Duration = Duration::from_millis(50);

/// An endpoint that tasks wait for: its descriptor is readable when a further attempt may succeed.
#[derive(Debug)]
pub struct AwaitedEndpoint<E: AsFd + Send + Sync + 'static> {
    endpoint: Arc<Watched<E>>,
    watcher: Option<WatcherHandle>,
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
        if self.watcher.as_ref().is_none_or(|watcher| watcher.here().is_none()) {
            self.watcher = Some(WatcherHandle::new()?);
        }
        let awaited: Arc<dyn Awaited> = self.endpoint.clone();
        // Asked for its descriptor, the endpoint is told of what comes from now on.
        let _ = awaited.fd();
        let watcher = self.watcher.as_ref().and_then(WatcherHandle::here);
        let watched = watcher.map_or(Ok(()), |watcher| watcher.watch(&awaited, context.waker()));
        self.is_watched = watched.is_ok();
        watched
    }

    /// Forgets the waker of a task that waits no more.
    fn stop(&mut self) {
        let watcher = self.watcher.as_ref().and_then(WatcherHandle::here);
        if let Some(watcher) = watcher.filter(|_| self.is_watched) {
            let awaited: Arc<dyn Awaited> = self.endpoint.clone();
            watcher.forget(&awaited);
        }
        self.is_watched = false;
    }
}

impl<E: AsFd + Send + Sync + 'static> Drop for AwaitedEndpoint<E> {
    fn drop(&mut self) {
        self.stop();
    }
}
