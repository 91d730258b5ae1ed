//! Times as text with a unit, and the marks of an axis.

/// Units with their nanoseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000), ("ns", 1)];

/// A time with three digits and a unit: `1.23 ms`.
pub(super) fn short_time(nanos: u64) -> String {
    // The largest unit of which it is at least one, as it is rounded.
    let (name, unit) = UNITS
        .into_iter()
        .find(|(_, unit)| nanos as f64 >= 0.9995 * *unit as f64)
        .unwrap_or(("ns", 1));
    let value = nanos as f64 / unit as f64;
    let digits = match value {
        _ if unit == 1 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {name}")
}

/// A number with spaces between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Marks from 0 to `length` nanoseconds, at most `most` and the one at 0, with their texts.
pub(super) fn marks(length: u64, most: u64) -> Vec<(u64, String)> {
    let least = length / most.max(1) + 1;
    let mut step = 1u64;
    let factors = [2u64, 5, 10];
    while step < least {
        let power = step;
        let next = factors.into_iter().map(|factor| power.saturating_mul(factor));
        step = next.into_iter().find(|next| *next >= least).unwrap_or(power.saturating_mul(10));
        if step == u64::MAX {
            break;
        }
    }
    let (name, unit) = UNITS.into_iter().find(|(_, unit)| length >= *unit).unwrap_or(("ns", 1));
    let text = |at: u64| {
        let value = at as f64 / unit as f64;
        let digits = if step >= unit {
            0
        } else {
            (unit as f64 / step as f64).log10().ceil().max(0.0) as usize
        };
        format!("{value:.digits$} {name}")
    };
    (0..=length / step).map(|mark| (mark * step, text(mark * step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_marks_are_round() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 µs"),
            (99_960, "100 µs"),
            (999_900, "1.00 ms"),
            (61_500_000_000, "61.5 s"),
            (u64::MAX, "18446744074 s"),
        ] {
            assert_eq!(short_time(nanos), text);
        }
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        let texts = |length, most| marks(length, most).into_iter().map(|(_, text)| text);
        assert_eq!(texts(1_050_000_000, 5).collect::<Vec<_>>(), ["0.0 s", "0.5 s", "1.0 s"]);
        assert_eq!(texts(95_000_000, 10).next_back().as_deref(), Some("90 ms"));
        assert_eq!(texts(0, 8).collect::<Vec<_>>(), ["0 ns"]);
        for length in [1, 7, 1_000, u64::MAX] {
            assert!(marks(length, 8).len() <= 9, "{length}");
        }
    }
}
