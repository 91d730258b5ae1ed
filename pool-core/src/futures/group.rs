//! Waiting for several futures, of whatever pools.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{AsyncResult, desk::Home, lock};
use crate::{
    error::Error,
    job::{Awaits, Waiting},
};

/// Between the first two looks of who waits for futures of several desks, whose own threads work
/// meanwhile; twice as long after each further one that finds nothing, up to the longest.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// Which futures have ended, in that order, and how.
#[derive(Debug)]
struct Notices {
    ended: Mutex<VecDeque<(usize, bool)>>,
    changed: Condvar,
    /// The desks of those that had not ended at first: whoever waits works there.
    homes: Vec<Arc<Home>>,
    /// Nothing ever arrives in a process that was forked from this one.
    process: u32,
}

/// What one of them has told when it ends.
#[derive(Debug)]
pub(super) struct Notice {
    to: Weak<Notices>,
    index: usize,
}

impl Notice {
    /// The call has ended; `true`: with a value.
    pub(super) fn tell(self, well: bool) {
        if let Some(to) = self.to.upgrade() {
            lock(&to.ended).push_back((self.index, well));
            to.changed.notify_all();
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_vain(&self) -> bool {
        self.to.strong_count() == 0
    }
}

impl Notices {
    /// Asks for a notice of each.
    fn of<R>(handles: &[AsyncResult<R>]) -> Result<Arc<Self>, Error> {
        handles.iter().try_for_each(AsyncResult::check)?;
        let mut homes: Vec<Arc<Home>> = Vec::new();
        for handle in handles.iter().filter(|handle| handle.is_pending()) {
            if !homes.iter().any(|home| Arc::ptr_eq(home, handle.home())) {
                homes.push(handle.home().clone());
            }
        }
        let notices = Arc::new(Self {
            ended: Mutex::default(),
            changed: Condvar::new(),
            homes,
            process: std::process::id(),
        });
        for (index, handle) in handles.iter().enumerate() {
            handle.notice(Notice { to: Arc::downgrade(&notices), index });
        }
        Ok(notices)
    }

    fn is_foreign(&self) -> bool {
        std::process::id() != self.process
    }

    /// The next one, unless it is `until`. The calling thread works at the desks meanwhile: it may
    /// be the one that does otherwise, or that the other one waits for.
    fn next(&self, until: Option<Instant>) -> Option<(usize, bool)> {
        let some = || !lock(&self.ended).is_empty();
        let desks: Vec<_> = self.homes.iter().filter_map(|home| home.desk()).collect();
        let mut longest = LOOK_AGAIN;
        loop {
            if let Some(next) = lock(&self.ended).pop_front() {
                return Some(next);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            if let ([home], [desk]) = (&*self.homes, &*desks) {
                home.waiting.fetch_add(1, Ordering::SeqCst);
                desk.wait(until, &some);
                home.waiting.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let ended = lock(&self.ended);
            if ended.is_empty() {
                let left = left.map_or(longest, |left| left.min(longest));
                longest = (2 * longest).min(LONGEST_SLEEP);
                let woken = self.changed.wait_timeout(ended, left);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
                if !some() {
                    desks.iter().for_each(|desk| desk.look());
                }
            }
        }
    }
}

/// What tells those that have not ended from all other futures.
fn pending<'h, R: 'h>(
    handles: impl Iterator<Item = &'h AsyncResult<R>>,
) -> impl Iterator<Item = usize> {
    handles.filter(|handle| handle.is_pending()).map(AsyncResult::address)
}

/// The handles in the order in which their calls end, each with its position among those given.
/// Those that would be waited for in vain come at once, and say why: in a forked child that they
/// belong to another process, where each of them waits for the calling thread [`Error::NestedUse`].
///
/// # Errors
///
/// As [`AsyncResult::wait`].
pub fn as_completed<R>(
    handles: impl IntoIterator<Item = AsyncResult<R>>,
) -> Result<AsCompleted<R>, Error> {
    let handles: Vec<_> = handles.into_iter().collect();
    let notices = Notices::of(&handles)?;
    let left = handles.len();
    Ok(AsCompleted { handles: handles.into_iter().map(Some).collect(), notices, left })
}

/// See [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted<R> {
    handles: Vec<Option<AsyncResult<R>>>,
    notices: Arc<Notices>,
    left: usize,
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, AsyncResult<R>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let index = if self.notices.is_foreign() {
            // The handle says so itself.
            self.handles.iter().position(Option::is_some)?
        } else if let Some((index, _)) = lock(&self.notices.ended).pop_front() {
            index
        } else {
            match Waiting::begin(Awaits::Any, pending(self.handles.iter().flatten())) {
                Ok(_waiting) => self.notices.next(None)?.0,
                // Each of them waits for this thread, and says so itself.
                Err(_) => self.handles.iter().position(Option::is_some)?,
            }
        };
        Some((index, self.handles.get_mut(index)?.take()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
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

/// Waits for several calls, at most for `limit` if there is one; the positions of those that have ended, in that order.
///
/// # Errors
///
/// As [`AsyncResult::wait`].
pub fn wait<R>(
    handles: &[AsyncResult<R>],
    what: WaitFor,
    limit: Option<Duration>,
) -> Result<Vec<usize>, Error> {
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let notices = Notices::of(handles)?;
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
    // What has ended meanwhile belongs to it.
    ended.extend(lock(&notices.ended).drain(..).map(|(index, _)| index));
    Ok(ended)
}
