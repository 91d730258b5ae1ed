//! One record of a worker for the subscriber of this process.
//!
//! Invariant: a record that names a span which is not known here (for it was lost, or belongs to a
//! process that has ended) is delivered without it. There are at most [`MOST_SPANS`] open spans of
//! one worker.

use std::{collections::HashMap, fmt};

use tracing_core::{
    Dispatch, Event, Level,
    dispatcher::{get_default, with_default},
    field::{self, Value as FieldValue},
    span::{Attributes, Id, Record},
    subscriber::NoSubscriber,
};

use super::{
    super::{record::Arrived, value::Value},
    CLOSE, ENTER, EVENT, EXIT, SPAN, VALUES, level_number,
    sites::{Key, Site, site},
};
use crate::panic::quietly;

/// Open spans of one worker.
const MOST_SPANS: usize = 65_536;
/// The name of the call site for those that are too many.
const OTHER: &str = "pool: one of too many call sites";

/// Which subscriber gets the records.
#[derive(Debug, Clone)]
pub(in super::super) struct Target(Dispatch);

/// The spans of one worker that are open here.
#[derive(Debug, Default)]
pub(in super::super) struct Traces {
    pid: u32,
    spans: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    /// Its span here, and the call site; `None`: the subscriber does not want it.
    here: Option<(Id, &'static Site)>,
    parent: u64,
    /// How often it is entered.
    entered: usize,
    dispatch: Dispatch,
}

impl Target {
    /// The subscriber that is the calling thread's now.
    pub(in super::super) fn of_this_thread() -> Self {
        Self(get_default(Dispatch::clone))
    }

