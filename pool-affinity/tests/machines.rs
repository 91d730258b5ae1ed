//! Machines and containers that are not at hand, made up as folders laid out like /sys.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use pool_affinity::{CpuIds, CpuSet, Error, Machine, Placement, Topology, cpu_quota};

/// A made-up root folder; removed when the test is over.
struct Folder {
    root: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        Self { root: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name) }
    }

    /// A /sys with these CPUs.
    fn sys(name: &str, online: &str) -> Self {
        Self::new(name).file("devices/system/cpu/online", online)
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

    fn machine(&self, allowed: &str) -> Machine {
        Machine::from_sysfs(&self.root, &cpus(allowed)).unwrap()
    }

    /// Two sockets of two cores with two threads; each socket is a node, and node 4 is memory.
    fn two_sockets(name: &str) -> Self {
        (0..8)
            .fold(Self::sys(name, "0-7"), |machine, id| {
                let siblings = format!("{},{}", id % 4, id % 4 + 4);
                machine.cpu(id, &siblings, if id % 4 < 2 { "0" } else { "1" })
            })
            .file("devices/system/node/has_cpu", "0,2")
            .node(0, "0-1,4-5")
            .node(2, "2-3,6-7")
            .node(4, "")
    }

    /// Two fast cores with two threads, two small ones without.
    fn hybrid(name: &str) -> Self {
        (0..6)
            .fold(Self::sys(name, "0-5"), |machine, id| {
                machine.cpu(id, ["0-1", "0-1", "2-3", "2-3", "4", "5"][id], "0")
            })
            .file("devices/cpu_core/cpus", "0-3")
            .file("devices/cpu_atom/cpus", "4-5")
    }
}

impl Drop for Folder {
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

/// The CPUs of each worker, as a pool would have them laid out.
fn planned(ids: impl Into<CpuIds>, n_workers: usize, machine: &Machine) -> Vec<String> {
    let plan = ids.into().plan(n_workers, machine).unwrap();
    plan.iter().flatten().map(CpuSet::to_string).collect()
}

#[test]
fn two_sockets_with_smt() {
    let folder = Folder::two_sockets("two-sockets");
    let topology = folder.topology("0-1023");
    assert_eq!(cores(&topology), ["0,4", "1,5", "2,6", "3,7"]);
    assert_eq!(topology.sockets()[&1], cpus("2-3,6-7"));
    let nodes = [(0, cpus("0-1,4-5")), (2, cpus("2-3,6-7"))];
    assert_eq!(topology.nodes().into_iter().collect::<Vec<_>>(), nodes);

    let machine = folder.machine("0-1023");
    assert_eq!(planned(Placement::OneCoreEach, 4, &machine), ["0,4", "1,5", "2,6", "3,7"]);
    let spread = ["0", "2", "1", "3", "4", "6", "5", "7", "0", "2"];
    assert_eq!(planned(Placement::Spread, 10, &machine), spread);
    let compact = ["0", "4", "1", "5", "2", "6", "3", "7", "0", "4"];
    assert_eq!(planned(Placement::Compact, 10, &machine), compact);
    let error = CpuIds::from(Placement::OneCoreEach).plan(5, &machine).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot give 5 workers a physical core each: 4 available; use fewer workers, or Spread"
    );
}

#[test]
fn several_nodes_in_a_socket() {
    let folder = (0..8).fold(Folder::sys("sub-numa", "0-7"), |machine, id| {
        let machine = machine.cpu(id, &id.to_string(), if id < 4 { "0" } else { "1" });
        if id % 2 == 0 { machine.node(id / 2, &format!("{id}-{}", id + 1)) } else { machine }
    });
    let machine = folder.machine("0-7");
    assert_eq!(machine.topology().unwrap().nodes().len(), 4);
    let spread = ["0", "4", "2", "6", "1", "5", "3", "7"];
    assert_eq!(planned(Placement::Spread, 8, &machine), spread);
    assert_eq!(planned(Placement::Compact, 3, &machine), ["0", "1", "2"]);
}

#[test]
fn only_what_the_caller_may_use() {
    let folder = Folder::two_sockets("masked");
    let topology = folder.topology("1,5-6");
    assert_eq!(cores(&topology), ["1,5", "6"]);
    assert_eq!(topology, folder.topology("0-7").restricted_to(&cpus("1,5-6")));
    let machine = folder.machine("1,5-6");
    let error = CpuIds::from([0]).plan(1, &machine).unwrap_err();
    assert!(matches!(error, Error::CpuNotAllowed { id: 0, .. }), "{error}");
    for placement in Placement::ALL {
        let plan = CpuIds::from(placement).plan(2, &machine).unwrap();
        assert!(plan.iter().flatten().all(|cpus| cpus.is_subset(&topology.cpus())), "{plan}");
    }
}

