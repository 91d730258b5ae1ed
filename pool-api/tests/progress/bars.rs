//! What a terminal, and a file, has after a program that shows bars.

use std::process::{Command, Stdio};

use pool_api::StartMethod;

use crate::{
    case::{Case, Outcome},
    programs::{ITEMS, PROGRAM},
    screen::{self, Screen},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("bars_go_from_nothing_to_all", one),
    Case::new("bars_of_two_calls_have_a_line_each", two),
    Case::new("bars_are_not_torn_by_lines", torn),
    Case::new("bars_say_what_has_failed", failed),
    Case::new("bars_say_that_a_call_was_cancelled", cancelled),
    Case::new("bars_of_workers_come_and_go", steps),
    Case::new("bars_are_no_escape_codes_in_a_file", lines),
    Case::new("bars_may_be_removed_and_have_own_templates", clear),
];

fn program(method: StartMethod, name: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().expect("it is there"));
    program.args([PROGRAM, &method.to_string(), name]);
    program
}

/// What the program writes to a terminal.
fn written(method: StartMethod, name: &str) -> String {
    let (written, status) = screen::run(&mut program(method, name));
    let written = String::from_utf8(written).expect("text");
    assert!(status.success(), "{status}: {written}");
    written
}

/// The rows that end like a whole bar of all items.
fn whole<'r>(rows: &'r [String], label: &str) -> Vec<&'r String> {
    let (begin, done) = (format!("{label}100% |"), format!("| {ITEMS}/{ITEMS} ["));
    let is_whole = |row: &&String| row.starts_with(&begin) && row.contains(&done);
    rows.iter().filter(is_whole).filter(|row| row.ends_with("/s]")).collect()
}

/// The percentages that were drawn, in their order.
fn percentages(written: &str) -> Vec<u32> {
    let parts = written.split("% |").filter_map(|part| {
        let digits = part.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
        part.get(digits..)?.parse().ok()
    });
    parts.collect()
}

fn one(method: StartMethod) -> Outcome {
    let written = written(method, "one");
    let percentages = percentages(&written);
    assert!(percentages.first() == Some(&0) && percentages.last() == Some(&100), "{written:?}");
    assert!(percentages.is_sorted(), "{percentages:?}");
    let rows = Screen::of(&written).rows();
    assert_eq!((rows.len(), rows[1].as_str()), (2, "the call has returned"), "{rows:?}");
    assert_eq!(whole(&rows, "").len(), 1, "{rows:?}");
    Ok(())
}

fn two(method: StartMethod) -> Outcome {
    let rows = Screen::of(&written(method, "two")).rows();
    assert_eq!((whole(&rows, "first ").len(), whole(&rows, "second ").len()), (1, 1), "{rows:?}");
    assert_eq!(rows.len(), 2, "{rows:?}");
    Ok(())
}

fn torn(method: StartMethod) -> Outcome {
    let written = written(method, "torn");
    let mut rows = Screen::of(&written).rows();
    assert_eq!(whole(&rows, "torn ").len(), 1, "{rows:?}");
    rows.retain(|row| !row.starts_with("torn 100% |"));
    let mut expected: Vec<_> = (0..20)
        .flat_map(|n| [format!("line {n} of println"), format!("line {n} of stderr")])
        .collect();
    if method != StartMethod::Threads {
        let items =
            (0..ITEMS).flat_map(|x| [format!("item {x} on stdout"), format!("item {x} on stderr")]);
        expected.extend(items);
    }
    expected.sort();
    rows.sort();
    assert_eq!(rows, expected);
    // Nor was it at any time while it was drawn.
    for (at, _) in written.match_indices("\r\n") {
        let rows = Screen::of(&written[..at]).rows();
        let is_torn = |row: &&String| row.contains('|') && row.contains(" of ");
        assert_eq!(rows.iter().find(is_torn), None);
    }
    Ok(())
}

fn failed(method: StartMethod) -> Outcome {
    let rows = Screen::of(&written(method, "failed")).rows();
    let is_failed = |row: &&String| row.starts_with("failed ") && row.contains("] failed: task 7");
    let is_counted =
        |row: &&String| row.starts_with("counted 100% |") && row.ends_with(" 1 failed");
    assert_eq!(rows.iter().filter(is_failed).count(), 1, "{rows:?}");
    assert_eq!(rows.iter().filter(is_counted).count(), 1, "{rows:?}");
    // Under Threads the panic itself is printed, too.
    assert!(rows.len() == 2 || method == StartMethod::Threads, "{rows:?}");
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    let rows = Screen::of(&written(method, "cancelled")).rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert!(row.starts_with("cancelled ") && row.ends_with("] cancelled"), "{rows:?}");
    Ok(())
}

fn steps(method: StartMethod) -> Outcome {
    let written = written(method, "steps");
    assert!(written.contains("worker 0 ") && written.contains("worker 1 "), "{written:?}");
    let rows = Screen::of(&written).rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert!(row.starts_with("steps 100% |") && row.contains("| 2/2 ["), "{rows:?}");
    Ok(())
}

fn lines(method: StartMethod) -> Outcome {
    let output = program(method, "lines").stdin(Stdio::null()).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && output.stdout.is_empty(), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let of = |label: &str| {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{label}: ")));
        lines.collect::<Vec<_>>()
    };
    let (bar, own) = (of("asked for"), of("lines"));
    assert_eq!(bar.len() + own.len(), text.lines().count(), "{text}");
    assert!(bar[0].starts_with("asked for: 0/60 (0 %), "), "{text}");
    assert!(bar[bar.len() - 1].starts_with("asked for: 60/60 (100 %), "), "{text}");
    assert!(own.len() > 2 && own[0].starts_with("lines: 0, "), "{text}");
    assert!(own[own.len() - 1].starts_with("lines: 60/60 (100 %), "), "{text}");
    Ok(())
}

fn clear(method: StartMethod) -> Outcome {
    let written = written(method, "clear");
    assert!(written.contains("clear "), "{written:?}");
    let rows = Screen::of(&written).rows();
    assert_eq!(rows, ["what follows", "[own 60/60]"]);
    Ok(())
}
