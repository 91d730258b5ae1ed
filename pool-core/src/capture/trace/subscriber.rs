//! The subscriber of a worker: it captures events and spans, and hands all others to the subscriber
//! that the worker had before.
//!
//! Invariant: in a process that was forked from a worker it says no to everything: neither the ring
//! nor the table of spans is that process's own.

use std::fmt;

use tracing_core::{
    Dispatch, Event, Metadata, Subscriber,
    dispatcher::{get_default, set_default, set_global_default},
    field::{Field, Visit},
    span::{Attributes, Current, Id, Record},
    subscriber::{Interest, NoSubscriber},
};

use super::{
    super::{
        encode::with_buffer,
        origin::{self, Origin, TRACE_LEVEL},
        record::{Encoding, Head},
        value::Tag,
    },
    CLOSE, ENTER, EVENT, EXIT, NUMBER, SPAN, VALUES, level_number, spans,
};

struct WorkerSubscriber {
    /// What gets the events and spans that are not captured.
    before: Option<Dispatch>,
}

/// Makes events and spans of this process come to a subscriber that captures: of the whole process,
/// or where that has one already, of this thread.
pub(in super::super) fn begin() {
    let before = get_default(|dispatch| {
        (!dispatch.is::<NoSubscriber>() && !dispatch.is::<WorkerSubscriber>())
            .then(|| dispatch.clone())
    });
    let dispatch = Dispatch::new(WorkerSubscriber { before });
    if set_global_default(dispatch.clone()).is_err() {
        std::mem::forget(set_default(&dispatch)); // for the life of the worker
    }
}

impl WorkerSubscriber {
    /// The capture of this process, if it takes events and spans like this.
    fn takes(metadata: &Metadata<'_>) -> Option<&'static Origin> {
        origin::current().filter(|origin| origin.takes(metadata.target()))
    }

    /// Hands over what is said of a span by its number alone.
    fn tell(kind: u8, number: u64) {
        if let Some(origin) = origin::current() {
            hand_over(origin, kind, None, |encoding| {
                encoding.value(NUMBER, Tag::U64, &number.to_le_bytes());
                ""
            });
        }
    }

    /// A span, with the subscriber from before and its span.
    fn before(&self, number: u64) -> Option<(&Dispatch, Id)> {
        Some((self.before.as_ref()?, spans::get(number)?.before?))
    }
}

/// Encodes a record and hands it over; `add` adds the values and answers with the name.
fn hand_over(
    origin: &Origin,
    kind: u8,
    metadata: Option<&Metadata<'static>>,
    add: impl FnOnce(&mut Encoding<'_>) -> &'static str,
) {
    let Some(_at_record) = origin.begin_record() else { return };
    with_buffer(|bytes| {
        let head = Head {
            kind,
            level: metadata.map_or(0, |metadata| level_number(*metadata.level())),
            line: metadata.and_then(Metadata::line),
            pid: origin.pid,
        };
        let texts = metadata.map_or([None; 3], |metadata| {
            [Some(metadata.target()), metadata.module_path(), metadata.file()]
        });
        let Some(mut encoding) = Encoding::begin(bytes, origin.most, head, texts) else {
            return origin.drop_record();
        };
        let name = add(&mut encoding);
        encoding.end(format_args!("{name}"));
        origin.hand_over(bytes);
    });
}

/// The number of spans that a process makes which was forked from a worker.
const OF_NO_CAPTURE: u64 = u64::MAX;

impl Subscriber for WorkerSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if let Some(before) = &self.before {
            before.register_callsite(metadata);
        }
        // The parent's level may change at any time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match Self::takes(metadata) {
            Some(origin) => {
                usize::from(level_number(*metadata.level())) <= origin.level(TRACE_LEVEL)
            }
            None => self.before.as_ref().is_some_and(|before| before.enabled(metadata)),
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if origin::current().is_none() {
            return Id::from_u64(OF_NO_CAPTURE);
        }
        let metadata = span.metadata();
        let parent =
            if span.is_contextual() { spans::current() } else { span.parent().map(Id::into_u64) };
        let origin = Self::takes(metadata);
        let before = match (&self.before, origin) {
            (Some(before), None) => Some(before.new_span(span)),
            _ => None,
        };
        let number = spans::add(metadata, origin.is_some(), parent, before);
        if let Some(origin) = origin {
            let around = spans::captured(parent);
            hand_over(origin, SPAN, Some(metadata), |encoding| {
                encoding.value(NUMBER, Tag::U64, &number.to_le_bytes());
                encoding.value(NUMBER, Tag::U64, &around.to_le_bytes());
                let mut fields = Fields { encoding, seen: Some(Vec::new()) };
                span.record(&mut fields);
                let seen = fields.seen.unwrap_or_default();
                for field in metadata.fields().iter().filter(|field| !seen.contains(&field.name()))
                {
                    encoding.value(field.name(), Tag::Unset, &[]);
                }
                metadata.name()
            });
        }
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if origin::current().is_none() {
            return;
        }
        let number = span.into_u64();
        let Some(known) = spans::get(number) else { return };
        if let (Some(before), Some(id)) = (&self.before, &known.before) {
            before.record(id, values);
        }
        if known.is_captured
            && let Some(origin) = origin::current()
        {
            hand_over(origin, VALUES, None, |encoding| {
                encoding.value(NUMBER, Tag::U64, &number.to_le_bytes());
                values.record(&mut Fields { encoding, seen: None });
                ""
            });
        }
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        if origin::current().is_none() {
            return;
        }
        // Two spans of the subscriber from before; of captured ones this is not told.
        if let (Some((before, span)), Some((_, follows))) =
            (self.before(span.into_u64()), self.before(follows.into_u64()))
        {
            before.record_follows_from(&span, &follows);
        }
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let Some(origin) = Self::takes(metadata) else {
            if let Some(before) = &self.before {
                before.event(event);
            }
            return;
        };
        let span = if event.is_contextual() {
            spans::current_captured()
        } else {
            spans::captured(event.parent().map(Id::into_u64))
        };
        hand_over(origin, EVENT, Some(metadata), |encoding| {
            encoding.value(NUMBER, Tag::U64, &span.to_le_bytes());
            event.record(&mut Fields { encoding, seen: None });
            metadata.name()
        });
    }

