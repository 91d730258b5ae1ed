//! The capture of this process, if it is a worker whose pool captures.
//!
//! Invariant: what a process captures with is its own. A forked child has inherited it and reads 0
//! from the mark, so it neither writes to a ring of its parent nor touches a lock that another
//! thread may have held. User code (a `Display` of an argument) runs with no lock held.

use std::{
    cell::Cell,
    num::NonZeroU64,
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicPtr, Ordering},
    },
};

use pool_ipc::log_ring::{LogArea, LogWriter};
use pool_shm::{ForkMark, Mapping};

use super::filter::Filter;
use crate::mutex::lock;

/// Which word of the area has the most verbose level that the parent's logger takes.
pub(super) const LOG_LEVEL: usize = 0;
/// Which word has that of the parent's subscriber.
#[cfg(feature = "tracing")]
pub(super) const TRACE_LEVEL: usize = 1;

thread_local! {
    /// Whether this thread is at a record.
    static IS_AT_A_RECORD: Cell<bool> = const { Cell::new(false) };
}

/// How a worker captures.
#[derive(Debug)]
pub(super) struct Origin {
    mark: ForkMark,
    area: LogArea,
    ring: usize,
    filter: Filter,
    writer: Mutex<LogWriter>,
    pub(super) pid: u32,
    pub(super) most: usize,
}

static CURRENT: AtomicPtr<Origin> = AtomicPtr::new(ptr::null_mut());

/// The capture of this process, unless it has none or was forked from the one that has.
#[inline]
pub(super) fn current() -> Option<&'static Origin> {
    // Acquire: pairs with the Release in `set_current`.
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: null, or a value that `set_current` has leaked.
    unsafe { current.as_ref() }.filter(|origin| origin.mark.get() != 0)
}

/// Makes this process capture from now on.
pub(super) fn set_current(origin: Origin) -> &'static Origin {
    let origin = Box::leak(Box::new(origin)); // it lives as long as the process
    // This process may have been forked while the thread was at a record.
    IS_AT_A_RECORD.set(false);
    // Release: pairs with the Acquire in `current`.
    CURRENT.store(origin, Ordering::Release);
    origin
}

/// While it lives, this thread is at a record.
pub(super) struct AtRecord(());

impl Drop for AtRecord {
    fn drop(&mut self) {
        IS_AT_A_RECORD.set(false);
    }
}

impl Origin {
    /// The capture for the area at `offset` of the mapping, into the ring with this number; `None`
    /// if there is none.
    pub(super) fn open(mapping: &Arc<Mapping>, offset: u64, ring: usize) -> Option<Self> {
        let area = LogArea::open(mapping.clone(), usize::try_from(offset).ok()?)?;
        Some(Self {
            mark: ForkMark::new(NonZeroU64::MIN).ok()?,
            ring,
            filter: Filter::from_text(&area.text()),
            writer: Mutex::new(area.writer(ring)?),
            pid: std::process::id(),
            most: area.max_record(),
            area,
        })
    }

    #[inline]
    pub(super) fn takes(&self, target: &str) -> bool {
        self.filter.takes(target)
    }

    /// The most verbose level that the parent takes.
    #[inline]
    pub(super) fn level(&self, word: usize) -> usize {
        self.area.word(word) as usize
    }

    /// Begins a record; `None`, and counted, where this thread is at one.
    #[inline]
    pub(super) fn begin_record(&self) -> Option<AtRecord> {
        if IS_AT_A_RECORD.replace(true) {
            self.area.count_dropped(self.ring);
            return None;
        }
        Some(AtRecord(()))
    }

    /// Hands a record over.
    #[inline]
    pub(super) fn hand_over(&self, record: &[u8]) {
        lock(&self.writer).push(record);
    }

    /// Counts a record that cannot be encoded.
    #[cold]
    pub(super) fn drop_record(&self) {
        self.area.count_dropped(self.ring);
    }
}
