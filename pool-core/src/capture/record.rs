//! A record as bytes.
//!
//! ```text
//! head:   kind, level, flags, 0 | line u32 | time u64 | pid u32 | count of key-values u32
//!         | lengths of target, module path, file, message, each u32
//! then:   target, module path, file | key-values: tag, length of key u32, of value u32, both
//!         | message
//! ```
//!
//! Invariant: reading never looks beyond the bytes, whatever they say, and takes memory in
//! proportion to them. What was too long is cut, and the flags say so.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::value::{Tag, Value};

/// What a record is.
pub(super) const KIND_LOG: u8 = 1;
/// A worker cannot capture, since its process had another logger before.
pub(super) const KIND_FOREIGN_LOGGER: u8 = 2;

/// Flag: a text or a key-value was too long.
pub(super) const CUT: u8 = 1;

/// A length that says that there is none.
const NONE: u32 = u32::MAX;
const HEAD: usize = 40;
/// Tag and lengths of a key-value.
const VALUE_HEAD: usize = 9;
/// What key-values leave for the message.
const MESSAGE_ROOM: usize = 512;

/// What is said of a record beside its texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) level: u8,
    pub(super) line: Option<u32>,
    pub(super) pid: u32,
}

/// Writes one record into a buffer, at most `most` bytes.
pub(super) struct Encoding<'b> {
    bytes: &'b mut Vec<u8>,
    most: usize,
    values: u32,
    is_cut: bool,
}

impl<'b> Encoding<'b> {
    /// Begins a record; `None` if it would be too long even without key-values and message.
    pub(super) fn begin(
        bytes: &'b mut Vec<u8>,
        most: usize,
        head: Head,
        [target, module, file]: [Option<&str>; 3],
    ) -> Option<Self> {
        bytes.clear();
        let texts = [target, module, file];
        let len: usize = texts.iter().flatten().map(|text| text.len()).sum();
        if HEAD + len > most {
            return None;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut fixed = [0; HEAD];
        let length = |text: Option<&str>| text.map_or(NONE, |text| text.len() as u32).to_le_bytes();
        fixed[..4].copy_from_slice(&[head.kind, head.level, 0, 0]);
        fixed[4..8].copy_from_slice(&head.line.unwrap_or(NONE).to_le_bytes());
        fixed[8..16].copy_from_slice(&time.to_le_bytes());
        fixed[16..20].copy_from_slice(&head.pid.to_le_bytes());
        fixed[24..28].copy_from_slice(&length(target));
        fixed[28..32].copy_from_slice(&length(module));
        fixed[32..36].copy_from_slice(&length(file));
        bytes.extend_from_slice(&fixed);
        texts.iter().flatten().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
        Some(Self { bytes, most, values: 0, is_cut: false })
    }

    /// Adds a key-value, if there is room.
    #[inline]
    pub(super) fn value(&mut self, key: &str, tag: Tag, value: &[u8]) {
        if self.bytes.len() + VALUE_HEAD + key.len() + value.len() > self.room_of_values() {
            self.is_cut = true;
            return;
        }
        self.begin_value(key, tag, value.len());
        self.bytes.extend_from_slice(value);
        self.values += 1;
    }

    /// Adds a key-value with the text that `value` displays as; what does not fit of it is cut.
    pub(super) fn displayed(&mut self, key: &str, tag: Tag, value: fmt::Arguments<'_>) {
        let before = self.bytes.len();
        let (begin, most) = (before + VALUE_HEAD + key.len(), self.room_of_values());
        if begin > most {
            self.is_cut = true;
            return;
        }
        self.begin_value(key, tag, 0);
        self.is_cut |= Limited::put(self.bytes, most, value);
        let len = (self.bytes.len() - begin) as u32;
        self.bytes[before + 5..before + VALUE_HEAD].copy_from_slice(&len.to_le_bytes());
        self.values += 1;
    }

    fn room_of_values(&self) -> usize {
        self.most - MESSAGE_ROOM.min(self.most / 4)
    }

    #[inline]
    fn begin_value(&mut self, key: &str, tag: Tag, len: usize) {
        let mut head = [tag as u8; VALUE_HEAD];
        head[1..5].copy_from_slice(&(key.len() as u32).to_le_bytes());
        head[5..].copy_from_slice(&(len as u32).to_le_bytes());
        self.bytes.reserve(VALUE_HEAD + key.len() + len);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key.as_bytes());
    }

    /// Adds the message; what does not fit of it is cut.
    #[inline]
    pub(super) fn end(mut self, message: fmt::Arguments<'_>) {
        let before = self.bytes.len();
        self.is_cut |= Limited::put(self.bytes, self.most, message);
        let len = (self.bytes.len() - before) as u32;
        self.bytes[2] = if self.is_cut { CUT } else { 0 };
        self.bytes[20..24].copy_from_slice(&self.values.to_le_bytes());
        self.bytes[36..40].copy_from_slice(&len.to_le_bytes());
    }
}

/// Writes texts up to a length.
struct Limited<'b> {
    bytes: &'b mut Vec<u8>,
    most: usize,
    is_cut: bool,
}

impl Limited<'_> {
    /// Writes the text until there are `most` bytes; whether it was cut.
    #[inline]
    fn put(bytes: &mut Vec<u8>, most: usize, text: fmt::Arguments<'_>) -> bool {
        let mut limited = Limited { bytes, most, is_cut: false };
        // An error is that of the user's `Display`: the text ends where it was made.
        let _ = match text.as_str() {
            Some(text) => fmt::Write::write_str(&mut limited, text),
            None => fmt::Write::write_fmt(&mut limited, text),
        };
        limited.is_cut
    }
}