    fn enter(&self, span: &Id) {
        if origin::current().is_none() {
            return;
        }
        let number = span.into_u64();
        spans::enter(number);
        let Some(known) = spans::get(number) else { return };
        if let (Some(before), Some(id)) = (&self.before, &known.before) {
            before.enter(id);
        }
        if known.is_captured {
            Self::tell(ENTER, number);
        }
    }

    fn exit(&self, span: &Id) {
        if origin::current().is_none() {
            return;
        }
        let number = span.into_u64();
        spans::exit(number);
        let Some(known) = spans::get(number) else { return };
        if let (Some(before), Some(id)) = (&self.before, &known.before) {
            before.exit(id);
        }
        if known.is_captured {
            Self::tell(EXIT, number);
        }
    }

    fn clone_span(&self, id: &Id) -> Id {
        if origin::current().is_some() {
            spans::clone_handle(id.into_u64());
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        if origin::current().is_none() {
            return false;
        }
        let number = id.into_u64();
        let Some(last) = spans::drop_handle(number) else { return false };
        if let (Some(before), Some(id)) = (&self.before, last.before) {
            before.try_close(id);
        }
        if last.is_captured {
            Self::tell(CLOSE, number);
        }
        true
    }

    fn current_span(&self) -> Current {
        let current = || {
            origin::current()?;
            let number = spans::current()?;
            Some(Current::new(Id::from_u64(number), spans::get(number)?.metadata))
        };
        current().unwrap_or_else(Current::none)
    }
}

/// Writes fields as key-values.
struct Fields<'e, 'b> {
    encoding: &'e mut Encoding<'b>,
    /// The names of those that have values, where these are asked for.
    seen: Option<Vec<&'static str>>,
}

impl<'b> Fields<'_, 'b> {
    fn of(&mut self, field: &Field) -> &mut Encoding<'b> {
        if let Some(seen) = &mut self.seen {
            seen.push(field.name());
        }
        self.encoding
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.of(field).displayed(field.name(), Tag::Debug, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.of(field).displayed(field.name(), Tag::Debug, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.of(field).value(field.name(), Tag::F64, &value.to_le_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.of(field).value(field.name(), Tag::I64, &value.to_le_bytes());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.of(field).value(field.name(), Tag::U64, &value.to_le_bytes());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.of(field).value(field.name(), Tag::I128, &value.to_le_bytes());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.of(field).value(field.name(), Tag::U128, &value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.of(field).value(field.name(), Tag::Bool, &[u8::from(value)]);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.of(field).value(field.name(), Tag::Text, value.as_bytes());
    }
}
