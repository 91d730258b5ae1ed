//! What has to arrive before a waiting job is woken.

use std::time::Instant;

/// What a job waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// How many chunks have to finish before the job is woken.
    pub(crate) chunks: usize,
    /// Whether the job has more to publish.
    pub(crate) has_items: bool,
    /// Most messages to take at once.
    pub(crate) most: usize,
    /// When the job goes on although nothing has arrived; `None`: never.
    pub(crate) until: Option<Instant>,
}
