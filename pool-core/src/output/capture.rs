//! The thread of the parent that reads what workers write.
//!
//! Invariant: it waits for nothing but the pipes, and for `delivery.rs`, which has a limit. Of a
//! worker that has ended it reads what lies in the pipes then and no more: programs that the worker
//! has started may still hold the other ends.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags},
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::read,
};
use pool_ipc::board::Incarnation;

use super::{
    delivery::Delivery,
    event::{OutputEvent, Stream},
    marker::Mark,
    options::OutputPlan,
    records::{Failed, Records},
    stream::{News, StreamReader},
    worker::Introduction,
};
use crate::{
    driver::{Driven, Driver, Leave, Work, drives_here},
    error::{Error, LateOutput, StreamTail, TaskOutput},
    ids::WorkerId,
    mutex::lock,
    os::{self, Listed},
    protocol::{Received, receive},
    stack,
};

/// Bytes that are read at once.
const AT_ONCE: usize = 64 << 10;

/// Time between two looks where no other thread can end the reader's sleep.
const WITHOUT_WAKE: Duration = Duration::from_millis(50);

/// The captured output of a set of workers, in their parent.
pub(crate) struct Capture {
    plan: OutputPlan,
    n_jobs: usize,
    /// Ends the reader's sleep.
    wake: Listed,
    /// Where workers introduce themselves.
    socket: Listed,
    /// What the reader alone has.
    readers: Mutex<Readers>,
    /// What the session and the reader share; never locked for long.
    shared: Mutex<Shared>,
    delivery: Option<Arc<Delivery>>,
    driver: OnceLock<Driver>,
}

#[derive(Default)]
struct Readers {
    workers: Vec<WorkerPipes>,
    buffer: Vec<u8>,
    socket_is_over: bool,
}

/// The pipes of one worker.
struct WorkerPipes {
    incarnation: Incarnation,
    worker: WorkerId,
    streams: [Option<StreamReader>; 2],
    /// Items that have failed and whose end was seen on one of two streams.
    half: Vec<(Mark, [Option<StreamTail>; 2])>,
}

#[derive(Default)]
struct Shared {
    records: Records,
    /// Workers that have ended, and whose pipes are to be emptied.
    ended: Vec<Incarnation>,
    /// Whether all workers have ended.
    all_ended: bool,
    /// Whether nothing reads any more.
    closed: bool,
}

/// The incarnation of a process that is no worker.
pub(crate) const ONLY_PROCESS: Incarnation = Incarnation::new(1);

impl Capture {
    /// Makes what a captured output needs, and the end of the socket that workers get. Its threads
    /// begin by [`Capture::start`].
    pub(crate) fn new(plan: &OutputPlan, n_jobs: usize) -> std::io::Result<(Arc<Self>, OwnedFd)> {
        let pair = || {
            let kind = SockType::SeqPacket;
            Ok(socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?)
        };
        let (socket, theirs) = Listed::with_other(pair)?;
        let capture = Arc::new(Self {
            plan: plan.clone(),
            n_jobs,
            wake: Listed::new(os::new_counter()?)?,
            socket,
            readers: Mutex::default(),
            shared: Mutex::default(),
            delivery: Delivery::new(plan),
            driver: OnceLock::new(),
        });
        let driven: Weak<dyn Driven> = Arc::downgrade(&(capture.clone() as Arc<dyn Driven>));
        let _ = capture.driver.set(Driver::new(driven, stack::size_beside(None)));
        Ok((capture, os::out_of_the_way(theirs)?))
    }

    /// Starts the threads, or has them start once this process may have some.
    pub(crate) fn start(&self) -> Result<(), Error> {
        self.delivery.as_ref().map_or(Ok(()), |delivery| delivery.start())?;
        self.driver.get().map_or(Ok(()), Driver::start)
    }

    /// The output of a failed item of a worker, which is read or will be.
    pub(crate) fn output_of(&self, incarnation: Incarnation, failed: Failed) -> LateOutput {
        lock(&self.shared).records.ask(incarnation, failed)
    }

    /// Whether any output was asked for that is known with the end of its worker.
    pub(crate) fn waits_for_ends(&self) -> bool {
        lock(&self.shared).records.wait_for_ends()
    }

    /// Has the pipes of a worker emptied and closed, which was reaped.
    pub(crate) fn ended(&self, incarnation: Incarnation) {
        lock(&self.shared).ended.push(incarnation);
        self.wake.increment();
    }

    /// Has all pipes emptied and closed: there is no worker any more.
    pub(crate) fn all_ended(&self) {
        lock(&self.shared).all_ended = true;
        self.wake.increment();
    }

