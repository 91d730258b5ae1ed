//! Workers that a template forks: the orders that wait for it, its start and its end.
//!
//! Invariant: the zygote answers every order to start a worker once: by the worker's process id, by
//! an error number, or by a failure that lies in the worker's arena. A template that dies is
//! replaced when the next worker is wanted. A template sees itself that its time limit is over; if
//! it does not, because it was stopped (SIGSTOP), the zygote kills it.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::{ForkResult, fork, getpid},
};
use pool_ipc::board::Incarnation;

use super::{
    state::{Worker, Zygote},
    template::{self, TemplateArgs},
    template_link::{StartError, TemplateLink, TemplateMessage},
    template_queue::Order,
    time_limits::STOPPED,
};
use crate::{
    error::{Fault, Stage, StartFailure},
    ids::WorkerId,
    os,
    protocol::Report,
    shared::{SharedConfig, SharedSpec},
};

/// Most templates that may die over one order after they had the value: they, or the helper
/// processes that they fork through, are killed from outside.
const MOST_LOST_TEMPLATES: u32 = 4;

impl Zygote {
    /// The specification of the shared value, if a template makes it.
    fn shared_spec(&self) -> Option<&SharedSpec> {
        match &self.config.workers.shared {
            SharedConfig::Constructed(shared_spec) if !self.config.fresh_workers => {
                Some(shared_spec)
            }
            _ => None,
        }
    }

    pub(super) fn needs_template(&self) -> bool {
        self.shared_spec().is_some()
    }

    /// Queues an order to start a worker, and carries out what can be; `false` when the parent is
    /// gone.
    pub(super) fn start_from_template(
        &mut self,
        worker: WorkerId,
        incarnation: Incarnation,
        arena: Option<OwnedFd>,
    ) -> bool {
        let Some(arena) = arena else {
            return self.report(Report::NotStarted { incarnation, errno: libc::EMFILE });
        };
        self.templates.waiting.push_back(Order { worker, incarnation, arena, lost_templates: 0 });
        self.start_waiting()
    }

    /// Removes an order that was not carried out yet; answers whether there was one.
    pub(super) fn forget_waiting(&mut self, incarnation: Incarnation) -> bool {
        let waiting = &mut self.templates.waiting;
        let Some(at) = waiting.iter().position(|order| order.incarnation == incarnation) else {
            return false;
        };
        waiting.remove(at);
        if waiting.is_empty() && self.templates.expected().is_some() {
            // The template may never come to an end, and no order waits for it any more.
            self.end_template();
        }
        true
    }

