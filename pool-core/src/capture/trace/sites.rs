//! Call sites of workers as call sites of this process, which `tracing` wants to live for ever.
//!
//! Invariant: at most [`MOST`] are made, whatever workers send; for all beyond them there is one
//! for each level and kind, with a name that says so.

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use tracing_core::{
    Callsite, Kind, Level, Metadata,
    callsite::{self, Identifier},
    field::FieldSet,
    subscriber::Interest,
};

use super::LEVELS;
use crate::mutex::lock;

/// How many call sites are made.
const MOST: usize = 65_536;
/// Bytes of names and texts of all of them together.
const MOST_BYTES: usize = 64 << 20;

/// What makes call sites different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) is_span: bool,
    pub(super) level: u8,
    pub(super) line: Option<u32>,
    pub(super) name: String,
    pub(super) target: String,
    pub(super) module: Option<String>,
    pub(super) file: Option<String>,
    pub(super) fields: Vec<String>,
}

/// A call site.
#[derive(Debug)]
pub(super) struct Site {
    metadata: OnceLock<Metadata<'static>>,
    /// 0: never, 1: sometimes, 2: always.
    interest: AtomicU8,
}

#[derive(Default)]
struct Sites {
    known: HashMap<Key, &'static Site>,
    bytes: usize,
}

static SITES: LazyLock<Mutex<Sites>> = LazyLock::new(Mutex::default);

impl Callsite for Site {
    fn set_interest(&self, interest: Interest) {
        let number = match interest {
            interest if interest.is_never() => 0,
            interest if interest.is_always() => 2,
            _ => 1,
        };
        // Relaxed: what was decided before is as good.
        self.interest.store(number, Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("set before the site is known to others")
    }
}

impl Site {
    pub(super) fn metadata(&'static self) -> &'static Metadata<'static> {
        self.metadata.get().expect("set before the site is known to others")
    }

    /// Whether no subscriber wants it, or each does without being asked again.
    pub(super) fn is_never(&self) -> bool {
        self.interest.load(Relaxed) == 0
    }

    pub(super) fn is_always(&self) -> bool {
        self.interest.load(Relaxed) == 2
    }
}

/// The call site with this key, or `None` if there are too many.
pub(super) fn site(key: Key) -> Option<&'static Site> {
    let level = *LEVELS.get(usize::from(key.level).checked_sub(1)?)?;
    let mut sites = lock(&SITES);
    if let Some(site) = sites.known.get(&key) {
        return Some(site);
    }
    let texts = [Some(&key.name), Some(&key.target), key.module.as_ref(), key.file.as_ref()];
    let bytes: usize = texts.into_iter().flatten().chain(&key.fields).map(|text| text.len()).sum();
    if sites.known.len() >= MOST || sites.bytes + bytes > MOST_BYTES {
        return None;
    }
    sites.bytes += bytes;
    let site = leaked(key.clone(), level);
    sites.known.insert(key, site);
    drop(sites);
    // Asks the subscribers, which are the user's code.
    callsite::register(site);
    Some(site)
}

/// A call site beyond the bound, for which the caller has a bound of its own.
pub(super) fn beyond(key: Key) -> Option<&'static Site> {
    let level = *LEVELS.get(usize::from(key.level).checked_sub(1)?)?;
    let site = leaked(key, level);
    callsite::register(site);
    Some(site)
}

fn leaked(key: Key, level: Level) -> &'static Site {
    let text = |text: String| -> &'static str { text.leak() };
    let site: &'static Site =
        Box::leak(Box::new(Site { metadata: OnceLock::new(), interest: AtomicU8::new(1) }));
    let names: Vec<&'static str> = key.fields.into_iter().map(text).collect();
    let fields = FieldSet::new(names.leak(), Identifier(site));
    let kind = if key.is_span { Kind::SPAN } else { Kind::EVENT };
    let metadata = Metadata::new(
        text(key.name),
        text(key.target),
        level,
        key.file.map(text),
        key.line,
        key.module.map(text),
        fields,
        kind,
    );
    // It was made just now.
    let _ = site.metadata.set(metadata);
    site
}
