//! Ends a thread's sleep in `poll`.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use pool_core::PrivateFd;

#[derive(Debug)]
pub(crate) struct Waker {
    sleeper: PrivateFd<UnixStream>,
    waker: PrivateFd<UnixStream>,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let mut other = None;
        let sleeper = PrivateFd::new(|| {
            let (sleeper, waker) = UnixStream::pair()?;
            sleeper.set_nonblocking(true)?;
            waker.set_nonblocking(true)?;
            other = Some(waker);
            Ok(sleeper)
        })?;
        let waker = PrivateFd::new(|| other.take().ok_or_else(|| io::ErrorKind::NotFound.into()))?;
        Ok(Self { sleeper, waker })
    }

    /// Where the buffer is full, the sleeper has been woken before.
    pub(crate) fn wake(&self) {
        drop((&*self.waker).write(&[0]));
    }

    pub(crate) fn reset(&self) {
        let mut buffer = [0; 64];
        while matches!((&*self.sleeper).read(&mut buffer), Ok(count) if count > 0) {}
    }

    /// Readable when the thread was woken.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.sleeper.as_fd()
    }
}
