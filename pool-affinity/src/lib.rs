//! CPU sets, machine topology, and the plan which worker runs on which CPUs.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("pool-affinity supports Linux only");

mod count;
mod error;
mod ids;
mod machine;
mod pin;
mod placement;
mod plan;
mod quota;
mod set;
mod sysfs;
mod text;
mod topology;

pub use count::{cpu_count, usable_cpus};
pub use error::Error;
pub use ids::CpuIds;
pub use machine::Machine;
pub use pin::current_cpus;
pub use placement::Placement;
pub use plan::Plan;
pub use quota::cpu_quota;
pub use set::{CpuSet, CpuSetIter};
pub use topology::{Core, Topology};
