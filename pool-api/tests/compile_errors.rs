//! Programs that do not compile, and what the compiler says of them.
//!
//! The programs are under `compile_errors/`. What is expected of an error stands in comments below
//! the line that it points at:
//!
//! ```text
//! inner: Inner,
//! //~ message: `Inner` cannot cross a process boundary
//! //~ label: this field cannot be sent
//! //~ note: …
//! ```
//!
//! Such a text is a part of what the compiler says: the words that are this project's own. Those of
//! the compiler change with it and are not looked at, but for where its errors point: each of them
//! points at a line with an expectation, or with `//~ also` below it, and the first one has words
//! of this project.

#[path = "support/json.rs"]
mod json;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use json::Json;

/// What is expected of a program.
#[derive(Debug, Default)]
struct Expectations {
    errors: Vec<Expected>,
    /// Lines that the compiler's own errors may point at.
    also: Vec<i64>,
}

/// What is expected of an error.
#[derive(Debug, Default, Clone)]
struct Expected {
    line: i64,
    message: String,
    labels: Vec<String>,
    notes: Vec<String>,
}

/// An error, as far as it is looked at.
#[derive(Debug)]
struct Found {
    /// Of the program, where it points at.
    line: i64,
    message: String,
    /// Of the program's lines.
    labels: Vec<String>,
    /// Notes and helps, and the lines of code that they show.
    notes: Vec<String>,
    rendered: String,
}

#[test]
fn errors_lead_on() {
    let programs = programs();
    let found = check(&programs);
    let mut complaints = String::new();
    for program in &programs {
        let name = name_of(program);
        let text = fs::read_to_string(program).expect("a program");
        let Expectations { errors, also } = expectations(&text);
        assert!(!errors.is_empty(), "{name}: nothing is expected");
        let found = found.get(&name).map_or(&[][..], |found| found);
        for expected in &errors {
            if !found.iter().any(|found| found.is(expected)) {
                complaints += &format!("{name}: there is no {expected:#?}\n");
            }
        }
        let lines: Vec<i64> = errors.iter().map(|expected| expected.line).chain(also).collect();
        for found in found.iter().filter(|found| !lines.contains(&found.line)) {
            complaints += &format!("{name}: points at line {}\n", found.line);
        }
        if found.first().is_some_and(|first| !errors.iter().any(|expected| first.is(expected))) {
            complaints += &format!("{name}: the first error is not one of these\n");
        }
        if !complaints.is_empty() {
            let all: Vec<_> = found.iter().map(|found| &*found.rendered).collect();
            panic!("{complaints}\nThe compiler says:\n\n{}", all.join("\n"));
        }
    }
}

impl Found {
    fn is(&self, expected: &Expected) -> bool {
        let says = |texts: &[String], part: &String| texts.iter().any(|text| text.contains(part));
        self.line == expected.line
            && self.message.contains(&expected.message)
            && expected.labels.iter().all(|label| says(&self.labels, label))
            && expected.notes.iter().all(|note| says(&self.notes, note))
    }
}

/// The programs, in order of their names.
fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_errors");
    let entries = fs::read_dir(folder).expect("the folder of the programs");
    let mut programs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    programs.sort();
    programs
}

fn name_of(program: &Path) -> String {
    program.file_stem().expect("a file").to_string_lossy().into_owned()
}

fn expectations(text: &str) -> Expectations {
    let Expectations { errors: mut all, mut also } = Expectations::default();
    let mut code = 0;
    for (line, text) in (1..).zip(text.lines()) {
        let Some(directive) = text.trim_start().strip_prefix("//~ ") else {
            code = line;
            continue;
        };
        if directive == "also" {
            also.push(code);
            continue;
        }
        let (kind, text) = directive.split_once(": ").expect("what is expected, and a text");
        match (kind, all.last_mut()) {
            ("message", _) => {
                all.push(Expected { line: code, message: text.into(), ..Expected::default() })
            }
            ("label", Some(last)) => last.labels.push(text.into()),
            ("note", Some(last)) => last.notes.push(text.into()),
            _ => panic!("line {line}: {directive}"),
        }
    }
    Expectations { errors: all, also }
}

/// What the compiler says of each program. One run of cargo for all of them.
fn check(programs: &[PathBuf]) -> BTreeMap<String, Vec<Found>> {
    let package = package(programs);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["check", "--offline", "--keep-going", "--quiet", "--message-format=json"]);
    cargo.arg("--manifest-path").arg(package.join("Cargo.toml"));
    // That of the tests, where what the programs depend on is built already, in part.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in another");
    cargo.arg("--target-dir").arg(target).current_dir(&package);
    let output = cargo.output().expect("cargo runs");
    let (said, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut all = BTreeMap::<String, Vec<Found>>::new();
    for line in said.lines() {
        let line = Json::read(line).expect("cargo writes JSON");
        let message = line.get("message");
        let is_error = message.get("level").text() == "error";
        // One of the language, and no lint that is denied, nor how many errors there were.
        if is_error && message.get("code").get("code").text().starts_with('E') {
            let name = line.get("target").get("name").text();
            let program = programs.iter().find(|program| name_of(program) == name);
            let program = program.unwrap_or_else(|| panic!("{}", message.get("rendered").text()));
            all.entry(name.into()).or_default().push(found(message, program));
        }
    }
    assert!(!all.is_empty(), "nothing was checked: {complaints}");
    all
}

/// The package of the programs, in a folder of its own.
fn package(programs: &[PathBuf]) -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_errors");
    fs::create_dir_all(&package).expect("a folder");
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut manifest = format!(
        "[package]\nname = \"compile_errors\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\npool-api = {{ path = {this:?} }}\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n"
    );
    for program in programs {
        let name = name_of(program);
        manifest += &format!("\n[[bin]]\nname = {name:?}\npath = {program:?}\n");
    }
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    // The versions are those of the workspace, since others may not be there.
    if let Some(lock) =
        this.ancestors().map(|folder| folder.join("Cargo.lock")).find(|lock| lock.exists())
    {
        fs::copy(lock, package.join("Cargo.lock")).expect("a copy");
    }
    package
}

fn found(message: &Json, program: &Path) -> Found {
    let spans = message.get("spans").list();
    let primary = spans.iter().find(|span| *span.get("is_primary") == Json::Bool(true));
    let notes = message.get("children").list().iter().flat_map(|child| {
        let shown = child.get("spans").list().iter().flat_map(|span| span.get("text").list());
        let shown = shown.map(|line| line.get("text").text());
        [child.get("message").text()].into_iter().chain(shown).map(String::from).collect::<Vec<_>>()
    });
    Found {
        line: primary.map_or(0, |span| line_of(span, program)),
        message: message.get("message").text().into(),
        labels: spans.iter().map(|span| span.get("label").text().into()).collect(),
        notes: notes.collect(),
        rendered: message.get("rendered").text().into(),
    }
}

/// The line of the program that leads to the code, maybe through macros; 0 if none does.
fn line_of(span: &Json, program: &Path) -> i64 {
    let mut span = span;
    while *span != Json::Null {
        if program.ends_with(span.get("file_name").text()) {
            return span.get("line_start").number();
        }
        span = span.get("expansion").get("span");
    }
    0
}
