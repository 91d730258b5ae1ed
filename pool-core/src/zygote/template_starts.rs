//! Workers that a template forks: who waits for it, and what becomes of it.
//!
//! Invariant: every order to start a worker is answered once: by the worker's process id, by an
//! error number, or by a failure that lies in the worker's arena. A template that dies is replaced
//! when the next worker is wanted. One that is due sees so itself; if it does not, because somebody
//! has stopped it (SIGSTOP), it is killed.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::{ForkResult, fork, getpid},
};

use super::{
    state::{Worker, Zygote},
    template::{self, TemplateArgs},
    template_link::{Heard, StartError, TemplateLink},
    template_queue::Order,
    time_limits::STOPPED,
};
use crate::{
    error::{Fault, Stage, StartFailure},
    protocol::Report,
    shared::{SharedConfig, SharedSpec},
};

/// As many templates that had the value may die over one order: somebody kills them, or the helpers
/// that they fork through.
const MOST_LOST_TEMPLATES: u32 = 4;

impl Zygote {
    /// How what is shared is made, if that is a template's business.
    fn recipe(&self) -> Option<&SharedSpec> {
        match &self.config.workers.shared {
            SharedConfig::Recipe(recipe) if !self.config.fresh_workers => Some(recipe),
            _ => None,
        }
    }

    pub(super) fn needs_template(&self) -> bool {
        self.recipe().is_some()
    }

    /// Takes in an order to start a worker; `false` when the parent is gone.
    pub(super) fn start_from_template(
        &mut self,
        place: u32,
        incarnation: u32,
        arena: Option<OwnedFd>,
    ) -> bool {
        let Some(arena) = arena else {
            return self.report(Report::NotStarted { incarnation, errno: libc::EMFILE });
        };
        self.templates.waiting.push_back(Order { place, incarnation, arena, lost_templates: 0 });
        self.start_waiting()
    }

    /// Forgets an order that was not carried out yet; whether there was one.
    pub(super) fn forget_waiting(&mut self, incarnation: u32) -> bool {
        let waiting = &mut self.templates.waiting;
        let Some(at) = waiting.iter().position(|order| order.incarnation == incarnation) else {
            return false;
        };
        waiting.remove(at);
        if waiting.is_empty() && self.templates.expected().is_some() {
            // It may never come to an end, and nobody waits for it any more.
            self.end_template();
        }
        true
    }

