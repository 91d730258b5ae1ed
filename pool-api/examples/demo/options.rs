//! The command line.

use std::{env, path::PathBuf};

use pool_api::{StartMethod, usable_cpus};

pub(crate) const USAGE: &str = "\
usage: demo [--jobs N] [--method fork|forkserver|spawn|threads]... [--top N] [--dashboard] [FOLDER]...

Reads all Rust files of the folders (without any: of the crates that Cargo has downloaded), serially
and with each start method, and compares results and times.

With --dashboard (and the feature `dashboard`) a page in the browser shows what it does, until Enter
is pressed.";

/// What the user asks for.
pub(crate) struct Options {
    pub(crate) jobs: usize,
    pub(crate) methods: Vec<StartMethod>,
    pub(crate) top: usize,
    pub(crate) dashboard: bool,
    pub(crate) folders: Vec<PathBuf>,
}

impl Options {
    /// The options, or what is wrong with them.
    pub(crate) fn from_command_line() -> Result<Self, String> {
        let mut options = Self {
            jobs: usable_cpus(),
            methods: Vec::new(),
            top: 10,
            dashboard: false,
            folders: Vec::new(),
        };
        let mut arguments = env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--dashboard" {
                options.dashboard = true;
                continue;
            }
            let Some(name @ ("--jobs" | "--method" | "--top")) = argument.to_str() else {
                if argument.to_str().is_some_and(|text| text.starts_with('-')) {
                    return Err(USAGE.to_owned());
                }
                options.folders.push(argument.into());
                continue;
            };
            let value = arguments.next().and_then(|value| value.into_string().ok());
            let value = value.ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            let number = || value.parse().map_err(|_| format!("{name} {value}: not a number"));
            match name {
                "--jobs" => options.jobs = number()?,
                "--top" => options.top = number()?,
                _ => options.methods.push(value.parse().map_err(|error| format!("{error}"))?),
            }
        }
        if options.methods.is_empty() {
            options.methods = StartMethod::ALL.to_vec();
        }
        Ok(options)
    }
}
