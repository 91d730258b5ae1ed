//! The client of the zygote's segment table, in the parent and in each worker.
//!
//! Invariant: for each registration of a segment, the client sends one `Forget` when this process
//! has let the segment go. The connection is made when it is first needed; a thread that lets a
//! segment go waits a moment at most. If a zygote (a stopped one, for example) leaves a question
//! unanswered for long, the client waits no more until that question is answered.

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
};
use pool_ipc::{SegmentBroker, SegmentFault, SegmentId, board::Incarnation};
use pool_shm::{SegmentWatcher, SharedSegment};

use crate::{
    error::is_disconnected,
    mutex::lock,
    os::{self, Listed},
    protocol::{Answer, Received, Request},
};

/// How long a zygote may take to answer or to make room, in slices: a process that is stopped
/// meanwhile has not waited.
const MAX_SLICES: u32 = 20;
/// How many slices a request that may be sent later waits for room.
const MAX_SLICES_IF_LATER: u32 = 1;
/// How long a client waits for an answer that it has given up before.
const MOMENT: Duration = Duration::from_millis(10);
const SLICE: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });

/// Gives the zygote the other end of a fresh connection.
type Introduce = dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync;
/// Is called with each segment that this process has let go.
type Forgotten = dyn FnMut(SegmentId) + Send;

/// Registers this process's segments with the zygote, and fetches those of other processes.
pub(crate) struct SegmentClient {
    this: Weak<Self>,
    /// The id of the process that this client belongs to.
    process: u32,
    introduce: Box<Introduce>,
    /// Called when this process has let a registered segment go, by one thread at a time.
    forgotten: Mutex<Box<Forgotten>>,
    connection: Mutex<Connection>,
    /// The client asks one question at a time.
    asked: Mutex<Asked>,
    /// Requests that the socket had no room for.
    unsent: Mutex<VecDeque<Request>>,
    /// Whether there was no room for long: then only requests that cannot be sent later wait for
    /// it.
    stuck: AtomicBool,
}

#[derive(Default)]
struct Asked {
    /// The number of the last question.
    number: u32,
    /// Whether the last question was given up.
    given_up: bool,
}

enum Connection {
    NotYet,
    Open(Arc<Listed>),
    Over,
}

fn fault(error: &io::Error) -> SegmentFault {
    if error.kind() == io::ErrorKind::WouldBlock {
        return SegmentFault::NoAnswer;
    }
    SegmentFault::Os(error.raw_os_error().unwrap_or(libc::EIO))
}

