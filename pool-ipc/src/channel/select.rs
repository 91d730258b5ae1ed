//! Waiting for any of several receivers, and for descriptors of other things.
//!
//! Invariant: a thread that waits looks at everything that may end its wait at least every
//! [`NAP_MAX`]: so a notice may get lost with a process that is killed.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use super::{
    Receiver,
    endpoint::Endpoint,
    wait::{Look, NAP_MAX},
};

/// Waits for whichever of several receivers has a message first, or a descriptor that is readable
/// first: that of a process, which is readable when the process has ended.
///
/// ```
/// use std::time::Duration;
///
/// use pool_ipc::channel::{Select, channel};
///
/// let (_numbers, some) = channel::<u64>(10)?;
/// let (texts, others) = channel::<String>(10)?;
/// let mut select = Select::new();
/// let (of_some, of_others) = (select.recv(&some), select.recv(&others));
/// texts.send("a".into())?;
/// let ready = select.ready()?;
/// assert!(ready == of_others && ready != of_some);
/// assert_eq!(others.try_recv()?, "a");
/// assert_eq!(select.ready_timeout(Duration::from_millis(1))?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Select<'a> {
    watched: Vec<Watched<'a>>,
    /// Where the next look begins, so that none is passed over for ever.
    next: usize,
}

enum Watched<'a> {
    Receiver(&'a Endpoint, BorrowedFd<'a>),
    File(BorrowedFd<'a>),
}

impl<'a> Watched<'a> {
    fn file(&self) -> BorrowedFd<'a> {
        match self {
            Self::Receiver(_, file) | Self::File(file) => *file,
        }
    }
}

impl<'a> Select<'a> {
    /// A selection of nothing, which is never ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a receiver; returns its index. It is ready when a try to receive would return anything
    /// but [`RecvError::Empty`](super::RecvError::Empty), unless another receiver takes the message
    /// first.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Watched::Receiver(receiver.endpoint(), receiver.as_fd()))
    }

    /// Adds a descriptor, which is ready when it is readable or its other end is gone; returns its
    /// index.
    pub fn readable(&mut self, file: &'a impl AsFd) -> usize {
        self.add(Watched::File(file.as_fd()))
    }

    fn add(&mut self, watched: Watched<'a>) -> usize {
        self.watched.push(watched);
        self.watched.len() - 1
    }

    /// Waits until one is ready, and returns its index; if several are, by turns.
    ///
    /// # Errors
    ///
    /// The error of `poll`: of more descriptors than the process may have open, for example.
    pub fn ready(&mut self) -> io::Result<usize> {
        loop {
            if let Some(index) = self.ready_until(None)? {
                return Ok(index);
            }
        }
    }

    /// The index of one that is ready now.
    ///
    /// # Errors
    ///
    /// The errors of [`ready`](Self::ready).
    pub fn try_ready(&mut self) -> io::Result<Option<usize>> {
        self.ready_timeout(Duration::ZERO)
    }

    /// Waits until one is ready like [`ready`](Self::ready), but not longer than `timeout`: then
    /// `None`.
    ///
    /// # Errors
    ///
    /// The errors of [`ready`](Self::ready).
    pub fn ready_timeout(&mut self, timeout: Duration) -> io::Result<Option<usize>> {
        self.ready_until(Instant::now().checked_add(timeout))
    }

    fn ready_until(&mut self, end: Option<Instant>) -> io::Result<Option<usize>> {
        let mut look = Look::Quick;
        loop {
            let left = end.map_or(NAP_MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                look = Look::Thorough;
            }
            if let Some(index) = self.ready_receiver(look) {
                return Ok(Some(index));
            }
            let files: Vec<_> = self.watched.iter().map(Watched::file).collect();
            let readable = pool_shm::first_readable(&files, left.min(NAP_MAX))?;
            if let Some(index) = readable
                && let Watched::File(_) = self.watched[index]
            {
                return Ok(Some(index));
            }
            if let Some(index) = self.readable_file()? {
                return Ok(Some(index));
            }
            match readable.map(|index| &self.watched[index]) {
                // News that are none: another has taken the message.
                Some(Watched::Receiver(endpoint, _)) if endpoint.is_empty() => {
                    endpoint.take_notices();
                }
                // The message lies behind one of a sender that may be dead.
                Some(_) => {}
                None if left.is_zero() => return Ok(None),
                None => {}
            }
            look = Look::Thorough;
        }
    }

    /// A receiver that has a message, or no sender any more.
    fn ready_receiver(&mut self, look: Look) -> Option<usize> {
        let count = self.watched.len();
        let turn = (0..count).map(|step| (self.next + step) % count);
        let ready = turn.into_iter().find(|index| match &self.watched[*index] {
            Watched::Receiver(endpoint, _) => endpoint.has_news(look),
            Watched::File(_) => false,
        })?;
        self.next = ready + 1;
        Some(ready)
    }

    /// A descriptor of another thing that is readable, behind receivers whose notices come first.
    fn readable_file(&self) -> io::Result<Option<usize>> {
        let is_file = |(index, watched): (usize, &Watched<'a>)| match watched {
            Watched::File(file) => Some((index, *file)),
            Watched::Receiver(..) => None,
        };
        let (indices, files): (Vec<_>, Vec<_>) =
            self.watched.iter().enumerate().filter_map(is_file).unzip();
        let first = pool_shm::first_readable(&files, Duration::ZERO)?;
        Ok(first.map(|index| indices[index]))
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("len", &self.watched.len()).finish_non_exhaustive()
    }
}
