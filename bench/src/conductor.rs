//! Starts a fresh copy of this program for every part, gathers its lines, prints and keeps them.
//!
//! Invariant: a copy that does not end is killed, and the others are measured nevertheless.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Outcome, PART, Part, bout::MARK, chart, environment::Environment, line::Line, options::Options,
    report,
};

/// The time limit of a part; no part takes half of it on two idle CPUs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures all of `parts`, or those of the rows that were asked for; returns whether all of them
/// came to their end.
pub(crate) fn conduct(parts: &[Part], options: &Options) -> Outcome<bool> {
    let Options { quick, json, svg, rows } = options;
    let begun = Instant::now();
    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(json)?;
    let before = Environment::read();
    writeln!(file, "{}", before.to_json(run))?;
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    for part in parts {
        if !rows.is_empty() && !rows.iter().any(|row| row == part.row()) {
            continue;
        }
        eprintln!("{:4.0} s  {}", begun.elapsed().as_secs_f64(), part.name);
        let known = lines.len();
        if let Err(error) = measure(part.name, *quick, &mut lines) {
            failures.push(format!("{}: {error}", part.name));
        }
        for line in &lines[known..] {
            writeln!(file, "{}", line.to_json(run))?;
        }
    }
    report::print(&lines);
    println!("\n{before}");
    println!("load at the end  {}", Environment::read().load);
    println!("took             {:.0} s", begun.elapsed().as_secs_f64());
    println!("also in          {}", json.display());
    if let Some(path) = svg {
        fs::write(path, chart::draw(&lines, &before))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("picture          {}", path.display());
    }
    for failure in &failures {
        println!("FAILED           {failure}");
    }
    Ok(failures.is_empty())
}

/// Lets a copy measure one part.
fn measure(part: &str, quick: bool, lines: &mut Vec<Line>) -> Outcome {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([PART, part]).args(quick.then_some("--quick"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no pipe to the copy")?;
    let (sender, printed) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let until = Instant::now() + DEADLINE;
    loop {
        match printed.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(text) => match text.strip_prefix(MARK).map(Line::from_tabs) {
                Some(Some(line)) => lines.push(line),
                _ => eprintln!("{part}: {text}"),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Err(format!("did not end within {DEADLINE:?}").into());
            }
        }
    }
    let status = child.wait()?;
    reader.join().map_err(|_| "the reader panicked")?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}
