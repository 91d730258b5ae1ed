//! The list of pages that go back to the system at the end of an operation.
//!
//! Invariant: ranges are whole pages of free memory, no two overlap, and each was counted as warm
//! until it came here.

/// Ranges to be given back.
#[derive(Debug, Default)]
pub(super) struct PagesToRelease {
    ranges: Vec<(u64, u64)>,
}

impl PagesToRelease {
    /// Notes `len` bytes from `offset` on.
    pub(super) fn push(&mut self, offset: u64, len: u64) {
        self.ranges.push((offset, len));
    }

    /// Calls `give` with each range, neighbours joined, and forgets them.
    #[inline]
    pub(super) fn flush(&mut self, give: impl FnMut(u64, u64)) {
        if !self.ranges.is_empty() {
            self.flush_some(give);
        }
    }

    #[cold]
    fn flush_some(&mut self, mut give: impl FnMut(u64, u64)) {
        self.ranges.sort_unstable();
        let mut ranges = self.ranges.drain(..);
        let Some(mut last) = ranges.next() else {
            return;
        };
        for (offset, len) in ranges {
            debug_assert!(last.0 + last.1 <= offset, "given back twice");
            if last.0 + last.1 == offset {
                last.1 += len;
            } else {
                give(last.0, last.1);
                last = (offset, len);
            }
        }
        give(last.0, last.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_together() {
        let mut to_release = PagesToRelease::default();
        for offset in [8, 0, 4, 16] {
            to_release.push(offset, 4);
        }
        let mut seen = Vec::new();
        to_release.flush(|offset, len| seen.push((offset, len)));
        assert_eq!(seen, [(0, 12), (16, 4)]);
        to_release.flush(|_, _| panic!("nothing is left"));
    }
}
