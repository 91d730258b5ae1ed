//! A call of the server itself or of an object.
//!
//! Invariant: a reply that cannot be sent is undone: what was taken out of an object for it is put
//! back, and the references that it would have granted are taken back.

use std::{
    any::Any,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
    vec,
};

use super::{
    dict::Dict,
    event::Event,
    item::{DropsLater, Item},
    list::List,
    lock::Lock,
    queue::Queue,
    semaphore::Semaphore,
    shared::{Object, Shared},
    value::Value,
    wait::Waker,
};
use crate::{
    Error,
    protocol::{Blob, Body, Fault, SERVER, SessionId, names, server},
    transport::{Connection, Frame, Head, Kind, Stream},
};

/// The arguments of a call, taken one after the other.
pub(super) struct Arguments {
    pub(super) items: vec::IntoIter<Arc<Item>>,
    numbers: vec::IntoIter<u64>,
    texts: vec::IntoIter<String>,
}

impl Arguments {
    pub(super) fn item(&mut self) -> Result<Arc<Item>, Fault> {
        self.items.next().ok_or(Fault::Malformed)
    }

    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        self.numbers.next().ok_or(Fault::Malformed)
    }

    pub(super) fn text(&mut self) -> Result<String, Fault> {
        self.texts.next().ok_or(Fault::Malformed)
    }
}

/// What a call returns.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) items: Vec<Arc<Item>>,
    pub(super) numbers: Vec<u64>,
    /// Values that the method of an own type has made.
    pub(super) blobs: Vec<Blob>,
    /// Undoes the call.
    pub(super) undo: Option<Box<dyn FnOnce()>>,
}

impl Answer {
    pub(super) fn number(number: u64) -> Self {
        Self { numbers: vec![number], ..Self::default() }
    }

    pub(super) fn items(items: impl IntoIterator<Item = Arc<Item>>) -> Self {
        Self { items: items.into_iter().collect(), ..Self::default() }
    }
}

/// Who calls.
pub(super) struct Caller<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: SessionId,
    stream: &'a Stream,
    waker: &'a mut Option<Arc<Waker>>,
    /// The object that is called.
    object: Option<(u64, Arc<dyn Object>)>,
}

impl Caller<'_> {
    /// What wakes this thread.
    pub(super) fn waker(&mut self) -> Result<Arc<Waker>, Fault> {
        if self.waker.is_none() {
            *self.waker = Waker::new();
        }
        self.waker.clone().ok_or(Fault::Gone)
    }

    pub(super) fn client(&self) -> Option<BorrowedFd<'_>> {
        self.stream.descriptor()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::SeqCst)
    }

    /// Notes that the caller holds something of the object, for the case that it ends.
    pub(super) fn note_holding(&self) {
        if let Some((id, object)) = &self.object {
            self.shared.note_holding(self.session, *id, object);
        }
    }
}

/// Does what a frame asks for, and replies.
pub(super) fn answer(
    shared: &Arc<Shared>,
    session: SessionId,
    connection: &mut Connection,
    waker: &mut Option<Arc<Waker>>,
    frame: Frame,
) -> Result<(), Error> {
    // The `Drop` of an own type may take long: the client has its reply before.
    let _drops_later = DropsLater::begin();
    let stream = connection.stream().clone();
    let head = frame.head;
    let mut caller = Caller { shared, session, stream: &stream, waker, object: None };
    let result = catch_unwind(AssertUnwindSafe(|| call(&mut caller, frame)));
    drop(caller);
    let result = result.unwrap_or_else(|panic| Err(Fault::Panicked(message_of(&*panic))));
    let fault = match result {
        Ok(answer) => match reply(shared, session, connection, head, answer)? {
            Some(fault) => fault,
            None => return Ok(()),
        },
        Err(Fault::Gone) => return Err(Error::Disconnected),
        Err(fault) => fault,
    };
    let body = pool_ipc::to_bytes(&fault).map_err(Error::Encode)?;
    connection.send_frame(Head { kind: Kind::Fault, ..head }, &body)
}

