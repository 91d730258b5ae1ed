//! A file of one test, to which tasks append: their entries are there even if they died.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The path of a file, which is empty when made and removed on drop.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a file at a path that nothing else uses.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    /// The path as a value for a task.
    pub(crate) fn path(&self) -> String {
        self.0.to_str().expect("the target folder has a readable name").to_string()
    }

    /// The numbers that were appended, sorted.
    #[allow(dead_code)]
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers = read_numbers(&self.0);
        numbers.sort_unstable();
        numbers
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Appends a number: one write, whole or not at all.
#[allow(dead_code)]
pub(crate) fn append(path: &str, number: u64) {
    let opened: std::io::Result<File> = OpenOptions::new().append(true).create(true).open(path);
    opened.expect("opens").write_all(&number.to_ne_bytes()).expect("appends");
}

/// The numbers that were appended to the file, in that order.
#[allow(dead_code)]
pub(crate) fn read_numbers(path: impl AsRef<Path>) -> Vec<u64> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let words = bytes.chunks_exact(8).map(|word| word.try_into().expect("eight bytes"));
    words.map(u64::from_ne_bytes).collect()
}

/// Waits until `condition` holds; panics when it does not.
#[allow(dead_code)]
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
