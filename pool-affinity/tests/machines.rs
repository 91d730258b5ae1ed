//! Machines that are not at hand, as folders laid out like /sys.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use pool_affinity::{CpuIds, CpuSet, Error, Limits, Plan, Topology};

/// A made-up /sys; removed when the test is over.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(name: &str, online: &str) -> Self {
        let root =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        Self { root }.file("devices/system/cpu/online", online)
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    fn cpu(self, id: usize, siblings: &str, socket: &str) -> Self {
        let topology = format!("devices/system/cpu/cpu{id}/topology");
        self.file(&format!("{topology}/thread_siblings_list"), siblings)
            .file(&format!("{topology}/physical_package_id"), socket)
    }

    fn node(self, id: usize, cpus: &str) -> Self {
        self.file(&format!("devices/system/node/node{id}/cpulist"), cpus)
    }

    fn topology(&self, allowed: &str) -> Topology {
        Topology::from_sysfs(&self.root, &cpus(allowed)).unwrap()
    }

    fn limits(&self, allowed: &str) -> Limits {
        Limits::from_sysfs(&self.root, &cpus(allowed)).unwrap()
    }

    /// Two sockets of two cores with two threads; each socket is a node, and node 4 is memory.
    fn two_sockets(name: &str) -> Self {
        (0..8)
            .fold(Self::new(name, "0-7"), |machine, id| {
                let siblings = format!("{},{}", id % 4, id % 4 + 4);
                machine.cpu(id, &siblings, if id % 4 < 2 { "0" } else { "1" })
            })
            .file("devices/system/node/has_cpu", "0,2")
            .node(0, "0-1,4-5")
            .node(2, "2-3,6-7")
            .node(4, "")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn cpus(text: &str) -> CpuSet {
    text.parse().unwrap()
}

fn cores(topology: &Topology) -> Vec<String> {
    topology.cores().iter().map(|core| core.cpus().to_string()).collect()
}

#[test]
fn two_sockets_with_smt() {
    let machine = Machine::two_sockets("two-sockets");
    let topology = machine.topology("0-1023");
    assert_eq!(cores(&topology), ["0,4", "1,5", "2,6", "3,7"]);
    assert_eq!(topology.sockets()[&1], cpus("2-3,6-7"));
    assert_eq!(
        topology.nodes().into_iter().collect::<Vec<_>>(),
        [(0, cpus("0-1,4-5")), (2, cpus("2-3,6-7"))]
    );
    let spread = Plan::spread(4, &topology).unwrap();
    assert_eq!(
        spread.iter().flatten().map(|cpus| cpus.first()).collect::<Vec<_>>(),
        [Some(0), Some(2), Some(1), Some(3)]
    );
}

#[test]
fn only_what_the_caller_may_use() {
    let machine = Machine::two_sockets("masked");
    let topology = machine.topology("1,5-6");
    assert_eq!(cores(&topology), ["1,5", "6"]);
    assert_eq!(topology, machine.topology("0-7").restricted_to(&cpus("1,5-6")));
    let error = CpuIds::from([0]).plan(1, &machine.limits("1,5-6")).unwrap_err();
    assert!(matches!(error, Error::CpuNotAllowed { id: 0, .. }), "{error}");
}

#[test]
fn offline_and_sparse_cpus() {
    // CPUs 1 and 11 are switched off, 4-7 were never there; offline CPUs have no topology.
    let machine = Machine::new("offline", "0,2-3,8-10")
        .file("devices/system/cpu/present", "0-3,8-11")
        .cpu(0, "0", "0")
        .cpu(2, "2-3", "0")
        .cpu(3, "2-3", "0")
        .cpu(8, "8-9", "1")
        .cpu(9, "8-9", "1")
        .cpu(10, "10", "1");
    assert_eq!(cores(&machine.topology("0-1023")), ["0", "2-3", "8-9", "10"]);

    let limits = machine.limits("0-1023");
    CpuIds::from([10]).plan(1, &limits).unwrap();
    for id in [1, 5, 11] {
        let error = CpuIds::from([id]).plan(1, &limits).unwrap_err();
        assert_eq!(error.to_string(), format!("CPU ID {id} is not online"));
    }
    let error = CpuIds::from([12]).plan(1, &limits).unwrap_err();
    assert!(matches!(error, Error::CpuIdExceedsMaximum { id: 12, max: 11 }), "{error}");
}

#[test]
fn hybrid_by_lists_and_by_capacity() {
    let listed = (0..6)
        .fold(Machine::new("hybrid-lists", "0-5"), |machine, id| {
            machine.cpu(id, ["0-1", "0-1", "2-3", "2-3", "4", "5"][id], "0")
        })
        .file("devices/cpu_core/cpus", "0-3")
        .file("devices/cpu_atom/cpus", "4-5");
    let topology = listed.topology("0-5");
    assert!(topology.cores()[0].capacity() > topology.cores()[2].capacity());
    let plan = Plan::spread(6, &topology).unwrap();
    let order: Vec<_> = plan.iter().flatten().filter_map(CpuSet::first).collect();
    assert_eq!(order, [0, 2, 4, 5, 1, 3]);

    // As on ARM: small cores first, no SMT, unknown socket.
    let measured = (0..4).fold(Machine::new("hybrid-capacity", "0-3"), |machine, id| {
        let capacity = ["446", "446", "1024", "1024"][id];
        machine
            .cpu(id, &id.to_string(), "-1")
            .file(&format!("devices/system/cpu/cpu{id}/cpu_capacity"), capacity)
    });
    let topology = measured.topology("0-3");
    assert_eq!(topology.cores()[0].capacity(), 446);
    assert_eq!(topology.sockets().into_keys().collect::<Vec<_>>(), [0]);
    let plan = Plan::one_core_each(2, &topology).unwrap();
    assert_eq!(plan.to_string(), "worker 0: CPUs 2\nworker 1: CPUs 3\n");
}

#[test]
fn a_bare_machine_has_defaults() {
    let machine = Machine::new("bare", "0-1");
    let topology = machine.topology("0-1");
    assert_eq!(cores(&topology), ["0", "1"]);
    assert_eq!((topology.sockets().len(), topology.nodes().len()), (1, 1));
}

#[test]
fn files_at_fault_are_named() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere");
    let error = Topology::from_sysfs(&nowhere, &cpus("0")).unwrap_err();
    assert!(error.to_string().ends_with("nowhere/devices/system/cpu/online"), "{error}");
    let machine = Machine::new("nonsense", "zero");
    let error = Topology::from_sysfs(&machine.root, &cpus("0")).unwrap_err();
    assert!(matches!(error, Error::BadCpuList { .. }), "{error}");
}