impl SegmentClient {
    pub(crate) fn new(introduce: Box<Introduce>, forgotten: Box<Forgotten>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            process: std::process::id(),
            introduce,
            forgotten: Mutex::new(forgotten),
            connection: Mutex::new(Connection::NotYet),
            asked: Mutex::default(),
            unsent: Mutex::default(),
            stuck: AtomicBool::new(false),
        })
    }

    /// Ends the connection for good.
    pub(crate) fn close(&self) {
        *lock(&self.connection) = Connection::Over;
    }

    /// Tells the zygote that the last result of a dead worker has been read.
    pub(crate) fn release_owner(&self, owner: Incarnation) {
        if let Ok(socket) = self.socket() {
            self.send_later(&socket, Request::ReleaseOwner { owner });
        }
    }

    fn socket(&self) -> Result<Arc<Listed>, SegmentFault> {
        // A forked child has a copy of this, and must not send anything for its parent.
        if std::process::id() != self.process {
            return Err(SegmentFault::Os(libc::EPIPE));
        }
        let mut connection = lock(&self.connection);
        match &*connection {
            Connection::Open(socket) if socket.is_intact() => Ok(socket.clone()),
            Connection::Over => Err(SegmentFault::Os(libc::EPIPE)),
            // It is the first, or the program has closed the last one with all its descriptors.
            Connection::NotYet | Connection::Open(_) => {
                let socket = self.connect().map_err(|error| fault(&error))?;
                let socket = Arc::new(socket);
                *connection = Connection::Open(socket.clone());
                Ok(socket)
            }
        }
    }

    /// Drops a connection that the other end has closed, so that the next request makes another.
    fn is_cut_off(&self, cut: &Arc<Listed>) -> SegmentFault {
        let mut connection = lock(&self.connection);
        if matches!(&*connection, Connection::Open(open) if Arc::ptr_eq(open, cut)) {
            *connection = Connection::NotYet;
        }
        SegmentFault::Os(libc::EPIPE)
    }

    /// The fault of a request that was not sent; drops the connection if that was closed.
    fn send_failed(&self, socket: &Arc<Listed>, error: &io::Error) -> SegmentFault {
        match fault(error) {
            fault if is_disconnected(fault) => self.is_cut_off(socket),
            fault => fault,
        }
    }

    fn connect(&self) -> io::Result<Listed> {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        let ours = Listed::new(ours)?;
        let mut slices_left = MAX_SLICES;
        loop {
            match (self.introduce)(theirs.as_fd()) {
                // Many workers connect at once.
                Err(error) if is_full(&error) && slices_left > 0 => {
                    std::thread::sleep(SLICE / 25);
                    slices_left -= 1;
                }
                result => return result.map(|()| ours),
            }
        }
    }

    /// Sends the requests that were not sent so far, and then this one.
    fn send(
        &self,
        socket: &Listed,
        request: &Request,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let max_slices = || if self.stuck.load(Relaxed) { MAX_SLICES_IF_LATER } else { MAX_SLICES };
        self.send_unsent(socket, max_slices());
        let sent = send(socket, request, descriptor, max_slices());
        let full = sent.as_ref().is_err_and(is_full);
        self.stuck.store(full, Relaxed);
        sent
    }

    /// Sends this request if there is room, otherwise before the next one.
    fn send_later(&self, socket: &Listed, request: Request) {
        lock(&self.unsent).push_back(request);
        let stuck = self.stuck.load(Relaxed);
        self.send_unsent(socket, if stuck { 0 } else { MAX_SLICES_IF_LATER });
    }

    fn send_unsent(&self, socket: &Listed, slices_left: u32) {
        let mut unsent = lock(&self.unsent);
        while let Some(request) = unsent.front() {
            match send(socket, request, None, slices_left) {
                Ok(()) => unsent.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck.store(true, Relaxed);
                    return;
                }
                // The zygote is gone, and its registrations with it.
                Err(_) => return unsent.clear(),
            };
        }
        self.stuck.store(false, Relaxed);
    }

    fn ask(&self, id: SegmentId) -> Result<Answer, SegmentFault> {
        let socket = self.socket()?;
        let mut asked = lock(&self.asked);
        if asked.given_up {
            // The zygote goes on once it has answered the question that was given up.
            let number = asked.number;
            self.answer(&socket, number, MAX_SLICES_IF_LATER, MOMENT)?;
            asked.given_up = false;
        }
        asked.number = asked.number.wrapping_add(1);
        let question = Request::Fetch { number: asked.number, id };
        self.send(&socket, &question, None).map_err(|error| self.send_failed(&socket, &error))?;
        let answer = self.answer(&socket, asked.number, MAX_SLICES, SLICE);
        asked.given_up = matches!(answer, Err(SegmentFault::NoAnswer));
        answer
    }

    /// Waits for the answer to the last question, which has this number.
    fn answer(
        &self,
        socket: &Arc<Listed>,
        number: u32,
        mut slices_left: u32,
        slice: Duration,
    ) -> Result<Answer, SegmentFault> {
        loop {
            match Answer::receive(&**socket) {
                Received::Message(answer) if answer.number == number => return Ok(answer),
                Received::Message(_) => {}
                Received::Empty => {
                    wait(socket, PollFlags::POLLIN, &mut slices_left, slice)
                        .map_err(|error| fault(&error))?;
                }
                Received::Closed => return Err(self.is_cut_off(socket)),
            }
        }
    }
}

/// Whether there is no room for a packet now, in the socket or among the descriptors of this user
/// that are in flight.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// Sends a request; waits for room if there is none.
fn send(
    socket: &Listed,
    request: &Request,
    descriptor: Option<BorrowedFd<'_>>,
    mut slices_left: u32,
) -> io::Result<()> {
    loop {
        match socket.intact().and_then(|socket| request.send(&socket, descriptor)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(socket, PollFlags::POLLOUT, &mut slices_left, SLICE)?;
            }
            Err(error) if is_full(&error) && slices_left > 0 => {
                std::thread::sleep(SLICE / 25);
                slices_left -= 1;
            }
            result => return result,
        }
    }
}