#[test]
fn offline_and_sparse_cpus() {
    // CPUs 1 and 11 are switched off, 4-7 were never there; offline CPUs have no topology.
    let folder = Folder::sys("offline", "0,2-3,8-10")
        .file("devices/system/cpu/present", "0-3,8-11")
        .cpu(0, "0", "0")
        .cpu(2, "2-3", "0")
        .cpu(3, "2-3", "0")
        .cpu(8, "8-9", "1")
        .cpu(9, "8-9", "1")
        .cpu(10, "10", "1");
    assert_eq!(cores(&folder.topology("0-1023")), ["0", "2-3", "8-9", "10"]);

    let machine = folder.machine("0-1023");
    assert_eq!(planned([10], 1, &machine), ["10"]);
    assert_eq!(planned(Placement::OneCoreEach, 4, &machine), ["0", "2-3", "8-9", "10"]);
    assert_eq!(planned(Placement::Spread, 6, &machine), ["0", "8", "2", "10", "3", "9"]);
    assert_eq!(planned(Placement::Compact, 6, &machine), ["0", "2", "3", "8", "9", "10"]);
    for id in [1, 5, 11] {
        let error = CpuIds::from([id]).plan(1, &machine).unwrap_err();
        assert_eq!(error.to_string(), format!("CPU ID {id} is not online"));
    }
    let error = CpuIds::from([12]).plan(1, &machine).unwrap_err();
    let text = "CPU ID 12 exceeds the maximum CPU ID available on your system: 11";
    assert_eq!(error.to_string(), text);
}

#[test]
fn hybrid_by_lists() {
    let folder = Folder::hybrid("hybrid-lists");
    let topology = folder.topology("0-5");
    assert!(topology.cores()[0].capacity() > topology.cores()[2].capacity());
    let machine = folder.machine("0-5");
    assert_eq!(planned(Placement::OneCoreEach, 3, &machine), ["0-1", "2-3", "4"]);
    assert_eq!(planned(Placement::Spread, 6, &machine), ["0", "2", "4", "5", "1", "3"]);
    assert_eq!(planned(Placement::Compact, 6, &machine), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn hybrid_by_capacity() {
    // As on ARM: small cores first, no SMT, unknown socket.
    let folder = (0..4).fold(Folder::sys("hybrid-capacity", "0-3"), |machine, id| {
        let capacity = ["446", "446", "1024", "1024"][id];
        machine
            .cpu(id, &id.to_string(), "-1")
            .file(&format!("devices/system/cpu/cpu{id}/cpu_capacity"), capacity)
    });
    let topology = folder.topology("0-3");
    assert_eq!(topology.cores()[0].capacity(), 446);
    assert_eq!(topology.sockets().into_keys().collect::<Vec<_>>(), [0]);
    for placement in Placement::ALL {
        assert_eq!(planned(placement, 3, &folder.machine("0-3")), ["2", "3", "0"]);
    }
}

#[test]
fn a_bare_machine_has_defaults() {
    let folder = Folder::sys("bare", "0-1");
    let topology = folder.topology("0-1");
    assert_eq!(cores(&topology), ["0", "1"]);
    assert_eq!((topology.sockets().len(), topology.nodes().len()), (1, 1));
}

#[test]
fn files_at_fault_are_named() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere");
    let error = Topology::from_sysfs(&nowhere, &cpus("0")).unwrap_err();
    assert!(error.to_string().ends_with("nowhere/devices/system/cpu/online"), "{error}");
    let folder = Folder::sys("nonsense", "zero");
    let error = Topology::from_sysfs(&folder.root, &cpus("0")).unwrap_err();
    assert!(matches!(error, Error::BadCpuList { .. }), "{error}");
    let wide = Folder::sys("wide", "0-1535");
    let error = Machine::from_sysfs(&wide.root, &cpus("0")).unwrap_err();
    assert!(matches!(error, Error::CpuIdTooLarge { id: 1535 }), "{error}");
}

#[test]
fn quotas_of_containers() {
    let container = |name: &str, cpu_max: &str| {
        Folder::new(name)
            .file("proc/self/cgroup", "0::/job")
            .file(
                "proc/self/mountinfo",
                "31 23 0:28 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw",
            )
            .file("sys/fs/cgroup/job/cpu.max", cpu_max)
    };
    for (name, cpu_max, quota) in [
        ("quota-empty", "", None),
        ("quota-none", "max 100000", None),
        ("quota-half", "250000 100000", Some(3)),
        ("quota-small", "1000 100000", Some(1)),
    ] {
        assert_eq!(cpu_quota(&container(name, cpu_max).root), quota, "{cpu_max:?}");
    }
    let parent =
        container("quota-parent", "400000 100000").file("sys/fs/cgroup/cpu.max", "150000 100000");
    assert_eq!(cpu_quota(&parent.root), Some(2));
    assert_eq!(cpu_quota(Path::new("/nowhere")), None);
}
