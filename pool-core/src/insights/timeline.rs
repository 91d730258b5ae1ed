//! What each worker was at from when to when, made of the records of its rows.
//!
//! Invariant: the spans of a worker follow each other in time and do not overlap, whatever the
//! records say.

use super::{
    record::Record,
    row::sum,
    snapshot::{Snapshot, Stream},
};

/// All spans of all workers.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// For each worker its spans, in order.
    pub(super) workers: Vec<Vec<Span>>,
    /// For each worker its events, in order.
    pub(super) events: Vec<Vec<Event>>,
    /// The first and the last moment.
    pub(super) start: u64,
    pub(super) end: u64,
    /// Items and chunks without a record.
    pub(super) items_left_out: u64,
    pub(super) chunks_left_out: u64,
}

/// What a worker was at, from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) what: What,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Whether it was still going on, or its worker was killed in it.
    pub(super) is_unfinished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    StartUp,
    Init,
    Waiting,
    Task {
        call: Option<u64>,
        item: Option<u64>,
    },
    /// So many items of a chunk, without records of their own.
    Chunk {
        call: Option<u64>,
        first: Option<u64>,
        items: Option<u64>,
    },
    /// The end of a chunk after its last item: its results are handed over.
    HandOver {
        call: Option<u64>,
    },
    Exit,
    /// Chunks of which there is no record any more.
    NotRecorded,
}

/// What happened to a worker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: u64,
    pub(super) what: Happened,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    /// The first worker with this id was ordered, or one that replaces another one.
    Started,
    Replaced,
    Ready {
        pid: u64,
    },
    /// It ended by itself.
    Ended,
    /// The parent found it dead, with this status of `wait`.
    Died {
        status: i32,
    },
}

/// What a worker is at while its records are read.
struct Walk {
    spans: Vec<Span>,
    events: Vec<Event>,
    at: Option<(What, u64)>,
    /// Of the chunk in hand: its items with records, and when it began.
    items: u64,
    chunk_start: u64,
    has_lived: bool,
    /// The last end of a span.
    last: u64,
}

impl Timeline {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let workers = snapshot.workers.len();
        let mut timeline = Self {
            workers: vec![Vec::new(); workers],
            events: vec![Vec::new(); workers],
            start: u64::MAX,
            items_left_out: sum(snapshot.workers.iter().map(|worker| worker.items_left_out)),
            chunks_left_out: sum(snapshot.workers.iter().map(|worker| worker.chunks_left_out)),
            ..Self::default()
        };
        for stream in &snapshot.streams {
            let (Some(spans), Some(events), Some(times)) = (
                timeline.workers.get_mut(stream.worker),
                timeline.events.get_mut(stream.worker),
                snapshot.workers.get(stream.worker),
            ) else {
                continue;
            };
            let left_out = times.chunks_left_out > 0;
            let mut walk = Walk {
                spans: std::mem::take(spans),
                events: std::mem::take(events),
                at: None,
                items: 0,
                chunk_start: 0,
                has_lived: false,
                last: 0,
            };
            walk.has_lived = !walk.events.is_empty();
            walk.last = walk.spans.last().map_or(0, |span| span.end);
            walk.read(stream, left_out, snapshot.now);
            (*spans, *events) = (walk.spans, walk.events);
        }
        let spans = timeline.workers.iter().flatten();
        let events = timeline.events.iter().flatten().map(|event| event.at);
        let first = spans.clone().map(|span| span.start).chain(events.clone()).min();
        let last = spans.map(|span| span.end).chain(events).max();
        timeline.start = first.unwrap_or(snapshot.now);
        timeline.end = last.unwrap_or(snapshot.now).max(timeline.start);
        timeline
    }
}

