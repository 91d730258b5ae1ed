//! Segments without memory, which tell of their presence.
//!
//! Invariant: a process counts as one that has such a segment as long as it has a handle to it; so
//! does a message that carries one, since what passes segments on keeps them.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use super::{
    SegmentId, SharedSegment,
    identity::Content,
    registry,
    segment::{File, Held},
    socket_end::SocketEnd,
};
use crate::Error;

impl SharedSegment {
    /// Two segments without memory, each of which knows whether any process has the other one, by
    /// [`is_peer_gone`](Self::is_peer_gone). A process has one as long as it has a handle to it, as
    /// have its forked children; and a message that carries one counts.
    ///
    /// ```
    /// let (one, other) = pool_shm::SharedSegment::presence_pair()?;
    /// assert!(!one.is_peer_gone());
    /// drop(other);
    /// assert!(one.is_peer_gone());
    /// # Ok::<(), pool_shm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors are used up.
    pub fn presence_pair() -> Result<(Self, Self), Error> {
        let (one, other) = SocketEnd::pair()?;
        let fresh = |end| -> Result<Self, Error> {
            let id = SegmentId::random(Content::Socket)?;
            registry::insert(Self(Arc::new(Held::new(id, File::Socket(end)))))
        };
        Ok((fresh(one)?, fresh(other)?))
    }

    /// Whether no process has the other one of a [pair](Self::presence_pair) any more; `false` for
    /// other segments, and where this process has closed its own.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        match &self.0.file {
            File::Socket(end) => end.is_peer_gone(),
            File::Memory { .. } => false,
        }
    }

    /// Makes the other one of a [pair](Self::presence_pair) readable ([`readable`](Self::readable))
    /// in all processes; nothing for other segments.
    pub fn notify_peer(&self) {
        if let File::Socket(end) = &self.0.file {
            end.notify();
        }
    }

    /// Takes one notice of the peer, if there are more than `left`. Without any this is not
    /// readable.
    pub fn take_notice(&self, left: usize) {
        if let File::Socket(end) = &self.0.file {
            end.take_notice(left);
        }
    }

    /// The descriptor of one of a [pair](Self::presence_pair), which is readable when the peer has
    /// [notified](Self::notify_peer) it, and when there is no peer any more.
    #[must_use]
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        match &self.0.file {
            File::Socket(end) => Some(end.as_fd()),
            File::Memory { .. } => None,
        }
    }

    /// Whether this process counts as one that has it: not if the program has closed its
    /// descriptor, or it was [abandoned](Self::abandon). `true` for segments with memory.
    #[must_use]
    pub fn is_present(&self) -> bool {
        match &self.0.file {
            File::Socket(end) => end.is_intact(),
            File::Memory { .. } => true,
        }
    }

    /// Whether it is one of a [pair](Self::presence_pair), which tells of its presence: a cache
    /// must not keep it.
    #[must_use]
    pub fn is_presence(&self) -> bool {
        matches!(self.0.file, File::Socket(_))
    }

    /// Those of [pairs](Self::presence_pair) that this process has.
    #[must_use]
    pub fn presences() -> Vec<Self> {
        registry::presences()
    }

    /// In a forked child: makes this one of a [pair](Self::presence_pair), which was inherited,
    /// count no more. It is never readable then, says nothing of its peer, and cannot be sent; a
    /// handle that comes by a message leads to one of its own. Nothing for segments with memory.
    pub fn abandon(&self) {
        if let File::Socket(end) = &self.0.file {
            end.abandon();
            registry::forget(self.id());
        }
    }
}
