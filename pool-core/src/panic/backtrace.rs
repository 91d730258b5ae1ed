//! The part of a backtrace that is the task's own.
//!
//! Invariant: a frame of the user's that the panic came through stays; so does a frame without a
//! name that is known here.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    fmt::Write,
};

/// The name that marks the end of std's own frames of a panic.
const PANIC: &str = "__rust_end_short_backtrace";

/// Modules that call the user's code. `job` is not listed, since a task may have called it; nor is
/// the rest of `child` and `process`.
/// (`roles.rs` tests that these are the modules' names.)
pub(crate) const CALLERS: [&str; 9] = [
    "pool_core::panic::",
    "pool_core::task::",
    "pool_core::hooks::",
    "pool_core::shared::",
    "pool_core::worker::",
    "pool_core::child::work::",
    "pool_core::child::run::",
    "pool_core::threads::",
    "pool_core::process::thread::",
];

/// The frames of a panic, if the environment asks for them.
pub(crate) fn capture() -> Option<Backtrace> {
    let backtrace = Backtrace::capture();
    (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace)
}

/// The frames from the start of the task to the panic; all frames if the environment says `full`.
pub(crate) fn of_task(backtrace: &Backtrace) -> String {
    let text = backtrace.to_string();
    let asked = env::var_os("RUST_LIB_BACKTRACE").or_else(|| env::var_os("RUST_BACKTRACE"));
    if asked.is_some_and(|asked| asked == "full") { text } else { cut(&text) }
}

/// Cuts off the frames of the panic itself, and those that lead to the task.
fn cut(text: &str) -> String {
    let frames = frames(text);
    let Some(last) = frames.iter().position(|frame| frame.name.contains(PANIC)) else {
        return text.to_string(); // the user's frames may begin anywhere
    };
    let own = &frames[last + 1..];
    let end = own.iter().position(Frame::leads_to_a_task).unwrap_or(own.len());
    let mut text = String::new();
    for (number, frame) in own[..end].iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{number:4}: {}", frame.name);
        frame.places.iter().for_each(|place| text.extend([place, "\n"]));
    }
    text
}

struct Frame<'t> {
    name: &'t str,
    /// The lines below the name: file and line.
    places: Vec<&'t str>,
}

impl Frame<'_> {
    fn leads_to_a_task(&self) -> bool {
        let name = self.name.strip_prefix('<').unwrap_or(self.name);
        CALLERS.iter().any(|caller| name.starts_with(caller))
    }
}

/// Splits a backtrace into frames. A frame begins with a line that has a number and a name; what
/// comes before the first one is dropped.
fn frames(text: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in text.lines() {
        match line.trim_start().split_once(": ") {
            Some((number, name)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                frames.push(Frame { name, places: Vec::new() });
            }
            _ => {
                if let Some(frame) = frames.last_mut() {
                    frame.places.push(line);
                }
            }
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "   0: pool_core::panic::catch::learn_locations::{{closure}}
             at ./pool-core/src/worker/panic.rs:51:33
   1: std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler::{closure#0}, !>
             at /rustc/library/std/src/sys/backtrace.rs:182:18
   2: core::panicking::panic_fmt
             at /rustc/library/core/src/panicking.rs:80:14
   3: app::deep
             at ./src/main.rs:4:5
   4: pool_core::job::read
   5: app::task
   6: <pool_core::task::form::Plain<A,R> as pool_core::task::form::Form>::call_at
             at ./pool-core/src/task/form.rs:211:12
   7: app::main
";

    #[test]
    fn frames_of_the_task_stay() {
        let cut = cut(WHOLE);
        let names: Vec<_> = frames(&cut).iter().map(|frame| frame.name).collect();
        assert_eq!(
            names,
            ["core::panicking::panic_fmt", "app::deep", "pool_core::job::read", "app::task"]
        );
        assert!(cut.starts_with("   0: core::panicking::panic_fmt\n             at /rustc/"));
        assert!(cut.contains("   1: app::deep\n             at ./src/main.rs:4:5\n   2: "));
    }

    #[test]
    fn frames_without_names_stay() {
        let unnamed = "   0: <unknown>\n   1: <unknown>\n";
        assert_eq!(cut(unnamed), unnamed);
        let (_, unmarked) = WHOLE.split_once("   2: ").expect("there is one");
        assert_eq!(cut(unmarked), unmarked);
        assert_eq!(cut(""), "");
    }
}
