//! `Topology`: the physical cores of the machine, and where they sit.
//!
//! Invariant: no core is empty, no CPU is in two cores, cores are sorted by their first CPU. Where
//! it is read from is in `machine.rs` and `sysfs.rs`, placing workers on it in `placement.rs`.

use std::{collections::BTreeMap, path::Path};

use crate::{CpuSet, Error, Machine};

/// A physical core: its logical CPUs (several with SMT) and its place in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    cpus: CpuSet,
    socket: usize,
    node: usize,
    capacity: u32,
}

impl Core {
    /// The capacity of the fastest cores.
    pub const FULL_CAPACITY: u32 = 1024;

    /// A core of these logical CPUs in socket 0, NUMA node 0, of full capacity.
    pub fn new(cpus: CpuSet) -> Self {
        Self { cpus, socket: 0, node: 0, capacity: Self::FULL_CAPACITY }
    }

    /// Sets the number of its socket.
    #[must_use]
    pub fn in_socket(self, socket: usize) -> Self {
        Self { socket, ..self }
    }

    /// Sets the number of its NUMA node.
    #[must_use]
    pub fn in_node(self, node: usize) -> Self {
        Self { node, ..self }
    }

    /// Sets its capacity.
    #[must_use]
    pub fn with_capacity(self, capacity: u32) -> Self {
        Self { capacity, ..self }
    }

    /// Its logical CPUs: SMT siblings of each other.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// The number of its socket; sockets may be numbered with gaps.
    pub fn socket(&self) -> usize {
        self.socket
    }

    /// The number of its NUMA node; nodes may be numbered with gaps.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Its speed in relation to the fastest cores, which have [`Core::FULL_CAPACITY`]. Lower for
    /// the small cores of hybrid machines; where the kernel only says that they are small, the
    /// number is made up, but the order holds.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }
}

/// The physical cores of a machine, as far as they may be used.
///
/// ```
/// # use pool_affinity as pool_api;
/// use pool_api::Topology;
///
/// println!("{} cores", Topology::read()?.cores().len());
///
/// // Of a machine of two cores with two hardware threads each:
/// # use pool_affinity::{Core, CpuSet};
/// # let machine = Topology::from_cores([
/// #     Core::new(CpuSet::from_ids([0, 2])?),
/// #     Core::new(CpuSet::from_ids([1, 3])?),
/// # ])?;
/// assert_eq!(machine.cpus().to_string(), "0-3");
/// assert_eq!(machine.core_of(3).map(|core| core.cpus().to_string()).as_deref(), Some("1,3"));
/// # Ok::<(), pool_affinity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    cores: Vec<Core>,
}

impl Topology {
    /// This machine, as far as the calling thread may use it: read it before any pinning.
    /// Where /sys is not to be seen, every CPU counts as a core.
    ///
    /// # Errors
    ///
    /// The errors of [`Machine::read`] and [`Machine::topology`].
    pub fn read() -> Result<Self, Error> {
        Machine::read()?.topology()
    }

    /// The machine that the files under `root` describe, laid out as /sys, as far as its CPUs are
    /// online and allowed.
    ///
    /// # Errors
    ///
    /// The errors of [`Machine::from_sysfs`] and [`Machine::topology`].
    pub fn from_sysfs(root: &Path, allowed: &CpuSet) -> Result<Self, Error> {
        Machine::from_sysfs(root, allowed)?.topology()
    }

    /// A machine of these cores.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyCpuSet`] for a core without CPUs, [`Error::CpuInTwoCores`] when cores overlap.
    pub fn from_cores(cores: impl IntoIterator<Item = Core>) -> Result<Self, Error> {
        let mut cores: Vec<Core> = cores.into_iter().collect();
        let mut seen = CpuSet::new();
        for (index, core) in cores.iter().enumerate() {
            if core.cpus.is_empty() {
                return Err(Error::EmptyCpuSet { index });
            }
            if let Some(id) = seen.intersection(&core.cpus).first() {
                return Err(Error::CpuInTwoCores { id });
            }
            seen = seen.union(&core.cpus);
        }
        cores.sort_by_key(|core| core.cpus.first());
        Ok(Self { cores })
    }

    /// The part of the machine that is left when only these CPUs may be used.
    #[must_use]
    pub fn restricted_to(&self, allowed: &CpuSet) -> Self {
        let cut = |core: &Core| Core { cpus: core.cpus.intersection(allowed), ..core.clone() };
        let mut cores: Vec<Core> = self.cores.iter().map(cut).collect();
        cores.retain(|core| !core.cpus.is_empty());
        cores.sort_by_key(|core| core.cpus.first());
        Self { cores }
    }

    /// The cores, sorted by their first CPU.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// All logical CPUs.
    pub fn cpus(&self) -> CpuSet {
        self.cores.iter().fold(CpuSet::new(), |all, core| all.union(&core.cpus))
    }

    /// The sockets by number, with their CPUs.
    pub fn sockets(&self) -> BTreeMap<usize, CpuSet> {
        self.grouped_by(Core::socket)
    }

    /// The NUMA nodes by number, with their CPUs.
    pub fn nodes(&self) -> BTreeMap<usize, CpuSet> {
        self.grouped_by(Core::node)
    }

    /// The core that a CPU belongs to; its [`cpus`](Core::cpus) are the SMT siblings.
    pub fn core_of(&self, cpu: usize) -> Option<&Core> {
        self.cores.iter().find(|core| core.cpus.contains(cpu))
    }

    fn grouped_by(&self, number: impl Fn(&Core) -> usize) -> BTreeMap<usize, CpuSet> {
        let mut groups = BTreeMap::<usize, CpuSet>::new();
        for core in &self.cores {
            let group = groups.entry(number(core)).or_default();
            *group = group.union(&core.cpus);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::current_cpus;

    fn core(cpus: &str) -> Core {
        Core::new(cpus.parse().unwrap())
    }

    #[test]
    fn cores_are_sorted_and_grouped() {
        let machine = Topology::from_cores([
            core("1,5").in_socket(3).in_node(2),
            core("0,4"),
            core("2,6").in_node(1),
        ])
        .unwrap();
        let firsts: Vec<_> = machine.cores().iter().map(|core| core.cpus().first()).collect();
        assert_eq!(firsts, [Some(0), Some(1), Some(2)]);
        assert_eq!(machine.sockets()[&0].to_string(), "0,2,4,6");
        assert_eq!(machine.sockets()[&3].to_string(), "1,5");
        assert_eq!(machine.nodes().into_keys().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(machine.core_of(3), None);
    }

    #[test]
    fn impossible_cores_are_refused() {
        let empty = Topology::from_cores([core("0"), core("")]);
        assert!(matches!(empty, Err(Error::EmptyCpuSet { index: 1 })));
        let shared = Topology::from_cores([core("0-1"), core("1-2")]);
        assert!(matches!(shared, Err(Error::CpuInTwoCores { id: 1 })));
    }

    #[test]
    fn a_mask_cuts_cores_and_drops_them() {
        let machine = Topology::from_cores([core("0,4"), core("1,5"), core("2,6")]).unwrap();
        let cut = machine.restricted_to(&"1,4-5".parse().unwrap());
        assert_eq!(cut, Topology::from_cores([core("4"), core("1,5")]).unwrap());
    }

    #[test]
    fn this_machine_is_its_mask() {
        assert_eq!(Topology::read().unwrap().cpus(), current_cpus().unwrap());
    }
}