    /// Carries out the orders that can be carried out, and forks a template if there is none;
    /// `false` when the parent is gone.
    fn start_waiting(&mut self) -> bool {
        while !self.templates.waiting.is_empty() {
            let goes_on = match self.templates.template.as_ref().map(|template| template.ready) {
                Some(true) => self.start_first(),
                Some(false) => return true,
                None => match self.fork_template() {
                    Ok(template) => {
                        self.templates.template = Some(template);
                        true
                    }
                    Err(errno) => self.answer_first_order(|incarnation| Report::NotStarted {
                        incarnation,
                        errno: errno as i32,
                    }),
                },
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Carries out the first order, with a template that is ready; `false` when the parent is gone.
    fn start_first(&mut self) -> bool {
        let (Some(template), Some(order)) =
            (&mut self.templates.template, self.templates.waiting.front())
        else {
            return true;
        };
        let watched: Vec<_> = self.ancestors.fds.iter().map(AsFd::as_fd).collect();
        let started =
            template.start(order.worker, order.incarnation, order.arena.as_fd(), &watched);
        match started {
            Ok(pid) => {
                let (worker, incarnation) = (order.worker, order.incarnation);
                self.workers.push(Worker::new(pid, worker, incarnation));
                self.answer_first_order(|incarnation| Report::Started {
                    incarnation,
                    pid: pid.as_raw(),
                })
            }
            Err(StartError::Refused(error)) => {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                self.answer_first_order(|incarnation| Report::NotStarted { incarnation, errno })
            }
            Err(StartError::Gone) => {
                let (worker, incarnation) = (order.worker.index(), order.incarnation);
                self.end_template();
                match self.board().map(|board| board.occupant(worker)) {
                    // The template had forked the worker, which was killed with it just now, maybe
                    // with a chunk in hand: no other process may take its name.
                    Some((pid, of)) if of == incarnation => {
                        let (pid, status) = (pid.cast_signed(), libc::SIGKILL);
                        let segments = self.segment_table.reaped(incarnation);
                        self.answer_first_order(|incarnation| Report::Started { incarnation, pid })
                            && self.report(Report::Reaped {
                                incarnation,
                                status,
                                segments,
                                peak: 0,
                            })
                    }
                    _ => self.retry_or_fail(libc::SIGKILL),
                }
            }
        }
    }

    /// Removes the first order and answers it; `false` when the parent is gone.
    fn answer_first_order(&mut self, report: impl FnOnce(Incarnation) -> Report) -> bool {
        let order = self.templates.waiting.pop_front();
        order.is_none_or(|order| self.report(report(order.incarnation)))
    }

    /// Keeps the first order, over which a template has died, to be tried again; after too many
    /// deaths, fails all orders. `false` when the parent is gone.
    fn retry_or_fail(&mut self, status: i32) -> bool {
        match self.templates.waiting.front_mut() {
            Some(order) if order.lost_templates < MOST_LOST_TEMPLATES => {
                order.lost_templates += 1;
                true
            }
            _ => self.fail_waiting(&StartFailure::ended(Stage::Shared, status).to_bytes()),
        }
    }

    /// Handles a message of the template, or the end of its socket; `false` when the parent is
    /// gone.
    pub(super) fn handle_template(&mut self) -> bool {
        let Some(template) = &mut self.templates.template else { return true };
        match template.receive_message() {
            TemplateMessage::Nothing => true,
            TemplateMessage::Ready => self.start_waiting(),
            TemplateMessage::Failed(text) => {
                self.end_template();
                self.fail_waiting(&text)
            }
            // Its status will tell why it has ended.
            TemplateMessage::Gone => {
                template.kill();
                true
            }
        }
    }

    /// Ends a template that is due and has sent nothing; `false` when the parent is gone.
    pub(super) fn watch_template(&mut self) -> bool {
        let Some(due) = self.templates.expected().and_then(|template| template.due) else {
            return true;
        };
        let late = Instant::now().checked_duration_since(due);
        let (Some(late), Some(shared_spec)) = (late, self.shared_spec()) else { return true };
        if late > STOPPED {
            // The template gets its time once more, like items.
            let due = due_of(shared_spec);
            self.templates.template.iter_mut().for_each(|template| template.due = due);
            return true;
        }
        let fault = Fault::timed_out(shared_spec.limit.unwrap_or_default());
        self.end_template();
        self.fail_waiting(&StartFailure { stage: Stage::Shared, fault }.to_bytes())
    }

    /// Handles the end of the template, which was reaped; `false` when the parent is gone.
    pub(super) fn template_ended(&mut self, status: i32) -> bool {
        let Some(mut template) = self.templates.template.take() else { return true };
        let message =
            if template.ready { TemplateMessage::Ready } else { template.receive_message() };
        self.kill_orphans();
        match message {
            TemplateMessage::Failed(text) => self.fail_waiting(&text),
            // This template could make the value, so another one can, too.
            TemplateMessage::Ready => self.retry_or_fail(status) && self.start_waiting(),
            _ => self.fail_waiting(&StartFailure::ended(Stage::Shared, status).to_bytes()),
        }
    }

    /// Kills and reaps the template, and the programs that it has started.
    fn end_template(&mut self) {
        self.templates.template = None;
        self.kill_orphans();
    }

    /// Answers all orders with this failure; `false` when the parent is gone.
    fn fail_waiting(&mut self, failure: &[u8]) -> bool {
        while let Some(Order { incarnation, arena, .. }) = self.templates.waiting.pop_front() {
            let errno = match StartFailure::write_encoded(failure, &arena) {
                Ok(()) => Report::SEE_ARENA,
                Err(errno) => errno as i32,
            };
            if !self.report(Report::NotStarted { incarnation, errno }) {
                return false;
            }
        }
        true
    }

    fn fork_template(&mut self) -> nix::Result<TemplateLink> {
        let shared_spec = self.shared_spec().expect("asked for only then").clone();
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|_| Errno::EMFILE);
        let due = due_of(&shared_spec);
        let args = TemplateArgs {
            zygote: getpid(),
            socket: theirs,
            shared_spec,
            stack: self.config.workers.bounds.stack,
            segment_fds: self.fds.shared.iter().map(clone).collect::<nix::Result<_>>()?,
            board: clone(&self.fds.board)?,
            items: clone(&self.fds.items)?,
            wake_counter: clone(&self.fds.wake_counter)?,
            handshake_socket: clone(self.segment_table.handshake_socket())?,
            output: self.fds.output.iter().map(clone).collect::<nix::Result<_>>()?,
            limit: self.config.workers.descriptors,
        };
        // SAFETY: the zygote has one thread for life, so the child may do whatever it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(TemplateLink::new(child, ours, due)),
            ForkResult::Child => {
                drop(ours);
                // A worker that comes from here keeps no arena of others alive.
                self.templates.waiting.clear();
                self.close_own(&[]);
                self.fds.output.iter().for_each(os::close_for_good);
                let zygote = args.zygote;
                template::live(args, |worker, incarnation| {
                    self.config.worker(worker, incarnation, zygote)
                })
            }
        }
    }
}

/// When a template that begins now is due to have sent its first message.
fn due_of(shared_spec: &SharedSpec) -> Option<Instant> {
    shared_spec.limit_from_outside().and_then(|limit| Instant::now().checked_add(limit))
}
