//! What workers have left behind at the ends of their lives, until the pool's user asks.
//!
//! Invariant: a result stays what it is, however often it is read, until workers start anew; a failure is told once.

use std::{
    collections::VecDeque,
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
#[derive(Debug, Default)]
pub(crate) struct Exits {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    results: Vec<Arc<ExitResult>>,
    failures: VecDeque<(u32, Cause)>,
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

    fn decode<E: Wire>(&self, decoder: &mut Decoder) -> Result<E, WireFault> {
        decoder.set_segments(&self.segments);
        decoder.decode(&self.bytes)
    }
}

impl Exits {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }

    pub(crate) fn add(&self, result: ExitResult) {
        self.lock().results.push(Arc::new(result));
    }

    /// A worker failed at its end, and no call was there to be told.
    pub(crate) fn fail(&self, worker: u32, cause: Cause) {
        self.lock().failures.push_back((worker, cause));
    }

    /// The oldest failure that nobody was told of; the others are forgotten with it.
    pub(crate) fn take_failure(&self) -> Result<(), Error> {
        match mem::take(&mut self.lock().failures).pop_front() {
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
                entries.results.retain(|other| !Arc::ptr_eq(other, result));
                entries.failures.push_back((result.worker, Cause::of_result(fault)));
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
        let exits = Exits::default();
        exits.add(result(0, "a"));
        exits.add(result(1, "b"));
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        exits.clear();
        assert!(exits.read::<String>().is_empty());
    }

    #[test]
    fn what_does_not_decode_is_told_once() {
        let exits = Exits::default();
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
