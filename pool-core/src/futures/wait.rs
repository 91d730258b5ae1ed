//! Waits for several futures, of one pool or several.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{handle::AsyncResult, notices::Notices, queue::QueueShared};
use crate::{
    error::Error,
    job::{Awaits, Waiting},
    mutex::lock,
};

/// Asks for a notice of the end of each.
fn notices_of<R>(handles: &[AsyncResult<R>]) -> Result<Arc<Notices>, Error> {
    handles.iter().try_for_each(AsyncResult::check)?;
    let mut shared_parts: Vec<Arc<QueueShared>> = Vec::new();
    for handle in handles.iter().filter(|handle| handle.is_pending()) {
        if !shared_parts.iter().any(|queue_shared| Arc::ptr_eq(queue_shared, handle.queue_shared()))
        {
            shared_parts.push(handle.queue_shared().clone());
        }
    }
    let notices = Notices::new(shared_parts);
    for (index, handle) in handles.iter().enumerate() {
        handle.notice(notices.notice(index));
    }
    Ok(notices)
}

/// The addresses of the futures that have not ended.
pub(super) fn pending<'h, R: 'h>(
    handles: impl Iterator<Item = &'h AsyncResult<R>>,
) -> impl Iterator<Item = usize> {
    handles.filter(|handle| handle.is_pending()).map(AsyncResult::address)
}

/// Yields the handles in the order in which their calls end, each with its position among those
/// given. A handle that can never end for the caller comes at once, and its own methods return the
/// reason: in a forked child [`Error::ForeignProcess`], and [`Error::NestedUse`] where its call
/// waits for the calling thread.
///
/// # Errors
///
/// Those of [`AsyncResult::wait`].
pub fn as_completed<R>(
    handles: impl IntoIterator<Item = AsyncResult<R>>,
) -> Result<AsCompleted<R>, Error> {
    let handles: Vec<_> = handles.into_iter().collect();
    let notices = notices_of(&handles)?;
    let left = handles.len();
    Ok(AsCompleted { handles: handles.into_iter().map(Some).collect(), notices, left })
}

/// An iterator over handles in the order in which their calls end, from [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted<R> {
    handles: Vec<Option<AsyncResult<R>>>,
    notices: Arc<Notices>,
    left: usize,
}

impl<R> AsCompleted<R> {
    /// The next handle whose call has ended; `None` at the end, and once it is `until`.
    fn next_until(&mut self, until: Option<Instant>) -> Option<(usize, AsyncResult<R>)> {
        if self.left == 0 {
            return None;
        }
        let index = if self.notices.is_foreign() {
            // The handle's own methods return the error.
            self.handles.iter().position(Option::is_some)?
        } else if let Some((index, _)) = lock(&self.notices.ended).pop_front() {
            index
        } else {
            match Waiting::begin(Awaits::Any, pending(self.handles.iter().flatten())) {
                Ok(_waiting) => self.notices.next(until)?.0,
                // Each of them waits for this thread; the handle's own methods return the error.
                Err(_) => self.handles.iter().position(Option::is_some)?,
            }
        };
        let handle = self.handles.get_mut(index)?.take()?;
        self.left -= 1;
        Some((index, handle))
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, AsyncResult<R>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Yields the handles like [`as_completed`], for at most `limit`, measured from this call: an
/// [`Error::NotReady`] ends the iteration then, and [`AsCompletedTimeout::into_rest`] returns the
/// handles that are left. Zero yields those whose calls have ended already, [`Duration::MAX`] all.
///
/// # Errors
///
/// Those of [`AsyncResult::wait`].
pub fn as_completed_timeout<R>(
    handles: impl IntoIterator<Item = AsyncResult<R>>,
    limit: Duration,
) -> Result<AsCompletedTimeout<R>, Error> {
    // A limit beyond the range of the clock is none.
    let until = Instant::now().checked_add(limit);
    Ok(AsCompletedTimeout { handles: as_completed(handles)?, until, over: false })
}

/// An iterator over handles in the order in which their calls end, up to a time limit, from
/// [`as_completed_timeout`].
///
/// It yields nothing more after the [`Error::NotReady`] of its limit.
#[derive(Debug)]
pub struct AsCompletedTimeout<R> {
    handles: AsCompleted<R>,
    until: Option<Instant>,
    /// The error of the limit was returned.
    over: bool,
}

impl<R> AsCompletedTimeout<R> {
    /// The handles that were not yielded, each with its position among those given, in that order.
    #[must_use]
    pub fn into_rest(self) -> Vec<(usize, AsyncResult<R>)> {
        let handles = self.handles.handles.into_iter().enumerate();
        handles.filter_map(|(index, handle)| Some((index, handle?))).collect()
    }
}

impl<R> Iterator for AsCompletedTimeout<R> {
    type Item = Result<(usize, AsyncResult<R>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.handles.next_until(self.until);
        self.over = next.is_none();
        next.map(Ok).or_else(|| (self.handles.left > 0).then_some(Err(Error::NotReady)))
    }
}

/// What [`wait`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitFor {
    /// One call that has ended.
    First,
    /// All calls.
    All,
    /// One call that has failed, or all.
    FirstError,
}

/// Waits for several calls, at most for `limit` if there is one. Returns the positions of the calls
/// that have ended, in that order.
///
/// # Errors
///
/// Those of [`AsyncResult::wait`].
pub fn wait<R>(
    handles: &[AsyncResult<R>],
    what: WaitFor,
    limit: Option<Duration>,
) -> Result<Vec<usize>, Error> {
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let notices = notices_of(handles)?;
    let awaits = if what == WaitFor::All { Awaits::All } else { Awaits::Any };
    let mut ended = Vec::new();
    while ended.len() < handles.len() {
        let _waiting = Waiting::begin(awaits, pending(handles.iter()))?;
        let Some((index, well)) = notices.next(until) else { break };
        ended.push(index);
        if what == WaitFor::First || (what == WaitFor::FirstError && !well) {
            break;
        }
    }
    // Calls that have ended meanwhile are part of the result.
    ended.extend(lock(&notices.ended).drain(..).map(|(index, _)| index));
    Ok(ended)
}
