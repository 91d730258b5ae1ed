//! The text form of a CPU set, `0-3,8`, as the kernel writes it.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use crate::{CpuSet, Error};

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if first < last {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for CpuSet {
    type Err = Error;

    /// Reads ids and ranges in any order; blank text is the empty set.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut set = Self::new();
        for range in ranges(text)? {
            // An absurd end is refused before it is counted up to.
            if *range.end() >= Self::CAPACITY {
                return Err(Error::CpuIdTooLarge { id: *range.end() });
            }
            for id in range {
                set.insert(id)?;
            }
        }
        Ok(set)
    }
}

/// The ranges of a list, of any width: machines may have more CPUs than a [`CpuSet`] holds.
pub(crate) fn ranges(text: &str) -> Result<Vec<RangeInclusive<usize>>, Error> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|item| match range(item) {
            Some(range) => Ok(range),
            None if is_negative(item) => Err(Error::NegativeCpuId { text: item.trim().to_owned() }),
            None => Err(Error::BadCpuList { text: text.trim().to_owned() }),
        })
        .collect()
}

fn range(item: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

fn number(text: &str) -> Option<usize> {
    let text = text.trim();
    // `parse` alone would take "+3".
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_negative(item: &str) -> bool {
    item.trim().strip_prefix('-').is_some_and(|rest| number(rest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["", "0", "0-3,8", "1,3,5", "0-1,3-4", "62-66", "0-1023"] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn loose_forms_are_understood() {
        for (text, normal) in
            [("8,0-3\n", "0-3,8"), (" 1 , 0 ", "0-1"), ("2-2", "2"), ("0-4,2-6", "0-6"), ("\n", "")]
        {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), normal, "{text:?}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["a", "3-1", "1-", "-", "0,,2", "0,", "+3", "1-2-3", "99999999999999999999"] {
            let error = text.parse::<CpuSet>().unwrap_err();
            assert!(matches!(error, Error::BadCpuList { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    fn negative_ids_are_refused_by_name() {
        for text in ["-1", "0, -1 ,2"] {
            let error = text.parse::<CpuSet>().unwrap_err();
            assert_eq!(error.to_string(), "CPU IDs cannot be negative: -1", "{text:?}");
        }
    }

    #[test]
    fn ids_that_do_not_fit_are_refused() {
        for text in ["1024", "0-1024", "0-18446744073709551615"] {
            let error = text.parse::<CpuSet>().unwrap_err();
            assert!(matches!(error, Error::CpuIdTooLarge { .. }), "{text:?}: {error}");
        }
    }
}
