//! `Machine`: which CPUs a plan may name, and where the machine is described.
//!
//! Invariant: allowed CPUs are online, online CPUs are present. On the live machine whatever the
//! mask of the calling thread holds counts as online: containers may overlay the files of /sys.

use std::path::{Path, PathBuf};

use crate::{Core, CpuSet, Error, Topology, current_cpus, sysfs};

/// Which CPUs exist, which of them are switched on, and which of those may be used here.
///
/// Ids may be sparse, so a count of CPUs does not do.
///
/// ```
/// use pool_affinity::Machine;
///
/// let machine = Machine::new("0-3,8-11".parse()?).online("0-3,8-10".parse()?);
/// assert!(machine.check(10).is_ok());
/// assert!(machine.check(11).is_err());
/// # Ok::<(), pool_affinity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    present: CpuSet,
    online: CpuSet,
    allowed: CpuSet,
    /// Laid out as /sys; without it every CPU counts as a core.
    root: Option<PathBuf>,
}

impl Machine {
    /// A machine of these CPUs, all online and allowed, each a core of its own.
    pub fn new(present: CpuSet) -> Self {
        Self { present, online: present, allowed: present, root: None }
    }

    /// Limits the CPUs that are switched on to these.
    #[must_use]
    pub fn online(self, online: CpuSet) -> Self {
        let online = self.present.intersection(&online);
        Self { online, allowed: self.allowed.intersection(&online), ..self }
    }

    /// Limits the CPUs that may be used to these.
    #[must_use]
    pub fn allowed(self, allowed: CpuSet) -> Self {
        Self { allowed: self.online.intersection(&allowed), ..self }
    }

    /// This machine, and the mask of the calling thread: read it before any pinning.
    ///
    /// The kernel would let a thread leave a mask that was set by `taskset`, though not a cpuset;
    /// a plan keeps to both. Where /sys is not to be seen, the mask is all there is.
    ///
    /// # Errors
    ///
    /// [`Error::ReadMask`], see [`current_cpus`]; [`Error::Read`] or [`Error::BadCpuList`] when
    /// /sys is there but cannot be understood.
    pub fn read() -> Result<Self, Error> {
        let allowed = current_cpus()?;
        let root = PathBuf::from(sysfs::ROOT);
        let online = sysfs::optional_cpu_list(&root.join(sysfs::ONLINE))?.union(&allowed);
        let present = sysfs::optional_cpu_list(&root.join(sysfs::PRESENT))?.union(&online);
        Ok(Self { present, online, allowed, root: Some(root) })
    }

    /// The machine that the files under `root` describe, laid out as /sys.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] when the list of online CPUs is not there, [`Error::BadCpuList`] or
    /// [`Error::CpuIdTooLarge`] when a list cannot be understood.
    pub fn from_sysfs(root: &Path, allowed: &CpuSet) -> Result<Self, Error> {
        let online = sysfs::cpu_list(&root.join(sysfs::ONLINE))?;
        let present = sysfs::optional_cpu_list(&root.join(sysfs::PRESENT))?.union(&online);
        let allowed = online.intersection(allowed);
        Ok(Self { present, online, allowed, root: Some(PathBuf::from(root)) })
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

    /// The cores that its allowed CPUs make up.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::BadCpuList`] or [`Error::CpuIdTooLarge`] when a file that
    /// describes them is there but cannot be understood.
    pub fn topology(&self) -> Result<Topology, Error> {
        match &self.root {
            Some(root) => Topology::from_cores(sysfs::cores(root, &self.allowed)?),
            None => {
                let cpus = self.allowed.iter().map(|id| Ok(Core::new(CpuSet::from_ids([id])?)));
                Topology::from_cores(cpus.collect::<Result<Vec<_>, Error>>()?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_name() {
        let machine = Machine::new("0-3,8-11".parse().unwrap())
            .online("0-3,8-10".parse().unwrap())
            .allowed("0-1,8-11".parse().unwrap());
        for id in [0, 1, 8, 10] {
            machine.check(id).unwrap();
        }
        assert!(matches!(machine.check(2), Err(Error::CpuNotAllowed { id: 2, .. })));
        assert!(matches!(machine.check(5), Err(Error::CpuOffline { id: 5 })));
        assert!(matches!(machine.check(11), Err(Error::CpuOffline { id: 11 })));
        for id in [12, 1024, usize::MAX] {
            let error = machine.check(id).unwrap_err();
            assert!(matches!(error, Error::CpuIdExceedsMaximum { max: 11, .. }), "{error}");
        }
    }

    #[test]
    fn this_machine_allows_its_own_mask() {
        let machine = Machine::read().unwrap();
        for id in current_cpus().unwrap() {
            machine.check(id).unwrap();
        }
    }

    #[test]
    fn without_a_description_every_cpu_is_a_core() {
        let machine = Machine::new("0-3".parse().unwrap()).allowed("1-2".parse().unwrap());
        let topology = machine.topology().unwrap();
        let cores: Vec<_> = topology.cores().iter().map(|core| core.cpus().to_string()).collect();
        assert_eq!(cores, ["1", "2"]);
    }
}