/// Waits until something happens to the socket; `WouldBlock` when no slice is left.
fn wait(
    socket: &Listed,
    events: PollFlags,
    slices_left: &mut u32,
    slice: Duration,
) -> io::Result<()> {
    let slice = PollTimeout::try_from(slice).unwrap_or(PollTimeout::MAX);
    while *slices_left > 0 {
        match poll(&mut [PollFd::new(socket.as_fd(), events)], slice) {
            Ok(0) => *slices_left -= 1,
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EAGAIN.into())
}

impl SegmentBroker for SegmentClient {
    fn register(&self, segment: &SharedSegment) -> Result<(), SegmentFault> {
        let this: Arc<dyn SegmentWatcher> =
            self.this.upgrade().expect("the caller of a link has it");
        if segment.is_watched_by(&this) {
            return Ok(());
        }
        let (socket, id) = (self.socket()?, segment.id());
        let request = Request::Register { id, descriptor: None };
        // SAFETY: the zygote only keeps the descriptor, and sends it to processes of the pool,
        // which open it (`fetch`).
        let descriptor = unsafe { segment.as_fd() };
        let sent = self.send(&socket, &request, Some(descriptor));
        sent.map_err(|error| self.send_failed(&socket, &error))?;
        let watched = segment.watch(this);
        if watched != Ok(true) {
            // Another thread was faster, or the watch failed and its end would not be told.
            self.send_later(&socket, Request::Forget { id });
        }
        watched.map(|_| ())
    }

    fn fetch(&self, id: SegmentId) -> Result<SharedSegment, SegmentFault> {
        let answer = self.ask(id)?;
        match (answer.errno, answer.descriptor) {
            (0, Some(descriptor)) => {
                let descriptor = os::out_of_the_way(descriptor).map_err(|error| fault(&error))?;
                // SAFETY: the segment table has only what a process of the pool registered: the
                // descriptor of a segment of its own.
                unsafe { SharedSegment::open(descriptor, id) }
            }
            // A descriptor came, and this process had no number left for it.
            (0, None) => Err(SegmentFault::Os(libc::EMFILE)),
            (Answer::NOT_FOUND, _) => Err(SegmentFault::Gone),
            (errno, _) => Err(SegmentFault::Os(errno)),
        }
    }
}

impl SegmentWatcher for SegmentClient {
    fn released(&self, id: SegmentId) {
        let socket = match &*lock(&self.connection) {
            Connection::Open(socket) => socket.clone(),
            Connection::NotYet | Connection::Over => return,
        };
        self.send_later(&socket, Request::Forget { id });
        (*lock(&self.forgotten))(id);
    }

    fn is_over(&self) -> bool {
        matches!(*lock(&self.connection), Connection::Over)
    }
}

impl fmt::Debug for SegmentClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentClient").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{os::fd::OwnedFd, sync::mpsc};

    use super::*;
    use crate::error::while_zygote_lives;

    const ID: SegmentId = SegmentId(7);

    /// A client, and the other ends of the connections that it makes.
    fn link() -> (Arc<SegmentClient>, mpsc::Receiver<OwnedFd>) {
        let (send, receive) = mpsc::channel();
        let introduce = move |socket: BorrowedFd<'_>| {
            send.send(socket.try_clone_to_owned()?).map_err(|_| Errno::EPIPE.into())
        };
        (SegmentClient::new(Box::new(introduce), Box::new(|_| {})), receive)
    }

    #[test]
    fn a_connection_that_was_closed_is_made_anew() {
        let (link, zygote) = link();
        for _ in 0..2 {
            let asking = {
                let link = link.clone();
                std::thread::spawn(move || link.fetch(ID).map(drop))
            };
            // The zygote had no number for this one.
            drop(zygote.recv().expect("a connection"));
            let fault = asking.join().expect("no panic").expect_err("no process answers");
            assert!(is_disconnected(fault));
            assert_eq!(while_zygote_lives(fault), SegmentFault::NoDescriptors);
        }
        let asking = {
            let link = link.clone();
            std::thread::spawn(move || link.fetch(ID).map(drop))
        };
        let socket = zygote.recv().expect("a connection");
        let mut request = Request::receive(&socket);
        while matches!(request, Received::Empty) {
            let mut watched = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::from(5_000u16)).expect("a poll");
            request = Request::receive(&socket);
        }
        let Received::Message(Request::Fetch { number, .. }) = request else {
            panic!("{request:?}")
        };
        let answer = Answer { number, errno: Answer::NOT_FOUND, descriptor: None };
        answer.send(&socket, None).expect("room");
        assert_eq!(asking.join().expect("no panic"), Err(SegmentFault::Gone));
    }

    /// The next question, if one has come.
    fn question(zygote: &OwnedFd) -> Option<u32> {
        match Request::receive(zygote) {
            Received::Message(Request::Fetch { number, .. }) => Some(number),
            Received::Empty => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_zygote_that_owes_an_answer_is_asked_nothing_more() {
        let (link, zygote) = link();
        let fetch = || link.fetch(ID).map(drop);
        assert_eq!(fetch(), Err(SegmentFault::NoAnswer));
        let zygote = zygote.recv().expect("a connection");
        let first = question(&zygote).expect("a question");
        for _ in 0..3 {
            assert_eq!(fetch(), Err(SegmentFault::NoAnswer));
            assert_eq!(question(&zygote), None, "it owes the answer to the first one");
        }
        let not_found = |number| Answer { number, errno: Answer::NOT_FOUND, descriptor: None };
        not_found(first).send(&zygote, None).expect("room");
        // The zygote goes on, and may take its time again.
        not_found(first + 1).send(&zygote, None).expect("room");
        assert_eq!(fetch(), Err(SegmentFault::Gone));
        assert_eq!(question(&zygote), Some(first + 1));
    }

    #[test]
    fn who_does_not_answer_in_time_is_no_fault_of_mapping() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("two sockets");
        let socket = Listed::new(ours.into()).expect("a socket");
        let mut slices_left = 1;
        let late =
            wait(&socket, PollFlags::POLLIN, &mut slices_left, SLICE).expect_err("nothing comes");
        assert_eq!((slices_left, fault(&late)), (0, SegmentFault::NoAnswer));
        assert!(SegmentFault::NoAnswer.to_string().contains("does not answer"));
        assert_eq!(fault(&Errno::EMFILE.into()), SegmentFault::Os(libc::EMFILE));
    }
}
