//! The limit of open descriptors: that of the program, and that of a zygote.
//!
//! Invariant: a zygote may have as many descriptors as the system allows it, since it keeps those
//! of all handles in flight; workers and templates run the user's code with the limit that the
//! program had when their zygote was made.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The program's own limit, where it is less than what the system allows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DescriptorLimit(Option<(u64, u64)>);

impl DescriptorLimit {
    /// Raises the limit of this process as far as it may; answers with the limit that it had.
    pub(crate) fn raise() -> Self {
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard => {
                let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
                Self(raised.then_some((soft, hard)))
            }
            _ => Self(None),
        }
    }

    /// Gives this process, a child of one that has raised its limit, the program's own limit.
    pub(crate) fn restore(self) {
        if let Some((soft, hard)) = self.0 {
            // Less than before is always allowed.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        }
    }

    /// Encodes the limit as a number; 0: it need not be restored.
    pub(crate) fn to_word(self) -> u64 {
        self.0.map_or(0, |(soft, _)| soft)
    }

    /// Decodes a number of [`Self::to_word`], in a child that has inherited the raised limit.
    pub(crate) fn from_word(word: u64) -> Self {
        let hard = getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard);
        Self(hard.ok().filter(|_| word != 0).map(|hard| (word, hard)))
    }
}
