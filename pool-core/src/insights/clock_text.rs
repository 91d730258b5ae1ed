//! Times as text, in Python's form: `0:00:01.234`.

use std::time::Duration;

/// Hours, minutes, seconds, and milliseconds where there is any part of a second; days as words.
pub(super) fn clock_text(time: Duration) -> String {
    // Rounded to microseconds first, then cut to milliseconds.
    let micros = (time.as_nanos() + 500) / 1_000;
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_string(),
        days => format!("{days} days, "),
    };
    let clock = format!("{days}{}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if micros == 0 { clock } else { format!("{clock}.{:03}", micros / 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_in_python() {
        for (time, text) in [
            (Duration::ZERO, "0:00:00"),
            (Duration::from_nanos(999_999_900), "0:00:01"),
            (Duration::from_nanos(59_999_500_000), "0:00:59.999"),
            (Duration::from_nanos(2_500), "0:00:00.000"),
            (Duration::from_micros(86_400_000_000 + 37_056_789_000), "1 day, 10:17:36.789"),
            (Duration::from_secs(2 * 86_400), "2 days, 0:00:00"),
        ] {
            assert_eq!(clock_text(time), text);
        }
    }
}
