//! How a claimer learns that the segments it keeps in case they come again, or values it has lent,
//! are not needed any more.
//!
//! Invariant: an identity stands in the ring before it is counted, and a claimer that was overtaken
//! by the ring keeps nothing. One that says that it keeps segments, then looks at the count, and
//! sleeps only as long as its wake count is what it was before, misses nothing.

use pool_shm::SegmentId;

use super::{
    claimer::Claimer,
    layout::{RELEASE_NOTICES, ReleaseNotices},
    table::Board,
};
use crate::primitive::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    wake,
};

impl Board {
    /// Announces that the publisher has let a segment go, and wakes the claimers that keep any. One
    /// thread at a time.
    pub fn announce_release(&self, id: SegmentId) {
        let ReleaseNotices { count, ids } = &*self.header.release_notices;
        let before = count.load(Relaxed);
        let [low, high] = &ids[(before % RELEASE_NOTICES as u64) as usize];
        // Release: pairs with the Acquire in `released_since`; a claimer that reads this sees the
        // count of what it replaces.
        low.store(id.0 as u64, Release);
        high.store((id.0 >> 64) as u64, Release);
        // SeqCst (so Release): with the loads that follow, the store–load pair of `set_keeps` and
        // `released_since`.
        count.swap(before.wrapping_add(1), SeqCst);
        for (place, row) in self.rows.iter().enumerate() {
            if row.keeps.load(SeqCst) != 0 {
                self.notify(place);
            }
        }
    }

    /// Ends the sleep of the claimer at `place`, which may be able to let go of something.
    pub fn notify(&self, place: usize) {
        if let Some(row) = self.rows.get(place) {
            // SeqCst, both: a claimer that says only now that it sleeps finds that it has moved on.
            row.orders.wake_count.fetch_add(1, SeqCst);
            if self.sleeps(place as u32) {
                wake(&row.orders.wake_count);
            }
        }
    }
}

impl Claimer {
    /// Writes whether this claimer keeps segments. Call it before reporting the chunk that made it
    /// keep the first one.
    pub fn set_keeps(&self, keeps: bool) {
        self.row().keeps.store(u32::from(keeps), SeqCst);
    }

    /// The current value of the wake count, for [`sleep`](Claimer::sleep): each wake-up from now on
    /// ends that sleep.
    #[must_use]
    pub fn wake_count(&self) -> u32 {
        self.row().orders.wake_count.load(SeqCst)
    }

    /// The segments that the publisher has let go since the count was `seen`, which moves on;
    /// `None` if they were too many to tell.
    pub fn released_since(&self, seen: &mut u64) -> Option<Vec<SegmentId>> {
        let ReleaseNotices { count, ids } = &*self.board().header.release_notices;
        let now = count.load(SeqCst);
        let since = std::mem::replace(seen, now);
        let news = now.wrapping_sub(since);
        if news >= RELEASE_NOTICES as u64 {
            return None;
        }
        let id = |nth: u64| {
            let [low, high] = &ids[(since.wrapping_add(nth) % RELEASE_NOTICES as u64) as usize];
            // Acquire: pairs with the Release in `announce_release`.
            let (low, high) = (low.load(Acquire), high.load(Acquire));
            SegmentId(u128::from(high) << 64 | u128::from(low))
        };
        let found: Vec<SegmentId> = (0..news).map(id).collect();
        // The first of them may have been replaced meanwhile, or is being replaced.
        let written = count.load(SeqCst).wrapping_sub(since);
        (written < RELEASE_NOTICES as u64).then_some(found)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::{Incarnation, Shape};

    #[test]
    fn each_claimer_is_told_once_or_that_there_were_too_many() {
        let shape = Shape { places: 2, slots: 1 };
        let segment = pool_shm::Segment::create("board", shape.bytes() as u64).unwrap();
        let board = Board::new(Arc::new(segment.map().unwrap()), shape);
        let [one, two] =
            [0, 1].map(|place| Claimer::new(board.clone(), place, Incarnation::new(place + 1), 1));
        let ids = |range: std::ops::Range<u128>| Some(range.map(|n| SegmentId(n << 60)).collect());
        let (mut by_one, mut by_two) = (0, 0);
        one.set_keeps(true);
        let wake_counts = (one.wake_count(), two.wake_count());
        for n in 0..3 {
            board.announce_release(SegmentId(n << 60));
        }
        assert_eq!((one.wake_count(), two.wake_count()), (wake_counts.0 + 3, wake_counts.1));
        assert_eq!(one.released_since(&mut by_one), ids(0..3));
        assert_eq!(one.released_since(&mut by_one), ids(0..0));
        for n in 3..RELEASE_NOTICES as u128 + 2 {
            board.announce_release(SegmentId(n << 60));
        }
        assert_eq!(one.released_since(&mut by_one), ids(3..RELEASE_NOTICES as u128 + 2));
        assert_eq!(two.released_since(&mut by_two), None);
        assert_eq!(two.released_since(&mut by_two), ids(0..0));
    }
}
