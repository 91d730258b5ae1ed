//! Progress as a bar in the terminal.
//!
//! Invariant: a text is checked before the call starts, and a failure's text is put into one line,
//! so nothing that is shown can break a bar's line.

use std::{
    fmt,
    panic::catch_unwind,
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{
    line::{LONGEST_LEFT, Numbers, line},
    rendered::{cut, line_of},
    report::{
        IntoProgress, Progress, ProgressOption, check_interval, check_text, in_one_line, sealed,
    },
    terminal::{bars, is_terminal, println, terminal_width},
};
use crate::{
    calls::{Outcome, WorkerSteps},
    panic::{self, take_panic},
};

/// A bar whose total is known; `{prefix}` is the text of the user.
const WITH_TOTAL: &str =
    "{prefix}{percent:>3}% |{wide_bar}| {pos}/{len} [{elapsed}<{eta}, {per_sec}]{msg}";
/// A bar whose total is not known.
const WITHOUT_TOTAL: &str = "{prefix}{pos} [{elapsed}, {per_sec}]{msg}";
/// The line of a worker whose task reports steps.
const OF_WORKER: &str = "{prefix} {percent:>3}% |{wide_bar}| {pos}/{len} [{elapsed}<{eta}]";
/// The line of a worker whose task does not know how many steps there are.
const OF_WORKER_WITHOUT_TOTAL: &str = "{prefix} step {pos} [{elapsed}]";
/// The keys of a template.
const KEYS: [&str; 18] = [
    "bar",
    "wide_bar",
    "spinner",
    "prefix",
    "msg",
    "wide_msg",
    "pos",
    "human_pos",
    "len",
    "human_len",
    "percent",
    "percent_precise",
    "per_sec",
    "elapsed",
    "elapsed_precise",
    "eta",
    "eta_precise",
    "duration",
];
/// Time between two lines where a bar is asked for and there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// A bar in the terminal: percent, done and total, time, remaining time, rate. Every call has a
/// line of its own; bars of the program have theirs among them by [`bars`](super::bars).
///
/// Where standard error is no terminal, nothing is shown, unless [`always`](Bar::always) asks for
/// lines of text.
///
/// ```
/// let bar = pool_core::Bar::new().message("words");
/// // words  24% |██████▎                   | 1200/5000 [5s<16s, 240.0/s]
/// ```
#[derive(Debug, Clone)]
pub struct Bar {
    message: String,
    template: Option<String>,
    interval: Duration,
    always: bool,
    clear: bool,
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Bar {
    /// The bar that `progress(true)` shows.
    #[must_use]
    pub fn new() -> Self {
        let (message, template) = (String::new(), None);
        let interval = Duration::from_millis(100);
        Self { message, template, interval, always: false, clear: false }
    }

    /// A text before the bar; none without it. A text with control characters, such as the end of
    /// a line, or with characters that change the direction of others refuses the call:
    /// `Error::InvalidInput`.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.message = text.into();
        self
    }

    /// The line, as [`indicatif`](https://docs.rs/indicatif) has it: text with `{bar}`,
    /// `{wide_bar}`, `{spinner}`, `{prefix}` (the message), `{msg}` (failures), `{pos}`,
    /// `{human_pos}`, `{len}`, `{human_len}`, `{percent}`, `{percent_precise}`, `{per_sec}`,
    /// `{elapsed}`, `{elapsed_precise}`, `{eta}`, `{eta_precise}`, `{duration}` or `{wide_msg}` in
    /// it, each with a width and colours if wanted: `{bar:40.cyan}`. Another name, a width above
    /// 65535, characters that [`message`](Self::message) refuses, or a brace without its pair
    /// refuses the call: `Error::InvalidInput`.
    #[must_use]
    pub fn template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }

    /// The time between two drawings, from 10 ms to 24 h, otherwise the call is
    /// `Error::InvalidInput`; 100 ms without it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Whether a line of text is written at the beginning, every 5 seconds and at the end where
    /// standard error is no terminal; without it nothing is.
    #[must_use]
    pub fn always(mut self, on: bool) -> Self {
        self.always = on;
        self
    }

    /// Whether the bar is removed at the end of a call that has not failed; without it, it stays.
    #[must_use]
    pub fn clear(mut self, on: bool) -> Self {
        self.clear = on;
        self
    }

    fn check(&self) -> Result<(), String> {
        check_text("message", &self.message)?;
        check_interval(self.interval)?;
        if let Some(template) = &self.template {
            check_text("template", template)?;
            check_keys(template)?;
            style(template)?;
        }
        Ok(())
    }

    fn style(&self, total: Option<u64>) -> ProgressStyle {
        let own = if total.is_some() { WITH_TOTAL } else { WITHOUT_TOTAL };
        let template = self.template.as_deref().unwrap_or(own);
        // Checked before the call started.
        style(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    }
}

fn style(template: &str) -> Result<ProgressStyle, String> {
    let unreadable = |why: &dyn fmt::Display| {
        format!("progress: the template cannot be read: {}", in_one_line(&why.to_string()))
    };
    // It is of the user, and `indicatif` panics at some.
    let made = panic::in_task(|| catch_unwind(|| ProgressStyle::with_template(template)));
    let style = match made {
        Ok(style) => style.map_err(|error| unreadable(&error))?,
        Err(payload) => {
            drop(take_panic(payload));
            return Err(unreadable(&"its parser has panicked"));
        }
    };
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = match state.eta() {
            left if left > LONGEST_LEFT => out.write_char('?'),
            left => write!(out, "{:#}", HumanDuration(left)),
        };
    };
    let style = style.progress_chars("█▉▊▋▌▍▎▏ ").with_key("per_sec", rate);
    Ok(style.with_key("eta", left))
}

