//! What workers have left behind at the ends of their lives, until the pool's user asks.
//!
//! Invariant: a result stays what it is, however often it is read, until workers start anew; a
//! failure is told once. Results take no more memory than the limit: one for which there is no room
//! is a failure.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use pool_ipc::{AlignedBytes, Decoder, SegmentBroker, SegmentId, Wire, WireFault};
use pool_shm::SharedSegment;

use crate::error::{Cause, Error};
use crate::mutex::lock;

/// One exit result, encoded.
#[derive(Debug)]
pub(crate) struct ExitResult {
    pub(crate) worker: u32,
    pub(crate) bytes: AlignedBytes,
    /// Of handles in it.
    pub(crate) segments: Vec<SegmentId>,
    /// As many of them as could be had.
    #[expect(dead_code, reason = "they are kept alive")]
    pub(crate) held: Vec<SharedSegment>,
}

/// The exit results of a pool.
#[derive(Debug)]
pub(crate) struct Exits {
    entries: Mutex<Entries>,
    /// Bytes that results may take.
    limit: u64,
}

#[derive(Debug, Default)]
struct Entries {
    results: Vec<Arc<ExitResult>>,
    bytes: u64,
    /// The oldest one that was not told.
    failure: Option<(u32, Cause)>,
}

impl ExitResult {
    /// One whose handles are to be had from `broker`.
    pub(crate) fn fetch(
        worker: u32,
        bytes: AlignedBytes,
        segments: Vec<SegmentId>,
        broker: &dyn SegmentBroker,
    ) -> Self {
        // One that cannot be had now is missed when its handle is decoded.
        let had = |id: &SegmentId| SharedSegment::find(*id).or_else(|| broker.fetch(*id).ok());
        let held = segments.iter().filter_map(had).collect();
        Self { worker, bytes, segments, held }
    }

    /// Bytes that it counts for, since any number of results may be empty.
    fn weight(&self) -> u64 {
        (self.bytes.len() + size_of::<Self>()) as u64
    }

    fn decode<E: Wire>(&self, decoder: &mut Decoder) -> Result<E, WireFault> {
        decoder.set_segments(&self.segments);
        decoder.decode(&self.bytes)
    }
}

impl Exits {
    /// Room for `limit` bytes of results.
    pub(crate) fn new(limit: u64) -> Self {
        Self { entries: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }

    pub(crate) fn add(&self, result: ExitResult) {
        let mut entries = self.lock();
        let (bytes, limit) = (entries.bytes.saturating_add(result.weight()), self.limit);
        if bytes <= limit {
            entries.bytes = bytes;
            entries.results.push(Arc::new(result));
            return;
        }
        let cause = Cause::ExitResultsUnread { bytes, limit };
        entries.failure.get_or_insert((result.worker, cause));
        // Its segments are let go without the lock.
        drop(entries);
        drop(result);
    }

    /// A worker failed at its end, and no call was there to be told.
    pub(crate) fn fail(&self, worker: u32, cause: Cause) {
        self.lock().failure.get_or_insert((worker, cause));
    }

    /// The oldest failure that was not told; later ones were forgotten.
    pub(crate) fn take_failure(&self) -> Result<(), Error> {
        match self.lock().failure.take() {
            Some((worker, cause)) => Err(Error::WorkerExitFailed { worker, cause }),
            None => Ok(()),
        }
    }

    /// Workers start anew.
    pub(crate) fn clear(&self) {
        let old = mem::take(&mut *self.lock());
        drop(old);
    }

    /// The results in the order in which workers ended. One that does not decode is a failure.
    pub(crate) fn read<E: Wire>(&self) -> Vec<E> {
        let results = self.lock().results.clone();
        let mut decoder = Decoder::new();
        let (mut values, mut bad) = (Vec::with_capacity(results.len()), Vec::new());
        for result in &results {
            match result.decode(&mut decoder) {
                Ok(value) => values.push(value),
                Err(fault) => bad.push((result, fault)),
            }
        }
        if !bad.is_empty() {
            let mut entries = self.lock();
            for (result, fault) in bad {
                let before = entries.results.len();
                entries.results.retain(|other| !Arc::ptr_eq(other, result));
                if entries.results.len() < before {
                    entries.bytes -= result.weight();
                }
                entries.failure.get_or_insert((result.worker, Cause::of_result(fault)));
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(worker: u32, value: &str) -> ExitResult {
        let bytes = pool_ipc::to_bytes(&value.to_owned()).unwrap();
        ExitResult { worker, bytes, segments: Vec::new(), held: Vec::new() }
    }

    #[test]
    fn results_are_read_as_often_as_one_likes() {
        let exits = Exits::new(u64::MAX);
        exits.add(result(0, "a"));
        exits.add(result(1, "b"));
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        exits.clear();
        assert!(exits.read::<String>().is_empty());
    }

    #[test]
    fn what_has_no_room_is_told_and_leaves_the_others() {
        let exits = Exits::new(2 * result(0, "a").weight());
        for (worker, value) in ["a", "b", "c", "d"].into_iter().enumerate() {
            exits.add(result(worker as u32, value));
        }
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        let told = exits.take_failure();
        let Err(Error::WorkerExitFailed { worker: 2, cause }) = told else { panic!("{told:?}") };
        assert!(matches!(cause, Cause::ExitResultsUnread { bytes, limit } if bytes > limit));
        assert!(exits.take_failure().is_ok());
        exits.clear();
        exits.add(result(4, "e"));
        assert_eq!(exits.read::<String>(), ["e"]);
        let none = Exits::new(0);
        none.add(result(0, "a"));
        assert!(none.read::<String>().is_empty() && none.take_failure().is_err());
    }

    #[test]
    fn what_does_not_decode_is_told_once() {
        let exits = Exits::new(u64::MAX);
        exits.add(ExitResult { bytes: AlignedBytes::new(), ..result(3, "") });
        exits.add(result(1, "b"));
        assert_eq!(exits.read::<String>(), ["b"]);
        let told = exits.take_failure();
        assert!(matches!(
            told,
            Err(Error::WorkerExitFailed { worker: 3, cause: Cause::BadResult })
        ));
        assert!(exits.take_failure().is_ok());
    }
}
