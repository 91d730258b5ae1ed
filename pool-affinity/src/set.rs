//! `CpuSet`: a sorted set of CPU ids.
//!
//! Invariant: every id is below 1024, the width of the kernel mask that libc and nix know, so a set
//! always fits into a system call. No allocation: a forked child may build and use one.
//! The text form is in `text.rs`, the system calls in `pin.rs`.

use std::fmt;

use crate::Error;

const BITS: usize = u64::BITS as usize;
const WORDS: usize = CpuSet::CAPACITY / BITS;

/// A sorted set of CPU ids, each below [`CpuSet::CAPACITY`].
///
/// Reads and prints as the kernel writes such lists.
///
/// ```
/// # use pool_affinity as pool_api;
/// use pool_api::CpuSet;
///
/// let cpus: CpuSet = "0-3,8".parse()?;
/// assert_eq!(cpus.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
/// assert_eq!(cpus, CpuSet::from_ids([8, 3, 2, 1, 0])?);
/// assert_eq!(cpus.to_string(), "0-3,8");
/// # Ok::<(), pool_affinity::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    words: [u64; WORDS],
}

impl CpuSet {
    /// One more than the largest id that a set can hold.
    pub const CAPACITY: usize = 1024;

    /// The empty set.
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// The set of these ids; repeated ids count once.
    ///
    /// # Errors
    ///
    /// [`Error::CpuIdTooLarge`] for an id of [`CpuSet::CAPACITY`] or more.
    pub fn from_ids(ids: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let mut set = Self::new();
        for id in ids {
            set.insert(id)?;
        }
        Ok(set)
    }

    /// Adds an id; returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`Error::CpuIdTooLarge`] for an id of [`CpuSet::CAPACITY`] or more; the set stays as it is.
    pub fn insert(&mut self, id: usize) -> Result<bool, Error> {
        let word = self.words.get_mut(id / BITS).ok_or(Error::CpuIdTooLarge { id })?;
        let bit = 1 << (id % BITS);
        let new = *word & bit == 0;
        *word |= bit;
        Ok(new)
    }

    /// Removes an id; returns whether it was there.
    pub fn remove(&mut self, id: usize) -> bool {
        let was = self.contains(id);
        if was {
            self.words[id / BITS] &= !(1 << (id % BITS));
        }
        was
    }

    /// Whether the id is in the set.
    pub fn contains(&self, id: usize) -> bool {
        self.words.get(id / BITS).is_some_and(|word| word >> (id % BITS) & 1 == 1)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no id.
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    /// The smallest id.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// The largest id.
    pub fn last(&self) -> Option<usize> {
        let word = self.words.iter().rposition(|&word| word != 0)?;
        Some(word * BITS + self.words[word].ilog2() as usize)
    }

    /// The ids of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// The ids of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// The ids of this set that the other lacks.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    /// Whether the other set has every id of this one.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> CpuSetIter {
        CpuSetIter { rest: *self, word: 0 }
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self { words: std::array::from_fn(|word| with(self.words[word], other.words[word])) }
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// The ids of a [`CpuSet`] in ascending order.
#[derive(Debug, Clone)]
pub struct CpuSetIter {
    rest: CpuSet,
    word: usize,
}

impl Iterator for CpuSetIter {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while let Some(bits) = self.rest.words.get_mut(self.word) {
            if *bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                return Some(self.word * BITS + bit);
            }
            self.word += 1;
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for CpuSetIter {}

impl std::iter::FusedIterator for CpuSetIter {}

impl IntoIterator for CpuSet {
    type Item = usize;
    type IntoIter = CpuSetIter;

    fn into_iter(self) -> CpuSetIter {
        self.iter()
    }
}

impl IntoIterator for &CpuSet {
    type Item = usize;
    type IntoIter = CpuSetIter;

    fn into_iter(self) -> CpuSetIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<const N: usize>(ids: [usize; N]) -> CpuSet {
        CpuSet::from_ids(ids).unwrap()
    }

    #[test]
    fn ids_are_sorted_and_unique() {
        let cpus = set([1023, 64, 0, 63, 64]);
        assert_eq!(cpus.iter().collect::<Vec<_>>(), [0, 63, 64, 1023]);
        assert_eq!((cpus.len(), cpus.iter().len()), (4, 4));
        assert_eq!((cpus.first(), cpus.last()), (Some(0), Some(1023)));
    }

    #[test]
    fn the_empty_set_has_nothing() {
        let none = CpuSet::new();
        assert!(none.is_empty());
        assert_eq!((none.first(), none.last(), none.iter().next()), (None, None, None));
    }

    #[test]
    fn an_id_that_does_not_fit_is_an_error_and_changes_nothing() {
        let mut cpus = set([3]);
        for id in [1024, 5000, usize::MAX] {
            assert!(matches!(cpus.insert(id), Err(Error::CpuIdTooLarge { id: got }) if got == id));
            assert!(!cpus.contains(id));
            assert!(!cpus.remove(id));
        }
        assert_eq!(cpus, set([3]));
    }

    #[test]
    fn insert_and_remove_say_what_changed() {
        let mut cpus = CpuSet::new();
        assert!(cpus.insert(7).unwrap());
        assert!(!cpus.insert(7).unwrap());
        assert!(cpus.remove(7));
        assert!(!cpus.remove(7));
        assert!(cpus.is_empty());
    }

    #[test]
    fn algebra() {
        let (a, b) = (set([0, 1, 100]), set([1, 2]));
        assert_eq!(a.union(&b), set([0, 1, 2, 100]));
        assert_eq!(a.intersection(&b), set([1]));
        assert_eq!(a.difference(&b), set([0, 100]));
        assert!(set([1]).is_subset(&a) && !b.is_subset(&a));
    }
}