/// Refuses names that mean nothing, which would just be missing in the bar.
fn check_keys(template: &str) -> Result<(), String> {
    let plain = template.replace("{{", "").replace("}}", "");
    let mut parts = plain.split('{');
    let first = parts.next().unwrap_or_default();
    let unpaired = || Err("progress: the template has a brace without its pair".to_string());
    if first.contains('}') {
        return unpaired();
    }
    for part in parts {
        let Some((key, rest)) = part.split_once('}') else { return unpaired() };
        if rest.contains('}') {
            return unpaired();
        }
        let name = key.split(':').next().unwrap_or_default();
        if !KEYS.contains(&name) {
            return Err(format!("progress: the template has the unknown name {name:?}"));
        }
        let mut numbers = key[name.len()..].split(|c: char| !c.is_ascii_digit());
        let is_wide = |number: &&str| !number.is_empty() && number.parse::<u16>().is_err();
        if let Some(number) = numbers.find(is_wide) {
            return Err(format!(
                "progress: a width in the template must be at most 65535, got {number}"
            ));
        }
    }
    Ok(())
}

/// A bar, or the lines instead of it.
struct Shown {
    options: Bar,
    terminal: bool,
    /// `None` before the beginning, and where there is no terminal.
    bar: Option<ProgressBar>,
    /// Those of workers, by their ids.
    workers: Vec<(u32, ProgressBar)>,
    began: Instant,
    numbers: Numbers,
    /// The time of the last line.
    said: Option<Instant>,
}

impl Shown {
    fn say(&mut self, end: Option<&Outcome>) {
        self.said = Some(Instant::now());
        self.numbers.elapsed = self.began.elapsed();
        let label =
            if self.options.message.is_empty() { "progress" } else { &self.options.message };
        let end = match end {
            None | Some(Outcome::Done) => String::new(),
            Some(outcome) => format!(", {}", in_one_line(&outcome.to_string())),
        };
        println(&format!("{label}: {}{end}", line(self.numbers)));
    }
}

impl Progress for Shown {
    fn begin(&mut self, total: Option<u64>) {
        (self.began, self.numbers.total) = (Instant::now(), total);
        if !self.terminal {
            return self.say(None);
        }
        // Hidden until it has its place: otherwise it would be drawn without.
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
            .with_style(self.options.style(total));
        let message = &self.options.message;
        let prefix = if message.is_empty() { String::new() } else { format!("{message} ") };
        let bar = bars().add(bar.with_prefix(prefix));
        bar.tick();
        self.bar = Some(bar);
    }

    fn advance(&mut self, done: u64, failed: u64) {
        (self.numbers.done, self.numbers.failed) = (done, failed);
        match &self.bar {
            Some(bar) => {
                if failed > 0 {
                    bar.set_message(format!(" {failed} failed"));
                }
                bar.set_position(done);
                bar.tick();
            }
            None if self.said.is_none_or(|said| said.elapsed() >= LINES) => self.say(None),
            None => {}
        }
    }

    fn steps(&mut self, steps: &[WorkerSteps]) {
        let Some(bar) = &self.bar else { return };
        self.workers.retain(|(worker, line)| {
            let stays = steps.iter().any(|steps| steps.worker == *worker);
            if !stays {
                line.finish_and_clear();
                bars().remove(line);
            }
            stays
        });
        for steps in steps {
            let known = self.workers.iter().position(|(worker, _)| *worker == steps.worker);
            let at = known.unwrap_or_else(|| {
                let hidden = ProgressDrawTarget::hidden();
                let line = ProgressBar::with_draw_target(Some(steps.total), hidden);
                if let Ok(style) = style(OF_WORKER) {
                    line.set_style(style);
                }
                line.set_prefix(format!("  worker {}", steps.worker));
                // Below the bar, in the order of their ids.
                let before = self.workers.iter().rposition(|(worker, _)| *worker < steps.worker);
                let above = before.map_or(bar, |before| &self.workers[before].1);
                let line = bars().insert_after(above, line);
                let at = before.map_or(0, |before| before + 1);
                self.workers.insert(at, (steps.worker, line));
                at
            });
            let line = &self.workers[at].1;
            let (has_total, had_total) = (steps.total > 0, line.length().is_some());
            if has_total != had_total {
                let template = if has_total { OF_WORKER } else { OF_WORKER_WITHOUT_TOTAL };
                if let Ok(style) = style(template) {
                    line.set_style(style);
                }
            }
            if has_total {
                line.set_length(steps.total);
                line.set_position(steps.done.min(steps.total));
            } else {
                line.unset_length();
                line.set_position(steps.done);
            }
            line.tick();
        }
    }