impl fmt::Write for Limited<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.most.saturating_sub(self.bytes.len());
        if text.len() <= room && !self.is_cut {
            self.bytes.extend_from_slice(text.as_bytes());
        } else if !std::mem::replace(&mut self.is_cut, true) {
            let fits = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            self.bytes.extend_from_slice(&text.as_bytes()[..fits.unwrap_or(0)]);
        }
        Ok(())
    }
}

/// A record as it arrives.
#[derive(Debug, PartialEq)]
pub(super) struct Arrived<'r> {
    pub(super) kind: u8,
    pub(super) level: u8,
    pub(super) is_cut: bool,
    pub(super) line: Option<u32>,
    pub(super) time: SystemTime,
    pub(super) nanos: u64,
    pub(super) pid: u32,
    pub(super) target: Cow<'r, str>,
    pub(super) module: Option<Cow<'r, str>>,
    pub(super) file: Option<Cow<'r, str>>,
    pub(super) values: Vec<(Cow<'r, str>, Value<'r>)>,
    pub(super) message: Cow<'r, str>,
}

impl<'r> Arrived<'r> {
    /// The record that the bytes say; `None` if they say none.
    pub(super) fn from_bytes(bytes: &'r [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(HEAD)?;
        let word = |at: usize| Some(u32::from_le_bytes(*head.get(at..at + 4)?.first_chunk()?));
        let nanos = u64::from_le_bytes(*head.get(8..16)?.first_chunk()?);
        let mut take = |len: u32| {
            let (text, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            rest = behind;
            Some(text)
        };
        let mut text = |len: u32| {
            if len == NONE { Some(None) } else { take(len).map(String::from_utf8_lossy).map(Some) }
        };
        let (target, module, file) = (text(word(24)?)?, text(word(28)?)?, text(word(32)?)?);
        let mut values = Vec::new();
        for _ in 0..word(20)? {
            let tag = take(1)?[0];
            let key = u32::from_le_bytes(*take(4)?.first_chunk()?);
            let value = u32::from_le_bytes(*take(4)?.first_chunk()?);
            let key = String::from_utf8_lossy(take(key)?);
            values.push((key, Value::from_bytes(tag, take(value)?)?));
        }
        let message = String::from_utf8_lossy(take(word(36)?)?);
        Some(Self {
            kind: head[0],
            level: head[1],
            is_cut: head[2] & CUT != 0,
            line: word(4).filter(|line| *line != NONE),
            time: UNIX_EPOCH + Duration::from_nanos(nanos),
            nanos,
            pid: word(16)?,
            target: target.unwrap_or_default(),
            module,
            file,
            values,
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [Option<&str>; 3] = [Some("app"), None, Some("src/a.rs")];
    const SAMPLE: Head = Head { kind: KIND_LOG, level: 3, line: Some(7), pid: 9 };

    fn encoded(most: usize, message: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoding = Encoding::begin(&mut bytes, most, SAMPLE, TEXTS).unwrap();
        encoding.value("n", Tag::U64, &5u64.to_le_bytes());
        encoding.displayed("d", Tag::Text, format_args!("{:?}", [1, 2]));
        encoding.end(format_args!("{message}!"));
        bytes
    }

    #[test]
    fn a_record_survives_its_bytes() {
        let bytes = encoded(4096, "hello ä");
        let record = Arrived::from_bytes(&bytes).unwrap();
        assert_eq!((record.kind, record.level, record.is_cut), (KIND_LOG, 3, false));
        assert_eq!((record.line, record.pid), (Some(7), 9));
        assert_eq!((&*record.target, record.module.as_deref()), ("app", None));
        assert_eq!((record.file.as_deref(), &*record.message), (Some("src/a.rs"), "hello ä!"));
        assert!(record.time > UNIX_EPOCH);
        let expected = [("n", Value::U64(5)), ("d", Value::Text("[1, 2]".into()))];
        assert_eq!(record.values, expected.map(|(key, value)| (key.into(), value)));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let bytes = encoded(256, &"ä".repeat(300));
        let record = Arrived::from_bytes(&bytes).unwrap();
        assert!(record.is_cut && bytes.len() <= 256 && record.message.chars().all(|c| c == 'ä'));
        let mut bytes = Vec::new();
        let most = HEAD + 2;
        assert!(Encoding::begin(&mut bytes, most, SAMPLE, TEXTS).is_none());
        let mut encoding = Encoding::begin(&mut bytes, 1024, SAMPLE, TEXTS).unwrap();
        encoding.value("k", Tag::Text, &[b'x'; 1000]);
        encoding.displayed("d", Tag::Debug, format_args!("{}", "x".repeat(2000)));
        encoding.displayed("e", Tag::Debug, format_args!("x"));
        encoding.end(format_args!("m"));
        let record = Arrived::from_bytes(&bytes).unwrap();
        assert!(record.is_cut && record.message == "m" && bytes.len() < 1024);
        let [(key, Value::Debug(text))] = &record.values[..] else { panic!("{record:?}") };
        assert!(key == "d" && text.len() > 600 && text.bytes().all(|byte| byte == b'x'));
    }

    #[test]
    fn bytes_that_say_nothing_are_refused_and_never_read_beyond() {
        let bytes = encoded(4096, "m");
        for len in 0..bytes.len() {
            assert_eq!(Arrived::from_bytes(&bytes[..len]), None, "{len}");
        }
        // Any change gives a record or none, and no panic.
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = Arrived::from_bytes(&changed);
            }
        }
    }
}
