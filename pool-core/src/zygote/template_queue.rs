//! The template, and the workers that wait for it.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use nix::unistd::Pid;
use pool_ipc::board::Incarnation;

use super::template_link::TemplateLink;
use crate::ids::WorkerId;

/// The template, and the orders that wait for it.
#[derive(Default)]
pub(super) struct TemplateQueue {
    pub(super) template: Option<TemplateLink>,
    pub(super) waiting: VecDeque<Order>,
}

impl TemplateQueue {
    /// The template, while the zygote waits for it to make the value.
    pub(super) fn expected(&self) -> Option<&TemplateLink> {
        self.template.as_ref().filter(|template| !template.ready && !template.doomed)
    }

    /// How long the zygote may sleep: until the template is due, at most for `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        let Some(due) = self.expected().and_then(|template| template.due) else { return idle };
        let left = due.saturating_duration_since(Instant::now());
        Some(idle.map_or(left, |idle| idle.min(left)))
    }

    /// Whether `pid` is that of the template.
    pub(super) fn is_template(&self, pid: Pid) -> bool {
        self.template.as_ref().is_some_and(|template| template.pid == pid)
    }
}

/// A worker to be started.
pub(super) struct Order {
    pub(super) worker: WorkerId,
    pub(super) incarnation: Incarnation,
    pub(super) arena: OwnedFd,
    /// Number of templates that have died over this order.
    pub(super) lost_templates: u32,
}
