//! How far a job is, without its types: what may be sent, and when it is over.

use std::{num::NonZeroU64, time::Instant};

use super::{
    options::{JobOptions, check_cancelled},
    target::Target,
    transfer::{Cut, Load, Sent},
    watch::Watch,
};
use crate::{
    cancel::CancelToken,
    engine::{Awaited, Pace, Sizer, Window},
    error::{Error, TaskError},
};

#[derive(Debug)]
pub(super) struct Progress {
    /// Items of the input that are still to be pulled, if the caller limited them.
    left: Option<usize>,
    exhausted: bool,
    sizer: Sizer,
    window: Window,
    cancel: Option<CancelToken>,
    lazy: bool,
    /// Whether the consumer takes results one by one: items count as under way until then.
    by_one: bool,
    /// The most arrivals to take at once.
    most_arrivals: usize,
    /// The arena is full and no chunk of this job is in flight: only other jobs can free space.
    starves: bool,
    /// Where it is counted, if the call is recorded.
    watch: Watch,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.watch.end(self.is_over());
    }
}

impl Progress {
    /// That of a job that has not begun. `target`: which of the `workers` workers its chunks go to;
    /// `lifespan`: how many tasks a worker's life has; `len`: of the input, if it is known.
    pub(super) fn new(
        options: &JobOptions,
        (target, workers): (Target, usize),
        lifespan: Option<NonZeroU64>,
        len: Option<u64>,
        pace: Pace,
    ) -> Self {
        let window = Window::new(options.max_tasks_active, workers, target.pace(pace));
        let mut sizer = Sizer::new(options.sizing(), workers, len, window.most_in_chunk());
        // That of the very workers: the pool's setting may have changed since they were claimed.
        if let Some(tasks) = lifespan {
            sizer.limit(usize::try_from(tasks.get()).unwrap_or(usize::MAX));
        }
        Self {
            left: options.iterable_len,
            exhausted: options.iterable_len == Some(0),
            sizer,
            window,
            cancel: options.cancel.clone(),
            lazy: pace == Pace::Lazy,
            by_one: false,
            most_arrivals: usize::MAX,
            starves: false,
            watch: Watch::new(options.watch.as_ref(), len),
        }
    }

    /// Where it is counted, if the call is recorded.
    pub(super) fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// The token that may end it.
    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.cancel.as_ref()
    }

    /// The number of items, if the input tells it.
    pub(super) fn known_len(&self) -> Option<u64> {
        self.sizer.len()
    }

    /// Whether only other jobs can free space for it.
    pub(super) fn starves(&self) -> bool {
        self.starves
    }

    /// Takes arrivals one at a time, since each may hold the consumer up for long.
    pub(super) fn one_at_a_time(&mut self) {
        self.most_arrivals = 1;
    }

    /// Lets items count as under way until [`Progress::yielded`] says that the consumer has them.
    pub(super) fn yield_one_by_one(&mut self) {
        self.by_one = true;
    }

    /// Whether every item has been pulled, sent, and handed on.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.exhausted && self.window.active() == 0
    }

    /// Begins to send; fails if the call is cancelled.
    #[inline]
    pub(super) fn begin_fill(&mut self) -> Result<(), Error> {
        check_cancelled(self.cancel.as_ref())?;
        self.starves = false;
        Ok(())
    }

    /// How to cut the next chunk, if one may be sent now. If there is no room for it, the sender
    /// waits, but not longer than `until`.
    #[inline]
    pub(super) fn next_cut(&mut self, until: Option<Instant>) -> Option<Cut> {
        if self.exhausted {
            return None;
        }
        let most = self.sizer.next().min(self.left.unwrap_or(usize::MAX));
        if !self.window.admits(most, self.sizer.nanos_of(most)) {
            return None;
        }
        let (timed, idle) = (self.sizer.wants_time(), self.window.chunks() == 0);
        Some(Cut { most, timed, idle, until })
    }

    /// Counts what was sent; returns whether another chunk may follow at once.
    #[inline]
    pub(super) fn sent(&mut self, sent: Sent) -> Result<bool, Error> {
        match sent {
            Sent::Load(Load { chunks, items, bytes, room }) => {
                self.sizer.took(items, bytes);
                self.window.took(chunks, items, room);
                self.watch.read(items);
                if let Some(left) = &mut self.left {
                    *left -= items.min(*left);
                    self.exhausted = *left == 0;
                }
            }
            Sent::NoRoom => {
                self.starves = self.window.chunks() == 0;
                return Ok(false);
            }
            Sent::Exhausted => self.exhausted = true,
        }
        if self.exhausted {
            self.watch.read_all();
        }
        check_cancelled(self.cancel.as_ref())?;
        Ok(true)
    }

    /// What to wait for, but not longer than `until`.
    #[inline]
    pub(super) fn awaited(&self, until: Option<Instant>) -> Awaited {
        Awaited {
            // A consumer that takes results one by one wants the first one at once.
            chunks: if self.lazy { 1 } else { self.window.chunks().div_ceil(2) },
            has_items: !self.exhausted,
            most: self.most_arrivals,
            until,
        }
    }

    /// A chunk that had `bytes` of room has ended.
    #[inline]
    pub(super) fn ended(&mut self, bytes: u64) {
        self.window.ended(bytes as usize);
    }

    /// Results of `items` items have come that ran for `nanos`.
    #[inline]
    pub(super) fn ran(&mut self, items: usize, nanos: u64) {
        self.sizer.ran(items, nanos);
    }

    /// An item has failed, which is handed on next.
    pub(super) fn failed(&mut self, error: &TaskError) {
        self.watch.failed(error);
    }

    /// Outcomes of `items` items were handed on.
    #[inline]
    pub(super) fn handed_on(&mut self, items: usize) {
        self.watch.done(items);
        if !self.by_one {
            self.window.yielded(items);
        }
    }

    /// Outcomes of `items` items have reached the consumer.
    #[inline]
    pub(super) fn yielded(&mut self, items: usize) {
        self.window.yielded(items);
    }
}
