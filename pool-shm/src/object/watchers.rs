//! The watchers that are told when this process lets a segment go.
//!
//! Invariant: each watcher is told once, in the process that asked for it. A forked child has no
//! watchers: it neither tells nor drops those of its parent.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{SegmentId, per_process::PerProcess};
use crate::fork_mark::this_process;

/// A component that is told when this process lets a [`SharedSegment`](crate::SharedSegment) go:
/// one that passes the segment on to other processes, for example.
pub trait SegmentWatcher: Send + Sync {
    /// The last handle to the segment in this process was dropped. That may happen anywhere, so
    /// this must not wait.
    fn released(&self, id: SegmentId);

    /// Whether the watcher needs no more news: then it may be forgotten.
    fn is_over(&self) -> bool;
}

/// The watchers, by the place of the mapping that they watch, since a segment may be mapped anew
/// while its last mapping goes.
static WATCHERS: PerProcess<Table> = PerProcess::new(|inherited| {
    // The parent drops what a watcher owns: descriptors, for example.
    std::mem::forget(inherited);
    Table::default()
});

type Table = HashMap<usize, Vec<Arc<dyn SegmentWatcher>>>;

/// Whether one mapping of a segment is watched.
#[derive(Default)]
pub(super) struct Watched {
    /// The process that has an entry in the table, as [`this_process`] numbers it.
    by: AtomicU64,
}

impl Watched {
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn here(&self) -> bool {
        // Relaxed: a thread that does not know yet finds the watcher in the table.
        let by = self.by.load(Relaxed);
        by != 0 && this_process().is_ok_and(|process| process.get() == by)
    }

    pub(super) fn is_by(&self, watcher: &Arc<dyn SegmentWatcher>) -> bool {
        self.here()
            && WATCHERS.lock().is_ok_and(|table| {
                table.get(&self.place()).is_some_and(|known| known.iter().any(same(watcher)))
            })
    }

    /// Adds a watcher; `false` if it was there already.
    pub(super) fn add(&self, watcher: Arc<dyn SegmentWatcher>) -> Result<bool, crate::Error> {
        let process = this_process()?;
        let mut over = Vec::new(); // dropped without the lock
        let mut table = WATCHERS.lock()?;
        let known = table.entry(self.place()).or_default();
        let fresh = !known.iter().any(same(&watcher));
        if fresh {
            over.extend(known.extract_if(.., |known| known.is_over()));
            known.push(watcher);
        }
        self.by.store(process.get(), Relaxed);
        drop(table);
        Ok(fresh)
    }

    /// Tells all watchers of the mapping, once.
    pub(super) fn end(&self, id: SegmentId) {
        if self.here()
            && let Ok(mut table) = WATCHERS.lock()
        {
            let watchers = table.remove(&self.place()).unwrap_or_default();
            drop(table);
            watchers.iter().for_each(|watcher| watcher.released(id));
        }
    }
}

fn same<'a>(a: &'a Arc<dyn SegmentWatcher>) -> impl Fn(&Arc<dyn SegmentWatcher>) -> bool + 'a {
    move |b| std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;
    use crate::SharedSegment;

    #[derive(Default)]
    struct Notes {
        gone: Mutex<Vec<SegmentId>>,
        over: AtomicBool,
    }

    impl SegmentWatcher for Notes {
        fn released(&self, id: SegmentId) {
            self.gone.lock().unwrap().push(id);
        }
        fn is_over(&self) -> bool {
            self.over.load(SeqCst)
        }
    }

    fn watcher() -> (Arc<Notes>, Arc<dyn SegmentWatcher>) {
        let notes = Arc::new(Notes::default());
        (notes.clone(), notes)
    }

    #[test]
    fn each_watcher_is_told_once_and_only_at_the_end() {
        let segment = SharedSegment::create(1).unwrap();
        let id = segment.id();
        let ((a, as_a), (b, as_b)) = (watcher(), watcher());
        assert!(!segment.is_watched_by(&as_a));
        assert_eq!(segment.watch(as_a.clone()), Ok(true));
        assert_eq!(segment.watch(as_a.clone()), Ok(false));
        assert_eq!(segment.watch(as_b), Ok(true));
        assert!(segment.is_watched_by(&as_a));

        let again = segment.clone();
        drop(segment);
        assert!(a.gone.lock().unwrap().is_empty());
        drop(again);
        assert_eq!((&*a.gone.lock().unwrap(), &*b.gone.lock().unwrap()), (&vec![id], &vec![id]));
    }

    #[test]
    fn a_watcher_that_is_over_is_forgotten_when_the_next_one_comes() {
        let segment = SharedSegment::create(1).unwrap();
        let (a, as_a) = watcher();
        segment.watch(as_a).unwrap();
        a.over.store(true, SeqCst);
        segment.watch(watcher().1).unwrap();
        assert_eq!(Arc::strong_count(&a), 1);
    }
}
