//! A record of the `log` crate on its way into the ring of a worker.

use std::cell::RefCell;

use log::kv::{self, VisitSource, VisitValue};

use super::{
    origin::Origin,
    record::{Encoding, Head, KIND_LOG},
    value::Tag,
};

/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `act` with a buffer of this thread; also where the thread is about to end.
#[inline]
pub(super) fn with_buffer(act: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = BUFFER.try_with(RefCell::take).unwrap_or_default();
    act(&mut bytes);
    if bytes.capacity() <= KEPT {
        let _ = BUFFER.try_with(|buffer| buffer.replace(bytes));
    }
}

/// Encodes a record and hands it over.
#[inline]
pub(super) fn hand_over(origin: &Origin, record: &log::Record<'_>) {
    let Some(_at_record) = origin.begin_record() else { return };
    with_buffer(|bytes| {
        let head = Head {
            kind: KIND_LOG,
            level: record.level() as u8,
            line: record.line(),
            pid: origin.pid,
        };
        let texts = [Some(record.target()), record.module_path(), record.file()];
        let Some(mut encoding) = Encoding::begin(bytes, origin.most, head, texts) else {
            return origin.drop_record();
        };
        let values = record.key_values();
        // The visitor gives no error; one of the user's own source ends the visit.
        let _ = values.visit(&mut Values(&mut encoding));
        encoding.end(*record.args());
        origin.hand_over(bytes);
    });
}

struct Values<'e, 'b>(&'e mut Encoding<'b>);

impl<'kvs> VisitSource<'kvs> for Values<'_, '_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(One { encoding: &mut *self.0, key: key.as_str() })
    }
}

struct One<'e, 'k, 'b> {
    encoding: &'e mut Encoding<'b>,
    key: &'k str,
}

impl One<'_, '_, '_> {
    fn put(self, tag: Tag, bytes: &[u8]) -> Result<(), kv::Error> {
        self.encoding.value(self.key, tag, bytes);
        Ok(())
    }
}

/// Visits one value by its type; `log` calls one of the methods once.
macro_rules! visit {
    ($($name:ident: $type:ty => $tag:ident;)*) => {
        $(fn $name(&mut self, value: $type) -> Result<(), kv::Error> {
            self.again().put(Tag::$tag, &value.to_le_bytes())
        })*
    };
}

impl<'b> One<'_, '_, 'b> {
    fn again(&mut self) -> One<'_, '_, 'b> {
        One { encoding: &mut *self.encoding, key: self.key }
    }
}

impl<'v> VisitValue<'v> for One<'_, '_, '_> {
    visit! {
        visit_u64: u64 => U64;
        visit_i64: i64 => I64;
        visit_u128: u128 => U128;
        visit_i128: i128 => I128;
        visit_f64: f64 => F64;
    }

    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.encoding.displayed(self.key, Tag::Text, format_args!("{value}"));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.again().put(Tag::Null, &[])
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.again().put(Tag::Bool, &[u8::from(value)])
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.again().put(Tag::Text, value.as_bytes())
    }

    fn visit_char(&mut self, value: char) -> Result<(), kv::Error> {
        self.again().put(Tag::Char, &u32::from(value).to_le_bytes())
    }
}
