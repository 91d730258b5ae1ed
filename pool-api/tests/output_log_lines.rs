//! Output of workers as records of the crate `log`: one for each line, in this process.

use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use pool_api::{Output, Process, StartMethod, WorkerPool};

struct Collector(Mutex<Vec<(Level, String, String)>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("pool::")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (target, text) = (record.target().to_string(), record.args().to_string());
            self.0.lock().expect("no panic").push((record.level(), target, text));
        }
    }

    fn flush(&self) {}
}

fn taken() -> Vec<(Level, String, String)> {
    std::mem::take(&mut *COLLECTOR.0.lock().expect("no panic"))
}

#[test]
fn each_line_is_a_record() {
    log::set_logger(&COLLECTOR).expect("the first one");
    log::set_max_level(LevelFilter::Info);
    let record = |stream: &str, text: &str| {
        (Level::Info, format!("pool::{stream}"), format!("worker 0: {text}"))
    };
    for method in [StartMethod::ForkServer, StartMethod::Spawn] {
        let pool = WorkerPool::builder().n_jobs(1).start_method(method);
        let pool = pool.stdout(Output::Log).stderr(Output::Log).build().expect("a pool");
        let failed = pool.map([1u32], |_| -> () {
            print!("one\ntwo\n\nno line break");
            std::process::abort();
        });
        failed.expect_err("it aborts");
        pool.map([2u32], |n| print!("{n}\nno line break")).expect("a map");
        pool.stop_and_join().expect("an end");
        let lines = ["one", "two", "", "no line break", "2", "no line break"];
        assert_eq!(taken(), lines.map(|line| record("stdout", line)), "{method}");

        // A line without an end becomes several, and nothing is lost.
        pool.apply((), |()| eprint!("{}", "x".repeat(200_000))).expect("a call");
        drop(pool);
        let lines = taken();
        assert!(lines.len() > 2, "{} lines", lines.len());
        let text: String =
            lines.iter().map(|(.., text)| text.strip_prefix("worker 0: ").expect("it")).collect();
        assert_eq!(text, "x".repeat(200_000));

        let process = Process::builder().start_method(method).stderr(Output::Log);
        process.spawn(|()| eprintln!("a process"), ()).expect("it starts").join().expect("a value");
        assert_eq!(taken(), [record("stderr", "a process")]);
    }
}
