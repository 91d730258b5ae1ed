//! How errands reach the threads: by one channel for whoever is free, and by one for each thread alone.
//!
//! Invariant: a thread takes by turns from either, so neither kind waits for the other; and when the crew has ended it has run
//! all that was for it alone.

use crossbeam::{
    channel::{Receiver, Sender, TryRecvError, select, unbounded},
    utils::Backoff,
};

/// The end of those who have errands.
pub(super) struct Senders<T> {
    anybody: Sender<T>,
    only: Vec<Sender<T>>,
}

/// A thread's end.
pub(super) struct Errands<T> {
    anybody: Receiver<T>,
    only: Receiver<T>,
    only_first: bool,
}

/// The ends for so many threads.
pub(super) fn errands<T>(threads: usize) -> (Senders<T>, Vec<Errands<T>>) {
    let (sender, receiver) = unbounded();
    let mut senders = Senders { anybody: sender, only: Vec::with_capacity(threads) };
    let ends = (0..threads).map(|_| {
        let (sender, only) = unbounded();
        senders.only.push(sender);
        Errands { anybody: receiver.clone(), only, only_first: true }
    });
    let ends = ends.collect();
    (senders, ends)
}

impl<T> Senders<T> {
    /// Hands an errand over, for one thread if `home` says which; gives it back when there is none any more.
    pub(super) fn send(&self, home: Option<u32>, errand: T) -> Result<(), T> {
        let channel = match home {
            None => Some(&self.anybody),
            Some(home) => self.only.get(home as usize),
        };
        match channel {
            Some(channel) => channel.send(errand).map_err(|error| error.0),
            None => Err(errand),
        }
    }
}

impl<T> Iterator for Errands<T> {
    type Item = T;

    /// Waits for the next errand; `None` when the crew has ended and nothing is left.
    fn next(&mut self) -> Option<T> {
        loop {
            let backoff = Backoff::new();
            loop {
                match self.try_next() {
                    Ok(errand) => return Some(errand),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) if backoff.is_completed() => break,
                    Err(TryRecvError::Empty) => backoff.snooze(),
                }
            }
            let found = select! {
                recv(self.anybody) -> errand => errand,
                recv(self.only) -> errand => errand,
            };
            // A channel that was closed is asked again beside the other one.
            if let Ok(errand) = found {
                return Some(errand);
            }
        }
    }
}

impl<T> Errands<T> {
    #[inline]
    fn try_next(&mut self) -> Result<T, TryRecvError> {
        if self.only_first
            && let Ok(errand) = self.only.try_recv()
        {
            self.only_first = false;
            return Ok(errand);
        }
        self.only_first = true;
        match self.anybody.try_recv() {
            Ok(errand) => Ok(errand),
            // Both are closed at once, but not in one moment.
            Err(why) => match self.only.try_recv() {
                Err(TryRecvError::Disconnected) => Err(why),
                other => other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn neither_kind_waits_for_the_other() {
        let (senders, mut ends) = errands(2);
        for number in 0..4 {
            senders.send(None, number).unwrap();
            senders.send(Some(1), 10 + number).unwrap();
        }
        assert_eq!(senders.send(Some(2), 7), Err(7), "there is no such thread");
        drop(senders);
        let mut other = ends.pop().unwrap();
        assert_eq!(other.by_ref().take(5).collect::<Vec<_>>(), [10, 0, 11, 1, 12]);
        // What is for that one alone stays when others take the rest.
        assert_eq!(ends.pop().unwrap().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(other.collect::<Vec<_>>(), [13]);
    }

    #[test]
    fn a_sleeper_is_woken_by_what_is_for_it_alone() {
        let (senders, ends) = errands(2);
        let threads: Vec<_> = ends
            .into_iter()
            .map(|errands| thread::spawn(move || errands.collect::<Vec<_>>()))
            .collect();
        for number in 0..1000 {
            senders.send(Some(number % 2), number).unwrap();
        }
        drop(senders);
        for (id, thread) in (0..).zip(threads) {
            let all = (0..1000).filter(|number| number % 2 == id);
            assert!(thread.join().unwrap().into_iter().eq(all));
        }
    }
}
