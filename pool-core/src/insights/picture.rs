//! A picture of a pool's workers: the time line, the part of them that works over time, and how
//! long tasks took.
//!
//! Invariant: one SVG document that needs nothing else, well-formed whatever texts the user's
//! arguments have; each text is cut so that it ends within the picture.

use std::io::{self, Write};

use super::{
    axis::{grouped, marks, short_time},
    columns::{CLASSES, Columns, KINDS, NAMES, Run, STEPS, WORKING},
    escape::Xml,
    report::{Insights, LongTask},
    row::sum,
    timeline::{Happened, Timeline},
    trace::left_out_text,
};

const WIDTH: usize = 1000;
/// Where charts begin and end.
const LEFT: usize = 88;
const COLUMNS: usize = 880;
const RIGHT: usize = LEFT + COLUMNS;
/// Workers that are shown.
const MOST_ROWS: usize = 64;
/// Height of the charts below the time line.
const CHART: usize = 110;
/// Bars of the distribution.
const BARS: usize = 80;

const STYLE: &str = "\
svg{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px}\
.page{fill:#ffffff}.text{fill:#1f2328}.soft{fill:#59636e}.title{font-size:19px;font-weight:600}\
.head{font-size:14px;font-weight:600}.code{font-family:ui-monospace,Menlo,Consolas,monospace}\
.grid{stroke:#d1d9e0;stroke-width:1;fill:none}.start{fill:#8250df}.init{fill:#c98500}\
.wait{fill:#e3e8ed}.work{fill:#0b7f75}.exit{fill:#2470d8}.gap{fill:#a8b1bb}\
.death{fill:#cf222e;stroke:#ffffff;stroke-width:1}.area{fill:#0b7f75;fill-opacity:.28}\
.line{stroke:#0b7f75;stroke-width:1.5;fill:none;stroke-linejoin:round}\
@media (prefers-color-scheme:dark){\
.page{fill:#14171c}.text{fill:#e8ebef}.soft{fill:#9aa5b1}.grid{stroke:#363d47}\
.start{fill:#a98bff}.init{fill:#dfa43a}.wait{fill:#2b323b}.work{fill:#35c9ba}\
.exit{fill:#6cabff}.gap{fill:#5b6570}.death{fill:#ff6b6b;stroke:#14171c}\
.area{fill:#35c9ba}.line{stroke:#35c9ba}}";

/// Writes the picture.
pub(super) fn write_picture(
    timeline: &Timeline,
    insights: &Insights,
    out: &mut impl Write,
) -> io::Result<()> {
    let rows = timeline.workers.len().min(MOST_ROWS);
    let row = if rows <= 16 { 22 } else { 11 };
    let lines = 140 + rows * row;
    let tasks = insights.top_5_max_tasks.len();
    let more_rows = if timeline.workers.len() > rows { 20 } else { 0 };
    let utilisation = lines + 58 + more_rows;
    let times = utilisation + CHART + 72;
    let list = times + CHART + 72;
    let height = list + 18 * tasks.max(1) + 48;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title about\">\n\
         <title id=\"title\">Workers of a pool</title>\n<desc id=\"about\">{}</desc>\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>",
        Xml(&summary(timeline, insights))
    )?;
    text(out, (24, 36), "text title", "Workers of a pool")?;
    text(out, (24, 58), "soft", &summary(timeline, insights))?;
    legend(out)?;
    text(out, (24, 122), "text head", "Time line")?;
    let all: Vec<_> =
        timeline.workers.iter().map(|spans| Columns::of(spans, timeline, COLUMNS)).collect();
    for (worker, columns) in all.iter().enumerate().take(rows) {
        draw_row(out, (timeline, worker), columns, (132 + worker * row, row))?;
    }
    time_axis(out, timeline, (132, lines - 6))?;
    if timeline.workers.len() > rows {
        let more = timeline.workers.len() - rows;
        text(out, (24, lines + 34), "soft", &format!("and {more} more workers"))?;
    }
    text(out, (24, utilisation), "text head", "Workers at work")?;
    draw_utilisation(out, &all, utilisation + 10)?;
    time_axis(out, timeline, (utilisation + 10, utilisation + 10 + CHART))?;
    text(out, (24, times), "text head", "Task times")?;
    draw_times(out, insights, times)?;
    text(out, (24, list), "text head", "Longest tasks")?;
    if tasks == 0 {
        text(out, (24, list + 20), "soft", "none yet")?;
    }
    for (rank, task) in insights.top_5_max_tasks.iter().enumerate() {
        draw_task(out, task, list + 20 + 18 * rank)?;
    }
    let y = height - 16;
    let mut notes = Vec::new();
    if timeline.items_left_out > 0 || timeline.chunks_left_out > 0 {
        notes.push(left_out_text(timeline));
    }
    if insights.sampled_every > 1 {
        let every = insights.sampled_every;
        notes.push(format!("some tasks were short: at least one in {every} had its time taken"));
    }
    text(out, (24, y), "soft", &notes.join(" · "))?;
    writeln!(out, "</svg>")
}

