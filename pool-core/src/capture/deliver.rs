//! One record of a worker for the logger of this process.
//!
//! Invariant: the parent's own filters apply, its level and what its logger has enabled, at the
//! time of the delivery. A panic of the logger costs that record and nothing else.

use std::fmt;

use log::{Level, Metadata, Record, kv};

#[cfg(feature = "tracing")]
use super::trace;
use super::{
    record::{Arrived, KIND_FOREIGN_LOGGER, KIND_LOG},
    value::Value,
};
use crate::panic::quietly;

/// The target of what the pool itself says.
const POOL: &str = "pool";

/// Where records come from, beside their process id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'n> {
    /// The worker with this id.
    Worker(u32),
    /// A process that has no worker id; its name.
    Process(&'n str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Process(name) => write!(f, "process {name}"),
        }
    }
}

/// Gives what the bytes say to the logger; `false` if they say nothing.
pub(super) fn deliver(
    bytes: &[u8],
    place: Place<'_>,
    #[cfg(feature = "tracing")] traces: (&trace::Target, &mut trace::Traces),
) -> bool {
    let Some(record) = Arrived::from_bytes(bytes) else { return false };
    match record.kind {
        KIND_LOG => deliver_log(&record, place),
        KIND_FOREIGN_LOGGER => {
            let text = "its records are not captured: it had another logger before";
            say(place, Some(record.pid), text, &[]);
            true
        }
        #[cfg(feature = "tracing")]
        _ => {
            let from = match place {
                Place::Worker(worker) => ("worker", Value::U64(worker.into())),
                Place::Process(name) => ("process", Value::Text(name.into())),
            };
            let (pid, time) = (Value::U64(record.pid.into()), Value::U64(record.nanos));
            let own = [from, ("pid", pid), ("time_unix_nanos", time)];
            traces.1.deliver(traces.0, &record, &own)
        }
        #[cfg(not(feature = "tracing"))]
        _ => false,
    }
}

fn deliver_log(record: &Arrived<'_>, place: Place<'_>) -> bool {
    let Some(level) = Level::iter().find(|level| *level as u8 == record.level) else {
        return false;
    };
    let metadata = Metadata::builder().level(level).target(&record.target).build();
    let values = Values { own: &record.values, record: Some(record), place, pid: Some(record.pid) };
    let cut = if record.is_cut { " … (cut)" } else { "" };
    quietly(|| {
        give(
            &Record::builder()
                .metadata(metadata)
                .args(format_args!("{}{cut}", record.message))
                .module_path(record.module.as_deref())
                .file(record.file.as_deref())
                .line(record.line)
                .key_values(&values)
                .build(),
        );
    });
    true
}

/// Says something of the pool's own about a worker, as a warning.
pub(super) fn say(
    place: Place<'_>,
    pid: Option<u32>,
    text: &str,
    own: &[(std::borrow::Cow<'_, str>, Value<'_>)],
) {
    let metadata = Metadata::builder().level(Level::Warn).target(POOL).build();
    let values = Values { own, record: None, place, pid };
    quietly(|| {
        give(
            &Record::builder()
                .metadata(metadata)
                .args(format_args!("{place}: {text}"))
                .key_values(&values)
                .build(),
        );
    });
}

fn give(record: &Record<'_>) {
    let logger = log::logger();
    if record.level() <= log::max_level() && logger.enabled(record.metadata()) {
        logger.log(record);
    }
}

/// The key-values of a record: its own, then where and when it was made.
struct Values<'r> {
    own: &'r [(std::borrow::Cow<'r, str>, Value<'r>)],
    record: Option<&'r Arrived<'r>>,
    place: Place<'r>,
    pid: Option<u32>,
}

impl kv::Source for Values<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        for (key, value) in self.own {
            visitor.visit_pair((&**key).into(), value.to_log())?;
        }
        match self.place {
            Place::Worker(worker) => visitor.visit_pair("worker".into(), worker.into())?,
            Place::Process(name) => visitor.visit_pair("process".into(), name.into())?,
        }
        if let Some(pid) = self.pid {
            visitor.visit_pair("pid".into(), pid.into())?;
        }
        if let Some(record) = self.record {
            visitor.visit_pair("time_unix_nanos".into(), record.nanos.into())?;
        }
        Ok(())
    }
}
