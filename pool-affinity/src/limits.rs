//! `Limits`: which CPUs a plan may name.

use std::path::Path;

use crate::{CpuSet, Error, current_cpus, sysfs};

/// Which CPUs exist, which of them are switched on, and which of those may be used here.
///
/// Ids may be sparse, so a count of CPUs does not do.
///
/// ```
/// use pool_affinity::{CpuSet, Limits};
///
/// let limits = Limits::new("0-3,8-11".parse()?).online("0-3,8-10".parse()?);
/// assert!(limits.check(10).is_ok());
/// assert!(limits.check(11).is_err());
/// # Ok::<(), pool_affinity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    present: CpuSet,
    online: CpuSet,
    allowed: CpuSet,
}

impl Limits {
    /// A machine of these CPUs, all online and allowed.
    pub fn new(present: CpuSet) -> Self {
        Self { present, online: present, allowed: present }
    }

    /// The same machine with only these CPUs switched on.
    #[must_use]
    pub fn online(self, online: CpuSet) -> Self {
        let online = self.present.intersection(&online);
        Self { online, allowed: self.allowed.intersection(&online), ..self }
    }

    /// The same machine with only these CPUs allowed.
    #[must_use]
    pub fn allowed(self, allowed: CpuSet) -> Self {
        Self { allowed: self.online.intersection(&allowed), ..self }
    }

    /// This machine, and the mask of the calling thread: read it before any pinning.
    ///
    /// The kernel would let a thread leave a mask that was set by `taskset`, though not a cpuset;
    /// a plan keeps to both.
    ///
    /// # Errors
    ///
    /// [`Error::ReadMask`] as [`current_cpus`]; [`Error::Read`] or [`Error::BadCpuList`] when
    /// /sys is there but cannot be understood.
    pub fn read() -> Result<Self, Error> {
        let allowed = current_cpus()?;
        sysfs::or_if_missing(Self::from_sysfs(Path::new(sysfs::ROOT), &allowed), || {
            Ok(Self::new(allowed))
        })
    }

    /// The machine that the files under `root` describe, laid out as /sys.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] when the list of online CPUs is not there, [`Error::BadCpuList`] or
    /// [`Error::CpuIdTooLarge`] when a list cannot be understood.
    pub fn from_sysfs(root: &Path, allowed: &CpuSet) -> Result<Self, Error> {
        let online = sysfs::cpu_list(&root.join(sysfs::ONLINE))?;
        let present = sysfs::optional_cpu_list(&root.join(sysfs::PRESENT))?;
        Ok(Self::new(present.union(&online)).online(online).allowed(*allowed))
    }

    /// Whether a worker may be placed on this CPU.
    ///
    /// # Errors
    ///
    /// [`Error::CpuIdExceedsMaximum`], [`Error::CpuOffline`] or [`Error::CpuNotAllowed`].
    pub fn check(&self, id: usize) -> Result<(), Error> {
        let max = self.present.last().unwrap_or(0);
        if self.allowed.contains(id) {
            Ok(())
        } else if self.online.contains(id) {
            Err(Error::CpuNotAllowed { id, allowed: Box::new(self.allowed) })
        } else if id <= max {
            Err(Error::CpuOffline { id })
        } else {
            Err(Error::CpuIdExceedsMaximum { id, max })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_name() {
        let limits = Limits::new("0-3,8-11".parse().unwrap())
            .online("0-3,8-10".parse().unwrap())
            .allowed("0-1,8-11".parse().unwrap());
        for id in [0, 1, 8, 10] {
            limits.check(id).unwrap();
        }
        assert!(matches!(limits.check(2), Err(Error::CpuNotAllowed { id: 2, .. })));
        assert!(matches!(limits.check(5), Err(Error::CpuOffline { id: 5 })));
        assert!(matches!(limits.check(11), Err(Error::CpuOffline { id: 11 })));
        for id in [12, 1024, usize::MAX] {
            let error = limits.check(id).unwrap_err();
            assert!(matches!(error, Error::CpuIdExceedsMaximum { max: 11, .. }), "{error}");
        }
    }

    #[test]
    fn this_machine_allows_its_own_mask() {
        let limits = Limits::read().unwrap();
        for id in current_cpus().unwrap() {
            limits.check(id).unwrap();
        }
    }
}
