//! The thread that brings the records of a set of workers to the logger.
//!
//! Invariant: the logger is the user's code and may block: it holds up this thread alone. What was
//! handed over before a pass begins is delivered by its end, so a flush is a pass that begins
//! after it was asked for. The thread ends between two records when this process is to be forked.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pool_ipc::log_ring::{LogArea, LogReader, LogShape, Read};
use pool_shm::Mapping;

use super::{
    deliver::{self, Place},
    logger,
    options::LogCapture,
    origin::LOG_LEVEL,
    value::Value,
};
#[cfg(feature = "tracing")]
use super::{origin::TRACE_LEVEL, trace};
use crate::{
    driver::{Driven, Driver, Leave, Work, drives_here},
    error::Error,
    mutex::lock,
    start_method::StartMethod,
};

/// How long a call that ends workers waits at most for a logger.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Time between two looks while records come.
const NAP: Duration = Duration::from_millis(1);
/// So many naps without a record, and the thread sleeps until the next one comes.
const NAPS: u32 = 20;
/// How long the thread sleeps at most: the level of the program may have changed, and a worker may
/// have died before it could wake the thread.
const SLEEP: Duration = Duration::from_millis(250);

/// What a pool captures, and who collects it.
#[derive(Debug)]
pub(crate) struct Capture {
    ring_bytes: usize,
    text: Vec<u8>,
    /// Those that have not delivered all, one for each set of workers.
    collectors: Mutex<Vec<Arc<Collector>>>,
}

/// Reads the rings of one set of workers.
pub(crate) struct Collector {
    area: LogArea,
    places: Places,
    /// The subscriber for events and spans.
    #[cfg(feature = "tracing")]
    target: trace::Target,
    rings: Mutex<Rings>,
    /// The workers have ended: what is in the rings now is all.
    is_closed: AtomicBool,
    /// How often a flush was asked for.
    flushes: AtomicU64,
    progress: Mutex<Progress>,
    changed: Condvar,
    driver: OnceLock<Driver>,
}

/// Where records come from.
#[derive(Debug)]
pub(crate) enum Places {
    /// Workers by their ids; the last ring is that of the template.
    Workers,
    Process(String),
}

#[derive(Debug)]
struct Rings {
    readers: Vec<LogReader>,
    #[cfg(feature = "tracing")]
    traces: Vec<trace::Traces>,
    record: Vec<u8>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The last flush that is complete.
    flushed: u64,
    /// All was delivered, and no more will come.
    is_over: bool,
    /// The last complete flush when a pool that ends gave up waiting for the next one.
    given_up_at: Option<u64>,
}

/// The collector of a set of workers, as these have it: dropped once they have ended.
#[derive(Debug)]
pub(crate) struct Collecting {
    collector: Arc<Collector>,
    /// A forked child has a copy of this.
    owner: u32,
}

impl Capture {
    /// What was asked for, checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`]; [`Error::OtherLogger`] under Fork.
    pub(crate) fn new(options: &LogCapture, method: StartMethod) -> Result<Self, Error> {
        let (ring_bytes, text) = options.checked()?;
        if method == StartMethod::Fork && !logger::can_be_inherited() {
            return Err(Error::OtherLogger);
        }
        Ok(Self { ring_bytes, text, collectors: Mutex::default() })
    }

    /// The memory of so many rings.
    pub(crate) fn shape(&self, rings: usize) -> LogShape {
        LogShape { rings, ring_bytes: self.ring_bytes, text: self.text.len() }
    }

    /// Makes the rings at `offset` of the mapping, and starts the thread that reads them, with
    /// `stack` bytes of stack.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when no thread can be started.
    pub(crate) fn open(
        &self,
        mapping: Arc<Mapping>,
        offset: usize,
        (shape, places): (LogShape, Places),
        stack: usize,
    ) -> Result<Collecting, Error> {
        let area = LogArea::create(mapping, offset, shape, &self.text);
        let readers = (0..area.rings()).filter_map(|ring| area.reader(ring)).collect();
        #[cfg(feature = "tracing")]
        let traces = (0..area.rings()).map(|_| trace::Traces::default()).collect();
        let collector = Arc::new(Collector {
            area,
            places,
            #[cfg(feature = "tracing")]
            target: trace::Target::of_this_thread(),
            rings: Mutex::new(Rings {
                readers,
                #[cfg(feature = "tracing")]
                traces,
                record: Vec::new(),
            }),
            is_closed: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
            progress: Mutex::default(),
            changed: Condvar::new(),
            driver: OnceLock::new(),
        });
        collector.set_levels();
        let driven: Weak<Collector> = Arc::downgrade(&collector);
        let driver = collector.driver.get_or_init(|| Driver::new(driven, stack));
        driver.start()?;
        let mut collectors = lock(&self.collectors);
        collectors.retain(|collector| !collector.is_over());
        collectors.push(collector.clone());
        Ok(Collecting { collector, owner: std::process::id() })
    }

    /// Tells the workers of the level that the program's logger has now.
    pub(crate) fn set_levels(&self) {
        lock(&self.collectors).iter().for_each(|collector| collector.set_levels());
    }

