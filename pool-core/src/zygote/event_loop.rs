//! The zygote's event loop, which runs until its parent is gone or tells it to end.
//!
//! Invariant: all processes that the zygote has started are dead and reaped before it ends in
//! order. When it is killed itself, its workers get the parent-death signal, and the guard ends the
//! rest (`guard.rs`).

use std::{
    collections::VecDeque, io, os::fd::AsFd, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{Pid, getpid, getppid},
};
use pool_shm::Segment;

use super::{
    clocks::Clocks,
    config::{ZygoteConfig, ZygoteFds},
    fork_workers::StartedBatch,
    signal_notes::Endings,
    state::{Ancestors, PARENT_CHECK_INTERVAL_MS, Zygote},
    template_link::TemplateLink,
    template_queue::TemplateQueue,
};
use crate::{
    insights::InsightsArea,
    os::{self, DescriptorLimit, ENDING, Reaped},
    panic,
    protocol::{Order, Received, Report, StartFault},
    segments::SegmentTable,
};

const PARENT_CHECK_INTERVAL: Duration = Duration::from_millis(PARENT_CHECK_INTERVAL_MS as u64);

/// What has happened that a pass has to handle.
struct Happened {
    /// The socket has something to read, or room.
    control: bool,
    /// The parent or the guard is gone.
    gone: bool,
    /// The template has sent a message.
    template: bool,
    /// A process has sent a message about segments, or waits for an answer.
    segment_table: bool,
}

/// Runs the event loop until the parent is gone or ends it, and then ends this process.
pub(super) fn run_event_loop(config: ZygoteConfig, fds: ZygoteFds, ancestors: Ancestors) -> ! {
    // A panic here is a defect; the workers still die with this process.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        if let Some(mut zygote) = Zygote::set_up(config, fds, ancestors) {
            while zygote.run_once() {}
            zygote.kill_all();
            panic::end_quietly();
        }
    }));
    panic::end_quietly()
}

/// The times of the workers, if they are recorded.
fn insights_area(config: &ZygoteConfig, fds: &ZygoteFds) -> Option<InsightsArea> {
    let at = config.workers.insights_area;
    if at == 0 {
        return None;
    }
    let board = Segment::from_fd(fds.board.try_clone().ok()?).ok()?.map_unlocked().ok()?;
    // Workers map the board themselves.
    board.dont_fork().ok()?;
    InsightsArea::open(Arc::new(board), at)
}

impl Zygote {
    fn set_up(mut config: ZygoteConfig, fds: ZygoteFds, ancestors: Ancestors) -> Option<Self> {
        os::set_process_name(&os::ZYGOTE);
        os::become_subreaper();
        config.workers.descriptors = DescriptorLimit::raise();
        let (signals, segment_table) = match Self::resources(config.fresh_workers) {
            Ok(resources) => resources,
            Err(fault) => {
                let _ = Report::Unable(fault).send(&fds.control);
                return None;
            }
        };
        Report::Running { pid: getpid().as_raw() }.send(&fds.control).ok()?;
        let guarded = getppid() == ancestors.parent;
        let insights = insights_area(&config, &fds);
        guarded.then(|| Self {
            config,
            fds,
            ancestors,
            signals,
            workers: Vec::new(),
            templates: TemplateQueue::default(),
            segment_table,
            clocks: Clocks::default(),
            endings: Endings::default(),
            mappings: None,
            insights,
            unsent: VecDeque::new(),
        })
    }

    /// Gets what every zygote needs of the system.
    fn resources(fresh_workers: bool) -> Result<(SignalFd, SegmentTable), StartFault> {
        let errno =
            |error: io::Error| StartFault::System(error.raw_os_error().unwrap_or(libc::EAGAIN));
        // Libraries may start a thread in every process that was forked.
        if !fresh_workers {
            match os::lasting_thread_count().map_err(errno)? {
                1 => {}
                threads => {
                    return Err(StartFault::Threads(threads.try_into().unwrap_or(u32::MAX)));
                }
            }
        }
        let mask: SigSet = ENDING.into_iter().chain([Signal::SIGCHLD]).collect();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = mask.thread_block().and_then(|()| SignalFd::with_flags(&mask, flags));
        Ok((signals.map_err(|error| errno(error.into()))?, SegmentTable::new().map_err(errno)?))
    }

    /// Waits for something to happen and handles it; `false` when it is time to end.
    fn run_once(&mut self) -> bool {
        let happened = match self.wait() {
            Ok(happened) => happened,
            Err(Errno::EINTR) => return true,
            Err(_) => return false,
        };
        if happened.gone || getppid() != self.ancestors.parent {
            return false;
        }
        self.read_signals();
        self.reap();
        let goes_on = (!happened.template || self.handle_template())
            && (!happened.control || (self.send_reports() && self.handle_orders()));
        // After the orders: one of them may have connected the parent.
        if happened.segment_table {
            self.segment_table.serve();
        }
        self.handle_ending_signals();
        goes_on && self.watch_clocks() && self.watch_template()
    }

