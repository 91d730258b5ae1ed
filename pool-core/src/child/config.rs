//! What a process that runs one function is told at its start.

#[cfg(feature = "capture-log")]
use std::sync::Arc;

use nix::unistd::Pid;
use pool_affinity::CpuSet;
use pool_ipc::{AlignedBytes, WireFault, wire};

#[cfg(feature = "capture-log")]
use super::logs::LogSegment;
use super::{identity::Identity, work::Portable};
use crate::{
    environment::{EncodedEnvironment, Environment},
    output::OutputConfig,
};

/// Everything about a process but its function.
#[derive(Debug, Clone)]
pub(crate) struct ChildConfig {
    pub(crate) identity: Identity,
    pub(crate) cpus: Option<CpuSet>,
    pub(crate) environment: Environment,
    /// The ring for what it logs.
    #[cfg(feature = "capture-log")]
    pub(crate) logs: Option<Arc<LogSegment>>,
    pub(crate) output: OutputConfig,
}

wire! {
    /// A configuration, and the function that runs, on their way to another process.
    #[derive(Debug, Clone)]
    pub(crate) struct EncodedConfig {
        name: String,
        numbers: Vec<u32>,
        daemon: bool,
        parent: i32,
        parent_name: String,
        cpus: Option<Vec<u64>>,
        environment: EncodedEnvironment,
        output: u64,
        pub(super) run: u64,
        pub(super) function: u64,
    }
}

impl ChildConfig {
    /// The configuration as bytes, with the offsets of what runs in the image.
    pub(crate) fn to_bytes(&self, portable: Portable) -> Result<AlignedBytes, WireFault> {
        let Identity { name, numbers, daemon, parent, parent_name } = self.identity.clone();
        pool_ipc::to_bytes(&EncodedConfig {
            name,
            numbers,
            daemon,
            parent: parent.as_raw(),
            parent_name,
            cpus: self.cpus.map(|cpus| cpus.iter().map(|id| id as u64).collect()),
            environment: self.environment.encoded(),
            output: self.output.to_word(),
            run: portable.0.run,
            function: portable.0.function,
        })
    }
}

impl From<EncodedConfig> for ChildConfig {
    fn from(encoded: EncodedConfig) -> Self {
        let EncodedConfig { name, numbers, daemon, parent, parent_name, cpus, .. } = encoded;
        let ids = cpus.map(|cpus| CpuSet::from_ids(cpus.into_iter().map(|id| id as usize)));
        Self {
            identity: Identity {
                name,
                numbers,
                daemon,
                parent: Pid::from_raw(parent),
                parent_name,
            },
            cpus: ids.and_then(Result::ok),
            environment: encoded.environment.into(),
            output: OutputConfig::from_word(encoded.output),
            #[cfg(feature = "capture-log")]
            logs: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::FunctionOffsets;

    #[test]
    fn it_survives_its_encoding() {
        let identity = Identity {
            name: "one".to_string(),
            numbers: vec![1, 2],
            daemon: true,
            parent: Pid::from_raw(7),
            parent_name: "two".to_string(),
        };
        let cpus = Some(CpuSet::from_ids([1, 900]).unwrap());
        let config = ChildConfig {
            identity,
            cpus,
            environment: Environment::default(),
            output: OutputConfig::from_word(0x0102),
            #[cfg(feature = "capture-log")]
            logs: None,
        };
        let encoded: EncodedConfig = pool_ipc::from_bytes(
            &config.to_bytes(Portable(FunctionOffsets { run: 3, function: 4 })).unwrap(),
        )
        .unwrap();
        assert_eq!((encoded.run, encoded.function), (3, 4));
        assert_eq!(format!("{config:?}"), format!("{:?}", ChildConfig::from(encoded)));
    }
}
