//! The zygote's side: which segments there are, which processes have registered them, and which ask
//! for them.
//!
//! Invariant: the zygote waits here for no process. It answers that no process has a segment only
//! after it has read all requests that any process sent before the question: if a segment is not
//! known at once, the zygote answers when it has read the requests of all processes once more.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    poll::PollFlags,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
};
use pool_ipc::{SegmentId, board::Incarnation};

use crate::{
    os,
    protocol::{Answer, Handshake, Received, Request, receive_handshake},
};

/// The parent's number as an owner of segments; a worker's number is its incarnation.
const PARENT: Incarnation = Incarnation::NONE;
/// Most requests of one process that are read at once.
const MOST_AT_ONCE: usize = 4096;

/// The registered segments, and the connections of the processes that register or fetch them.
pub(crate) struct SegmentTable {
    /// The socket pair through which workers connect: the zygote's end, and theirs.
    handshake_socket: [OwnedFd; 2],
    peers: Vec<Peer>,
    /// The registered segments. (A hash map here would give the hash maps of all forked workers the
    /// same keys.)
    segments: BTreeMap<SegmentId, Registered>,
    /// Whether a worker has sent an alarm, or may have found no room to.
    alarmed: bool,
    /// Workers that were told to end, and the index of the signal in `os::ENDING`.
    ending_signals: Vec<(Incarnation, usize)>,
}

/// A process that has connected.
struct Peer {
    owner: Incarnation,
    socket: OwnedFd,
    /// The question that it waits for. The connection of a process that asks two at once is closed.
    question: Option<Question>,
    gone: bool,
}

struct Question {
    number: u32,
    about: SegmentId,
    /// Whether there is an answer that the socket has no room for.
    answered: bool,
}

struct Registered {
    /// The descriptor, or the error number for which there is none.
    descriptor: Result<OwnedFd, i32>,
    /// The processes that have the segment, and how often each has registered it.
    by: Vec<(Incarnation, u32)>,
}

