//! How far a call is, as a line of text.

use std::{fmt::Write as _, time::Duration};

/// A longer remaining time is no estimate of any use: it is not shown.
pub(super) const LONGEST_LEFT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The numbers of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) total: Option<u64>,
    pub(super) elapsed: Duration,
}

/// `30/40 (75 %), 2 failed, 12.5/s, 2 s elapsed, 1 s left`.
pub(super) fn line(numbers: Numbers) -> String {
    let Numbers { done, failed, total, elapsed } = numbers;
    let mut line = match total {
        Some(total) => format!("{done}/{total} ({} %)", percent(done, total)),
        None => format!("{done}"),
    };
    // Writing into a `String` does not fail.
    if failed > 0 {
        let _ = write!(line, ", {failed} failed");
    }
    let rate = match elapsed.as_secs_f64() {
        seconds if seconds > 0.0 => done as f64 / seconds,
        _ => 0.0,
    };
    let _ = write!(line, ", {rate:.1}/s, {} elapsed", clock(elapsed));
    if let Some(total) = total
        && done < total
        && rate > 0.0
        && let Ok(left) = Duration::try_from_secs_f64((total - done) as f64 / rate)
        && left <= LONGEST_LEFT
    {
        let _ = write!(line, ", {} left", clock(left));
    }
    line
}

/// Whole percent; 100 only when all is done.
pub(super) fn percent(done: u64, total: u64) -> u64 {
    match total {
        0 => 100,
        total => (u128::from(done.min(total)) * 100 / u128::from(total)) as u64,
    }
}

/// `5 s`, `2:05` or `1:02:05`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes}:{seconds:02}"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_known() {
        let elapsed = Duration::from_secs(2);
        let numbers = Numbers { done: 25, failed: 2, total: Some(40), elapsed };
        assert_eq!(line(numbers), "25/40 (62 %), 2 failed, 12.5/s, 2 s elapsed, 1 s left");
        let numbers = Numbers { total: None, failed: 0, ..numbers };
        assert_eq!(line(numbers), "25, 12.5/s, 2 s elapsed");
        let endless = Numbers { done: 1, total: Some(u64::MAX), ..numbers };
        assert_eq!(line(endless), format!("1/{} (0 %), 0.5/s, 2 s elapsed", u64::MAX));
        let nothing = Numbers { done: 0, failed: 0, total: Some(0), elapsed: Duration::ZERO };
        assert_eq!(line(nothing), "0/0 (100 %), 0.0/s, 0 s elapsed");
        let all = Numbers { done: u64::MAX, total: Some(u64::MAX), ..nothing };
        assert_eq!(
            line(all),
            "18446744073709551615/18446744073709551615 (100 %), 0.0/s, 0 s elapsed"
        );
    }

    #[test]
    fn all_but_one_is_not_all() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
        assert_eq!((percent(7, 5), percent(0, 0)), (100, 100));
    }

    #[test]
    fn times_are_clocks() {
        let of = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!((of(5), of(125), of(3725)), ("5 s".into(), "2:05".into(), "1:02:05".into()));
    }
}
