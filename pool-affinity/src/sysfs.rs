//! Reading cores from /sys, or from a folder that is laid out like it.
//!
//! Invariant: no file must be there. Each is missing on some machine (no NUMA, no SMT, offline CPUs
//! have no `topology` folder) or hidden by some sandbox, and then has a plain default.
//! Files: `Documentation/ABI/{stable,testing}/sysfs-devices-system-cpu` of the kernel.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{Core, CpuSet, Error};

pub(crate) const ROOT: &str = "/sys";
pub(crate) const ONLINE: &str = "devices/system/cpu/online";
pub(crate) const PRESENT: &str = "devices/system/cpu/present";

/// Hybrid x86 machines list the CPUs of their small cores here; kernels that give each CPU a
/// `cpu_capacity` overrule it. Of the numbers only the order matters.
const SMALL_CORES: [(&str, u32); 2] =
    [("devices/cpu_atom/cpus", 512), ("devices/cpu_lowpower/cpus", 256)];

/// The cores that these CPUs make up.
pub(crate) fn cores(root: &Path, cpus: &CpuSet) -> Result<Vec<Core>, Error> {
    let nodes = nodes(root)?;
    let small = SMALL_CORES
        .iter()
        .map(|(list, capacity)| Ok((optional_cpu_list(&root.join(list))?, *capacity)))
        .collect::<Result<Vec<_>, Error>>()?;

    let mut cores = Vec::new();
    let mut left = *cpus;
    while let Some(id) = left.first() {
        let cpu = root.join(format!("devices/system/cpu/cpu{id}"));
        let mut cpus = optional_cpu_list(&cpu.join("topology/thread_siblings_list"))?;
        cpus.insert(id)?;
        let cpus = cpus.intersection(&left);
        left = left.difference(&cpus);

        let node = nodes.iter().find(|(_, cpus)| cpus.contains(id)).map_or(0, |(node, _)| *node);
        let listed = small.iter().find(|(cpus, _)| cpus.contains(id)).map(|(_, size)| *size);
        let capacity = number(&cpu.join("cpu_capacity")).or(listed).unwrap_or(Core::FULL_CAPACITY);
        // Some virtual and ARM machines say -1 for "unknown".
        let socket = number(&cpu.join("topology/physical_package_id")).unwrap_or(0);
        cores.push(Core::new(cpus).in_socket(socket).in_node(node).with_capacity(capacity));
    }
    Ok(cores)
}

/// The NUMA nodes by number, with their CPUs; those of memory alone have none.
fn nodes(root: &Path) -> Result<Vec<(usize, CpuSet)>, Error> {
    let Ok(folder) = fs::read_dir(root.join("devices/system/node")) else {
        return Ok(Vec::new());
    };
    folder
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let node = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            Some((node, entry.path().join("cpulist")))
        })
        .map(|(node, list)| Ok((node, optional_cpu_list(&list)?)))
        .collect()
}

/// The list in this file.
pub(crate) fn cpu_list(path: &Path) -> Result<CpuSet, Error> {
    fs::read_to_string(path)
        .map_err(|source| Error::Read { path: PathBuf::from(path), source })?
        .parse()
}

/// The list in this file; empty when there is no such file, or a sandbox hides it.
pub(crate) fn optional_cpu_list(path: &Path) -> Result<CpuSet, Error> {
    match cpu_list(path) {
        Err(Error::Read { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            Ok(CpuSet::new())
        }
        other => other,
    }
}

fn number<N: std::str::FromStr>(path: &Path) -> Option<N> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
