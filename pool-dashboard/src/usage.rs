//! What the system says of processes: how much of a CPU they use, and how much memory.
//!
//! Invariant: of a process that is gone nothing is remembered longer than until the next state.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use nix::unistd::{SysconfVar, sysconf};

/// How long a share of a CPU is measured at least: the clock of `/proc` has steps of 10 ms.
const SPAN: Duration = Duration::from_millis(400);

#[derive(Debug, Default)]
pub(crate) struct Usage {
    processes: HashMap<u32, Measured>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    ticks: u64,
    at: Instant,
    cpu: Option<u32>,
    is_present: bool,
}

impl Usage {
    /// Thousandths of a CPU since the last look, and bytes of memory in use; `None` is unknown.
    pub(crate) fn of(&mut self, pid: u32) -> (Option<u32>, Option<u64>) {
        let Some(ticks) = ticks(pid) else { return (None, None) };
        let now = Instant::now();
        let first = Measured { ticks, at: now, cpu: None, is_present: true };
        let measured = self.processes.entry(pid).or_insert(first);
        measured.is_present = true;
        let since = now.duration_since(measured.at);
        if ticks < measured.ticks {
            *measured = first;
        } else if since >= SPAN {
            let per_second = ticks_per_second() as f64;
            let cpu = (ticks - measured.ticks) as f64 * 1000.0 / per_second / since.as_secs_f64();
            *measured = Measured { cpu: Some(cpu as u32), ..first };
        }
        (measured.cpu, memory(pid))
    }

    /// Forgets those that were not looked at since the last call.
    pub(crate) fn forget_gone(&mut self) {
        self.processes.retain(|_, measured| std::mem::take(&mut measured.is_present));
    }
}

/// Processor time of a process, in ticks of the kernel's clock.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the executable, in parentheses, may have any character.
    let (_, rest) = stat.rsplit_once(')')?;
    // The first of them is field 3; user and system time are fields 14 and 15.
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Bytes of memory that a process has mapped and in use, shared ones included.
fn memory(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(u64::try_from(page).ok()?)
}

fn ticks_per_second() -> i64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|ticks| *ticks > 0).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_one_that_is_gone_has_nothing() {
        let mut usage = Usage::default();
        let here = std::process::id();
        let (cpu, memory) = usage.of(here);
        assert!(cpu.is_none() && memory.unwrap() > 100_000, "{cpu:?} {memory:?}");
        // No process has this id.
        assert_eq!(usage.of(u32::MAX), (None, None));
        assert_eq!(usage.processes.len(), 1);
        usage.forget_gone();
        assert_eq!(usage.processes.len(), 1);
        usage.forget_gone();
        assert!(usage.processes.is_empty());
    }

    #[test]
    fn a_busy_process_uses_a_cpu() {
        let mut usage = Usage::default();
        let here = std::process::id();
        usage.of(here);
        let begin = Instant::now();
        while begin.elapsed() < SPAN {
            std::hint::spin_loop();
        }
        // At least a tick.
        assert!(usage.of(here).0.unwrap() > 0);
    }
}
