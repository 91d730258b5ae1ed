//! A logger that keeps what it is given, and can block, panic or use a pool.

use std::sync::{
    Condvar, Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use log::{Level, LevelFilter, Log, Metadata, Record, kv};
use pool_api::{WorkerPool, logging};

/// A record as the logger was given it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) text: String,
    pub(crate) module: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) values: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }
}

#[derive(Default)]
pub(crate) struct Collect {
    seen: Mutex<Vec<Seen>>,
    /// Whether the logger waits, and whether it does so now.
    blocks: Mutex<(bool, bool)>,
    changed: Condvar,
    pub(crate) panics: AtomicBool,
    /// A pool that the logger uses.
    pub(crate) pool: OnceLock<WorkerPool>,
    /// The answers of that pool.
    pub(crate) answers: Mutex<Vec<String>>,
}

static COLLECT: OnceLock<Collect> = OnceLock::new();

pub(crate) fn collect() -> &'static Collect {
    COLLECT.get_or_init(Collect::default)
}

struct Forward;

/// Makes the program's logger one that keeps records.
pub(crate) fn install() -> &'static Collect {
    logging::install(Box::new(Forward)).expect("the first logger");
    log::set_max_level(LevelFilter::Debug);
    collect()
}

struct Pairs<'v>(&'v mut Vec<(String, String)>);

impl<'kvs> kv::VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "refused"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            collect().add(record);
        }
    }

    fn flush(&self) {}
}

impl Collect {
    fn add(&self, record: &Record<'_>) {
        let mut blocks = self.blocks.lock().expect("no panic beside it");
        while blocks.0 {
            blocks.1 = true;
            self.changed.notify_all();
            blocks = self.changed.wait(blocks).expect("it is there");
        }
        drop(blocks);
        assert!(!self.panics.load(Ordering::SeqCst), "the logger's own");
        if let Some(pool) = self.pool.get()
            && record.target() == "uses the pool"
        {
            let answer = format!("{:?} {:?}", pool.apply(3u32, |x| x * x), pool.stop_and_join());
            self.answers.lock().expect("no panic beside it").push(answer);
        }
        let mut values = Vec::new();
        record.key_values().visit(&mut Pairs(&mut values)).expect("it refuses nothing");
        self.seen.lock().expect("no panic beside it").push(Seen {
            level: record.level(),
            target: record.target().to_string(),
            text: record.args().to_string(),
            module: record.module_path().map(str::to_string),
            file: record.file().map(str::to_string),
            line: record.line(),
            values,
        });
    }

    /// What it was given until now, but for what pools say of themselves.
    pub(crate) fn take(&self) -> Vec<Seen> {
        let mut seen = std::mem::take(&mut *self.seen.lock().expect("no panic beside it"));
        seen.retain(|seen| seen.target != "pool" || seen.value("lost").is_some());
        seen
    }

    /// The texts of what it was given until now.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.take().into_iter().map(|seen| seen.text).collect()
    }

    pub(crate) fn block(&self, on: bool) {
        *self.blocks.lock().expect("no panic beside it") = (on, false);
        self.changed.notify_all();
    }

    /// Waits until the logger blocks.
    pub(crate) fn await_blocked(&self) {
        let blocks = self.blocks.lock().expect("no panic beside it");
        drop(self.changed.wait_while(blocks, |(_, blocked)| !*blocked).expect("it is there"));
    }
}
