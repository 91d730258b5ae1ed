//! Objects, names, sessions and connections of one server.
//!
//! An object's count is the sum of what sessions have, names, and items that refer to it. It goes
//! when the count is 0 and the time is over for which a proxy of it may be on its way.
//!
//! Invariant: the lock of the state is the innermost one: under it no object is called or dropped.

use std::{
    collections::{HashMap, hash_map::Entry as Place},
    net::Shutdown,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, OnceLock, Weak, atomic::AtomicBool},
    time::{Duration, Instant},
};

use nix::sys::eventfd::EventFd;

use super::{
    call::{Answer, Arguments, Caller},
    item::drop_all,
    registry::Registry,
    wait::locked,
};
use crate::{
    client::ServerRef,
    protocol::{Fault, ServerId, SessionId},
    transport::{ConnectionOptions, Stream},
};

/// What a server hosts.
pub(super) trait Object: Send + Sync {
    fn call(
        &self,
        method: u32,
        arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault>;

    /// Gives back what the session held. Called for objects that it has held something of.
    fn session_ended(&self, _session: SessionId) {}
}

/// How many clients a server has, and how long it waits for them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) options: ConnectionOptions,
    pub(crate) max_connections: usize,
    pub(crate) max_unauthenticated: usize,
}

/// One server.
pub(crate) struct Shared {
    pub(super) id: ServerId,
    /// What ends the server by a call.
    pub(super) owner: [u64; 2],
    pub(super) limits: Limits,
    pub(super) registry: Registry,
    pub(super) own: OnceLock<Arc<ServerRef>>,
    pub(super) state: Mutex<State>,
    /// Told of each connection that ends.
    pub(super) ended: Condvar,
    pub(super) is_stopping: AtomicBool,
    /// Raised when the server is to end.
    pub(super) stop: EventFd,
    /// Raised when the watcher has something else to watch.
    pub(super) watch: EventFd,
}

#[derive(Default)]
pub(super) struct State {
    objects: HashMap<u64, Entry>,
    last_object: u64,
    names: HashMap<String, u64>,
    sessions: HashMap<SessionId, Session>,
    pub(super) connections: HashMap<u64, Peer>,
    pub(super) last_connection: u64,
}

struct Entry {
    object: Arc<dyn Object>,
    type_name: Arc<str>,
    count: u64,
    /// Until when a proxy may be on its way.
    kept_until: Option<Instant>,
}

/// All connections of one process.
struct Session {
    connections: usize,
    references: HashMap<u64, u64>,
    /// What it may hold something of: locks, permits.
    holdings: HashMap<u64, Weak<dyn Object>>,
    process: Option<Arc<OwnedFd>>,
}

/// A connection.
pub(super) struct Peer {
    pub(super) stream: Arc<Stream>,
    pub(super) session: Option<SessionId>,
}

impl Shared {
    /// Adds references to objects, one each.
    pub(super) fn retain(&self, objects: &[u64]) -> Result<(), Fault> {
        let mut state = locked(&self.state);
        if objects.iter().any(|id| !state.objects.contains_key(id)) {
            return Err(Fault::NoSuchObject);
        }
        for id in objects {
            if let Some(entry) = state.objects.get_mut(id) {
                entry.count += 1;
            }
        }
        Ok(())
    }

    /// Removes references, and returns the objects that are gone by that.
    #[must_use]
    pub(super) fn release(
        &self,
        objects: impl Iterator<Item = (u64, u64)>,
        keep: Option<Duration>,
    ) -> Vec<Arc<dyn Object>> {
        locked(&self.state).release(objects, keep)
    }

    /// Makes an object, with one reference of the session's.
    pub(super) fn insert(
        &self,
        session: SessionId,
        type_name: Arc<str>,
        object: Arc<dyn Object>,
    ) -> Result<u64, Fault> {
        let mut state = locked(&self.state);
        state.last_object += 1;
        let id = state.last_object;
        let entry = Entry { object, type_name, count: 0, kept_until: None };
        state.objects.insert(id, entry);
        state.grant(session, id)?;
        Ok(id)
    }

