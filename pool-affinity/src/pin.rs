//! Reading and setting the CPU mask of the calling thread.
//!
//! Invariant: a pin that returns `Ok` has been read back from the kernel. The kernel cuts a mask
//! down to the CPUs that a cpuset allows and still reports success.

use core_affinity::CoreId;
use nix::{
    sched::{CpuSet as Mask, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{CpuSet, Error};

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The CPUs that the calling thread may run on now: affinity mask and cpuset.
///
/// A pinned thread sees only its own CPUs, and new threads inherit the mask: to place several
/// workers, read it before the first is pinned.
///
/// ```
/// assert!(!pool_affinity::current_cpus()?.is_empty());
/// # Ok::<(), pool_affinity::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::ReadMask`], in practice only on machines with more than [`CpuSet::CAPACITY`] CPUs.
pub fn current_cpus() -> Result<CpuSet, Error> {
    let mask =
        sched_getaffinity(THIS_THREAD).map_err(|errno| Error::ReadMask { source: errno.into() })?;
    CpuSet::from_ids((0..Mask::count()).filter(|&id| mask.is_set(id).unwrap_or(false)))
}

impl CpuSet {
    /// Pins the calling thread to these CPUs; threads that it starts later inherit them.
    ///
    /// ```
    /// use pool_affinity::current_cpus;
    ///
    /// let allowed = current_cpus()?;
    /// allowed.pin_current_thread()?;
    /// assert_eq!(current_cpus()?, allowed);
    /// # Ok::<(), pool_affinity::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::PinToNothing`] for the empty set.
    /// * [`Error::Pin`] when the kernel refuses: none of the CPUs is online and allowed.
    /// * [`Error::PinDiffers`] when the kernel says yes and does otherwise, mostly taking a part of
    ///   the set only.
    /// * [`Error::ReadMask`] when the result cannot be read back.
    pub fn pin_current_thread(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Err(Error::PinToNothing);
        }
        if !self.pin_to_single_cpu() {
            sched_setaffinity(THIS_THREAD, &self.to_mask())
                .map_err(|errno| Error::Pin { cpus: Box::new(*self), source: errno.into() })?;
        }
        let actual = current_cpus()?;
        if actual != *self {
            return Err(Error::PinDiffers { cpus: Box::new(*self), actual: Box::new(actual) });
        }
        Ok(())
    }

    /// Serves sets of one CPU; `false` also when the kernel refused, whose errno is lost here.
    fn pin_to_single_cpu(&self) -> bool {
        // An id of 1024 or more would abort the process in `set_for_current`: a set holds none.
        let mut ids = self.iter();
        match (ids.next(), ids.next()) {
            (Some(id), None) => core_affinity::set_for_current(CoreId { id }),
            _ => false,
        }
    }

    fn to_mask(self) -> Mask {
        let mut mask = Mask::new();
        for id in self {
            mask.set(id).expect("ids of a CpuSet are below the 1024 bits of the mask");
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_as_wide_as_a_set() {
        assert_eq!(Mask::count(), CpuSet::CAPACITY);
        let ends = CpuSet::from_ids([0, 63, 64, 1023]).unwrap();
        let mask = ends.to_mask();
        let set = (0..Mask::count()).filter(|&id| mask.is_set(id).unwrap());
        assert_eq!(CpuSet::from_ids(set).unwrap(), ends);
    }

    #[test]
    fn the_empty_set_pins_nothing() {
        assert!(matches!(CpuSet::new().pin_current_thread(), Err(Error::PinToNothing)));
    }
}
