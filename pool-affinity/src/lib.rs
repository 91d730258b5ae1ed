//! CPU sets, machine topology, and the plan that says which worker runs on which CPUs.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// Code that would not compile elsewhere is left out, and no crate above is reached, so the compiler
// prints this sentence alone.
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("pool-affinity supports Linux with glibc on x86-64 and aarch64 only");

// * `set.rs`: a set of CPU ids; `text.rs`: its text form; `ids.rs`: CPU ids as users write them.
// * `topology.rs`: the physical cores of the machine; `sysfs.rs`: reads them from /sys.
// * `machine.rs`: which CPUs a plan may name, and where the machine is described.
// * `plan.rs`: says which worker runs on which CPUs; `placement.rs`: plans that follow from the
//   topology.
// * `pin.rs`: reads and sets the CPU mask of the calling thread.
// * `count.rs`: how many CPUs there are, and how many this program can keep busy; `quota.rs`: the
//   CPU quota of the control group.
// * `error.rs`: the error type of the crate.

#[cfg(target_os = "linux")]
mod count;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod ids;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod pin;
#[cfg(target_os = "linux")]
mod placement;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod quota;
#[cfg(target_os = "linux")]
mod set;
#[cfg(target_os = "linux")]
mod sysfs;
#[cfg(target_os = "linux")]
mod text;
#[cfg(target_os = "linux")]
mod topology;

#[cfg(target_os = "linux")]
pub use {
    count::{cpu_count, usable_cpus},
    error::Error,
    ids::CpuIds,
    machine::Machine,
    pin::current_cpus,
    placement::Placement,
    plan::Plan,
    quota::cpu_quota,
    set::{CpuSet, CpuSetIter},
    topology::{Core, Topology},
};
