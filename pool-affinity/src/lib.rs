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