    /// That subscriber, or the program's, if there was none then.
    fn now(&self) -> Dispatch {
        if self.0.is::<NoSubscriber>() { get_default(Dispatch::clone) } else { self.0.clone() }
    }
}

/// A text that was made by `Debug` in the worker.
struct Shown<'r>(&'r str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A value for a field.
fn to_field<'v>(value: &'v Value<'_>) -> Option<Box<dyn FieldValue + 'v>> {
    Some(match value {
        Value::Unset | Value::Null => return None,
        Value::U64(value) => Box::new(*value),
        Value::I64(value) => Box::new(*value),
        Value::U128(value) => Box::new(*value),
        Value::I128(value) => Box::new(*value),
        Value::F64(value) => Box::new(*value),
        Value::Bool(value) => Box::new(*value),
        Value::Char(value) => Box::new(field::display(*value)),
        Value::Text(value) => Box::new(&**value),
        Value::Debug(value) => Box::new(field::debug(Shown(value))),
    })
}

impl Traces {
    /// Gives a record to the subscriber; `false` if it says nothing. `own`: the fields that say
    /// where it comes from.
    pub(in super::super) fn deliver(
        &mut self,
        target: &Target,
        record: &Arrived<'_>,
        own: &[(&str, Value<'_>)],
    ) -> bool {
        if self.pid != record.pid {
            self.end();
            self.pid = record.pid;
        }
        let mut numbers = record.values.iter().map_while(|(key, value)| match value {
            Value::U64(number) if key.is_empty() => Some(*number),
            _ => None,
        });
        let Some(number) = numbers.next() else { return false };
        let second = numbers.next();
        drop(numbers);
        let skip = if record.kind == SPAN { 2 } else { 1 };
        let values = record.values.get(skip..).unwrap_or_default();
        let mut is_known = true;
        quietly(|| match record.kind {
            EVENT => self.event(&target.now(), record, number, values, own),
            SPAN => self.new_span(target.now(), record, (number, second.unwrap_or(0)), values),
            VALUES => self.record(number, values),
            ENTER => self.enter(number),
            EXIT => self.exit(number),
            CLOSE => self.close(number),
            _ => is_known = false,
        });
        is_known
    }

    /// The span here that stands for this one of the worker, or for the nearest one around it.
    fn here(&self, mut number: u64) -> Option<Id> {
        // Parents were there before; a forged circle ends.
        for _ in 0..MOST_SPANS {
            let open = self.spans.get(&number)?;
            match &open.here {
                Some((id, _)) => return Some(id.clone()),
                None => number = open.parent,
            }
        }
        None
    }

    fn event(
        &self,
        dispatch: &Dispatch,
        record: &Arrived<'_>,
        span: u64,
        values: &[(std::borrow::Cow<'_, str>, Value<'_>)],
        own: &[(&str, Value<'_>)],
    ) {
        let own = own.iter().map(|(key, value)| (*key, value));
        let all: Vec<_> = values.iter().map(|(key, value)| (&**key, value)).chain(own).collect();
        let known = key(record, false, all.iter().map(|(key, _)| *key));
        let Some(site) = known.and_then(site) else {
            return self.other_event(dispatch, record, span, values);
        };
        if !wants(dispatch, site) {
            return;
        }
        with_values(site, &all, |values| {
            let event = Event::new_child_of(self.here(span), site.metadata(), values);
            dispatch.event(&event);
        });
    }

    /// Says of what was lost, where the program has a subscriber and no logger.
    pub(in super::super) fn say(target: &Target, text: &str) {
        let known = site(Key {
            is_span: false,
            level: level_number(Level::WARN),
            line: None,
            name: "lost records".to_string(),
            target: "pool".to_string(),
            module: None,
            file: None,
            fields: vec!["message".to_string()],
        });
        let dispatch = target.now();
        let Some(site) = known.filter(|site| wants(&dispatch, site)) else { return };
        let text = Value::Debug(text.into());
        with_values(site, &[("message", &text)], |values| {
            let event = Event::new_child_of(None, site.metadata(), values);
            quietly(|| dispatch.event(&event));
        });
    }

    /// An event whose call site is one too many.
    fn other_event(
        &self,
        dispatch: &Dispatch,
        record: &Arrived<'_>,
        span: u64,
        values: &[(std::borrow::Cow<'_, str>, Value<'_>)],
    ) {
        let key = Key {
            is_span: false,
            level: record.level,
            line: None,
            name: OTHER.to_string(),
            target: "pool".to_string(),
            module: None,
            file: None,
            fields: vec!["message".to_string()],
        };
        let Some(site) = other(key) else { return };
        if !wants(dispatch, site) {
            return;
        }
        let text = format!("{}: {values:?}", record.target);
        let text = Value::Debug(text.into());
        with_values(site, &[("message", &text)], |values| {
            dispatch.event(&Event::new_child_of(self.here(span), site.metadata(), values));
        });
    }

    fn new_span(
        &mut self,
        dispatch: Dispatch,
        record: &Arrived<'_>,
        (number, parent): (u64, u64),
        values: &[(std::borrow::Cow<'_, str>, Value<'_>)],
    ) {
        if self.spans.len() >= MOST_SPANS || self.spans.contains_key(&number) {
            return;
        }
        let all: Vec<_> = values.iter().map(|(key, value)| (&**key, value)).collect();
        let known = key(record, true, all.iter().map(|(key, _)| *key)).and_then(site);
        let mut here = None;
        if let Some(site) = known.filter(|site| wants(&dispatch, site)) {
            with_values(site, &all, |values| {
                let attributes = match self.here(parent) {
                    Some(parent) => Attributes::child_of(parent, site.metadata(), values),
                    None => Attributes::new_root(site.metadata(), values),
                };
                here = Some((dispatch.new_span(&attributes), site));
            });
        }
        self.spans.insert(number, Open { here, parent, entered: 0, dispatch });
    }

    fn record(&self, number: u64, values: &[(std::borrow::Cow<'_, str>, Value<'_>)]) {
        let Some(open) = self.spans.get(&number) else { return };
        let Some((id, site)) = &open.here else { return };
        let all: Vec<_> = values.iter().map(|(key, value)| (&**key, value)).collect();
        with_values(site, &all, |values| open.dispatch.record(id, &Record::new(values)));
    }

    fn enter(&mut self, number: u64) {
        if let Some(open) = self.spans.get_mut(&number)
            && let Some((id, _)) = &open.here
        {
            open.entered += 1;
            with_default(&open.dispatch, || open.dispatch.enter(id));
        }
    }

    fn exit(&mut self, number: u64) {
        if let Some(open) = self.spans.get_mut(&number)
            && open.entered > 0
            && let Some((id, _)) = &open.here
        {
            open.entered -= 1;
            with_default(&open.dispatch, || open.dispatch.exit(id));
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(open) = self.spans.remove(&number) {
            open.close();
        }
    }

    /// Closes what a process that has ended has left open, the innermost first.
    pub(in super::super) fn end(&mut self) {
        let mut left: Vec<_> = std::mem::take(&mut self.spans).into_iter().collect();
        left.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        left.into_iter().for_each(|(_, open)| quietly(|| open.close()));
    }
}

impl Open {
    fn close(self) {
        if let Some((id, _)) = self.here {
            // A subscriber may ask for the one of the thread to let go of a span.
            with_default(&self.dispatch, || {
                (0..self.entered).for_each(|_| quietly(|| self.dispatch.exit(&id)));
                self.dispatch.try_close(id);
            });
        }
    }
}

/// The key of the call site that a record is from; `None` for names that no field can have.
fn key<'k>(
    record: &Arrived<'_>,
    is_span: bool,
    fields: impl Iterator<Item = &'k str>,
) -> Option<Key> {
    let mut names: Vec<String> = Vec::new();
    for name in fields {
        if name.is_empty() {
            return None;
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    Some(Key {
        is_span,
        level: record.level,
        line: record.line,
        name: record.message.to_string(),
        target: record.target.to_string(),
        module: record.module.as_deref().map(str::to_string),
        file: record.file.as_deref().map(str::to_string),
        fields: names,
    })
}

/// The call site for those that are too many: made first of all, so that there is room for it.
fn other(key: Key) -> Option<&'static Site> {
    static OTHERS: std::sync::Mutex<[Option<&'static Site>; 6]> = std::sync::Mutex::new([None; 6]);
    let level = usize::from(key.level);
    let known = *crate::mutex::lock(&OTHERS).get(level)?;
    if known.is_some() {
        return known;
    }
    let made = super::sites::beyond(key)?;
    crate::mutex::lock(&OTHERS)[level] = Some(made);
    Some(made)
}

fn wants(dispatch: &Dispatch, site: &'static Site) -> bool {
    !site.is_never() && (site.is_always() || dispatch.enabled(site.metadata()))
}

/// Calls `act` with the values in the order of the site's fields.
fn with_values(
    site: &'static Site,
    values: &[(&str, &Value<'_>)],
    act: impl FnOnce(&field::ValueSet<'_>),
) {
    let fields = site.metadata().fields();
    let value_of = |name: &str| {
        values.iter().find(|(key, _)| *key == name).and_then(|(_, value)| to_field(value))
    };
    let owned: Vec<_> = fields.iter().map(|field| value_of(field.name())).collect();
    let lent: Vec<Option<&dyn FieldValue>> = owned.iter().map(Option::as_deref).collect();
    act(&fields.value_set_all(&lent));
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };

    use tracing_core::{Metadata, Subscriber, dispatcher::with_default};

    use super::{
        super::{
            super::{
                record::{Encoding, Head},
                value::Tag,
            },
            NUMBER,
        },
        *,
    };

    /// Takes everything, and counts the spans that are open.
    #[derive(Default)]
    struct All {
        spans: AtomicU64,
        open: Arc<AtomicU64>,
    }

    struct Reads;

    impl field::Visit for Reads {
        fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
            assert!(!format!("{field}{value:?}").is_empty());
        }
    }

    impl Subscriber for All {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, span: &Attributes<'_>) -> Id {
            span.record(&mut Reads);
            self.open.fetch_add(1, SeqCst);
            Id::from_u64(self.spans.fetch_add(1, SeqCst) + 1)
        }
        fn record(&self, _: &Id, values: &Record<'_>) {
            values.record(&mut Reads);
        }
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut Reads);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
        fn try_close(&self, _: Id) -> bool {
            self.open.fetch_sub(1, SeqCst);
            true
        }
    }

    fn encoded(kind: u8, number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = Head { kind, level: 3, line: Some(1), pid: 1 };
        let texts = [Some("a"), Some("b"), Some("c")];
        let mut encoding = Encoding::begin(&mut bytes, 4096, head, texts).unwrap();
        encoding.value(NUMBER, Tag::U64, &number.to_le_bytes());
        if kind == SPAN {
            encoding.value(NUMBER, Tag::U64, &(number / 2).to_le_bytes());
        }
        encoding.value("x", Tag::U64, &5u64.to_le_bytes());
        encoding.value("y", Tag::Char, &u32::from('y').to_le_bytes());
        encoding.displayed("z", Tag::Debug, format_args!("{:?}", Some(1)));
        encoding.end(format_args!("name"));
        bytes
    }

    #[test]
    fn whatever_a_worker_sends_harms_nothing_and_leaves_no_span_open() {
        let all = All::default();
        let open = all.open.clone();
        with_default(&Dispatch::new(all), || {
            let (target, mut traces) = (Target::of_this_thread(), Traces::default());
            let mut random = 1u64;
            let mut next = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            for round in 0..20_000u64 {
                let kind = [EVENT, SPAN, VALUES, ENTER, EXIT, CLOSE, 0, 99][next(8) as usize];
                let mut bytes = encoded(kind, next(50));
                for _ in 0..next(4) {
                    let at = next(bytes.len() as u64) as usize;
                    bytes[at] = next(256) as u8;
                }
                if round % 7 == 0 {
                    bytes.truncate(next(bytes.len() as u64) as usize);
                }
                if let Some(record) = Arrived::from_bytes(&bytes) {
                    traces.deliver(&target, &record, &[("worker", Value::U64(0))]);
                }
            }
            traces.end();
        });
        assert_eq!(open.load(SeqCst), 0);
    }
}
