//! What a zygote knows.

use std::{collections::VecDeque, os::fd::OwnedFd};

use nix::{sys::signalfd::SignalFd, unistd::Pid};

use super::{
    clocks::Clocks,
    config::{ZygoteConfig, ZygoteFds},
    signal_notes::{Endings, Told},
    template_queue::TemplateQueue,
};
use crate::{protocol::Report, segments::Exchange, worker::Ground};

/// How often parents and children are looked for where the system has no pidfd.
pub(super) const LOOK_FOR_PARENT_MS: u16 = 250;

/// Those with whom a zygote ends: whose child it is (its guard, or the pool's process), and above.
pub(super) struct Ancestors {
    pub(super) parent: Pid,
    pub(super) fds: Vec<OwnedFd>,
    /// Whether each of them has a descriptor that tells.
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
    pub(super) place: u32,
    pub(super) incarnation: u32,
    pub(super) told: Told,
}

pub(super) struct Zygote {
    pub(super) config: ZygoteConfig,
    pub(super) fds: ZygoteFds,
    pub(super) ancestors: Ancestors,
    /// That children have ended, and what asks the whole program to end.
    pub(super) signals: SignalFd,
    pub(super) workers: Vec<Worker>,
    pub(super) templates: TemplateQueue,
    pub(super) exchange: Exchange,
    pub(super) clocks: Clocks,
    pub(super) endings: Endings,
    /// What workers that are forked here find mapped.
    pub(super) ground: Option<Ground>,
    /// Reports that the socket had no room for.
    pub(super) unsent: VecDeque<Report>,
}

impl Worker {
    pub(super) fn new(pid: Pid, place: u32, incarnation: u32) -> Self {
        Self { pid, place, incarnation, told: Told::default() }
    }
}
