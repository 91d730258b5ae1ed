//! What a program delivers at its end that never drops its pool.

use std::{
    process::{Command, ExitCode},
    sync::OnceLock,
};

use log::{LevelFilter, info};
use pool_api::{
    Output, Process, StartMethod, WorkerPool,
    logging::{self, LogCapture},
};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] =
    &[Case::new("what_was_captured_is_delivered_at_the_end", delivered_at_the_end).processes()];

/// How many records and lines each of the two makes.
const COUNT: usize = 500;

/// The program's logger.
struct Printing;

impl log::Log for Printing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        println!("record {}", record.args());
    }
    fn flush(&self) {}
}

fn delivered_at_the_end(method: StartMethod) -> Outcome {
    for end in ["return", "exit"] {
        let args = [crate::AT_END, &method.to_string(), end];
        let output = Command::new(std::env::current_exe()?).args(args).output()?;
        let text = String::from_utf8(output.stdout)?;
        let count = |of: &str| text.lines().filter(|line| *line == of).count();
        let counts = ["record item", "line item", "record process"].map(count);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((counts, output.status.success()), ([COUNT; 3], true), "{end}: {errors}");
    }
    Ok(())
}

/// The program: it leaves its pool in a `static`, and drops the handle of a process.
pub(crate) fn run(method: &str, end: &str) -> ExitCode {
    static POOL: OnceLock<WorkerPool> = OnceLock::new();
    let go = || -> Outcome {
        let method: StartMethod = method.parse()?;
        logging::install(Box::new(Printing))?;
        log::set_max_level(LevelFilter::Info);
        let options = builder(method, 2).capture_logs(LogCapture::all()).stdout(Output::Capture);
        let pool = options.on_output(|event| print!("{}", event.text())).build()?;
        POOL.get_or_init(|| pool).map(0..COUNT as u64, |_| {
            info!("item");
            println!("line item");
        })?;
        let process = Process::builder().start_method(method).capture_logs(LogCapture::all());
        let records = |count: usize| (0..count).for_each(|_| info!("process"));
        drop(process.spawn(records, COUNT)?);
        Ok(())
    };
    go().expect("the program works");
    if end == "exit" {
        std::process::exit(0);
    }
    ExitCode::SUCCESS
}
