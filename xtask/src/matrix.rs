//! The matrix: cells in rows and columns, run one after the other, printed as a table.
//!
//! Invariant: the last line printed is `N passed, M failed`, with `, K skipped` behind it when a
//! cell was skipped; the exit code is 0 only when M is 0.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, io};

use crate::deadline::{self, End};
use crate::table;

/// How many lines of a failed command are shown.
const SHOWN_LINES: usize = 400;

/// The conformance suite is in `pool-api`.
const SUITE_NOT_OPTIMISED: &str = "profile.release.package.pool-api.opt-level=0";

/// A column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    pub(crate) const BOTH: [Profile; 2] = [Profile::Debug, Profile::Release];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Debug => "debug",
            Profile::Release => "release",
        }
    }

    /// The flags for cargo where tests are built. In release the crates are optimised, but not
    /// `pool-api` with its tests, unless `POOL_FULL_COUNTS` is set: the conformance suite is more
    /// machine code than all crates together, and takes four times as long with optimisations.
    pub(crate) fn test_flags(self) -> &'static [&'static str] {
        match self {
            Profile::Debug => &[],
            Profile::Release if env::var_os("POOL_FULL_COUNTS").is_some() => &["--release"],
            Profile::Release => &["--release", "--config", SUITE_NOT_OPTIMISED],
        }
    }

    /// The flag for cargo.
    pub(crate) fn flag(self) -> Option<&'static str> {
        (self == Profile::Release).then_some("--release")
    }
}

/// Why a cell did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The failure in one sentence, or with a command's output.
    Failed(String),
    /// The means that this machine lacks.
    Skipped(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Failed(error.to_string())
    }
}

/// The result of a cell's work.
pub(crate) type Verdict = Result<(), Stop>;

type Work = Box<dyn FnOnce(&Steps) -> Verdict>;

struct Cell {
    row: String,
    profile: Profile,
    method: Option<&'static str>,
    work: Work,
}

/// Cells in the order in which they run.
#[derive(Default)]
pub(crate) struct Matrix {
    cells: Vec<Cell>,
}

/// Which cells run, and how they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Only the cells of these start methods, unless empty.
    pub(crate) methods: Vec<String>,
    /// Only rows whose name contains one of these, unless empty.
    pub(crate) only: Vec<String>,
    /// Print the cells, run none.
    pub(crate) list: bool,
    /// Show the output of every command.
    pub(crate) verbose: bool,
    /// A cell that has not begun by then fails, so that the closing lines are reached in time.
    pub(crate) budget: Option<Duration>,
}

impl Matrix {
    /// Adds a cell.
    pub(crate) fn add(
        &mut self,
        row: impl Into<String>,
        profile: Profile,
        work: impl FnOnce(&Steps) -> Verdict + 'static,
    ) {
        self.cells.push(Cell { row: row.into(), profile, method: None, work: Box::new(work) });
    }

    /// Adds a cell that is about one start method.
    pub(crate) fn add_for(
        &mut self,
        method: Option<&'static str>,
        row: impl Into<String>,
        profile: Profile,
        work: impl FnOnce(&Steps) -> Verdict + 'static,
    ) {
        self.cells.push(Cell { row: row.into(), profile, method, work: Box::new(work) });
    }