fn summary(timeline: &Timeline, insights: &Insights) -> String {
    let workers = timeline.workers.len();
    let tasks = sum(insights.n_completed_tasks.iter().copied());
    format!(
        "{workers} {} · {} tasks completed in {} · {:.1} % of the workers’ time at work",
        if workers == 1 { "worker" } else { "workers" },
        grouped(tasks),
        short_time(timeline.end - timeline.start),
        insights.working_ratio * 100.0
    )
}

fn text(out: &mut impl Write, (x, y): (usize, usize), class: &str, text: &str) -> io::Result<()> {
    writeln!(out, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", Xml(text))
}

fn text_to(
    out: &mut impl Write,
    (x, y): (usize, usize),
    anchor: &str,
    text: &str,
) -> io::Result<()> {
    writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" class=\"soft\" text-anchor=\"{anchor}\">{}</text>",
        Xml(text)
    )
}

fn legend(out: &mut impl Write) -> io::Result<()> {
    let mut x = 24;
    for kind in 0..KINDS {
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"75\" width=\"12\" height=\"12\" rx=\"2\" class=\"{}\"/>",
            CLASSES[kind]
        )?;
        text(out, (x + 18, 86), "soft", NAMES[kind])?;
        x += 18 + 7 * NAMES[kind].len() + 24;
    }
    writeln!(out, "<path class=\"death\" d=\"{}\"/>", death_mark(x + 6, 81))?;
    text(out, (x + 18, 86), "soft", "death")
}

/// A rhombus around a point.
fn death_mark(x: usize, y: usize) -> String {
    format!("M{x} {}l6 6l-6 6l-6 -6z", y - 6)
}

/// The row of a worker: what it waited, started, and did as the ground, and its work before that.
fn draw_row(
    out: &mut impl Write,
    (timeline, worker): (&Timeline, usize),
    columns: &Columns,
    (y, row): (usize, usize),
) -> io::Result<()> {
    let high = row - if row > 16 { 4 } else { 2 };
    if row > 16 || worker.is_multiple_of(4) {
        text_to(out, (LEFT - 8, y + high / 2 + 4), "end", &format!("worker {worker}"))?;
    }
    let runs = columns.runs();
    let path = |run: &Run, top: f64, high: f64| {
        let (x, wide) = (LEFT + run.column, run.columns);
        format!("M{x} {top:.1}h{wide}v{high:.1}h-{wide}z")
    };
    let (top, full) = (y as f64, high as f64);
    for kind in (0..KINDS).filter(|kind| *kind != WORKING) {
        let of = runs.iter().filter(|run| run.ground == Some(kind) && run.work < STEPS);
        let shape: String = of.map(|run| path(run, top, full)).collect();
        if !shape.is_empty() {
            writeln!(out, "<path class=\"{}\" d=\"{shape}\"/>", CLASSES[kind])?;
        }
    }
    let work = runs.iter().filter(|run| run.work > 0).map(|run| {
        let part = full * run.work as f64 / STEPS as f64;
        path(run, top + full - part, part)
    });
    let shape: String = work.collect();
    if !shape.is_empty() {
        writeln!(out, "<path class=\"work\" d=\"{shape}\"/>")?;
    }
    let length = (timeline.end - timeline.start).max(1) as f64;
    let mut last = None;
    for event in timeline.events.get(worker).into_iter().flatten() {
        let Happened::Died { status } = event.what else { continue };
        let at = event.at.saturating_sub(timeline.start) as f64 / length * COLUMNS as f64;
        let x = LEFT + at as usize;
        // Marks at one place are one.
        if last == Some(x) {
            continue;
        }
        last = Some(x);
        let how = crate::error::ExitStatus::from_wait(status).to_string();
        writeln!(
            out,
            "<path class=\"death\" d=\"{}\"><title>worker {worker}: {}</title></path>",
            death_mark(x, y + high / 2),
            Xml(&how)
        )?;
    }
    Ok(())
}

