//! The threads that wait while another one drives.
//!
//! Invariant: a thread is in the table while it sleeps and has not been woken; it is put there and
//! looked for under the session's lock, which its condition variable goes with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar},
};

use crate::engine::JobId;

/// What a thread waits for, those for all kinds of events first, and a number of its own.
pub(super) type Place = (Option<JobId>, u64);

#[derive(Debug, Default)]
pub(super) struct Sleepers {
    all: BTreeMap<Place, Arc<Condvar>>,
    next: u64,
    /// The thread that was woken to drive, until it has come.
    successor: Option<Place>,
}

impl Sleepers {
    /// Adds a thread that goes to sleep, until something arrives for the job `of` if there is one;
    /// answers with its place, and with what it sleeps on.
    pub(super) fn add(&mut self, of: Option<JobId>) -> (Place, Arc<Condvar>) {
        let (place, sleeper) = ((of, self.next), Arc::new(Condvar::new()));
        self.next += 1;
        self.all.insert(place, sleeper.clone());
        (place, sleeper)
    }

    /// Notes that the thread does not sleep any more, whatever has ended its sleep.
    pub(super) fn remove(&mut self, place: Place) {
        self.all.remove(&place);
        self.successor.take_if(|successor| *successor == place);
    }

    /// Wakes the thread that waits for this job's messages, if one does.
    #[inline]
    pub(super) fn wake_for(&mut self, job: JobId) {
        self.wake_first_from(Some(job), |of| of == Some(job));
    }

    /// Wakes the threads that wait for other events than a job's messages.
    #[inline]
    pub(super) fn wake_general(&mut self) {
        while self.wake_first_from(None, |of| of.is_none()) {}
    }

    /// Wakes a thread, which drives if it has to go on waiting and no other one has begun to: that
    /// of the latest call, whose messages are likely to come last. While one that was woken for
    /// this has not come, no other one is.
    #[inline]
    pub(super) fn wake_successor(&mut self) {
        if self.successor.is_none()
            && let Some((place, sleeper)) = self.all.pop_last()
        {
            self.successor = Some(place);
            sleeper.notify_one();
        }
    }

    /// Wakes all threads.
    pub(super) fn wake_all(&mut self) {
        for (_, sleeper) in std::mem::take(&mut self.all) {
            sleeper.notify_one();
        }
    }

    fn wake_first_from(
        &mut self,
        job: Option<JobId>,
        wanted: impl Fn(Option<JobId>) -> bool,
    ) -> bool {
        let first = self.all.range((job, 0)..).next().map(|(place, _)| *place);
        let Some(place) = first.filter(|(of, _)| wanted(*of)) else { return false };
        if let Some(sleeper) = self.all.remove(&place) {
            sleeper.notify_one();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(sleepers: &Sleepers) -> Vec<Option<u64>> {
        sleepers.all.keys().map(|(job, _)| job.map(|job| job.0)).collect()
    }

    #[test]
    fn those_are_woken_that_wait_for_what_has_come() {
        let mut sleepers = Sleepers::default();
        for job in [Some(3), None, Some(7), None, Some(5)] {
            sleepers.add(job.map(JobId));
        }
        sleepers.wake_for(JobId(4));
        assert_eq!(left(&sleepers), [None, None, Some(3), Some(5), Some(7)]);
        sleepers.wake_for(JobId(5));
        assert_eq!(left(&sleepers), [None, None, Some(3), Some(7)]);
        sleepers.wake_general();
        sleepers.wake_general();
        assert_eq!(left(&sleepers), [Some(3), Some(7)]);
        sleepers.wake_all();
        sleepers.wake_successor();
        assert_eq!(left(&sleepers), []);
    }

    #[test]
    fn one_successor_is_woken_at_a_time() {
        let mut sleepers = Sleepers::default();
        let places = [Some(2), Some(9), None].map(|job| sleepers.add(job.map(JobId)).0);
        sleepers.wake_successor();
        sleepers.wake_successor();
        assert_eq!(left(&sleepers), [None, Some(2)], "the first has not come");
        sleepers.remove(places[0]); // at the end of its time
        sleepers.wake_successor();
        assert_eq!(left(&sleepers), [None]);
        sleepers.remove(places[1]);
        sleepers.wake_successor();
        assert_eq!(left(&sleepers), []);
    }
}