    /// Runs the selected cells and prints the table.
    pub(crate) fn run(mut self, selection: &Selection) -> ExitCode {
        let Selection { methods, only, .. } = selection;
        self.cells.retain(|cell| {
            let has_method = cell.method.is_some_and(|method| methods.iter().any(|m| m == method));
            let has_name = only.iter().any(|text| cell.row.contains(text.as_str()));
            (methods.is_empty() || has_method) && (only.is_empty() || has_name)
        });
        if selection.list {
            for cell in &self.cells {
                println!("{}, {}", cell.row, cell.profile.name());
            }
            return ExitCode::SUCCESS;
        }
        let started = Instant::now();
        let steps = Steps {
            verbose: selection.verbose,
            until: selection.budget.map(|budget| started + budget),
        };
        let mut report = Report::default();
        for cell in self.cells {
            println!("\n== {}, {}", cell.row, cell.profile.name());
            let begun = Instant::now();
            let verdict = (cell.work)(&steps);
            let took = begun.elapsed();
            match &verdict {
                Ok(()) => println!("   passed in {:.1} s", took.as_secs_f64()),
                Err(Stop::Skipped(reason)) => println!("   skipped: {reason}"),
                Err(Stop::Failed(reason)) => {
                    println!("   FAILED after {:.1} s: {reason}", took.as_secs_f64());
                }
            }
            report.enter(cell.row, cell.profile, &verdict, took);
        }
        print!("\n{}", report.text(started.elapsed()));
        if report.failed.is_empty() && report.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// How the cells ended.
#[derive(Default)]
struct Report {
    rows: Vec<String>,
    cells: BTreeMap<(usize, Profile), String>,
    passed: usize,
    skipped: usize,
    failed: Vec<String>,
}

impl Report {
    fn enter(&mut self, row: String, profile: Profile, verdict: &Verdict, took: Duration) {
        let word = match verdict {
            Ok(()) => "passed",
            Err(Stop::Skipped(_)) => "skipped",
            Err(Stop::Failed(_)) => "FAILED",
        };
        match verdict {
            Ok(()) => self.passed += 1,
            Err(Stop::Skipped(_)) => self.skipped += 1,
            Err(Stop::Failed(_)) => self.failed.push(format!("{row}, {}", profile.name())),
        }
        let index = self.rows.iter().position(|known| *known == row).unwrap_or_else(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        let text = format!("{word:<7} {:>6.1} s", took.as_secs_f64());
        self.cells.insert((index, profile), text);
    }

    fn text(&self, took: Duration) -> String {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let cell = |profile| {
                    self.cells.get(&(index, profile)).cloned().unwrap_or_else(|| "-".to_owned())
                };
                vec![row.clone(), cell(Profile::Debug), cell(Profile::Release)]
            })
            .collect();
        let mut text = table::render(&["cell", "debug", "release"], &rows);
        let _ = writeln!(text, "\nin {:.0} s", took.as_secs_f64());
        for cell in &self.failed {
            let _ = writeln!(text, "failed: {cell}");
        }
        let _ = write!(text, "{} passed, {} failed", self.passed, self.failed.len());
        if self.skipped > 0 {
            let _ = write!(text, ", {} skipped", self.skipped);
        }
        text.push('\n');
        text
    }
}

/// Runs the commands of a cell.
#[derive(Debug)]
pub(crate) struct Steps {
    verbose: bool,
    until: Option<Instant>,
}

impl Steps {
    /// Runs a command to its end and returns its output, stdout and stderr as they came.
    ///
    /// Closing lines of tests are passed on, and their skipped tests; the rest is shown only when
    /// the command fails.
    ///
    /// # Errors
    ///
    /// The command failed, or was not done within `limit`.
    pub(crate) fn run(&self, command: Command, limit: Duration) -> Result<String, Stop> {
        let shown = shown(&command);
        let limit = match self.until {
            None => limit,
            Some(until) => limit.min(until.saturating_duration_since(Instant::now())),
        };
        if limit.is_zero() {
            return Err(Stop::Failed(format!("no time left for: {shown}")));
        }
        if self.verbose {
            println!("$ {shown}");
        }
        let mut lines = Vec::new();
        let end = deadline::run(command, limit, |line| {
            if self.verbose || line.starts_with("test result:") || line.starts_with("skipped:") {
                println!("{line}");
            }
            lines.push(line);
        });
        let reason = match end {
            Ok(End::Exited(status)) if status.success() => return Ok(lines.join("\n")),
            Ok(End::Exited(status)) => status.to_string(),
            Ok(End::Deadline(limit)) => format!("killed after {:.0} s", limit.as_secs_f64()),
            Ok(End::LeftProcesses) => "left processes behind that hold its output".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut text = format!("{reason}\n$ {shown}\n");
        if !self.verbose {
            let hidden = lines.len().saturating_sub(SHOWN_LINES);
            if hidden > 0 {
                let _ = writeln!(text, "({hidden} lines left out)");
            }
            text.push_str(&lines[hidden..].join("\n"));
        }
        Err(Stop::Failed(text))
    }
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let mut text = String::new();
    if let Some(folder) = command.get_current_dir() {
        let _ = write!(text, "cd {} && ", quoted(folder.as_os_str()));
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={} ", name.to_string_lossy(), quoted(value));
        }
    }
    let program = std::path::Path::new(command.get_program()).file_name();
    text.push_str(&quoted(program.unwrap_or(command.get_program())));
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(argument));
    }
    text
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_report_ends_with_the_plain_line() {
        let mut report = Report::default();
        report.enter("a".into(), Profile::Debug, &Ok(()), SECOND);
        report.enter("b".into(), Profile::Debug, &Err(Stop::Skipped("no git".into())), SECOND);
        report.enter("a".into(), Profile::Release, &Err(Stop::Failed("no".into())), SECOND);
        let expected = "\
cell   debug              release
----   ----------------   ----------------
a      passed     1.0 s   FAILED     1.0 s
b      skipped    1.0 s   -

in 3 s
failed: a, release
1 passed, 1 failed, 1 skipped
";
        assert_eq!(report.text(3 * SECOND), expected);
        let mut report = Report::default();
        report.enter("a".into(), Profile::Debug, &Ok(()), SECOND);
        assert!(report.text(SECOND).ends_with("\nin 1 s\n1 passed, 0 failed\n"));
    }

    #[test]
    fn a_failed_step_shows_its_command_and_output() {
        let steps = Steps { verbose: false, until: None };
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; exit 7"]).env("A", "b c");
        let Err(Stop::Failed(text)) = steps.run(command, 60 * SECOND) else { panic!("it passed") };
        assert_eq!(text, "exit status: 7\n$ A='b c' sh -c 'echo out; exit 7'\nout");
    }

    #[test]
    fn nothing_starts_when_the_time_is_up() {
        let steps = Steps { verbose: false, until: Some(Instant::now()) };
        let Err(Stop::Failed(text)) = steps.run(Command::new("no-such-program"), SECOND) else {
            panic!("it passed")
        };
        assert_eq!(text, "no time left for: no-such-program");
    }
}
