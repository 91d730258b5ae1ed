//! The results as a table, and the machine that they are of.

use std::{fs, process::Command};

use crate::conductor::{Measured, Results};

/// The machine and the day.
pub(crate) struct Machine {
    pub(crate) model: String,
    pub(crate) usable: usize,
    pub(crate) date: String,
    /// The load of the machine before, which is that of other programs.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = file("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
        let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            model: model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']).to_owned(),
            usable: pool_affinity::usable_cpus(),
            date: date.unwrap_or_default(),
            load: file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl Results {
    /// The serial run that a subject is compared with: that of its language.
    pub(crate) fn serial_of(&self, measured: &Measured) -> Option<f64> {
        let name = if measured.is_python { "python" } else { "serial" };
        self.measured.iter().find(|other| other.subject == name).map(|serial| serial.seconds)
    }

    /// The share of the ideal speed on so many CPUs.
    pub(crate) fn efficiency(&self, measured: &Measured, cpus: usize) -> Option<f64> {
        if is_serial(measured) {
            return None;
        }
        Some(self.serial_of(measured)? / measured.seconds / cpus as f64)
    }
}

pub(crate) fn is_serial(measured: &Measured) -> bool {
    matches!(&*measured.subject, "serial" | "python")
}

/// Prints a block for each benchmark.
pub(crate) fn print(all: &[Results], machine: &Machine) {
    for results in all {
        println!("\n{}", results.benchmark.title());
        println!(
            "  {:<12} {:>9} {:>9} {:>9} {:>11} {:>9}",
            "subject", "median s", "fastest", "slowest", "efficiency", "MiB"
        );
        for measured in &results.measured {
            let efficiency = results.efficiency(measured, machine.usable);
            let efficiency = efficiency.map_or(String::new(), |e| format!("{:.0} %", e * 100.0));
            println!(
                "  {:<12} {:>9.3} {:>9.3} {:>9.3} {:>11} {:>9.0}",
                measured.subject,
                measured.seconds,
                measured.fastest,
                measured.slowest,
                efficiency,
                measured.mebibytes
            );
        }
    }
    println!("\n{} CPUs of {}, {}", machine.usable, machine.model, machine.date);
    println!("load before: {}", machine.load);
}
