//! The state of a zygote.

use std::{collections::VecDeque, os::fd::OwnedFd};

use nix::{sys::signalfd::SignalFd, unistd::Pid};
use pool_ipc::board::Incarnation;

use super::{
    clocks::Clocks,
    config::{ZygoteConfig, ZygoteFds},
    signal_notes::{Endings, WorkerSignals},
    template_queue::TemplateQueue,
};
use crate::{
    ids::WorkerId, insights::InsightsArea, protocol::Report, segments::SegmentTable,
    worker::SharedMappings,
};

/// Milliseconds between two looks for a parent or child where the system has no pidfd.
pub(super) const PARENT_CHECK_INTERVAL_MS: u16 = 250;

/// The processes with which a zygote ends: its parent (the guard, or the pool's process), and the
/// one above.
pub(super) struct Ancestors {
    pub(super) parent: Pid,
    pub(super) fds: Vec<OwnedFd>,
    /// Whether there is a pidfd for each of them.
    pub(super) known: bool,
}

impl Ancestors {
    pub(super) fn new(parent: Pid, fds: Vec<Option<OwnedFd>>) -> Self {
        let known = fds.iter().all(Option::is_some);
        Self { parent, fds: fds.into_iter().flatten().collect(), known }
    }
}

pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) id: WorkerId,
    pub(super) incarnation: Incarnation,
    pub(super) signals: WorkerSignals,
}

pub(super) struct Zygote {
    pub(super) config: ZygoteConfig,
    pub(super) fds: ZygoteFds,
    pub(super) ancestors: Ancestors,
    /// Receives SIGCHLD and the signals that ask the whole program to end.
    pub(super) signals: SignalFd,
    pub(super) workers: Vec<Worker>,
    pub(super) templates: TemplateQueue,
    pub(super) segment_table: SegmentTable,
    pub(super) clocks: Clocks,
    pub(super) endings: Endings,
    /// The mappings that workers forked from here inherit.
    pub(super) mappings: Option<SharedMappings>,
    /// The times of the workers, where it notes when they end.
    pub(super) insights: Option<InsightsArea>,
    /// Reports that the socket had no room for.
    pub(super) unsent: VecDeque<Report>,
}

impl Worker {
    pub(super) fn new(pid: Pid, id: WorkerId, incarnation: Incarnation) -> Self {
        Self { pid, id, incarnation, signals: WorkerSignals::default() }
    }
}
