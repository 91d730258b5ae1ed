//! Where the workers of a pool get the shared value from.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, TryLockError},
    time::Duration,
};

use pool_ipc::SealedArchive;

use super::{
    SharedValue,
    construct::make_in_thread,
    spec::{Constructor, Inputs, SharedSpec},
};
use crate::{
    bootstrap,
    error::{Error, Fault, Stage, StartFailure},
    ids::WorkerId,
    mutex::lock,
    os,
    reentrancy::{InCall, Inside, Within, is_inside},
};

/// The shared value of a pool, or how it is made.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Nothing,
    /// A value in this process's memory, which workers share or inherit.
    Value(SharedValue),
    Constructed(Arc<ConstructorCall>),
}

/// How the value is made where workers are started.
#[derive(Debug)]
pub(crate) struct ConstructorCall {
    maker: Constructor,
    /// The address of a function that the maker calls, or 0.
    function: usize,
    archive: Option<SealedArchive>,
    /// Whether workers read the archive itself.
    in_place: bool,
    /// The value that it has made in this process.
    made: Mutex<Option<SharedValue>>,
}

/// The shared value, or how it is made, for the processes of a pool.
#[derive(Debug, Clone)]
pub(crate) enum SharedConfig {
    Nothing,
    /// A value that a fork inherits.
    Value(SharedValue),
    Constructed(SharedSpec),
}

impl ConstructorCall {
    pub(super) fn new(
        maker: Constructor,
        function: usize,
        archive: Option<SealedArchive>,
        in_place: bool,
    ) -> Self {
        Self { maker, function, archive, in_place, made: Mutex::new(None) }
    }

    /// Makes the value in this process, in a thread of its own.
    fn make_here(
        self: &Arc<Self>,
        limit: Option<Duration>,
        stack: Option<usize>,
    ) -> Result<SharedValue, Error> {
        // The code that makes the value would wait for the value.
        let address = Arc::as_ptr(self).addr();
        if is_inside(address, Some(Inside::Making)) {
            return Err(Error::NestedUse);
        }
        let mut made = lock(&self.made);
        if let Some(value) = &*made {
            return Ok(value.clone());
        }
        let (call, within) = (self.clone(), Within::here());
        let act = move || {
            let _brought = within.bring();
            let _inside = InCall::enter(address, Inside::Making);
            let segments = call.archive.iter().flat_map(SealedArchive::segments);
            let segments = segments.cloned().collect();
            (call.maker)(Inputs { function: call.function, segments, lasts: false })
        };
        let value = make_in_thread((limit, stack), act).map_err(|fault| {
            StartFailure { stage: Stage::Shared, fault }.into_error(WorkerId::FIRST)
        })?;
        Ok(made.insert(value).clone())
    }

    fn config(&self, limit: Option<Duration>) -> Result<SharedSpec, Error> {
        let offset = |address| bootstrap::offset_of(address).ok_or(Error::ForeignFunction);
        let function = if self.function == 0 { 0 } else { offset(self.function)? };
        let segments = self.archive.iter().flat_map(SealedArchive::segments);
        Ok(SharedSpec {
            maker: offset(self.maker as usize)?,
            function,
            in_place: self.in_place,
            limit,
            segments: segments.map(|segment| segment.id()).collect(),
        })
    }
}

impl Source {
    /// What processes are sent, in addition to [`Self::descriptors`].
    pub(crate) fn config(&self, limit: Option<Duration>) -> Result<SharedConfig, Error> {
        Ok(match self {
            Self::Nothing => SharedConfig::Nothing,
            Self::Value(value) => SharedConfig::Value(value.clone()),
            Self::Constructed(call) => SharedConfig::Constructed(call.config(limit)?),
        })
    }

    /// Descriptors of the segments that the configuration names.
    pub(crate) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let Self::Constructed(call) = self else { return Ok(Vec::new()) };
        let segments = call.archive.iter().flat_map(SealedArchive::segments);
        // SAFETY: a fresh process is given the descriptor, and opens it as a segment
        // (`SharedSpec::construct`).
        segments.map(|segment| os::duplicate(unsafe { segment.as_fd() })).collect()
    }

    /// The value in this process, if it needs no making; `None`: it was not made yet.
    pub(crate) fn value_if_made(&self) -> Option<Option<SharedValue>> {
        match self {
            Self::Nothing => Some(None),
            Self::Value(value) => Some(Some(value.clone())),
            Self::Constructed(call) => match call.made.try_lock() {
                Ok(made) => made.clone().map(Some),
                Err(TryLockError::Poisoned(made)) => made.into_inner().clone().map(Some),
                // It is being made.
                Err(TryLockError::WouldBlock) => None,
            },
        }
    }

    /// The value in this process, made by the first caller.
    pub(crate) fn value_here(
        &self,
        limit: Option<Duration>,
        stack: Option<usize>,
    ) -> Result<Option<SharedValue>, Error> {
        match self {
            Self::Nothing => Ok(None),
            Self::Value(value) => Ok(Some(value.clone())),
            Self::Constructed(call) => call.make_here(limit, stack).map(Some),
        }
    }
}

/// Keeps only the text of a failure to open a segment.
impl From<pool_shm::SegmentFault> for Fault {
    fn from(fault: pool_shm::SegmentFault) -> Self {
        Self::Refused { why: fault.to_string() }
    }
}
