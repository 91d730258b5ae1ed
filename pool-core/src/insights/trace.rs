//! The trace of a pool's workers as events for Chrome's tracing and for Perfetto.
//!
//! The format: "Trace Event Format" of the Chromium project, as a JSON object. Each worker is a
//! thread of the program's process there, named after its id; times are in microseconds from the
//! start of the first worker, with three digits behind the point.

use std::io::{self, Write};

use super::{
    escape::Json,
    report::Insights,
    timeline::{Event, Happened, Span, Timeline, What},
};
use crate::error::ExitStatus;

/// Writes the events of the timeline.
pub(super) fn write_events(
    timeline: &Timeline,
    insights: &Insights,
    out: &mut impl Write,
) -> io::Result<()> {
    let pid = std::process::id();
    writeln!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    write!(
        out,
        "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{pid},\"tid\":0,\
         \"args\":{{\"name\":\"worker pool\"}}}}"
    )?;
    for worker in 0..timeline.workers.len() {
        let thread = worker + 1;
        write!(
            out,
            ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{pid},\"tid\":{thread},\
             \"args\":{{\"name\":\"worker {worker}\"}}}}"
        )?;
        write!(
            out,
            ",\n{{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":{pid},\"tid\":{thread},\
             \"args\":{{\"sort_index\":{worker}}}}}"
        )?;
    }
    for (worker, (spans, events)) in timeline.workers.iter().zip(&timeline.events).enumerate() {
        let place = Place { start: timeline.start, pid, worker, insights };
        for span in spans {
            place.span(span, out)?;
        }
        for event in events {
            place.event(event, out)?;
        }
    }
    let Timeline { items_left_out, chunks_left_out, .. } = *timeline;
    if items_left_out > 0 || chunks_left_out > 0 {
        let (at, text) = (micros(timeline.end - timeline.start), left_out_text(timeline));
        write!(
            out,
            ",\n{{\"ph\":\"i\",\"s\":\"p\",\"name\":{},\"cat\":\"record\",\"pid\":{pid},\"tid\":0,\
             \"ts\":{at}}}",
            Json(&text)
        )?;
    }
    writeln!(
        out,
        "\n],\"otherData\":{{\"items_without_a_record\":{items_left_out},\
         \"chunks_without_a_record\":{chunks_left_out},\"timed_one_item_in_at_most\":{}}}}}",
        insights.sampled_every
    )
}

/// What is missing, as a sentence.
pub(super) fn left_out_text(timeline: &Timeline) -> String {
    format!(
        "{} items and {} chunks have no record of their own",
        timeline.items_left_out, timeline.chunks_left_out
    )
}

/// The row of a worker.
struct Place<'t> {
    start: u64,
    pid: u32,
    worker: usize,
    insights: &'t Insights,
}

impl Place<'_> {
    fn span(&self, span: &Span, out: &mut impl Write) -> io::Result<()> {
        let (name, kind) = match span.what {
            What::StartUp => ("start up".to_string(), "start"),
            What::Init => ("init".to_string(), "init"),
            What::Waiting => ("wait".to_string(), "wait"),
            What::HandOver { .. } => ("results are handed over".to_string(), "results"),
            What::Exit => ("exit".to_string(), "exit"),
            What::NotRecorded => ("not recorded".to_string(), "record"),
            What::Task { item: Some(item), .. }
            | What::Chunk { first: Some(item), items: Some(1), .. } => {
                (format!("item {item}"), "task")
            }
            What::Task { item: None, .. } | What::Chunk { items: Some(1), .. } => {
                ("task".to_string(), "task")
            }
            What::Chunk { items: Some(items), .. } => (format!("chunk of {items} items"), "task"),
            What::Chunk { items: None, .. } => ("chunk".to_string(), "task"),
        };
        write!(
            out,
            ",\n{{\"ph\":\"X\",\"name\":{},\"cat\":\"{kind}\",\"pid\":{},\"tid\":{},\"ts\":{},\
             \"dur\":{},\"args\":{{",
            Json(&name),
            self.pid,
            self.worker + 1,
            micros(span.start.saturating_sub(self.start)),
            micros(span.end - span.start),
        )?;
        let (call, item, items) = match span.what {
            What::Task { call, item } => (call, item, None),
            What::HandOver { call } => (call, None, None),
            What::Chunk { call, first, items } => (call, first, items),
            _ => (None, None, None),
        };
        let mut between = "";
        let numbers = [("call", call), ("item", item), ("items", items)];
        for (name, number) in numbers.into_iter().filter_map(|(name, n)| Some((name, n?))) {
            write!(out, "{between}\"{name}\":{number}")?;
            between = ",";
        }
        if let What::Task { call, item: Some(item) } = span.what
            && let Some(text) = self.args(call, item)
        {
            write!(out, "{between}\"args\":{}", Json(text))?;
            between = ",";
        }
        if span.is_unfinished {
            write!(out, "{between}\"unfinished\":true")?;
        }
        write!(out, "}}}}")
    }

    /// The text of the argument of a task that is one of the longest.
    fn args(&self, call: Option<u64>, item: u64) -> Option<&str> {
        let mut tasks = self.insights.top_5_max_tasks.iter();
        let task = tasks.find(|task| {
            task.worker == self.worker && task.call == call && task.item == Some(item)
        });
        task?.args.as_deref()
    }

    fn event(&self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        let name = match event.what {
            Happened::Started => "started".to_string(),
            Happened::Replaced => "replacement".to_string(),
            Happened::Ready { pid } => format!("ready: process {pid}"),
            Happened::Ended => "end".to_string(),
            Happened::Died { status } => format!("death: {}", ExitStatus::from_wait(status)),
        };
        let kind = match event.what {
            Happened::Died { .. } => "death",
            Happened::Replaced => "replacement",
            _ => "life",
        };
        write!(
            out,
            ",\n{{\"ph\":\"i\",\"s\":\"t\",\"name\":{},\"cat\":\"{kind}\",\"pid\":{},\"tid\":{},\
             \"ts\":{}}}",
            Json(&name),
            self.pid,
            self.worker + 1,
            micros(event.at.saturating_sub(self.start)),
        )
    }
}

/// Nanoseconds as microseconds.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000, nanos % 1_000)
}