    /// Reads and delivers all that was written before, and goes on.
    pub(crate) fn flush(&self) {
        // A driver thread does not wait for another one: the user's code runs in them.
        if !drives_here() {
            self.read_to_the_end();
            // Where no thread can be started, `finish` reads what is left.
            let _ = self.start();
        }
    }

    /// Delivers what is left and ends the threads: there is no worker any more.
    pub(crate) fn finish(&self) {
        lock(&self.shared).all_ended = true;
        self.read_to_the_end();
        let mut shared = lock(&self.shared);
        // A thread that a fork had paused, and that starts again only now, ends at once.
        shared.closed = true;
        shared.records.give_up();
        drop(shared);
        if let Some(delivery) = &self.delivery {
            delivery.close();
        }
    }

    /// Ends the reader, reads what lies in the pipes now, and waits until it was delivered.
    fn read_to_the_end(&self) {
        if let Some(driver) = self.driver.get() {
            driver.stop();
        }
        // The thread that delivers must not wait for itself.
        let leave = drives_here;
        let mut readers = lock(&self.readers);
        self.receive_pipes(&mut readers);
        self.read_pipes(&mut readers, true, &leave);
        self.take_ended(&mut readers, &leave);
        drop(readers);
        if let Some(delivery) = &self.delivery {
            delivery.flush();
        }
    }

    /// Receives the pipes of workers that have begun.
    fn receive_pipes(&self, readers: &mut Readers) {
        while !readers.socket_is_over {
            let mut packet = [0; Introduction::LEN];
            // Another file that the program has put at this number has no pipes for us.
            let received = self.socket.intact().and_then(|socket| receive(&socket, &mut packet));
            match received {
                Ok(Received::Message((len, Some(pipe)))) => {
                    if let Some(introduction) = Introduction::from_bytes(&packet[..len]) {
                        self.add_pipe(readers, introduction, pipe);
                    }
                }
                // Without a number for it the pipe is lost, and its worker gets EPIPE.
                Ok(Received::Message((_, None))) => {}
                Ok(Received::Empty) => return,
                Ok(Received::Closed) | Err(_) => readers.socket_is_over = true,
            }
        }
    }

    fn add_pipe(&self, readers: &mut Readers, introduction: Introduction, pipe: OwnedFd) {
        let Introduction { incarnation, worker, stream, nonce } = introduction;
        // Tasks have the socket, too.
        if worker.index() >= self.n_jobs {
            return;
        }
        let flags = OFlag::O_NONBLOCK;
        let Ok(pipe) = fcntl(&pipe, FcntlArg::F_SETFL(flags))
            .map_err(std::io::Error::from)
            .and_then(|_| Listed::new(pipe))
        else {
            return;
        };
        let at = readers.workers.iter().position(|pipes| pipes.incarnation == incarnation);
        let at = at.unwrap_or_else(|| {
            let streams = [None, None];
            readers.workers.push(WorkerPipes { incarnation, worker, streams, half: Vec::new() });
            readers.workers.len() - 1
        });
        let place = &mut readers.workers[at].streams[stream.index()];
        if place.is_none() {
            *place = Some(StreamReader::new(pipe, nonce, self.plan.max_bytes));
        }
    }

    /// Reads what lies in the pipes; `all`: to their ends, as far as they are filled now.
    fn read_pipes(&self, readers: &mut Readers, all: bool, leave: &Leave<'_>) {
        let Readers { workers, buffer, .. } = readers;
        buffer.resize(AT_ONCE, 0);
        for pipes in workers {
            for stream in Stream::ALL {
                self.read_pipe(pipes, stream, all, buffer, leave);
            }
        }
    }

