//! The machine and the build that were measured.

use std::{fmt, fs, process::Command};

use crate::line::quoted;

/// The machine and the build.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What the CPUs are called.
    pub model: String,
    cpus: usize,
    /// How many CPUs this process may use.
    pub usable: usize,
    kernel: String,
    profile: &'static str,
    /// Means of how many threads wanted a CPU, in the last 1, 5 and 15 minutes.
    pub load: String,
    /// The day, in UTC.
    pub date: String,
}

impl Environment {
    /// Reads what the machine is now.
    pub fn read() -> Self {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = file("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
        let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            model: model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: pool_affinity::cpu_count(),
            usable: pool_affinity::usable_cpus(),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            load: file("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            date: date.unwrap_or_default(),
        }
    }

    /// The load of the last minute.
    pub fn load_before(&self) -> &str {
        self.load.split(' ').next().unwrap_or_default()
    }

    /// Formats it as a JSON object that also names the run.
    pub(crate) fn to_json(&self, run: u64) -> String {
        format!(
            "{{\"run\":{run},\"model\":{},\"cpus\":{},\"usable\":{},\"kernel\":{},\"profile\":{},\
             \"load\":{}}}",
            quoted(&self.model),
            self.cpus,
            self.usable,
            quoted(&self.kernel),
            quoted(self.profile),
            quoted(&self.load)
        )
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "CPUs             {} of {} usable, {}", self.usable, self.cpus, self.model)?;
        writeln!(f, "kernel           {}", self.kernel)?;
        writeln!(f, "profile          {}", self.profile)?;
        write!(f, "load before      {}", self.load)
    }
}
