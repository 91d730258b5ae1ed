//! How work reaches the threads: through one channel for any free thread, and one channel for each
//! thread alone.
//!
//! Invariant: a thread takes by turns from its two channels, so neither kind of work waits for the
//! other; and when the backend has ended, the thread has run all work that was for it alone. Work
//! that goes first also has a place in the common channel, so it wakes a sleeping thread, and none
//! of it is left when that channel is empty.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, select, unbounded};
use crossbeam_utils::Backoff;

use super::busy::Busy;
use crate::{ids::WorkerId, mutex::lock};

/// The sending end.
pub(super) struct WorkSender<T> {
    /// `None`: the place of work that goes first.
    common: Sender<Option<T>>,
    first: Arc<First<T>>,
    only: Vec<Sender<T>>,
}

/// Work that goes before other work.
struct First<T> {
    /// Length of `Backlog::waiting`, readable without the lock.
    count: AtomicUsize,
    line: Mutex<Backlog<T>>,
}

/// The oldest places in the common channel belong to work that was taken early, the others to the
/// work that waits.
struct Backlog<T> {
    waiting: VecDeque<T>,
    taken: usize,
}

/// The receiving end of one thread.
pub(super) struct WorkReceiver<T> {
    common: Receiver<Option<T>>,
    first: Arc<First<T>>,
    only: Receiver<T>,
    only_first: bool,
    /// Whether the last work was work that goes first.
    had_first: bool,
}

/// Gives the rest of a chunk back, for other threads.
pub(super) struct Handback<T> {
    senders: Arc<Mutex<Option<WorkSender<T>>>>,
    common: Receiver<Option<T>>,
    only: Receiver<T>,
    busy: Arc<Busy>,
}

/// The sending end, and the receiving ends of `threads` threads.
pub(super) fn work_queue<T>(threads: usize) -> (WorkSender<T>, Vec<WorkReceiver<T>>) {
    let (sender, receiver) = unbounded();
    let line = Mutex::new(Backlog { waiting: VecDeque::new(), taken: 0 });
    let first = Arc::new(First { count: AtomicUsize::new(0), line });
    let only = Vec::with_capacity(threads);
    let mut senders = WorkSender { common: sender, first: first.clone(), only };
    let ends = (0..threads).map(|_| {
        let (sender, only) = unbounded();
        senders.only.push(sender);
        WorkReceiver {
            common: receiver.clone(),
            first: first.clone(),
            only,
            only_first: true,
            had_first: false,
        }
    });
    let ends = ends.collect();
    (senders, ends)
}

impl<T> WorkSender<T> {
    /// How much work waits that any thread may take.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.common.len()
    }

    /// Hands work over: to the thread `worker`, or to any; returns it if there is no thread any
    /// more. `first`: it goes before other work for any thread.
    pub(super) fn send(&self, worker: Option<WorkerId>, first: bool, work: T) -> Result<(), T> {
        match worker {
            None if first && !self.common.is_empty() => {
                self.first.push(work);
                match self.common.send(None) {
                    Ok(()) => Ok(()),
                    // There is no thread, so the work is still there.
                    Err(_) => self.first.take_last().map_or(Ok(()), Err),
                }
            }
            None => {
                let sent = self.common.send(Some(work));
                sent.map_err(|error| error.0.expect("work was sent"))
            }
            Some(worker) => match self.only.get(worker.index()) {
                Some(channel) => channel.send(work).map_err(|error| error.0),
                None => Err(work),
            },
        }
    }
}

impl<T> First<T> {
    fn push(&self, work: T) {
        let mut line = lock(&self.line);
        line.waiting.push_back(work);
        self.count.store(line.waiting.len(), Relaxed);
    }

    /// Takes the oldest work that goes first, if any waits, before its turn.
    #[cold]
    fn take_early(&self) -> Option<T> {
        let mut line = lock(&self.line);
        let work = line.waiting.pop_front()?;
        line.taken += 1;
        self.count.store(line.waiting.len(), Relaxed);
        Some(work)
    }

    /// Takes the work whose place has come, unless it was taken early.
    #[cold]
    fn take_at_its_place(&self) -> Option<T> {
        let mut line = lock(&self.line);
        if line.taken > 0 {
            line.taken -= 1;
            return None;
        }
        let work = line.waiting.pop_front();
        self.count.store(line.waiting.len(), Relaxed);
        work
    }

    fn take_last(&self) -> Option<T> {
        lock(&self.line).waiting.pop_back()
    }
}

impl<T> Iterator for WorkReceiver<T> {
    type Item = T;

    /// Waits for the next work; `None` when the backend has ended and nothing is left.
    fn next(&mut self) -> Option<T> {
        loop {
            let backoff = Backoff::new();
            loop {
                match self.try_next() {
                    Ok(work) => return Some(work),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) if backoff.is_completed() => break,
                    Err(TryRecvError::Empty) => backoff.snooze(),
                }
            }
            let found = select! {
                recv(self.common) -> work => work.ok().and_then(|work| self.work_at_its_place(work)),
                recv(self.only) -> work => work.ok(),
            };
            // A closed channel ends the loop only when the other one is closed, too.
            if let Some(work) = found {
                return Some(work);
            }
        }
    }
}

impl<T> WorkReceiver<T> {
    /// Lets the thread give the rest of a chunk back, for other threads.
    pub(super) fn handback(
        &self,
        senders: Arc<Mutex<Option<WorkSender<T>>>>,
        busy: Arc<Busy>,
    ) -> Handback<T> {
        Handback { senders, common: self.common.clone(), only: self.only.clone(), busy }
    }

