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
    wait::{Look, NAP_MAX, NAP_MIN},
};

/// Waits for whichever of several receivers has a message first, or a descriptor that is readable
/// first: that of a process, which is readable when the process has ended.
///
/// What is ready stays ready until it is received from or read: a receiver without senders and a
/// process that has ended are ready for ever. A selection borrows what it waits for, so make a new
/// one for each round where a handle is needed in between, or for those that are left.
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

impl Watched<'_> {
    fn has_news(&self) -> bool {
        matches!(self, Self::Receiver(endpoint, _) if endpoint.has_news(Look::Quick))
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

    /// The index of one that is ready now, by turns.
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
            let is_last = left.is_zero();
            let ready = self.ready_now(if is_last { Look::Thorough } else { look })?;
            if ready.is_some() || is_last {
                return Ok(ready);
            }
            self.nap(left.min(NAP_MAX))?;
            look = Look::Thorough;
        }
    }

    /// The next one in turn that is ready.
    fn ready_now(&mut self, look: Look) -> io::Result<Option<usize>> {
        let (indices, files): (Vec<_>, Vec<_>) = self.files().unzip();
        let readable = pool_shm::readable_within(&files, Duration::ZERO)?;
        let readable: Vec<usize> = readable.into_iter().map(|index| indices[index]).collect();
        let count = self.watched.len();
        let mut turn = (0..count).map(|step| (self.next + step) % count);
        let ready = turn.find(|index| match &self.watched[*index] {
            Watched::Receiver(endpoint, _) => endpoint.has_news(look),
            Watched::File(_) => readable.contains(index),
        });
        if let Some(ready) = ready {
            self.next = ready + 1;
        }
        Ok(ready)
    }

    /// The descriptors of other things than receivers.
    fn files(&self) -> impl Iterator<Item = (usize, BorrowedFd<'a>)> {
        self.watched.iter().enumerate().filter_map(|(index, watched)| match watched {
            Watched::File(file) => Some((index, *file)),
            Watched::Receiver(..) => None,
        })
    }

    /// Sleeps until something may be ready. A receiver whose next message is in the hands of a
    /// sender is not told when that goes on, so the sleep is short.
    fn nap(&self, most: Duration) -> io::Result<()> {
        let mut most = most;
        let mut files: Vec<_> = self.files().map(|(_, file)| file).collect();
        for watched in &self.watched {
            let Watched::Receiver(endpoint, file) = watched else { continue };
            if !endpoint.is_empty() {
                most = most.min(NAP_MIN);
            } else if endpoint.is_present() {
                endpoint.take_notice(0);
                files.push(*file);
            }
        }
        // What came before a notice was taken.
        if self.watched.iter().any(Watched::has_news) {
            return Ok(());
        }
        if files.is_empty() {
            std::thread::sleep(most);
            return Ok(());
        }
        pool_shm::readable_within(&files, most).map(drop)
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("len", &self.watched.len()).finish_non_exhaustive()
    }
}
