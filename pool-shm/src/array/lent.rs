//! Arrays that are lent to tasks as slices.
//!
//! Invariant: while an [`Alone`] lives, only [`LentArray`]s and the handle that gave it lead to the
//! elements: no thread of any process has another handle, and none can be made.

use std::{num::NonZeroU64, sync::Arc};

#[cfg(feature = "wire")]
use rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::{Fallible, Source},
};

#[cfg(feature = "wire")]
use super::ArchivedArray;
use super::{Element, SharedArray};
use crate::{Block, Exclusive, fork_mark::this_process, forks::forks};
#[cfg(feature = "wire")]
use crate::{
    Kind,
    wire::{BlockResolver, GiveSegment, TakeSegment},
};

/// Counts the clones of the handle that has made an array.
pub(super) struct First {
    /// The count of [`forks`] when the array was made: a forked child has the handle too.
    forks: u64,
}

impl First {
    /// The counter of an array that is made now; `None` if forks cannot be counted.
    pub(super) fn now() -> Option<Arc<Self>> {
        forks().map(|forks| Arc::new(Self { forks }))
    }
}

/// Says that the [`SharedArray`] that gave it is the only handle to its elements. As long as it
/// lives no other handle can be made but from that one: handles that arrive are refused with
/// [`SegmentFault::Lent`](crate::SegmentFault::Lent).
///
/// It counts as an [`Exclusive`]. A forked child's use of it does not affect the parent.
#[derive(Debug)]
pub struct Alone {
    block: Block,
    process: NonZeroU64,
    #[expect(dead_code, reason = "it is counted")]
    exclusive: Exclusive,
}

impl Drop for Alone {
    fn drop(&mut self) {
        if this_process().is_ok_and(|process| process == self.process) {
            self.block.end_alone();
        }
    }
}

impl<T: Element> SharedArray<T> {
    /// Returns a value if this is the only handle to the elements, as far as that can be known;
    /// while the value lives the handle remains the only one.
    ///
    /// It is the only one if this process has made the array and was not forked since, no handle to
    /// it was ever sent to a process, and no clone, also of a part, lives any more.
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// let mut array = pool_api::SharedArray::<u8>::new(4)?;
    /// let clone = array.clone();
    /// assert!(array.alone().is_none());
    /// drop(clone);
    /// assert!(array.alone().is_some());
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    pub fn alone(&mut self) -> Option<Alone> {
        let first = Arc::get_mut(self.first.as_mut()?)?;
        let process = this_process().ok()?;
        if forks() != Some(first.forks) || !self.block.begin_alone() {
            return None;
        }
        Some(Alone { block: self.block.clone(), process, exclusive: Exclusive::begin() })
    }

    /// A value that leads tasks to the elements for as long as a call borrows this handle.
    #[must_use]
    pub fn lend(&self) -> LentArray<T> {
        LentArray(self.clone())
    }
}

/// Leads to the elements of a [`SharedArray`] for a while, also in another process, without being
/// one of its handles: only `unsafe` code gets at them.
///
/// A pool sends it to its workers when they work on slices of an array.
#[derive(Debug)]
pub struct LentArray<T: Element>(SharedArray<T>);

impl<T: Element> LentArray<T> {
    /// The elements.
    ///
    /// # Safety
    ///
    /// While the reference, or a handle made from it, is used, the call that has lent the array has
    /// not returned. Where an [`Alone`] lives meanwhile, no two tasks get the same element.
    #[must_use]
    pub unsafe fn elements(&self) -> &SharedArray<T> {
        &self.0
    }
}

#[cfg(feature = "wire")]
impl<T: Element> Archive for LentArray<T> {
    type Archived = ArchivedLentArray;
    type Resolver = BlockResolver;

    fn resolve(&self, resolver: BlockResolver, out: Place<ArchivedLentArray>) {
        rkyv::munge::munge!(let ArchivedLentArray(array) = out);
        self.0.resolve(resolver, array);
    }
}

/// A [`LentArray`] as it lies in an archive.
#[cfg(feature = "wire")]
#[derive(Debug, Clone, Copy, rkyv::Portable, rkyv::bytecheck::CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedLentArray(ArchivedArray);

#[cfg(feature = "wire")]
impl<T, S> Serialize<S> for LentArray<T>
where
    T: Element,
    S: Fallible<Error: Source> + GiveSegment + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<BlockResolver, S::Error> {
        self.0.block().lend(serializer)
    }
}

#[cfg(feature = "wire")]
impl<T, D> Deserialize<LentArray<T>, D> for ArchivedLentArray
where
    T: Element,
    D: Fallible<Error: Source> + TakeSegment + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<LentArray<T>, D::Error> {
        let (block, whole) = self.0.block().take_lent(Kind::Array, T::TYPE, deserializer)?;
        self.0.part_of(block, whole).map(LentArray).map_err(Source::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SegmentFault, exclusive_borrows};

    #[test]
    fn clones_and_parts_are_other_handles() {
        for len in [3, 1_000_000] {
            let mut array = SharedArray::<u16>::new(len).unwrap();
            let part = array.slice(1..2);
            assert!(array.alone().is_none());
            drop(array);
            let mut part = part;
            let alone = part.alone().expect("the whole is gone");
            assert_eq!(exclusive_borrows(), 1);
            drop(alone);
            assert_eq!(exclusive_borrows(), 0);
            let lent = part.lend();
            assert!(part.alone().is_none());
            drop(lent);
            assert!(part.alone().is_some());
        }
    }

    #[test]
    fn no_other_thread_enters_meanwhile_and_one_inside_stays() {
        let mut array = SharedArray::<u8>::new(3).unwrap();
        let (segment, slot) = (array.block().segment().clone(), array.block().slot());
        let open = || Block::open(segment.clone(), slot, crate::Kind::Array, u8_type());
        let alone = array.alone().unwrap();
        assert_eq!(open().unwrap_err(), SegmentFault::Lent);
        assert!(array.alone().is_none(), "once is enough");
        drop(alone);
        assert!(array.alone().is_some());
        drop(open().unwrap());
        assert!(array.alone().is_none(), "it may have left a handle anywhere");
    }

    #[test]
    fn a_lent_array_leads_to_the_elements() {
        let mut array = SharedArray::from_slice(&[1i32, 2, 3]).unwrap();
        let alone = array.alone();
        let lent = array.lend();
        // SAFETY: in place of the one call and its one task.
        let slice = unsafe { lent.elements().as_mut_slice() };
        slice[1] = 9;
        drop((lent, alone));
        assert_eq!(array.to_vec(), [1, 9, 3]);
    }

    fn u8_type() -> crate::ElementType {
        crate::ElementType::fixed(1, 1)
    }
}