    pub(super) fn find(&self, id: u64) -> Result<Arc<dyn Object>, Fault> {
        let state = locked(&self.state);
        state.objects.get(&id).map(|entry| entry.object.clone()).ok_or(Fault::NoSuchObject)
    }

    /// Gives the session a reference, to an object of this type.
    pub(super) fn attach(&self, session: SessionId, id: u64, type_name: &str) -> Result<(), Fault> {
        let mut state = locked(&self.state);
        let entry = state.objects.get(&id).ok_or(Fault::NoSuchObject)?;
        if *entry.type_name != *type_name {
            return Err(Fault::WrongType(type_name.into(), entry.type_name.to_string()));
        }
        state.grant(session, id)
    }

    /// Gives the session a reference to each of the objects, which others refer to now.
    pub(super) fn grant_all(&self, session: SessionId, objects: &[u64]) {
        let mut state = locked(&self.state);
        for id in objects {
            let _ = state.grant(session, *id);
        }
    }

    /// Takes references back from a session.
    pub(super) fn give_back(&self, session: SessionId, id: u64, count: u64, keep: Duration) {
        let mut state = locked(&self.state);
        let Some(held) = state.sessions.get_mut(&session) else { return };
        let Place::Occupied(mut place) = held.references.entry(id) else { return };
        let count = count.min(*place.get());
        *place.get_mut() -= count;
        if *place.get() == 0 {
            place.remove();
        }
        let keep = (!keep.is_zero()).then_some(keep);
        let gone = state.release([(id, count)].into_iter(), keep);
        drop(state);
        if keep.is_some() {
            let _ = self.watch.write(1);
        }
        drop_all(gone);
    }

    pub(super) fn publish(&self, name: String, id: u64) -> Result<(), Fault> {
        let mut state = locked(&self.state);
        if state.names.contains_key(&name) {
            return Err(Fault::NameTaken(name));
        }
        state.objects.get_mut(&id).ok_or(Fault::NoSuchObject)?.count += 1;
        state.names.insert(name, id);
        Ok(())
    }

    /// Gives the session a reference to the object of this name.
    pub(super) fn look_up(
        &self,
        session: SessionId,
        name: String,
        type_name: &str,
    ) -> Result<u64, Fault> {
        let id = locked(&self.state).names.get(&name).copied().ok_or(Fault::NoSuchName(name))?;
        self.attach(session, id, type_name).map(|()| id)
    }

    pub(super) fn withdraw(&self, name: String) -> Result<(), Fault> {
        let mut state = locked(&self.state);
        let id = state.names.remove(&name).ok_or(Fault::NoSuchName(name))?;
        let gone = state.release([(id, 1)].into_iter(), None);
        drop(state);
        drop_all(gone);
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        locked(&self.state).objects.len() as u64
    }

    /// Notes that the session may hold something of the object.
    pub(super) fn note_holding(&self, session: SessionId, id: u64, object: &Arc<dyn Object>) {
        if let Some(session) = locked(&self.state).sessions.get_mut(&session) {
            session.holdings.entry(id).or_insert_with(|| Arc::downgrade(object));
        }
    }

    /// Adds a connection to a session, or to a new one of this number.
    pub(super) fn join(
        &self,
        connection: u64,
        id: SessionId,
        is_new: bool,
        process: Option<OwnedFd>,
    ) -> Result<(), Fault> {
        let mut state = locked(&self.state);
        let joined = state.connections.values().filter(|peer| peer.session.is_some()).count();
        if joined >= self.limits.max_connections {
            return Err(Fault::ServerFull);
        }
        // It may have been the oldest without a handshake, just now.
        let peer = state.connections.get_mut(&connection).ok_or(Fault::Gone)?;
        peer.session = Some(id);
        let result = state.join(id, is_new, process);
        if result.is_err()
            && let Some(peer) = state.connections.get_mut(&connection)
        {
            peer.session = None;
        }
        drop(state);
        if result? {
            let _ = self.watch.write(1);
        }
        Ok(())
    }

