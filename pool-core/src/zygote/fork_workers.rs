//! Workers that the zygote starts itself: fresh copies of the executable, or forks of itself.
//!
//! After a fork, the first write of either side to a page costs a copy, and a worker has none of
//! the executable's code mapped. So the zygote makes what all workers need before the first one, a
//! forked worker takes the shortest way to its first chunk, and between two forks the zygote writes
//! to its stack only.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use nix::unistd::{ForkResult, Pid, fork, getpid};
use pool_ipc::board::Incarnation;
use pool_shm::{ForkMark, Segment};

use super::state::{Worker, Zygote};
use crate::{
    bootstrap,
    ids::WorkerId,
    os,
    panic::learn_locations,
    protocol::Report,
    worker::{self, SharedMappings, WorkerFds, WorkerStart, arena_from},
};

/// Started workers that are not reported yet, so that the parent does not wake for each.
#[derive(Default)]
pub(super) struct StartedBatch {
    started: [StartedWorker; 16],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct StartedWorker {
    worker: WorkerId,
    incarnation: Incarnation,
    /// The process id, or an error number below 0.
    pid: i32,
}

impl StartedBatch {
    pub(super) fn add(
        &mut self,
        worker: WorkerId,
        incarnation: Incarnation,
        started: io::Result<Pid>,
    ) {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EAGAIN);
        let pid = started.map_or_else(|error| -errno(error), Pid::as_raw);
        self.started[self.count] = StartedWorker { worker, incarnation, pid };
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == self.started.len()
    }
}

impl Zygote {
    /// Adds the batch to the known workers and reports it; `false` when the parent is gone.
    pub(super) fn register(&mut self, batch: &mut StartedBatch) -> bool {
        let started = &batch.started[..std::mem::take(&mut batch.count)];
        for StartedWorker { worker, incarnation, pid } in started.iter().copied() {
            self.unsent.push_back(if pid > 0 {
                self.workers.push(Worker::new(Pid::from_raw(pid), worker, incarnation));
                Report::Started { incarnation, pid }
            } else {
                Report::NotStarted { incarnation, errno: -pid }
            });
        }
        started.is_empty() || self.send_reports()
    }

    pub(super) fn start(
        &mut self,
        worker: WorkerId,
        incarnation: Incarnation,
        arena: Option<OwnedFd>,
    ) -> io::Result<Pid> {
        let arena = arena_from(arena)?;
        let config = self.config.worker(worker, incarnation, getpid());
        if self.config.fresh_workers {
            let fixed = [&self.fds.board, &self.fds.items].map(AsFd::as_fd).into_iter();
            let own = [
                arena.as_fd(),
                self.fds.wake_counter.as_fd(),
                self.segment_table.handshake_socket().as_fd(),
            ];
            let more = self.fds.output.iter().chain(&self.fds.shared).map(AsFd::as_fd);
            let fds: Vec<_> = fixed.chain(own).chain(more).collect();
            return bootstrap::spawn_copy(bootstrap::ROLE_WORKER, &config.to_words(), &fds, &[]);
        }
        if self.mappings.is_none() {
            self.mappings = Some(self.prepare_to_fork()?);
        }
        self.fork_worker(&config, arena)
    }

    fn fork_worker(&self, config: &WorkerStart, arena: Segment) -> io::Result<Pid> {
        // SAFETY: the zygote has one thread for life, so the child may do whatever it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                os::unblock_signals();
                let [wake_counter, handshake_socket] =
                    [&self.fds.wake_counter, self.segment_table.handshake_socket()]
                        .map(os::take_for_good);
                self.close_own(&[wake_counter.as_raw_fd(), handshake_socket.as_raw_fd()]);
                let output =
                    config.config.output.sort(self.fds.output.iter().map(os::take_for_good));
                let shared = Vec::new();
                let fds = WorkerFds { arena, wake_counter, handshake_socket, output, shared };
                worker::live(config, || Some((self.mappings.clone()?, fds)))
            }
        }
    }

    /// Does once what every forked worker would do alike.
    fn prepare_to_fork(&self) -> io::Result<SharedMappings> {
        learn_locations(true);
        let (board, items) = (self.fds.board.try_clone()?, self.fds.items.try_clone()?);
        let failed = |error| io::Error::from_raw_os_error(os::errno_of(&error));
        ForkMark::prepare().map_err(failed)?;
        SharedMappings::new(board, items).map_err(failed)
    }

    /// Closes all descriptors of this value but for those `taken`, in a forked child that never
    /// uses it again.
    pub(super) fn close_own(&self, taken: &[RawFd]) {
        let close = |fd: &OwnedFd| {
            if !taken.contains(&fd.as_raw_fd()) {
                os::close_for_good(fd);
            }
        };
        let fixed = [&self.fds.control, &self.fds.board, &self.fds.items, &self.fds.wake_counter];
        fixed.into_iter().for_each(close);
        self.fds.shared.iter().for_each(close);
        self.ancestors.fds.iter().for_each(close);
        self.segment_table.descriptors().for_each(close);
        os::close_for_good(&self.signals);
    }
}
