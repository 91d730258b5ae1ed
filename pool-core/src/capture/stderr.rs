//! A plain logger to the standard error, with the worker and the process of each record.

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use log::{LevelFilter, Log, Metadata, Record, kv};

use super::logger::{InstallError, install};
use crate::progress::suspend;

/// Makes a plain logger the logger of this process, behind a
/// [`CapturedLogger`](super::CapturedLogger), and sets the level: one line a record on standard
/// error, with time (UTC), level, worker and process id, target and text. Pools with `capture_logs`
/// bring the records of their workers to it. Lines tear no progress bar.
///
/// ```no_run
/// # mod pool_api { pub mod logging { pub use pool_core::*; } }
/// use pool_api::logging;
///
/// logging::log_to_stderr(log::LevelFilter::Info)?;
/// // [2026-11-30T22:00:00.125Z INFO worker-0/4711 app] item 7 done
/// # Ok::<(), pool_core::InstallError>(())
/// ```
///
/// # Errors
///
/// Those of [`install`]: a second call, or a process that has a logger.
pub fn log_to_stderr(level: LevelFilter) -> Result<(), InstallError> {
    install(Box::new(Lines))?;
    log::set_max_level(level);
    Ok(())
}

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let values = record.key_values();
        let number = |key: &str| values.get(kv::Key::from(key)).and_then(|value| value.to_u64());
        let nanos = number("time_unix_nanos").map(Duration::from_nanos);
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = format!("[{} {} ", utc(nanos.unwrap_or_else(now)), record.level());
        let process = values.get(kv::Key::from("process"));
        // Writing into a `String` does not fail.
        let _ = match (number("worker"), process) {
            (Some(worker), _) => write!(line, "worker-{worker}"),
            (None, Some(name)) => write!(line, "{name}"),
            (None, None) => write!(line, "main"),
        };
        let pid = number("pid").unwrap_or_else(|| u64::from(std::process::id()));
        let _ = writeln!(line, "/{pid} {}] {}", record.target(), record.args());
        // One write, so lines of processes do not mix. Without standard error there is no place to
        // say that.
        let _ = suspend(|| std::io::stderr().write_all(line.as_bytes()));
    }

    fn flush(&self) {}
}

/// A time since 1970 in the form of RFC 3339, to the millisecond.
fn utc(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms": civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_796_083_200, "2026-12-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
        assert_eq!(&utc(Duration::from_millis(1_234))[17..], "01.234Z");
    }
}