    fn wait(&self) -> nix::Result<Happened> {
        let mut control = PollFlags::POLLIN;
        control.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        let mut watched = vec![
            PollFd::new(self.fds.control.as_fd(), control),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let fds = self.ancestors.fds.iter().map(AsFd::as_fd);
        let template = self.templates.expected().map(TemplateLink::socket);
        let others = fds.chain(template);
        watched.extend(others.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let first_of_exchange = watched.len();
        watched.extend(self.segment_table.watched().map(|(fd, events)| PollFd::new(fd, events)));
        let asked = self.segment_table.is_asked();
        let idle = (!self.ancestors.known).then_some(PARENT_CHECK_INTERVAL);
        let idle = self.endings.sleep_at_most(self.templates.sleep_at_most(idle));
        let timeout = if asked { Some(Duration::ZERO) } else { self.clocks.sleep_at_most(idle) };
        os::poll(&mut watched, timeout)?;
        let happened = |fd: &PollFd<'_>| fd.any() == Some(true);
        let (others, segment_table) = watched.split_at(first_of_exchange);
        let (ancestors, template) = others[2..].split_at(self.ancestors.fds.len());
        Ok(Happened {
            control: happened(&others[0]),
            gone: ancestors.iter().any(happened),
            template: template.iter().any(happened),
            segment_table: asked || segment_table.iter().any(happened),
        })
    }

    /// Carries out all orders that are there; `false` when the parent ends the zygote or is gone.
    fn handle_orders(&mut self) -> bool {
        let mut batch = StartedBatch::default();
        loop {
            let order = Order::receive(&self.fds.control);
            if let Ok(Received::Message(Order::Start { worker, incarnation, arena })) = order {
                let goes_on = if self.needs_template() {
                    self.start_from_template(worker, incarnation, arena)
                } else {
                    batch.add(worker, incarnation, self.start(worker, incarnation, arena));
                    !batch.is_full() || self.register(&mut batch)
                };
                if !goes_on {
                    return false;
                }
                continue;
            }
            // The next order may be about one of the batch.
            if !self.register(&mut batch) {
                return false;
            }
            match order {
                Ok(Received::Message(Order::Kill { incarnation })) => {
                    if self.forget_waiting(incarnation) {
                        let errno = libc::ECANCELED;
                        if !self.report(Report::NotStarted { incarnation, errno }) {
                            return false;
                        }
                    } else if let Some(worker) =
                        self.workers.iter().find(|w| w.incarnation == incarnation)
                    {
                        // A worker that has ended already is reaped and reported all the same.
                        let _ = kill(worker.pid, Signal::SIGKILL);
                    }
                }
                Ok(Received::Message(Order::KillAt { chunk, grace })) => {
                    self.clocks.kill_after(chunk, grace);
                }
                // If no socket came along, the parent sees the end of its own socket.
                Ok(Received::Message(Order::Connect { socket })) => {
                    socket.into_iter().for_each(|socket| self.segment_table.add_parent(socket));
                }
                Ok(Received::Empty) => return true,
                Ok(Received::Message(Order::Start { .. }) | Received::Closed) | Err(_) => {
                    return false;
                }
            }
        }
    }

    /// Sends a report, after those that wait to be sent; `false` when the parent is gone.
    pub(super) fn report(&mut self, report: Report) -> bool {
        self.unsent.push_back(report);
        self.send_reports()
    }

    /// Sends the reports that the socket has room for; `false` when the parent is gone.
    pub(super) fn send_reports(&mut self) -> bool {
        while let Some(report) = self.unsent.front() {
            match report.send(&self.fds.control) {
                Ok(()) => self.unsent.pop_front(),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
        }
        true
    }

    /// Reaps the children that have ended, and kills the programs that ended workers left behind.
    fn reap(&mut self) {
        let mut reaped = Vec::new();
        while let Some(Reaped { pid, status, peak }) = os::reap_any() {
            let pid = Pid::from_raw(pid);
            if self.templates.is_template(pid) {
                // A parent that is gone is noticed by the next pass.
                let _ = self.template_ended(status);
                continue;
            }
            let Some(at) = self.workers.iter().position(|worker| worker.pid == pid) else {
                continue;
            };
            let worker = self.workers.swap_remove(at);
            if let Some(insights) = &self.insights {
                insights.note_reaped(worker.id.index());
            }
            reaped.push((worker.incarnation, worker.signals.status(status), peak));
        }
        if reaped.is_empty() {
            return;
        }
        self.kill_orphans();
        for (incarnation, status, peak) in reaped {
            let segments = self.segment_table.reaped(incarnation);
            // A parent that is gone is noticed by the next pass, which ends the event loop.
            let _ = self.report(Report::Reaped { incarnation, status, segments, peak });
        }
    }

    /// Kills the programs that workers and templates have left behind.
    pub(super) fn kill_orphans(&self) {
        let is_worker = |pid| self.workers.iter().any(|worker| worker.pid == pid);
        os::kill_orphans(&|pid| is_worker(pid) || self.templates.is_template(pid));
    }

    fn kill_all(&mut self) {
        let workers: Vec<_> = self.workers.drain(..).map(|worker| worker.pid).collect();
        os::kill_children(&workers);
        os::kill_orphans(&|_| false);
    }
}
