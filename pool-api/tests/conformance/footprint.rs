//! The system's resources that a process has.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use crate::sys;

/// How long an ended thread or process may take to vanish from `/proc`.
const SETTLING: Duration = Duration::from_secs(2);
/// Mappings may differ by this many: the allocator's own.
const MAPPINGS: usize = 4;
/// Segments of shared objects, and their descriptors, may differ by this many: the one that is
/// being filled.
const SEGMENTS: usize = 1;

/// Descriptors, threads, children, mappings and names of shared memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Footprint {
    descriptors: BTreeMap<String, usize>,
    threads: usize,
    children: Vec<u32>,
    mappings: usize,
    shared_mappings: Vec<String>,
    /// Descriptors and mappings of shared objects: one that small objects are placed in stays.
    segments: (usize, usize),
    names: Vec<String>,
}

impl Footprint {
    pub(crate) fn now() -> Self {
        let mut descriptors = BTreeMap::new();
        for entry in entries("/proc/self/fd") {
            if let Ok(target) = fs::read_link(format!("/proc/self/fd/{entry}")) {
                let target = target.to_string_lossy().into_owned();
                if !target.ends_with("/fd") && !is_segment(&target) {
                    *descriptors.entry(target).or_insert(0) += 1;
                }
            }
        }
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let shared =
            |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s'));
        let shared = |line: &&str| shared(line) && !is_segment(line);
        Self {
            descriptors,
            threads: entries("/proc/self/task").iter().filter(|thread| runs(thread)).count(),
            children: children_of(std::process::id()),
            mappings: maps.lines().count(),
            shared_mappings: maps.lines().filter(shared).map(str::to_string).collect(),
            segments: shared_segments(std::process::id()),
            names: entries("/dev/shm"),
        }
    }

    /// The differences between now and then.
    pub(crate) fn changes(&self) -> Option<String> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let now = Self::now();
            let same = self.mappings.abs_diff(now.mappings) <= MAPPINGS
                && self.segments.0.abs_diff(now.segments.0) <= SEGMENTS
                && self.segments.1.abs_diff(now.segments.1) <= SEGMENTS
                && *self
                    == Self { mappings: self.mappings, segments: self.segments, ..now.clone() };
            if same {
                return None;
            }
            if Instant::now() > deadline {
                return Some(format!("before: {self:#?}\nafter: {now:#?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a descriptor or a mapping is that of a segment of shared objects.
fn is_segment(line: &str) -> bool {
    line.contains("/memfd:pool-shm")
}

/// Descriptors and mappings of segments of shared objects in a process.
pub(crate) fn shared_segments(pid: u32) -> (usize, usize) {
    let folder = format!("/proc/{pid}/fd");
    let target = |entry: String| fs::read_link(format!("{folder}/{entry}")).unwrap_or_default();
    let descriptors = entries(&folder).into_iter().map(target);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    (
        descriptors.filter(|target| is_segment(&target.to_string_lossy())).count(),
        maps.lines().filter(|line| is_segment(line)).count(),
    )
}

/// Descriptors and mappings that a process has, of any kind.
pub(crate) fn held_by(pid: u32) -> (usize, usize) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    (entries(&format!("/proc/{pid}/fd")).len(), maps.lines().count())
}

fn entries(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Whether a thread of this process is not on its way out: one that was just joined is listed for a
/// while.
fn runs(thread: &str) -> bool {
    /// `PF_EXITING` of Linux's `sched.h`.
    const EXITING: u32 = 4;
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // The ninth field of `proc_pid_stat(5)`, the seventh behind the name.
    let flags = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(6));
    flags.and_then(|flags| flags.parse::<u32>().ok()).is_some_and(|flags| flags & EXITING == 0)
}

/// The process ids of this machine.
pub(crate) fn processes() -> impl Iterator<Item = u32> {
    entries("/proc").into_iter().filter_map(|name| name.parse().ok())
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    processes().filter(|pid| sys::parent_of(*pid) == Some(parent)).collect()
}

/// Memory that this process has, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