impl Walk {
    fn read(&mut self, stream: &Stream, left_out: bool, now: u64) {
        let last_chunk =
            stream.records.iter().rposition(|record| matches!(record, Record::Chunk { .. }));
        let time = |at: u64| at.saturating_add(stream.epoch).min(now);
        for (index, record) in stream.records.iter().enumerate() {
            let ended = last_chunk.is_none_or(|last| index > last);
            match *record {
                Record::Born(at) => {
                    self.close(time(at), true);
                    let what = if self.has_lived { Happened::Replaced } else { Happened::Started };
                    self.happened(time(at), what);
                    self.open(What::StartUp, time(at));
                }
                Record::Ready { at, pid } => {
                    self.close(time(at), false);
                    self.happened(time(at), Happened::Ready { pid });
                    self.open(What::Waiting, time(at));
                }
                Record::Init(at) => {
                    self.close(time(at), false);
                    self.open(What::Init, time(at));
                }
                Record::InitEnd(at) => {
                    self.close(time(at), false);
                    self.open(What::Waiting, time(at));
                }
                Record::Chunk { at, call, first } => {
                    self.close(time(at), false);
                    (self.items, self.chunk_start) = (0, time(at));
                    self.open(What::Chunk { call, first, items: None }, time(at));
                }
                Record::Item(spent) => self.item(spent, now),
                Record::ChunkEnd { at, items } => {
                    self.end_chunk(time(at), items);
                    let what = if left_out && ended { What::NotRecorded } else { What::Waiting };
                    self.open(what, time(at));
                }
                Record::Exit(at) => {
                    self.close(time(at), false);
                    self.open(What::Exit, time(at));
                }
                Record::Gone(at) => {
                    self.close(time(at), false);
                    self.happened(time(at), Happened::Ended);
                }
                Record::Died { at, status } => {
                    self.in_hand();
                    self.close(time(at), true);
                    self.happened(time(at), Happened::Died { status });
                }
            }
        }
        self.in_hand();
        self.close(now, true);
    }

    fn happened(&mut self, at: u64, what: Happened) {
        self.has_lived = true;
        self.events.push(Event { at, what });
    }

    fn open(&mut self, what: What, at: u64) {
        self.at = Some((what, at));
    }

    /// Ends what the worker is at.
    fn close(&mut self, at: u64, is_unfinished: bool) {
        if let Some((what, start)) = self.at.take() {
            self.push(Span { what, start, end: at, is_unfinished });
        }
    }

    fn push(&mut self, mut span: Span) {
        span.start = span.start.max(self.last);
        span.end = span.end.max(span.start);
        self.last = span.end;
        // Between chunks that follow each other at once there is nothing to see.
        if span.end > span.start || span.what != What::Waiting {
            self.spans.push(span);
        }
    }

    /// The next item of the chunk has taken so long.
    fn item(&mut self, spent: u64, now: u64) {
        let Some((What::Chunk { call, first, items }, start)) = self.at else { return };
        let item = first.map(|first| first.wrapping_add(self.items));
        let end = start.saturating_add(spent).min(now);
        self.push(Span { what: What::Task { call, item }, start, end, is_unfinished: false });
        self.items += 1;
        self.at = Some((What::Chunk { call, first, items }, end));
    }

    /// A chunk ends after so many items, some of which may have records.
    fn end_chunk(&mut self, at: u64, items: u64) {
        let Some((What::Chunk { call, first, .. }, start)) = self.at.take() else { return };
        let rest = items.saturating_sub(self.items);
        // A hand-over that is less than a hundredth of its chunk is not shown.
        if rest == 0 && at.saturating_sub(start) < at.saturating_sub(self.chunk_start) / 100 {
            return;
        }
        let first = first.map(|first| first.wrapping_add(self.items));
        let what = match rest {
            0 => What::HandOver { call },
            rest => What::Chunk { call, first, items: Some(rest) },
        };
        self.push(Span { what, start, end: at, is_unfinished: false });
    }

    /// Of a chunk whose items have records, the next item is in hand.
    fn in_hand(&mut self) {
        if let Some((What::Chunk { call, first, .. }, start)) = self.at {
            // (Where items are sampled, it may be one behind that.)
            let item = first.map(|first| first.wrapping_add(self.items));
            if self.items > 0 || first.is_some() {
                self.at = Some((What::Task { call, item }, start));
            }
        }
    }
}