    /// Waits until what workers have handed over until now was delivered; `false` when that took
    /// longer than the limit, or when the calling thread is one that delivers.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let until = Instant::now().checked_add(limit);
        let collectors = lock(&self.collectors).clone();
        let asked: Vec<_> = collectors.iter().map(|collector| collector.ask()).collect();
        if drives_here() {
            return false;
        }
        collectors.iter().zip(asked).all(|(collector, asked)| collector.wait_for(asked, until))
    }

    /// Waits until workers that have ended have delivered all, [`FLUSH_LIMIT`] at most, and once
    /// for a logger that gets no further.
    pub(crate) fn flush_ended(&self) {
        let is_stuck = |collector: &Arc<Collector>| {
            let progress = lock(&collector.progress);
            progress.given_up_at == Some(progress.flushed)
        };
        if lock(&self.collectors).iter().any(is_stuck) || self.flush(FLUSH_LIMIT) {
            return;
        }
        for collector in lock(&self.collectors).iter() {
            let mut progress = lock(&collector.progress);
            if progress.flushed < collector.flushes.load(Ordering::SeqCst) {
                progress.given_up_at = Some(progress.flushed);
            }
        }
    }

    /// Delivers what is left and ends the threads, whose workers have ended. Where a logger takes
    /// longer than the limit, its thread ends by itself later.
    pub(crate) fn end(&self) {
        self.flush_ended();
        for collector in std::mem::take(&mut *lock(&self.collectors)) {
            if collector.is_over()
                && let Some(driver) = collector.driver.get()
            {
                driver.stop_within(Some(FLUSH_LIMIT));
            }
        }
    }
}

impl Collector {
    fn is_over(&self) -> bool {
        lock(&self.progress).is_over
    }

    fn set_levels(&self) {
        self.area.set_word(LOG_LEVEL, log::max_level() as u32);
        #[cfg(feature = "tracing")]
        self.area.set_word(TRACE_LEVEL, trace::max_level());
    }

    /// Asks for a pass; answers with its number.
    fn ask(&self) -> u64 {
        let number = self.flushes.fetch_add(1, Ordering::SeqCst) + 1;
        self.area.wake();
        number
    }

    /// Waits until then for what was handed over until now to be delivered.
    pub(crate) fn flush_until(&self, until: Instant) {
        if !drives_here() {
            let asked = self.ask();
            self.wait_for(asked, Some(until));
        }
    }

    fn wait_for(&self, asked: u64, until: Option<Instant>) -> bool {
        let waits = |progress: &mut Progress| progress.flushed < asked && !progress.is_over;
        let progress = lock(&self.progress);
        let Some(until) = until else {
            let waited = self.changed.wait_while(progress, waits);
            drop(waited);
            return true;
        };
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(progress, left, waits);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Delivers what was handed over until now; whether there was anything, or `None` if `leave`
    /// has ended it.
    fn pass(&self, rings: &mut Rings, leave: &Leave<'_>) -> Option<bool> {
        let Rings { readers, record, .. } = rings;
        let mut any = false;
        let last = readers.len().saturating_sub(1);
        for (ring, reader) in readers.iter_mut().enumerate() {
            let place = match &self.places {
                Places::Workers if ring == last => Place::Process("template"),
                Places::Workers => Place::Worker(ring as u32),
                Places::Process(name) => Place::Process(name),
            };
            let mut unreadable = 0u64;
            if reader.begin() != 0 {
                any = true;
                loop {
                    if leave() {
                        return None;
                    }
                    match reader.read(record) {
                        #[cfg(feature = "tracing")]
                        Read::Record
                            if deliver::deliver(
                                record,
                                place,
                                (&self.target, &mut rings.traces[ring]),
                            ) => {}
                        #[cfg(not(feature = "tracing"))]
                        Read::Record if deliver::deliver(record, place) => {}
                        Read::Record | Read::Fault => unreadable += 1,
                        Read::Nothing => break,
                    }
                }
            }
            let counts = [
                (reader.take_lost(), "records lost, for the logger was slower than the worker"),
                (reader.take_dropped(), "records dropped: made within another record, or too long"),
                (unreadable, "records unreadable, so the memory of the ring was overwritten"),
            ];
            for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
                any = true;
                let text = format!("{count} {what}");
                let values = [("lost".into(), Value::U64(count))];
                deliver::say(place, None, &text, &values);
                #[cfg(feature = "tracing")]
                if log::max_level() < log::LevelFilter::Warn {
                    trace::Traces::say(&self.target, &format!("{place}: {text}"));
                }
            }
        }
        Some(any)
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut lock(&self.progress));
        self.changed.notify_all();
    }
}

impl Driven for Collector {
    fn demand(&self) -> (Work, u64) {
        (if self.is_over() { Work::Over } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let mut rings = lock(&self.rings);
        let mut idle = 0;
        while !leave() {
            self.set_levels();
            // Before the pass: a pass that begins later has all that is meant.
            let asked = self.flushes.load(Ordering::SeqCst);
            let is_closed = self.is_closed.load(Ordering::SeqCst);
            let Some(any) = self.pass(&mut rings, leave) else { break };
            #[cfg(feature = "tracing")]
            if is_closed {
                rings.traces.iter_mut().for_each(trace::Traces::end);
            }
            self.note(|progress| {
                progress.flushed = asked;
                progress.is_over = is_closed;
            });
            if is_closed {
                break;
            }
            idle = if any { 0 } else { idle + 1 };
            let naps = idle < NAPS;
            self.area.sleep(naps, if naps { NAP } else { SLEEP }, || {
                leave()
                    || self.flushes.load(Ordering::SeqCst) != asked
                    || self.is_closed.load(Ordering::SeqCst)
            });
        }
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        self.area.wake();
    }

    fn no_driver(&self, _: Error) {
        // The next set of workers tries again; no flush waits for this one.
        lock(&self.progress).is_over = true;
        self.changed.notify_all();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("area", &self.area).finish_non_exhaustive()
    }
}

impl Collecting {
    /// What collects.
    pub(crate) fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    /// Wakes the thread: a worker has ended, maybe before it could do so.
    pub(crate) fn wake(&self) {
        self.collector.area.wake();
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            self.collector.is_closed.store(true, Ordering::SeqCst);
            self.collector.area.wake();
        }
    }
}