    /// Carries out what can be carried out; `false` when the parent is gone.
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
                    Err(errno) => self.answer_first(|incarnation| Report::NotStarted {
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
        let started = template.start(order.place, order.incarnation, order.arena.as_fd(), &watched);
        match started {
            Ok(pid) => {
                let (place, incarnation) = (order.place, order.incarnation);
                self.workers.push(Worker::new(pid, place, incarnation));
                self.answer_first(|incarnation| Report::Started { incarnation, pid: pid.as_raw() })
            }
            Err(StartError::Refused(error)) => {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                self.answer_first(|incarnation| Report::NotStarted { incarnation, errno })
            }
            Err(StartError::Gone) => {
                let (place, incarnation) = (order.place as usize, order.incarnation);
                self.end_template();
                match self.board().map(|board| board.occupant(place)) {
                    // It had forked the worker, which was killed with it just now, maybe with a
                    // chunk in hand: no other process may take its name.
                    Some((pid, of)) if of == incarnation => {
                        let (pid, status) = (pid.cast_signed(), libc::SIGKILL);
                        let segments = self.exchange.reaped(incarnation);
                        self.answer_first(|incarnation| Report::Started { incarnation, pid })
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

    /// The first order is done with.
    fn answer_first(&mut self, report: impl FnOnce(u32) -> Report) -> bool {
        let order = self.templates.waiting.pop_front();
        order.is_none_or(|order| self.report(report(order.incarnation)))
    }

    /// The template died over the first order: that one is tried again.
    fn retry_or_fail(&mut self, status: i32) -> bool {
        match self.templates.waiting.front_mut() {
            Some(order) if order.lost_templates < MOST_LOST_TEMPLATES => {
                order.lost_templates += 1;
                true
            }
            _ => self.fail_waiting(&StartFailure::ended(Stage::Shared, status).to_bytes()),
        }
    }

    /// The template has said something, or has hung up; `false` when the parent is gone.
    pub(super) fn hear_template(&mut self) -> bool {
        let Some(template) = &mut self.templates.template else { return true };
        match template.hear() {
            Heard::Nothing => true,
            Heard::Ready => self.start_waiting(),
            Heard::Failed(text) => {
                self.end_template();
                self.fail_waiting(&text)
            }
            // Its end is told by its status.
            Heard::Gone => {
                template.kill();
                true
            }
        }
    }

    /// Ends a template that is due and has said nothing; `false` when the parent is gone.
    pub(super) fn watch_template(&mut self) -> bool {
        let Some(due) = self.templates.expected().and_then(|template| template.due) else {
            return true;
        };
        let late = Instant::now().checked_duration_since(due);
        let (Some(late), Some(recipe)) = (late, self.recipe()) else { return true };
        if late > STOPPED {
            // It has its time once more, as an item has.
            let due = due_of(recipe);
            self.templates.template.iter_mut().for_each(|template| template.due = due);
            return true;
        }
        let fault = Fault::timed_out(recipe.limit.unwrap_or_default());
        self.end_template();
        self.fail_waiting(&StartFailure { stage: Stage::Shared, fault }.to_bytes())
    }

    /// The template was reaped; `false` when the parent is gone.
    pub(super) fn template_ended(&mut self, status: i32) -> bool {
        let Some(mut template) = self.templates.template.take() else { return true };
        let said = if template.ready { Heard::Ready } else { template.hear() };
        self.kill_orphans();
        match said {
            Heard::Failed(text) => self.fail_waiting(&text),
            // It had the value: another one will have it too.
            Heard::Ready => self.retry_or_fail(status) && self.start_waiting(),
            _ => self.fail_waiting(&StartFailure::ended(Stage::Shared, status).to_bytes()),
        }
    }

    /// Kills and reaps the template, and the programs that it has started.
    fn end_template(&mut self) {
        self.templates.template = None;
        self.kill_orphans();
    }

    /// Answers all orders by this failure; `false` when the parent is gone.
    fn fail_waiting(&mut self, failure: &[u8]) -> bool {
        while let Some(Order { incarnation, arena, .. }) = self.templates.waiting.pop_front() {
            let errno = match StartFailure::leave(failure, &arena) {
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
        let recipe = self.recipe().expect("asked for only then").clone();
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|_| Errno::EMFILE);
        let due = due_of(&recipe);
        let args = TemplateArgs {
            zygote: getpid(),
            socket: theirs,
            recipe,
            stack: self.config.workers.bounds.stack,
            ingredients: self.fds.shared.iter().map(clone).collect::<nix::Result<_>>()?,
            board: clone(&self.fds.board)?,
            items: clone(&self.fds.items)?,
            bell: clone(&self.fds.bell)?,
            door: clone(self.exchange.door())?,
            limit: self.config.workers.descriptors,
        };
        // SAFETY: the zygote has one thread for life, so the child may do whatever it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(TemplateLink::new(child, ours, due)),
            ForkResult::Child => {
                drop(ours);
                // Whoever comes from here keeps no arena of others alive.
                self.templates.waiting.clear();
                self.close_own(&[]);
                let zygote = args.zygote;
                template::live(args, |place, incarnation| {
                    self.config.worker(place, incarnation, zygote)
                })
            }
        }
    }
}

/// When a template that begins now has to have said something.
fn due_of(recipe: &SharedSpec) -> Option<Instant> {
    recipe.limit_from_outside().and_then(|limit| Instant::now().checked_add(limit))
}
