//! What workers have left behind at the ends of their lives, until the pool's user asks.
//!
//! Invariant: a result stays what it is, however often it is read, until workers start anew; a
//! failure is told once. Results, with the shared objects that handles in them lead to, take no
//! more memory than the limit: one for which there is no room is refused, and that is kept until
//! it was told, whatever else fails or ends.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use pool_ipc::{AlignedBytes, Decoder, SegmentBroker, SegmentId, Wire, WireFault};
use pool_shm::SharedSegment;

use crate::{
    error::{Cause, Error},
    ids::WorkerId,
    mutex::lock,
};

/// One exit result, encoded.
#[derive(Debug)]
pub(crate) struct ExitResult {
    pub(crate) worker: WorkerId,
    pub(crate) bytes: AlignedBytes,
    /// Of handles in it.
    pub(crate) segments: Vec<SegmentId>,
    /// The segments that could be mapped, kept until the result is taken.
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
    /// Of results and segments.
    bytes: u64,
    segments: BTreeMap<SegmentId, Counted>,
    /// The oldest one that was not reported.
    failure: Option<(WorkerId, Cause)>,
    refusals: Refusals,
}

/// A segment that handles in results lead to.
#[derive(Debug)]
struct Counted {
    /// How many results have it.
    results: usize,
    /// What it takes of the limit.
    bytes: u64,
}

/// Results that were not kept: for each worker the first one, since there may be any number.
#[derive(Debug, Default)]
struct Refusals {
    causes: BTreeMap<WorkerId, Cause>,
    /// Whether an error has said that there are some.
    reported: bool,
}

impl ExitResult {
    /// One whose handles are to be had from `broker`.
    pub(crate) fn fetch(
        worker: WorkerId,
        bytes: AlignedBytes,
        segments: Vec<SegmentId>,
        broker: &dyn SegmentBroker,
    ) -> Self {
        // One that cannot be had now is missed when its handle is decoded.
        let had = |id: &SegmentId| SharedSegment::find(*id).or_else(|| broker.fetch(*id).ok());
        let held = segments.iter().filter_map(had).collect();
        Self { worker, bytes, segments, held }
    }

    /// Bytes that it counts for beside its segments, since any number of results may be empty.
    fn weight(&self) -> u64 {
        (self.bytes.len() + size_of::<Self>()) as u64
    }

    /// The segments that it keeps alive, each once, with what lies in them.
    fn sizes(&self) -> BTreeMap<SegmentId, u64> {
        self.held.iter().map(|segment| (segment.id(), segment.placed_bytes())).collect()
    }

    fn decode<E: Wire>(&self, decoder: &mut Decoder) -> Result<E, WireFault> {
        decoder.set_segments(&self.segments);
        decoder.decode(&self.bytes)
    }
}