/// The marks of the time, between two heights, with their texts below.
fn time_axis(
    out: &mut impl Write,
    timeline: &Timeline,
    (top, bottom): (usize, usize),
) -> io::Result<()> {
    let length = timeline.end - timeline.start;
    for (at, label) in marks(length, 8) {
        let x = LEFT + (at as f64 / length.max(1) as f64 * COLUMNS as f64) as usize;
        writeln!(out, "<path class=\"grid\" d=\"M{x}.5 {top}V{}\"/>", bottom + 4)?;
        // Of a text at the right margin, the end is there.
        let anchor = if x + 30 > RIGHT { "end" } else { "middle" };
        text_to(out, (x, bottom + 18), anchor, &label)?;
    }
    Ok(())
}

fn draw_utilisation(out: &mut impl Write, all: &[Columns], top: usize) -> io::Result<()> {
    let bottom = top + CHART;
    for (part, label) in [(0, "100 %"), (1, "50 %"), (2, "0 %")] {
        let y = top + part * CHART / 2;
        writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y}.5H{RIGHT}\"/>")?;
        text_to(out, (LEFT - 8, y + 4), "end", label)?;
    }
    let mut sums = vec![0.0; COLUMNS];
    for columns in all {
        sums.iter_mut().zip(columns.work()).for_each(|(sum, part)| *sum += part);
    }
    let count = all.len().max(1) as f64;
    let height = |sum: &f64| bottom as f64 - sum / count * CHART as f64;
    let points: String = sums
        .iter()
        .enumerate()
        .map(|(column, sum)| format!("L{} {:.1}", LEFT + column, height(sum)))
        .collect();
    let line = points.replacen('L', "M", 1);
    writeln!(out, "<path class=\"area\" d=\"M{LEFT} {bottom}{points}V{bottom}z\"/>")?;
    writeln!(out, "<path class=\"line\" d=\"{line}\"/>")
}

