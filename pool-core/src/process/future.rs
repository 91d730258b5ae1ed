//! A process as a future, and as a descriptor that tells of its end.

use std::{
    future::Future,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pool_ipc::Wire;

use super::handle::Process;
use crate::{
    error::Error,
    watcher::{Awaited, WatcherHandle},
};

/// A descriptor that is readable once the process has ended, for `poll`, `epoll` and an executor's
/// own (tokio's `AsyncFd`): then [`try_join`](Process::try_join) has the value. It stays the
/// handle's, and must not be read from.
impl<R: Wire> AsFd for Process<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}

/// The number of the descriptor of [`AsFd`].
impl<R: Wire> AsRawFd for Process<R> {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor().as_raw_fd()
    }
}

/// What [`join`](Process::join) returns, in any executor.
///
/// While a process is awaited, one thread of this process watches all that are; it is the only
/// thread that a `Process` ever starts beside those of Threads, and ends with the last await. An
/// executor that watches descriptors needs no such thread with [`AsFd`]. Fork pauses the thread.
///
/// ```
/// # use pool_core as pool_api;
/// use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// use pool_api::Process;
///
/// let mut process = pin!(Process::builder().spawn(|x: u64| x * x, 12)?);
/// let mut context = Context::from_waker(Waker::noop());
/// let value = loop {
///     match process.as_mut().poll(&mut context) {
///         Poll::Ready(value) => break value?,
///         Poll::Pending => std::thread::yield_now(),
///     }
/// };
/// assert_eq!(value, 144);
/// # Ok::<(), pool_core::Error>(())
/// ```
impl<R: Wire> Future for Process<R> {
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.try_join() {
            Err(Error::NotReady) => {}
            ended => {
                this.stop_watching();
                return Poll::Ready(ended);
            }
        }
        let running: Arc<dyn Awaited> = this.running();
        if this.watcher.as_ref().is_none_or(|watcher| watcher.here().is_none()) {
            match WatcherHandle::new() {
                Ok(handle) => this.watcher = Some(handle),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let watcher = this.watcher.as_ref().and_then(WatcherHandle::here);
        let watched = watcher.map_or(Ok(()), |watcher| watcher.watch(&running, context.waker()));
        match watched {
            Ok(()) => Poll::Pending,
            Err(error) => {
                this.stop_watching();
                Poll::Ready(Err(error))
            }
        }
    }
}
