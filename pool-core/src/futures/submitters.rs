//! Submitters: calls that wait for room without a thread, in the order in which they came.
//!
//! Invariant: wherever there is room, the first submitter has been let in, or all have been woken
//! to look for it. One that was let in finds room, even if other calls came in between; if it
//! leaves instead, the next one is let in.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use crate::{
    mutex::lock,
    panic::{drop_quietly, quietly},
};

/// The submitters of one pool.
#[derive(Debug, Default)]
pub(crate) struct Submitters {
    list: Mutex<List>,
    /// How many there are, readable without the lock. SeqCst: a submitter counts itself, then looks
    /// for room.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    /// The wakers by number; none: it was woken and has not been polled since.
    wakers: BTreeMap<u64, Option<Waker>>,
}

impl Submitters {
    /// Adds a submitter, and returns its number. It has to look for room afterwards.
    pub(crate) fn enter(&self, waker: &Waker) -> u64 {
        let waker = waker.clone(); // the user's code
        let mut list = lock(&self.list);
        let number = list.next;
        list.next += 1;
        list.wakers.insert(number, Some(waker));
        self.count.fetch_add(1, Ordering::SeqCst);
        number
    }

    /// Replaces the waker of a submitter; `false`: it was let in.
    pub(crate) fn renew(&self, number: u64, waker: &Waker) -> bool {
        let waker = waker.clone(); // the user's code
        let mut list = lock(&self.list);
        let Some(place) = list.wakers.get_mut(&number) else { return false };
        let before = place.replace(waker);
        drop(list);
        drop_quietly(before);
        true
    }

    /// Removes a submitter, which needs no room any more. If it was let in, the next one is.
    pub(crate) fn leave(&self, number: u64) {
        match self.remove(|_| Some(number)) {
            Some(waker) => drop_quietly(waker),
            None => self.let_in(1),
        }
    }

    /// Lets the first submitters in, at most so many.
    pub(crate) fn let_in(&self, most: usize) {
        for _ in 0..most {
            let Some(waker) = self.remove(|list| list.wakers.keys().next().copied()) else { break };
            quietly(|| waker.into_iter().for_each(Waker::wake));
        }
    }

    /// Wakes all submitters, so that each looks for room.
    pub(crate) fn wake_all(&self) {
        if !self.is_empty() {
            let wakers: Vec<_> =
                lock(&self.list).wakers.values_mut().filter_map(Option::take).collect();
            wakers.into_iter().for_each(|waker| quietly(|| waker.wake()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    fn remove(&self, which: impl FnOnce(&List) -> Option<u64>) -> Option<Option<Waker>> {
        let mut list = lock(&self.list);
        let number = which(&list)?;
        let waker = list.wakers.remove(&number)?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(waker)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_place_of_a_submitter_that_leaves_goes_to_the_next() {
        let submitters = Submitters::default();
        let counts: Vec<_> = (0..4).map(|_| Arc::<Count>::default()).collect();
        let wakers: Vec<_> = counts.iter().map(|count| Waker::from(count.clone())).collect();
        let numbers: Vec<_> = wakers.iter().map(|waker| submitters.enter(waker)).collect();
        let woken = || -> Vec<_> { counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect() };
        submitters.let_in(1);
        assert_eq!(woken(), [1, 0, 0, 0]);
        submitters.leave(numbers[0]);
        assert_eq!(woken(), [1, 1, 0, 0]);
        // One that has not been let in has no place to give.
        submitters.leave(numbers[2]);
        assert_eq!(woken(), [1, 1, 0, 0]);
        assert!(!submitters.renew(numbers[1], &wakers[1]));
        assert!(submitters.renew(numbers[3], &wakers[3]));
        submitters.wake_all();
        submitters.wake_all();
        assert_eq!(woken(), [1, 1, 0, 1]);
        // It keeps its place in the list, and is not woken twice.
        submitters.let_in(1);
        assert_eq!(woken(), [1, 1, 0, 1]);
        assert!(!submitters.renew(numbers[3], &wakers[3]) && submitters.is_empty());
        submitters.let_in(1);
        assert!(counts.iter().all(|count| Arc::strong_count(count) == 2), "no waker is kept");
    }
}
