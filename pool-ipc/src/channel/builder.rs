//! Makes channels.
//!
//! Invariant: which type's messages a channel has decides what lies in its memory, the same for all
//! processes, which have it from the one that made it.

use pool_shm::ElementType;

use super::{
    Receiver, Sender,
    endpoint::Endpoint,
    error::ChannelError,
    layout::{Memory, Size},
    payload::{is_plain, stride},
    receiver::Counted,
};
use crate::Wire;

/// A channel that holds at most `capacity` messages, from 1 to 2^24.
///
/// # Errors
///
/// [`ChannelError::NoCapacity`] for 0, [`ChannelError::TooManySlots`]; [`ChannelError::Memory`] and
/// [`ChannelError::Sockets`] when descriptors or address space are used up.
pub fn channel<T: Wire>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), ChannelError> {
    ChannelBuilder::new(capacity).build()
}

/// Settings of a channel.
///
/// ```
/// use pool_ipc::channel::ChannelBuilder;
///
/// let (sender, receiver) = ChannelBuilder::new(4).max_bytes(64 << 20).build::<Vec<u8>>()?;
/// sender.send(vec![7; 1000])?;
/// assert!(sender.send(vec![7; 2 << 20]).is_err(), "a region has a 64th");
/// assert_eq!(receiver.recv()?, [7; 1000]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ChannelBuilder {
    capacity: usize,
    max_bytes: Option<u64>,
}

impl ChannelBuilder {
    /// A channel that holds at most `capacity` messages, from 1 to 2^24.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, max_bytes: None }
    }

    /// How many bytes the regions of all processes have together, in which messages lie that are
    /// larger than a slot. Each of 64 processes has a 64th of it, rounded down to whole pages: so
    /// large a message may be, and so much one process may have on its way. These are addresses:
    /// memory is taken as messages need it.
    ///
    /// By default 16 GiB, or less where the process may not map or create as much.
    #[must_use]
    pub fn max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }

    /// Makes the channel.
    ///
    /// # Errors
    ///
    /// [`ChannelError::NoCapacity`] for 0, [`ChannelError::TooManySlots`]; [`ChannelError::Memory`]
    /// when descriptors or address space are used up, or `max_bytes` is more than the process may
    /// map or create; [`ChannelError::Sockets`].
    pub fn build<T: Wire>(self) -> Result<(Sender<T>, Receiver<T>), ChannelError> {
        self.build_counted(Counted::No)
    }

    /// Makes a channel all of whose messages are received in this way.
    pub(super) fn build_counted<T: Wire>(
        self,
        counted: Counted,
    ) -> Result<(Sender<T>, Receiver<T>), ChannelError> {
        let Self { capacity, max_bytes } = self;
        let (stride, has_regions) = (stride::<T>(), !is_plain::<T>());
        let counts_until_done = counted == Counted::UntilDone;
        let size = Size { capacity, stride, max_bytes, has_regions, counts_until_done };
        let memory = Memory::new(size, ElementType::bytes_of::<T>())?;
        let (sender, receiver) = Endpoint::pair(memory)?;
        Ok((Sender::new(sender), Receiver::new(receiver)))
    }
}