    /// Removes a connection, and its session with the last one.
    pub(super) fn leave(&self, connection: u64) {
        let mut state = locked(&self.state);
        let peer = state.connections.remove(&connection);
        let ended = peer.and_then(|peer| peer.session).and_then(|id| {
            let Place::Occupied(mut place) = state.sessions.entry(id) else { return None };
            place.get_mut().connections -= 1;
            (place.get().connections == 0).then(|| (id, place.remove()))
        });
        let gone = match &ended {
            Some((_, session)) => {
                let references = session.references.iter().map(|(id, count)| (*id, *count));
                state.release(references, None)
            }
            None => Vec::new(),
        };
        drop(state);
        if let Some((id, session)) = ended {
            for object in session.holdings.values().filter_map(Weak::upgrade) {
                object.session_ended(id);
            }
            if session.process.is_some() {
                let _ = self.watch.write(1);
            }
        }
        drop_all(gone);
        self.ended.notify_all();
    }

    /// Ends all connections of a session whose process has ended.
    pub(super) fn process_ended(&self, id: SessionId) {
        let mut state = locked(&self.state);
        if let Some(session) = state.sessions.get_mut(&id) {
            session.process = None;
        }
        for peer in state.connections.values().filter(|peer| peer.session == Some(id)) {
            peer.stream.shut_down(Shutdown::Both);
        }
    }

    /// The processes to watch.
    pub(super) fn processes(&self) -> Vec<(SessionId, Arc<OwnedFd>)> {
        let state = locked(&self.state);
        let process = |(id, session): (&SessionId, &Session)| Some((*id, session.process.clone()?));
        state.sessions.iter().filter_map(process).collect()
    }

    /// Removes objects that were kept for proxies on their way, until now. Returns when to look
    /// again.
    pub(super) fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = locked(&self.state);
        let over =
            |entry: &Entry| entry.count == 0 && entry.kept_until.is_none_or(|end| end <= now);
        let gone: Vec<_> = state.objects.extract_if(|_, entry| over(entry)).collect();
        let unheld = state.objects.values().filter(|entry| entry.count == 0);
        let next = unheld.filter_map(|entry| entry.kept_until).min();
        drop(state);
        drop_all(gone.into_iter().map(|(_, entry)| entry.object).collect());
        next
    }
}

impl State {
    /// Counts a connection of a session. Says whether there is a process to watch.
    fn join(
        &mut self,
        id: SessionId,
        is_new: bool,
        process: Option<OwnedFd>,
    ) -> Result<bool, Fault> {
        let session = match self.sessions.entry(id) {
            Place::Occupied(place) if !is_new => place.into_mut(),
            Place::Vacant(place) if is_new => place.insert(Session {
                connections: 0,
                references: HashMap::new(),
                holdings: HashMap::new(),
                process: process.map(Arc::new),
            }),
            _ => return Err(Fault::NoSuchSession),
        };
        session.connections += 1;
        Ok(is_new && session.process.is_some())
    }

    fn grant(&mut self, session: SessionId, id: u64) -> Result<(), Fault> {
        let entry = self.objects.get_mut(&id).ok_or(Fault::NoSuchObject)?;
        let session = self.sessions.get_mut(&session).ok_or(Fault::NoSuchSession)?;
        entry.count += 1;
        *session.references.entry(id).or_default() += 1;
        Ok(())
    }

    fn release(
        &mut self,
        objects: impl Iterator<Item = (u64, u64)>,
        keep: Option<Duration>,
    ) -> Vec<Arc<dyn Object>> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (id, count) in objects {
            let Place::Occupied(mut place) = self.objects.entry(id) else { continue };
            let entry = place.get_mut();
            entry.count = entry.count.saturating_sub(count);
            if let Some(end) = keep.and_then(|keep| now.checked_add(keep)) {
                entry.kept_until = entry.kept_until.max(Some(end));
            }
            if entry.count == 0 && entry.kept_until.is_none_or(|end| end <= now) {
                gone.push(place.remove().object);
            }
        }
        gone
    }
}
