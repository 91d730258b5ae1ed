//! Which records of workers are captured, and how much memory they may wait in.

use pool_ipc::log_ring::{MAX_RING_BYTES, MIN_RING_BYTES};

use super::filter::{ALL, NAMES};
use crate::error::Error;

/// Bytes of a ring unless the user sets them.
const RING_BYTES: usize = 1 << 20;
/// The most targets.
const MOST_TARGETS: usize = 1024;
/// The most bytes of a target.
const LONGEST_TARGET: usize = 255;

/// Which log records of workers come to the logger of the program: all of them, or those of some
/// targets. A target stands for itself and for all below it: `app` for `app` and `app::db`, not for
/// `apple`. Records of other targets stay in the worker, as without capture.
///
/// ```
/// # mod pool_api { pub mod logging { pub use pool_core::*; } }
/// use pool_api::logging::LogCapture;
///
/// let capture = LogCapture::targets(["app", "sqlx::query"]).buffer_bytes(4 << 20);
/// assert_ne!(capture, LogCapture::from("app"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct LogCapture {
    /// `None`: all.
    targets: Option<Vec<String>>,
    buffer_bytes: usize,
}

impl LogCapture {
    /// Captures the records of all targets.
    pub fn all() -> Self {
        Self { targets: None, buffer_bytes: RING_BYTES }
    }

    /// Captures the records of these targets and of those below them: from 1 to 1024 of them, each
    /// with 1 to 255 bytes and without control characters. The pool refuses others in `build()`,
    /// by [`Error::InvalidInput`].
    pub fn targets<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> Self {
        let targets = Some(targets.into_iter().map(Into::into).collect());
        Self { targets, buffer_bytes: RING_BYTES }
    }

    /// How many bytes of records of one worker may wait for the logger, from 4 KiB to 64 MiB,
    /// rounded up to a power of two; 1 MiB without it. Memory is taken where records wait. A record
    /// may have a quarter of it: the text of a longer one is cut. The pool refuses other numbers in
    /// `build()`, by [`Error::InvalidInput`].
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Adds a target; nothing changes where all are captured.
    pub fn add_target(&mut self, target: impl Into<String>) {
        let target = target.into();
        if let Some(targets) = &mut self.targets
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }

    /// Removes a target that was named; `false` if it was not.
    pub fn remove_target(&mut self, target: &str) -> bool {
        let Some(targets) = &mut self.targets else { return false };
        let before = targets.len();
        targets.retain(|known| known != target);
        targets.len() < before
    }

    /// Whether no target is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.as_ref().is_some_and(Vec::is_empty)
    }

    /// Refuses what the pool would refuse in `build()`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`].
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    /// Refuses a target that cannot be one.
    pub(super) fn check_target(target: &str) -> Result<(), Error> {
        if target.is_empty() || target.len() > LONGEST_TARGET || target.contains(char::is_control) {
            return Err(Error::InvalidInput(format!(
                "capture_logs: a target has 1 to {LONGEST_TARGET} bytes and no control character, \
                 got {target:?}"
            )));
        }
        Ok(())
    }

    /// Bytes of a ring, and the text that tells workers of the targets.
    pub(super) fn checked(&self) -> Result<(usize, Vec<u8>), Error> {
        let refuse = |text: String| Err(Error::InvalidInput(format!("capture_logs: {text}")));
        if !(MIN_RING_BYTES..=MAX_RING_BYTES).contains(&self.buffer_bytes) {
            return refuse(format!(
                "buffer_bytes must be from {MIN_RING_BYTES} to {MAX_RING_BYTES}, got {}",
                self.buffer_bytes
            ));
        }
        let text = match &self.targets {
            None => vec![ALL],
            Some(targets) if targets.is_empty() || targets.len() > MOST_TARGETS => {
                return refuse(format!(
                    "there must be 1 to {MOST_TARGETS} targets, got {}",
                    targets.len()
                ));
            }
            Some(targets) => {
                targets.iter().try_for_each(|target| Self::check_target(target))?;
                [&[NAMES], targets.join("\n").as_bytes()].concat()
            }
        };
        Ok((self.buffer_bytes.next_power_of_two(), text))
    }
}

impl From<&str> for LogCapture {
    fn from(target: &str) -> Self {
        Self::targets([target])
    }
}

impl From<String> for LogCapture {
    fn from(target: String) -> Self {
        Self::targets([target])
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for LogCapture {
    fn from(targets: [T; N]) -> Self {
        Self::targets(targets)
    }
}

impl<T: Into<String>> From<Vec<T>> for LogCapture {
    fn from(targets: Vec<T>) -> Self {
        Self::targets(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        let refused = |capture: LogCapture| capture.checked().unwrap_err().to_string();
        for bytes in [0, 1, MIN_RING_BYTES - 1, MAX_RING_BYTES + 1, usize::MAX] {
            assert!(refused(LogCapture::all().buffer_bytes(bytes)).contains("buffer_bytes"));
        }
        for target in ["", "a\0b", "a\nb", &"a".repeat(256)] {
            assert!(refused(LogCapture::from(target)).contains("a target has"), "{target:?}");
        }
        assert!(refused(LogCapture::targets::<String>([])).contains("got 0"));
        assert!(refused(LogCapture::targets(vec!["a"; 1025])).contains("got 1025"));
        assert!(LogCapture::targets(vec!["a".repeat(255); 1024]).checked().is_ok());
        let rounded = LogCapture::all().buffer_bytes(MIN_RING_BYTES + 1).checked().unwrap();
        assert_eq!(rounded, (2 * MIN_RING_BYTES, vec![ALL]));
    }
}