    fn read_pipe(
        &self,
        pipes: &mut WorkerPipes,
        stream: Stream,
        all: bool,
        buffer: &mut [u8],
        leave: &Leave<'_>,
    ) {
        let WorkerPipes { incarnation, worker, streams, half } = pipes;
        let captured = streams.iter().flatten().count();
        let Some(reader) = &mut streams[stream.index()] else { return };
        let Ok(fd) = reader.fd.intact() else {
            reader.over = true;
            return;
        };
        let mut left = match all {
            true => os::bytes_in_pipe(fd).unwrap_or(0),
            false => 1, // at least: what one call gives
        };
        while left > 0 && !reader.over {
            match read(&reader.fd, &mut *buffer) {
                Ok(0) => reader.over = true,
                Ok(len) => {
                    left = left.saturating_sub(len);
                    let delivers = self.delivery.is_some();
                    reader.take_in(&buffer[..len], delivers, |news| match news {
                        News::Text(item, bytes) => {
                            self.deliver(*worker, item, stream, bytes, leave)
                        }
                        News::Failed(mark, tail) => {
                            self.failed(*incarnation, half, captured, (mark, stream, tail));
                        }
                    });
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => reader.over = true,
            }
        }
    }

    fn deliver(
        &self,
        worker: WorkerId,
        item: Option<u64>,
        stream: Stream,
        bytes: &[u8],
        leave: &Leave<'_>,
    ) {
        if let Some(delivery) = &self.delivery {
            let event = OutputEvent { worker, item, stream, bytes: bytes.to_vec(), dropped: 0 };
            delivery.push(event, leave);
        }
    }

    /// Notes that the end of a failed item was seen on one of the `captured` streams.
    fn failed(
        &self,
        incarnation: Incarnation,
        half: &mut Vec<(Mark, [Option<StreamTail>; 2])>,
        captured: usize,
        (mark, stream, tail): (Mark, Stream, StreamTail),
    ) {
        let at = half.iter().position(|(of, tails)| *of == mark && tails[stream.index()].is_none());
        let (_, mut tails) = at.map_or((mark, [None, None]), |at| half.swap_remove(at));
        tails[stream.index()] = Some(tail);
        if tails.iter().flatten().count() < captured {
            half.push((mark, tails));
            return;
        }
        let output = TaskOutput::new(tails.map(Option::unwrap_or_default));
        lock(&self.shared).records.failed(incarnation, mark.into(), output);
    }

    /// Empties the pipes of workers that have ended.
    fn take_ended(&self, readers: &mut Readers, leave: &Leave<'_>) {
        let mut shared = lock(&self.shared);
        let (mut ended, all) = (std::mem::take(&mut shared.ended), shared.all_ended);
        drop(shared);
        if ended.is_empty() && !all {
            return;
        }
        // Those that were sent before they ended.
        self.receive_pipes(readers);
        if all {
            ended.extend(readers.workers.iter().map(|pipes| pipes.incarnation));
        }
        readers.buffer.resize(AT_ONCE, 0);
        for incarnation in ended {
            let at = readers.workers.iter().position(|pipes| pipes.incarnation == incarnation);
            let last = at.map_or_else(TaskOutput::default, |at| {
                let mut pipes = readers.workers.swap_remove(at);
                for stream in Stream::ALL {
                    self.read_pipe(&mut pipes, stream, true, &mut readers.buffer, leave);
                }
                self.finish_pipes(pipes, leave)
            });
            lock(&self.shared).records.ended(incarnation, &last);
        }
    }

    /// What a worker had written last.
    fn finish_pipes(&self, pipes: WorkerPipes, leave: &Leave<'_>) -> TaskOutput {
        let WorkerPipes { worker, streams, mut half, .. } = pipes;
        // It may have ended between the markers of its two streams.
        let mut half = half.pop().map_or([None, None], |(_, tails)| tails);
        let mut streams = streams.into_iter();
        TaskOutput::new(Stream::ALL.map(|stream| {
            let reader = streams.next().flatten();
            let last = reader.map_or_else(StreamTail::default, |mut reader| {
                reader.finish(self.delivery.is_some(), |news| {
                    if let News::Text(item, bytes) = news {
                        self.deliver(worker, item, stream, bytes, leave);
                    }
                })
            });
            half[stream.index()].take().unwrap_or(last)
        }))
    }

    /// Sleeps until a pipe has something, or another thread has something to say.
    fn sleep(&self, readers: &Readers) {
        let pipes = readers.workers.iter().flat_map(|pipes| pipes.streams.iter().flatten());
        let pipes = pipes.filter(|reader| !reader.over).map(|reader| reader.fd.as_fd());
        let socket = (!readers.socket_is_over).then(|| self.socket.as_fd());
        // The program may have closed the counter, and have put another file at its number: then
        // the reader looks now and then.
        let wake = self.wake.is_intact().then(|| self.wake.as_fd());
        let limit = if wake.is_some() { None } else { Some(WITHOUT_WAKE) };
        let mut watched: Vec<_> = wake
            .into_iter()
            .chain(socket)
            .chain(pipes)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let _ = os::poll(&mut watched, limit);
        self.wake.reset();
    }
}

impl Driven for Capture {
    fn demand(&self) -> (Work, u64) {
        (if lock(&self.shared).closed { Work::Over } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let mut readers = lock(&self.readers);
        while !leave() {
            self.sleep(&readers);
            if leave() {
                break;
            }
            self.receive_pipes(&mut readers);
            self.read_pipes(&mut readers, false, leave);
            self.take_ended(&mut readers, leave);
        }
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        self.wake.increment();
    }

    fn no_driver(&self, _: Error) {
        // No thread reads any more: workers that write would wait for ever. Without a reader they
        // get an error instead.
        let mut shared = lock(&self.shared);
        shared.closed = true;
        shared.records.give_up();
        drop(shared);
        *lock(&self.readers) = Readers { socket_is_over: true, ..Readers::default() };
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("socket", &self.socket.as_raw_fd()).finish_non_exhaustive()
    }
}