/// Sends a reply. Where it could not be sent as it is, the fault to be sent instead.
fn reply(
    shared: &Arc<Shared>,
    session: SessionId,
    connection: &mut Connection,
    head: Head,
    answer: Answer,
) -> Result<Option<Fault>, Error> {
    let Answer { items, numbers, mut blobs, undo } = answer;
    blobs.extend(
        items
            .iter()
            .map(|item| Blob { bytes: item.bytes().into(), objects: item.objects().into() }),
    );
    let granted: Vec<u64> = blobs.iter().flat_map(|blob| blob.objects.iter().copied()).collect();
    shared.grant_all(session, &granted);
    let body = pool_ipc::to_bytes(&Body { blobs, numbers, texts: Vec::new() });
    let sent = body
        .map_err(Error::Encode)
        .and_then(|body| connection.send_frame(Head { kind: Kind::Reply, ..head }, &body));
    let Err(error) = sent else { return Ok(None) };
    granted.iter().for_each(|id| shared.give_back(session, *id, 1, Duration::ZERO));
    if let Some(undo) = undo {
        undo();
    }
    match error {
        Error::TooLarge { len, limit } => Ok(Some(Fault::TooLarge(len, limit))),
        error => Err(error),
    }
}

fn call(caller: &mut Caller<'_>, frame: Frame) -> Result<Answer, Fault> {
    let body: Body = pool_ipc::from_bytes(&frame.body).map_err(|_| Fault::Malformed)?;
    let items: Result<Vec<_>, _> =
        body.blobs.into_iter().map(|blob| Item::new(blob, caller.shared)).collect();
    let arguments = Arguments {
        items: items?.into_iter(),
        numbers: body.numbers.into_iter(),
        texts: body.texts.into_iter(),
    };
    if caller.is_stopping() {
        return Err(Fault::ShutDown);
    }
    if frame.head.object == SERVER {
        return call_server(frame.head.method, arguments, caller);
    }
    let object = caller.shared.find(frame.head.object)?;
    caller.object = Some((frame.head.object, object.clone()));
    object.call(frame.head.method, arguments, caller)
}

fn call_server(
    method: u32,
    mut arguments: Arguments,
    caller: &mut Caller<'_>,
) -> Result<Answer, Fault> {
    let (shared, session) = (caller.shared, caller.session);
    match method {
        server::PING => Ok(Answer::default()),
        server::CREATE => {
            let name = arguments.text()?;
            let object = create(&name, &mut arguments, caller)?;
            shared.insert(session, name.into(), object).map(Answer::number)
        }
        server::ATTACH => {
            let id = arguments.number()?;
            shared.attach(session, id, &arguments.text()?)?;
            Ok(Answer::default())
        }
        server::RELEASE => {
            let (id, count) = (arguments.number()?, arguments.number()?);
            let keep = Duration::from_nanos(arguments.number()?);
            shared.give_back(session, id, count, keep);
            Ok(Answer::default())
        }
        server::PUBLISH => {
            shared.publish(arguments.text()?, arguments.number()?)?;
            Ok(Answer::default())
        }
        server::LOOKUP => {
            let name = arguments.text()?;
            let id = shared.look_up(session, name, &arguments.text()?)?;
            Ok(Answer::number(id))
        }
        server::WITHDRAW => {
            shared.withdraw(arguments.text()?)?;
            Ok(Answer::default())
        }
        server::COUNT => Ok(Answer::number(shared.count())),
        server::SHUT_DOWN => {
            if [arguments.number()?, arguments.number()?] != shared.owner {
                return Err(Fault::NotAllowed);
            }
            let _ = shared.stop.write(1);
            Ok(Answer::default())
        }
        _ => Err(Fault::Malformed),
    }
}

fn create(
    name: &str,
    arguments: &mut Arguments,
    caller: &Caller<'_>,
) -> Result<Arc<dyn Object>, Fault> {
    Ok(match name {
        names::DICT | names::NAMESPACE => Arc::new(Dict::default()),
        names::LIST => Arc::new(List::new(arguments.items.by_ref())),
        names::VALUE => Arc::new(Value::new(arguments.item()?)),
        names::QUEUE => Arc::new(Queue::new(arguments.number()?)),
        names::LOCK => Arc::new(Lock::new(false)),
        names::REENTRANT_LOCK => Arc::new(Lock::new(true)),
        names::EVENT => Arc::new(Event::default()),
        names::SEMAPHORE => Arc::new(Semaphore::new(arguments.number()?)),
        _ => caller.shared.registry.create(name, arguments, caller.shared)?,
    })
}

/// The message of a panic, as far as it has one.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