    fn total(&mut self, total: u64) {
        self.numbers.total = Some(total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_style(self.options.style(Some(total)));
        }
    }

    fn end(&mut self, outcome: &Outcome) {
        let Some(bar) = &self.bar else { return self.say(Some(outcome)) };
        let (bars, is_done) = (bars(), *outcome == Outcome::Done);
        if is_done && self.options.clear {
            bar.finish_and_clear();
            return bars.remove(bar);
        }
        bars.remove(bar);
        if !is_done {
            // A longer text would leave no room for the bar.
            let most = usize::from(terminal_width()) * 2 / 5;
            bar.set_message(format!(" {}", cut(&in_one_line(&outcome.to_string()), most)));
        }
        // A line of text from now on: `indicatif` removes bars that have ended when other text is
        // written between them.
        let line = line_of(bar);
        let _ = bars.println(line);
    }

    fn interval(&self) -> Duration {
        self.options.interval
    }
}

impl sealed::Sealed for Bar {}
impl IntoProgress for Bar {
    fn into_progress(self) -> Option<ProgressOption> {
        if let Err(why) = self.check() {
            return Some(ProgressOption::refused(why));
        }
        let terminal = is_terminal();
        if !terminal && !self.always {
            return None;
        }
        let numbers = Numbers { done: 0, failed: 0, total: None, elapsed: Duration::ZERO };
        let began = Instant::now();
        Some(ProgressOption::new(Shown {
            options: self,
            terminal,
            bar: None,
            workers: Vec::new(),
            began,
            numbers,
            said: None,
        }))
    }
}

impl sealed::Sealed for bool {}
impl IntoProgress for bool {
    fn into_progress(self) -> Option<ProgressOption> {
        if self { Bar::new().into_progress() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_checked() {
        for template in
            [WITH_TOTAL, WITHOUT_TOTAL, "{{x}} {bar:40.cyan/blue} {pos:>7}", "", "plain"]
        {
            assert_eq!(Bar::new().template(template).check(), Ok(()), "{template:?}");
        }
        for template in ["{unknown}", "{bar", "bar}", "{pos} }", "a\nb", "\0", "{}", "{bar:40.cyan"]
        {
            let refused = Bar::new().template(template).check().expect_err(template);
            assert!(refused.starts_with("progress: "), "{refused}");
        }
    }

    #[test]
    fn widths_have_a_range() {
        for template in ["{bar:0}", "{bar:65535}", "{pos:>65535}", "{prefix:^65535!.red/blue}"] {
            assert_eq!(Bar::new().template(template).check(), Ok(()), "{template:?}");
        }
        for template in [
            "{bar:65536}",
            "{bar:99999999999}",
            "{pos:>184467440737095516160}",
            "{prefix:^70000!}",
            "{bar:40}{msg:<70000.red}",
        ] {
            let refused = Bar::new().template(template).check().expect_err(template);
            assert!(refused.starts_with("progress: a width"), "{refused}");
        }
    }

    #[test]
    fn what_the_parser_panics_at_is_refused() {
        // (Without the check of widths.)
        let refused = style("{bar:99999999999}").map(drop).expect_err("it is no width");
        assert!(refused.starts_with("progress: the template cannot be read"), "{refused}");
    }

    #[test]
    fn lines_of_workers_say_nothing_absurd() {
        let line = ProgressBar::with_draw_target(Some(u64::MAX), ProgressDrawTarget::hidden());
        let line = line.with_style(style(OF_WORKER).unwrap()).with_elapsed(Duration::from_secs(9));
        line.set_position(1);
        let text = line_of(&line);
        assert!(text.contains("0%") && !text.contains('y'), "{text}");
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        line.set_style(style(OF_WORKER_WITHOUT_TOTAL).unwrap());
        line.set_position(7);
        let text = line_of(&line);
        assert!(text.contains(" 7 [") && !text.contains('%'), "{text}");
    }

    #[test]
    fn intervals_have_a_range() {
        for interval in [Duration::ZERO, Duration::from_millis(9), Duration::MAX] {
            assert!(Bar::new().interval(interval).check().is_err(), "{interval:?}");
        }
        for interval in [Duration::from_millis(10), Duration::from_secs(24 * 60 * 60)] {
            assert_eq!(Bar::new().interval(interval).check(), Ok(()));
        }
    }
}