fn draw_times(out: &mut impl Write, insights: &Insights, head: usize) -> io::Result<()> {
    let times = &insights.task_times;
    let (top, bottom) = (head + 10, head + 10 + CHART);
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let ranges: Vec<_> =
        times.ranges().map(|(from, to, count)| (nanos(from), nanos(to), count)).collect();
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return text(out, (LEFT, top + 20), "soft", "no task had its time taken");
    };
    // (A quantile is the end of its range, which may lie beyond the longest time.)
    let longest = insights.top_5_max_task_durations.first().copied().map_or(u64::MAX, nanos);
    let at = |part| short_time(times.quantile(part).map_or(0, nanos).min(longest));
    let text_of = format!(
        "{} timed · half within {} · 95 % within {} · 99 % within {} · all within {}",
        grouped(times.count()),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
    text_to(out, (RIGHT, head), "end", &text_of)?;
    let (low, high) = ((first.0.max(1) as f64).ln(), (last.1.max(2) as f64).ln());
    let low = low.min(high - 0.7);
    let place = |time: u64| ((time.max(1) as f64).ln() - low) / (high - low);
    let mut bars = vec![0.0; BARS];
    for (from, to, count) in ranges {
        // A range that is wider than a bar is shared among those that it lies in.
        let (from, to) = (place(from) * BARS as f64, place(to.saturating_add(1)) * BARS as f64);
        let wide = (to - from).max(1e-9);
        let (start, end) = ((from.max(0.0)) as usize, to.ceil().min(BARS as f64) as usize);
        for (bar, sum) in bars.iter_mut().enumerate().take(end).skip(start) {
            let within = to.min(bar as f64 + 1.0) - from.max(bar as f64);
            *sum += count as f64 * (within / wide).clamp(0.0, 1.0);
        }
    }
    let most = bars.iter().copied().fold(0.0, f64::max).max(1e-9);
    let wide = COLUMNS / BARS;
    let shape: String = bars
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0.0)
        .map(|(bar, count)| {
            // What is there at all is seen.
            let high = (count / most * CHART as f64).max(1.0);
            let (x, y) = (LEFT + bar * wide, bottom as f64 - high);
            let bar = wide - 1;
            format!("M{x} {y:.1}h{bar}v{high:.1}h-{bar}z")
        })
        .collect();
    writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {bottom}.5H{RIGHT}\"/>")?;
    writeln!(out, "<path class=\"work\" d=\"{shape}\"/>")?;
    let mut free = 0;
    for mark in (0..19).map(|power| 10u64.pow(power)) {
        for time in [mark, 2 * mark, 5 * mark] {
            let part = place(time);
            let x = LEFT + (part.max(0.0) * COLUMNS as f64) as usize;
            // Texts have room for themselves.
            if !(0.0..=1.0).contains(&part) || x < free {
                continue;
            }
            free = x + 70;
            writeln!(out, "<path class=\"grid\" d=\"M{x}.5 {bottom}v5\"/>")?;
            let anchor = if x + 30 > RIGHT { "end" } else { "middle" };
            text_to(out, (x, bottom + 19), anchor, &round_time(time))?;
        }
    }
    Ok(())
}

/// A round time without digits behind the point.
fn round_time(nanos: u64) -> String {
    match nanos {
        ..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{} s", nanos / 1_000_000_000),
    }
}

fn draw_task(out: &mut impl Write, task: &LongTask, y: usize) -> io::Result<()> {
    let time = short_time(u64::try_from(task.duration.as_nanos()).unwrap_or(u64::MAX));
    text_to(out, (LEFT + 8, y), "end", &time)?;
    let number = |name: &str, number: Option<u64>| {
        number.map_or(String::new(), |number| format!(" · {name} {}", grouped(number)))
    };
    let item = number("item", task.item);
    // Beside the text of the arguments there is no room for more.
    let call = number("call", task.call.filter(|_| task.args.is_none()));
    text(out, (LEFT + 24, y), "text", &format!("worker {}{call}{item}", task.worker))?;
    if let Some(args) = &task.args {
        let cut = cut_to(args, (RIGHT - 340) as f64);
        writeln!(out, "<text x=\"340\" y=\"{y}\" class=\"soft code\">{}</text>", Xml(&cut))?;
    }
    Ok(())
}

/// The text, cut to so many pixels of the widest fonts that may show it.
fn cut_to(text: &str, pixels: f64) -> String {
    let wide = |character: char| if character.is_ascii() { 7.8 } else { 14.0 };
    let whole: f64 = text.chars().map(wide).sum();
    if whole <= pixels {
        return text.to_string();
    }
    let mut left = pixels - wide('…');
    let fits = |character: &char| {
        left -= wide(*character);
        left >= 0.0
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_they_would_leave_the_picture() {
        assert_eq!(cut_to("short", 100.0), "short");
        assert_eq!(cut_to(&"a".repeat(200), 100.0), format!("{}…", "a".repeat(11)));
        assert_eq!(cut_to(&"漢".repeat(20), 100.0).chars().count(), 7);
    }
}