impl SegmentTable {
    pub(crate) fn new() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        let handshake_socket = [os::out_of_the_way(ours)?, os::out_of_the_way(theirs)?];
        Ok(Self {
            handshake_socket,
            peers: Vec::new(),
            segments: BTreeMap::new(),
            alarmed: false,
            ending_signals: Vec::new(),
        })
    }

    /// The socket through which workers connect.
    pub(crate) fn handshake_socket(&self) -> &OwnedFd {
        &self.handshake_socket[1]
    }

    /// Adds the connection of the parent.
    pub(crate) fn add_parent(&mut self, socket: OwnedFd) {
        self.add(PARENT, socket);
    }

    fn add(&mut self, owner: Incarnation, socket: OwnedFd) {
        self.peers.push(Peer { owner, socket, question: None, gone: false });
    }

    /// The descriptors to poll, and for which events.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let peers = self.peers.iter().map(|peer| {
            let owes = peer.question.as_ref().is_some_and(|question| question.answered);
            let room = if owes { PollFlags::POLLOUT } else { PollFlags::empty() };
            (peer.socket.as_fd(), PollFlags::POLLIN | room)
        });
        std::iter::once((self.handshake_socket[0].as_fd(), PollFlags::POLLIN)).chain(peers)
    }

    /// Whether a process waits for an answer, which it gets by the next [`SegmentTable::serve`].
    pub(crate) fn is_asked(&self) -> bool {
        self.peers.iter().any(|peer| peer.question.as_ref().is_some_and(|asked| !asked.answered))
    }

    /// All descriptors of this value, which a forked child has to close.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let segments = self.segments.values().filter_map(|known| known.descriptor.as_ref().ok());
        self.handshake_socket
            .iter()
            .chain(self.peers.iter().map(|peer| &peer.socket))
            .chain(segments)
    }

    /// Whether a worker has sent an alarm since the last time, or may have found no room to.
    pub(crate) fn take_alarm(&mut self) -> bool {
        std::mem::take(&mut self.alarmed)
    }

    /// The workers that were told to end since the last time, and the indices of the signals in
    /// `os::ENDING`.
    pub(crate) fn take_ending_signals(&mut self) -> Vec<(Incarnation, usize)> {
        std::mem::take(&mut self.ending_signals)
    }

    /// Reads the requests of all processes, and then answers the questions of the time before.
    pub(crate) fn serve(&mut self) {
        let asked = |peer: &Peer| peer.question.is_some();
        let before: Vec<usize> =
            (0..self.peers.len()).filter(|at| asked(&self.peers[*at])).collect();
        while let Received::Message(message) = receive_handshake(&self.handshake_socket[0]) {
            // Also after any other message: a worker may have found no room for its alarm.
            self.alarmed = true;
            match message {
                Handshake::Worker(owner, Some(socket)) => self.add(owner, socket),
                Handshake::EndingSignal(owner, signal) => self.ending_signals.push((owner, signal)),
                // If this process had no number for the worker's socket, the worker sees the end
                // of its own.
                Handshake::Worker(_, None) | Handshake::Alarm => {}
            }
        }
        for at in 0..self.peers.len() {
            self.receive_from(at);
        }
        for at in before {
            self.answer(at);
        }
        self.peers.retain(|peer| !peer.gone);
    }

    fn receive_from(&mut self, at: usize) {
        for _ in 0..MOST_AT_ONCE {
            let peer = &mut self.peers[at];
            let owner = peer.owner;
            let (number, about) = match Request::receive(&peer.socket) {
                Received::Empty => return,
                Received::Message(Request::Register { id, descriptor }) => {
                    self.register(owner, id, descriptor);
                    continue;
                }
                Received::Message(Request::Forget { id }) => {
                    self.forget(owner, id);
                    continue;
                }
                Received::Message(Request::ReleaseOwner { owner: dead }) if owner == PARENT => {
                    self.release_owner(dead);
                    continue;
                }
                Received::Message(Request::Fetch { number, id }) => (number, id),
                Received::Message(Request::ReleaseOwner { .. }) | Received::Closed => {
                    peer.gone = true;
                    return;
                }
            };
            let known = self.segments.contains_key(&about);
            let peer = &mut self.peers[at];
            let one = peer.question.replace(Question { number, about, answered: false }).is_none();
            if !one {
                peer.gone = true;
                return;
            }
            if known {
                self.answer(at);
            }
        }
    }

    /// Answers the question of the process at `at`, if there is room for the answer.
    fn answer(&mut self, at: usize) {
        let peer = &self.peers[at];
        let Some(question) = &peer.question else { return };
        let mut answer = Answer { number: question.number, errno: 0, descriptor: None };
        let mut descriptor = None;
        match self.segments.get(&question.about).map(|known| &known.descriptor) {
            Some(Ok(known)) => descriptor = Some(known.as_fd()),
            Some(Err(errno)) => answer.errno = *errno,
            None => answer.errno = Answer::NOT_FOUND,
        }
        let sent = answer.send(&peer.socket, descriptor).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Err(error),
            // For example because too many descriptors are in flight.
            _ => {
                answer.errno = error.raw_os_error().unwrap_or(libc::EIO);
                answer.send(&peer.socket, None)
            }
        });
        let peer = &mut self.peers[at];
        match sent {
            Ok(()) => peer.question = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                peer.question.as_mut().expect("it was answered").answered = true;
            }
            Err(_) => peer.gone = true,
        }
    }

    /// Drops the connection of a worker that was reaped; answers whether it has left segments
    /// behind, for results that the parent may still read.
    pub(crate) fn reaped(&mut self, owner: Incarnation) -> bool {
        self.serve();
        self.peers.retain(|peer| peer.owner != owner);
        self.segments.values().any(|known| known.by.iter().any(|(by, _)| *by == owner))
    }

    fn register(&mut self, owner: Incarnation, id: SegmentId, descriptor: Option<OwnedFd>) {
        // Another process may have sent the descriptor when there was a number left.
        let missing = Registered { descriptor: Err(libc::EMFILE), by: Vec::new() };
        let known = self.segments.entry(id).or_insert(missing);
        if let (Err(_), Some(descriptor)) = (&known.descriptor, descriptor) {
            known.descriptor = Ok(descriptor);
        }
        match known.by.iter_mut().find(|(by, _)| *by == owner) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => known.by.push((owner, 1)),
        }
    }

    fn forget(&mut self, owner: Incarnation, id: SegmentId) {
        let Some(known) = self.segments.get_mut(&id) else { return };
        known.by.retain_mut(|(by, count)| {
            *count -= u32::from(*by == owner);
            *count > 0
        });
        if known.by.is_empty() {
            self.segments.remove(&id);
        }
    }

    fn release_owner(&mut self, dead: Incarnation) {
        self.segments.retain(|_, known| {
            known.by.retain(|(by, _)| *by != dead);
            !known.by.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        os::KeptFd,
        protocol::{introduce, send_alarm},
    };

    /// Connects a process to the table; answers with its end of the connection.
    fn peer(segment_table: &mut SegmentTable, owner: Incarnation) -> OwnedFd {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) =
            socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).expect("two sockets");
        segment_table.add(owner, theirs);
        ours
    }

    fn file() -> OwnedFd {
        std::fs::File::open("/proc/self/status").expect("a file").into()
    }

    fn send_request(socket: &OwnedFd, request: Request, descriptor: Option<&OwnedFd>) {
        request.send(socket, descriptor.map(AsFd::as_fd)).expect("room");
    }

    fn register(socket: &OwnedFd, id: u128) {
        let request = Request::Register { id: SegmentId(id), descriptor: None };
        send_request(socket, request, Some(&file()));
    }

    fn answer(socket: &OwnedFd) -> Option<Answer> {
        match Answer::receive(socket) {
            Received::Message(answer) => Some(answer),
            Received::Empty => None,
            Received::Closed => panic!("the connection is closed"),
        }
    }

    fn fetch(segment_table: &mut SegmentTable, socket: &OwnedFd, number: u32, id: u128) -> Answer {
        send_request(socket, Request::Fetch { number, id: SegmentId(id) }, None);
        segment_table.serve();
        if segment_table.is_asked() {
            segment_table.serve();
        }
        let answer = answer(socket).expect("an answer");
        assert_eq!(answer.number, number);
        answer
    }

    #[test]
    fn what_one_registers_another_fetches_until_it_is_forgotten() {
        let mut segment_table = SegmentTable::new().unwrap();
        let (parent, worker) =
            (peer(&mut segment_table, PARENT), peer(&mut segment_table, Incarnation::new(7)));
        // Registered twice, and forgotten once: a mapping may be made anew while its predecessor
        // goes.
        register(&parent, 1);
        register(&parent, 1);
        send_request(&parent, Request::Forget { id: SegmentId(1) }, None);
        assert!(fetch(&mut segment_table, &worker, 5, 1).descriptor.is_some());
        let unknown = fetch(&mut segment_table, &worker, 6, 2);
        assert_eq!((unknown.errno, unknown.descriptor.is_none()), (Answer::NOT_FOUND, true));
        send_request(&parent, Request::Forget { id: SegmentId(1) }, None);
        assert!(fetch(&mut segment_table, &worker, 7, 1).descriptor.is_none());
        assert!(segment_table.segments.is_empty());
    }

    #[test]
    fn a_question_that_is_heard_before_what_came_earlier_is_answered_after_it() {
        let mut segment_table = SegmentTable::new().unwrap();
        let worker = peer(&mut segment_table, Incarnation::new(7));
        send_request(&worker, Request::Fetch { number: 1, id: SegmentId(9) }, None);
        segment_table.serve();
        assert!(segment_table.is_asked() && answer(&worker).is_none());
        // The parent had connected before, through a socket that is read later.
        let parent = peer(&mut segment_table, PARENT);
        register(&parent, 9);
        segment_table.serve();
        assert!(answer(&worker).expect("an answer").descriptor.is_some());
        assert!(!segment_table.is_asked());
    }

    #[test]
    fn what_the_dead_have_registered_stays_until_they_are_disowned() {
        let mut segment_table = SegmentTable::new().unwrap();
        let (parent, worker) =
            (peer(&mut segment_table, PARENT), peer(&mut segment_table, Incarnation::new(7)));
        register(&worker, 1);
        assert!(segment_table.reaped(Incarnation::new(7)), "what it had said before is heard");
        assert!(!segment_table.reaped(Incarnation::new(8)));
        assert!(fetch(&mut segment_table, &parent, 1, 1).descriptor.is_some());
        register(&parent, 1);
        send_request(&parent, Request::ReleaseOwner { owner: Incarnation::new(7) }, None);
        assert!(fetch(&mut segment_table, &parent, 2, 1).descriptor.is_some());
        send_request(&parent, Request::Forget { id: SegmentId(1) }, None);
        assert!(fetch(&mut segment_table, &parent, 3, 1).descriptor.is_none());
    }

    #[test]
    fn who_makes_no_sense_is_not_heard_any_more() {
        let mut segment_table = SegmentTable::new().unwrap();
        let (impatient, usurper) = (
            peer(&mut segment_table, Incarnation::new(1)),
            peer(&mut segment_table, Incarnation::new(2)),
        );
        let noise = peer(&mut segment_table, Incarnation::new(3));
        for number in [1, 2] {
            send_request(&impatient, Request::Fetch { number, id: SegmentId(1) }, None);
        }
        send_request(&usurper, Request::ReleaseOwner { owner: Incarnation::new(1) }, None);
        crate::protocol::packet::send(&noise, &[1; 100], None).unwrap();
        segment_table.serve();
        assert!(segment_table.peers.is_empty());
    }

    #[test]
    fn a_full_handshake_socket_loses_no_alarm() {
        let mut segment_table = SegmentTable::new().unwrap();
        assert!(!segment_table.take_alarm());
        let file = file();
        let mut guests = 0;
        let handshake_socket =
            KeptFd::new(segment_table.handshake_socket().try_clone().unwrap()).unwrap();
        while introduce(&handshake_socket, Incarnation::new(guests), file.as_fd()).is_ok() {
            guests += 1;
        }
        send_alarm(&handshake_socket);
        segment_table.serve();
        assert!(guests > 16 && segment_table.take_alarm() && !segment_table.take_alarm());
    }

    #[test]
    fn a_client_that_does_not_read_delays_no_other() {
        let mut segment_table = SegmentTable::new().unwrap();
        let (parent, deaf) =
            (peer(&mut segment_table, PARENT), peer(&mut segment_table, Incarnation::new(7)));
        register(&parent, 1);
        let mut asked = 0;
        // The answers that are not read fill the socket; then one waits for room.
        while segment_table.watched().all(|(_, events)| !events.contains(PollFlags::POLLOUT)) {
            send_request(&deaf, Request::Fetch { number: asked, id: SegmentId(1) }, None);
            segment_table.serve();
            asked += 1;
        }
        assert!(asked > 64);
        for number in 0..asked {
            assert_eq!(answer(&deaf).expect("an answer").number, number);
            segment_table.serve();
        }
        assert!(answer(&deaf).is_none() && !segment_table.is_asked());
    }

    #[test]
    fn a_descriptor_that_did_not_arrive_is_an_error_until_it_does() {
        let mut segment_table = SegmentTable::new().unwrap();
        let (parent, worker) =
            (peer(&mut segment_table, PARENT), peer(&mut segment_table, Incarnation::new(7)));
        send_request(&parent, Request::Register { id: SegmentId(1), descriptor: None }, None);
        assert_eq!(fetch(&mut segment_table, &worker, 1, 1).errno, libc::EMFILE);
        register(&worker, 1);
        assert!(fetch(&mut segment_table, &worker, 2, 1).descriptor.is_some());
    }
}