impl Entries {
    /// Bytes of all results, with one more that leads to these segments.
    fn bytes_with(&self, result: &ExitResult, sizes: &BTreeMap<SegmentId, u64>) -> u64 {
        let fresh = sizes.iter().filter(|(id, _)| !self.segments.contains_key(id));
        let sum = self.bytes.saturating_add(result.weight());
        fresh.fold(sum, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    fn keep(&mut self, result: ExitResult, sizes: BTreeMap<SegmentId, u64>) {
        self.bytes = self.bytes_with(&result, &sizes);
        for (id, bytes) in sizes {
            self.segments.entry(id).or_insert(Counted { results: 0, bytes }).results += 1;
        }
        self.results.push(Arc::new(result));
    }

    /// Forgets a result, if it is there.
    fn remove(&mut self, result: &Arc<ExitResult>) {
        let before = self.results.len();
        self.results.retain(|other| !Arc::ptr_eq(other, result));
        if self.results.len() == before {
            return;
        }
        self.bytes = self.bytes.saturating_sub(result.weight());
        for id in result.sizes().into_keys() {
            if let Some(counted) = self.segments.get_mut(&id) {
                counted.results -= 1;
                if counted.results == 0 {
                    self.bytes = self.bytes.saturating_sub(counted.bytes);
                    self.segments.remove(&id);
                }
            }
        }
    }
}

impl Refusals {
    /// Whether it is the worker's first one.
    fn note(&mut self, worker: WorkerId, cause: Cause) -> bool {
        if self.reported {
            *self = Self::default();
        }
        let is_first = !self.causes.contains_key(&worker);
        self.causes.entry(worker).or_insert(cause);
        is_first
    }

    fn report(&mut self) -> Option<(WorkerId, Cause)> {
        if mem::replace(&mut self.reported, true) {
            return None;
        }
        self.causes.first_key_value().map(|(worker, cause)| (*worker, cause.clone()))
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

    /// Keeps a result if there is room; `false` where it is the first one of its worker that was
    /// refused.
    pub(crate) fn add(&self, result: ExitResult) -> bool {
        let sizes = result.sizes();
        let mut entries = self.lock();
        let (bytes, limit) = (entries.bytes_with(&result, &sizes), self.limit);
        if bytes <= limit {
            entries.keep(result, sizes);
            return true;
        }
        let cause = Cause::ExitResultsUnread { bytes, limit };
        let is_first = entries.refusals.note(result.worker, cause);
        // Its segments are let go without the lock.
        drop(entries);
        drop(result);
        !is_first
    }

    /// A worker failed at its end, and no call was there to be told.
    pub(crate) fn fail(&self, worker: WorkerId, cause: Cause) {
        self.lock().failure.get_or_insert((worker, cause));
    }

    /// The oldest failure that was not reported; later ones were forgotten. Refused results are no
    /// failures.
    pub(crate) fn take_failure(&self) -> Result<(), Error> {
        self.lock().failure.take().map_or(Ok(()), |failure| Err(error(failure)))
    }

    /// The oldest failure that was not reported, and if there is none, that results were refused.
    pub(crate) fn report(&self) -> Result<(), Error> {
        let mut entries = self.lock();
        let failure = entries.failure.take().or_else(|| entries.refusals.report());
        failure.map_or(Ok(()), |failure| Err(error(failure)))
    }

    /// The failure and all refusals, which are reported by this.
    pub(crate) fn take_all(&self) -> Vec<Error> {
        let mut entries = self.lock();
        let refusals = mem::take(&mut entries.refusals);
        entries.failure.take().into_iter().chain(refusals.causes).map(error).collect()
    }

    /// Workers start anew. Refusals that were not reported are kept.
    pub(crate) fn clear(&self) {
        let mut entries = self.lock();
        let before = mem::take(&mut entries.refusals);
        let refusals = if before.reported { Refusals::default() } else { before };
        let old = mem::replace(&mut *entries, Entries { refusals, ..Entries::default() });
        drop(entries);
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
                entries.remove(result);
                entries.failure.get_or_insert((result.worker, Cause::of_result(fault)));
            }
        }
        values
    }
}

fn error((worker, cause): (WorkerId, Cause)) -> Error {
    Error::WorkerExitFailed { worker: worker.number(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(worker: u32, value: &str) -> ExitResult {
        let bytes = pool_ipc::to_bytes(&value.to_owned()).unwrap();
        ExitResult { worker: WorkerId::new(worker), bytes, segments: Vec::new(), held: Vec::new() }
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
    fn what_has_no_room_is_reported_and_leaves_the_others() {
        let exits = Exits::new(2 * result(0, "a").weight());
        for (worker, value) in ["a", "b", "c", "d"].into_iter().enumerate() {
            exits.add(result(worker as u32, value));
        }
        assert_eq!(exits.read::<String>(), ["a", "b"]);
        let reported = exits.report();
        let Err(Error::WorkerExitFailed { worker: 2, cause }) = reported else {
            panic!("{reported:?}")
        };
        assert!(matches!(cause, Cause::ExitResultsUnread { bytes, limit } if bytes > limit));
        assert!(exits.report().is_ok());
        exits.clear();
        exits.add(result(4, "e"));
        assert_eq!(exits.read::<String>(), ["e"]);
        let none = Exits::new(0);
        none.add(result(0, "a"));
        assert!(none.read::<String>().is_empty() && none.report().is_err());
    }

    #[test]
    fn what_does_not_decode_is_reported_once() {
        let exits = Exits::new(u64::MAX);
        exits.add(ExitResult { bytes: AlignedBytes::new(), ..result(3, "") });
        exits.add(result(1, "b"));
        assert_eq!(exits.read::<String>(), ["b"]);
        let reported = exits.take_failure();
        assert!(matches!(
            reported,
            Err(Error::WorkerExitFailed { worker: 3, cause: Cause::BadResult })
        ));
        assert!(exits.take_failure().is_ok());
    }

    #[test]
    fn refusals_are_kept_until_they_are_reported() {
        let exits = Exits::new(0);
        exits.fail(WorkerId::new(7), Cause::BadResult);
        assert!(!exits.add(result(1, "a")) && exits.add(result(1, "b")), "told of once a worker");
        assert!(!exits.add(result(2, "c")));
        assert!(matches!(exits.take_failure(), Err(Error::WorkerExitFailed { worker: 7, .. })));
        exits.clear();
        assert!(matches!(exits.report(), Err(Error::WorkerExitFailed { worker: 1, .. })));
        assert!(exits.report().is_ok());
        assert_eq!(exits.take_all().len(), 2);
        assert!(exits.take_all().is_empty());
        exits.add(result(3, "d"));
        assert!(exits.report().is_err());
        exits.clear();
        assert!(exits.take_all().is_empty(), "it was told");
    }

    #[test]
    fn segments_count_once_and_as_long_as_a_result_has_them() {
        let array = pool_shm::SharedArray::<u8>::new(1 << 20).unwrap();
        let with = |worker, value: &str| {
            let held = vec![array.block().segment().clone()];
            let segments = held.iter().map(SharedSegment::id).collect();
            ExitResult { held, segments, ..result(worker, value) }
        };
        let exits = Exits::new((1 << 20) + 3 * result(0, "a").weight());
        assert!(exits.add(with(0, "a")) && exits.add(with(1, "b")), "each segment once");
        let other = pool_shm::SharedArray::<u8>::new(1 << 20).unwrap();
        let held = vec![other.block().segment().clone()];
        assert!(!exits.add(ExitResult { held, ..result(2, "c") }));
        // Those go that do not decode, and what they took with the last of them.
        let bytes = |exits: &Exits| exits.lock().bytes;
        let all = exits.lock().results.clone();
        exits.lock().remove(&all[0]);
        assert_eq!(bytes(&exits), (1 << 20) + all[1].weight());
        exits.lock().remove(&all[1]);
        exits.lock().remove(&all[1]);
        assert_eq!(bytes(&exits), 0);
    }
}
