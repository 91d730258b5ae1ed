//! The results as a table.

use pool_bench::environment::Environment;

use crate::conductor::{Measured, Results};

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
pub(crate) fn print(all: &[Results], machine: &Environment) {
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
    println!("load before: {}", machine.load_before());
}