    #[inline]
    fn try_next(&mut self) -> Result<T, TryRecvError> {
        if self.only_first
            && let Ok(work) = self.only.try_recv()
        {
            self.only_first = false;
            return Ok(work);
        }
        self.only_first = true;
        // Relaxed: work that this load misses is found by its place in the common channel.
        if !std::mem::take(&mut self.had_first)
            && self.first.count.load(Relaxed) > 0
            && let Some(work) = self.first.take_early()
        {
            self.had_first = true;
            return Ok(work);
        }
        loop {
            match self.common.try_recv() {
                Ok(work) => {
                    if let Some(work) = self.work_at_its_place(work) {
                        return Ok(work);
                    }
                }
                // Both channels are closed together, but not in one step.
                Err(why) => {
                    return match self.only.try_recv() {
                        Err(TryRecvError::Disconnected) => Err(why),
                        other => other,
                    };
                }
            }
        }
    }

    /// The work that came through the common channel; `None` if it was the place of work that was
    /// taken early.
    #[inline]
    fn work_at_its_place(&self, work: Option<T>) -> Option<T> {
        work.or_else(|| self.first.take_at_its_place())
    }
}

impl<T> Handback<T> {
    /// Whether other calls have something under way.
    #[inline]
    pub(super) fn has_others(&self) -> bool {
        self.busy.are_several()
    }

    /// Whether anything waits that this thread could run.
    pub(super) fn any_waits(&self) -> bool {
        !(self.common.is_empty() && self.only.is_empty())
    }

    /// Sends what `work` makes, behind all that waits; `work` is called under a lock. `false`,
    /// without a call of `work`, when the backend is about to end.
    pub(super) fn send(&self, work: impl FnOnce() -> T) -> bool {
        let unsent = match &*lock(&self.senders) {
            Some(senders) => senders.send(None, false, work()).err(),
            None => return false,
        };
        // The lock is released before the work is dropped, and the user's items with it.
        unsent.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn neither_kind_waits_for_the_other() {
        let (senders, mut ends) = work_queue(2);
        for number in 0..4 {
            senders.send(None, false, number).unwrap();
            senders.send(Some(WorkerId::new(1)), false, 10 + number).unwrap();
        }
        assert_eq!(
            senders.send(Some(WorkerId::new(2)), false, 7),
            Err(7),
            "there is no such thread"
        );
        drop(senders);
        let mut other = ends.pop().unwrap();
        assert_eq!(other.by_ref().take(5).collect::<Vec<_>>(), [10, 0, 11, 1, 12]);
        // Work for that thread alone stays when others take the rest.
        assert_eq!(ends.pop().unwrap().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(other.collect::<Vec<_>>(), [13]);
    }

    #[test]
    fn a_sleeper_is_woken_by_what_is_for_it_alone() {
        let (senders, ends) = work_queue(2);
        let threads: Vec<_> = ends
            .into_iter()
            .map(|work_queue| thread::spawn(move || work_queue.collect::<Vec<_>>()))
            .collect();
        for number in 0..1000 {
            senders.send(Some(WorkerId::new(number % 2)), false, number).unwrap();
        }
        drop(senders);
        for (id, thread) in (0..).zip(threads) {
            let all = (0..1000).filter(|number| number % 2 == id);
            assert!(thread.join().unwrap().into_iter().eq(all));
        }
    }

    #[test]
    fn work_that_goes_first_alternates_and_runs_once() {
        let (senders, mut ends) = work_queue(2);
        senders.send(None, true, 0).unwrap(); // nothing waits for it to go before
        (1..4).for_each(|number| senders.send(None, false, number).unwrap());
        (10..13).for_each(|number| senders.send(None, true, number).unwrap());
        senders.send(Some(WorkerId::new(0)), true, 20).unwrap(); // is for one alone
        let mut one = ends.swap_remove(0);
        assert_eq!(one.by_ref().take(5).collect::<Vec<_>>(), [20, 10, 0, 11, 1]);
        drop(senders);
        let other = ends.pop().unwrap();
        assert_eq!(other.collect::<Vec<_>>(), [12, 2, 3]);
        assert_eq!(one.next(), None);
    }

    #[test]
    fn nothing_that_goes_first_is_lost_or_sleeps() {
        let (senders, ends) = work_queue(3);
        let ended =
            |work_queue: WorkReceiver<u32>| thread::spawn(move || work_queue.collect::<Vec<_>>());
        let threads: Vec<_> = ends.into_iter().map(ended).collect();
        for number in 0..30_000 {
            senders.send(None, number % 3 > 0, number).unwrap();
        }
        drop(senders);
        let mut all: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..30_000));
    }

    #[test]
    fn what_is_left_goes_behind_the_others_unless_the_threads_end() {
        let (senders, mut ends) = work_queue(1);
        let senders = Arc::new(Mutex::new(Some(senders)));
        let handback = ends[0].handback(senders.clone(), Arc::default());
        assert!(!handback.any_waits() && !handback.has_others());
        (0..2).for_each(|_| handback.busy.begin());
        lock(&senders).as_ref().unwrap().send(None, false, 1).unwrap();
        assert!(handback.any_waits() && handback.has_others());
        assert!(handback.send(|| 2));
        lock(&senders).take();
        assert!(!handback.send(|| unreachable!("no thread would run it")));
        assert_eq!(ends.pop().unwrap().collect::<Vec<_>>(), [1, 2]);
    }
}
