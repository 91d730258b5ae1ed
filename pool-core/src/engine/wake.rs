//! What has to arrive before a waiting job is woken.

/// What a job waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// Finished chunks before it is worth waking.
    pub(crate) chunks: usize,
    /// Whether it has more to publish.
    pub(crate) has_items: bool,
    /// Most messages to take at once.
    pub(crate) most: usize,
}
