//! The results as one self-contained picture, light and dark.

use std::fmt::Write;

use crate::{
    conductor::{Measured, Results},
    table::{Machine, is_serial},
};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest one is.
const LEFT: f64 = 120.0;
const LONGEST: f64 = 380.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;

const STYLE: &str = "
  .back { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .small { font-size: 11px; fill: #59636e }
  .serial { fill: #8c959f } .other { fill: #bf8700 } .pool { fill: #0969da } .python { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 }
    .serial { fill: #656c76 } .other { fill: #d29922 } .pool { fill: #4493f8 } .python { fill: #ab7df8 }
  }
";

/// The picture as text.
pub(crate) fn draw(all: &[Results], machine: &Machine) -> String {
    let mut body = String::new();
    let mut y = 28.0;
    for results in all {
        block(&mut body, &mut y, results, machine);
    }
    legend(&mut body, y);
    let foot = format!(
        "Median seconds, less is better; the share is that of the ideal speed of {} CPUs over the serial run of",
        machine.usable
    );
    let second = format!(
        "the language; MiB: all processes together. {} CPUs of {}, {}, load before {}",
        machine.usable, machine.model, machine.date, machine.load
    );
    for (line, text) in [foot, second].iter().enumerate() {
        let y = y + 26.0 + 16.0 * line as f64;
        let _ = writeln!(body, "<text class=\"small\" x=\"16\" y=\"{y}\">{}</text>", escaped(text));
    }
    let height = y + 56.0;
    let named = "Times of three benchmarks, serial and by each way of running them in parallel";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{named}\">\n\
         <title>{named}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n"
    )
}

fn block(body: &mut String, y: &mut f64, results: &Results, machine: &Machine) {
    let title = escaped(results.benchmark.title());
    let _ = writeln!(body, "<text class=\"title\" x=\"16\" y=\"{y}\">{title}</text>");
    *y += 10.0;
    let most = results.measured.iter().map(|measured| measured.seconds).fold(0.0, f64::max);
    for measured in &results.measured {
        let len = (measured.seconds / most * LONGEST).max(1.0);
        let base = *y + 13.0;
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{len:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{}</text>",
            LEFT - 8.0,
            escaped(&measured.subject),
            class(measured),
            LEFT + len + 6.0,
            escaped(&label(results, measured, machine))
        );
        *y += STEP;
    }
    *y += 28.0;
}

fn label(results: &Results, measured: &Measured, machine: &Machine) -> String {
    let share = results.efficiency(measured, machine.usable);
    let share = share.map_or(String::new(), |share| format!(" · {:.0} %", share * 100.0));
    format!("{:.2} s{share} · {:.0} MiB", measured.seconds, measured.mebibytes)
}

fn class(measured: &Measured) -> &'static str {
    match &*measured.subject {
        _ if is_serial(measured) => "serial",
        _ if measured.is_python => "python",
        "rayon" => "other",
        _ => "pool",
    }
}

fn legend(body: &mut String, y: f64) {
    let kinds = [
        ("serial", "one after the other"),
        ("pool", "this pool"),
        ("other", "rayon"),
        ("python", "pools in Python"),
    ];
    let mut x = 16.0;
    for (class, text) in kinds {
        let _ = writeln!(
            body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>\
             <text class=\"small\" x=\"{}\" y=\"{y}\">{text}</text>",
            y - 10.0,
            x + 17.0
        );
        x += 42.0 + 7.0 * text.len() as f64;
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
