//! The handle of a process of one function.

use std::{fmt, os::fd::BorrowedFd, sync::Arc, time::Duration};

use pool_ipc::{Decoder, Wire};

use super::status::{ProcessStatus, error_of};
#[cfg(feature = "threads")]
use super::thread::ThreadRun;
use crate::{
    child::{Child, Message, Outcome, Running, SERVER_LIMIT, children},
    error::{Cause, Error, ProcessError},
    stack::with_room,
    start_method::StartMethod,
    watcher::{Awaited, WatcherHandle},
};

/// A function that runs in a process of its own (in a thread, under [`StartMethod::Threads`]).
///
/// [`Process::builder`] sets it up, [`Process::spawn`] is the short form. [`join`](Process::join)
/// waits for what the function returns, or says how the process ended otherwise.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::Process;
///
/// let process = Process::builder().name("square").spawn(|x: u64| x * x, 12)?;
/// assert_eq!(process.name(), "square");
/// assert_eq!(process.join()?, 144);
/// # Ok::<(), pool_core::Error>(())
/// ```
///
/// SIGTERM, SIGINT and SIGHUP end such a process, unlike a pool's worker: it begins with no handler
/// of the program, and with an empty standard input. Its function may start processes and build
/// pools, unless it is daemonic.
///
/// # Dropping the handle
///
/// The process runs on, as a thread does whose `JoinHandle` is dropped. At the normal end of this
/// process (`main` returns, or `exit` is called) daemonic processes are killed, and the others are
/// waited for. A process that has ended is reaped by [`join`](Process::join),
/// [`exit_status`](Process::exit_status) and the like, or when its handle is dropped; one whose
/// handle was dropped before, by the next start of a process.
#[must_use = "the value comes by `join`"]
pub struct Process<R: Wire> {
    run: Run<R>,
    method: StartMethod,
    /// The thread that watches it, while it is awaited.
    pub(super) watcher: Option<WatcherHandle>,
}

enum Run<R> {
    Child(Arc<Child>),
    #[cfg(feature = "threads")]
    Thread(Arc<ThreadRun<R>>),
    #[cfg(not(feature = "threads"))]
    #[allow(dead_code)]
    Never(std::convert::Infallible, std::marker::PhantomData<fn() -> R>),
}

/// Evaluates the expression with the process or the thread.
macro_rules! either {
    ($run:expr, $one:ident => $value:expr) => {
        match $run {
            Run::Child($one) => $value,
            #[cfg(feature = "threads")]
            Run::Thread($one) => $value,
            #[cfg(not(feature = "threads"))]
            Run::Never(never, _) => match *never {},
        }
    };
}

impl<R: Wire> Process<R> {
    pub(super) fn of_child(child: Arc<Child>, method: StartMethod) -> Self {
        Self { run: Run::Child(child), method, watcher: None }
    }

    #[cfg(feature = "threads")]
    pub(super) fn of_thread(thread: Arc<ThreadRun<R>>) -> Self {
        Self { run: Run::Thread(thread), method: StartMethod::Threads, watcher: None }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        either!(&self.run, one => one.name())
    }

    /// The process id; `None` under Threads.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        either!(&self.run, one => one.pid())
    }

    /// Whether it is daemonic.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        either!(&self.run, one => one.is_daemon())
    }

    /// How it was started.
    #[must_use]
    pub fn start_method(&self) -> StartMethod {
        self.method
    }

    /// Whether it has not ended. In a process that was forked from the one that has started it:
    /// false.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_mine() && !either!(&self.run, one => one.has_ended(SERVER_LIMIT))
    }

    /// How it is, or how it ended. In a process that was forked from the one that has started it:
    /// [`ProcessStatus::Unknown`].
    ///
    /// ```
    /// # use pool_core as pool_api;
    /// use pool_api::{Process, ProcessStatus, StartMethod};
    ///
    /// let mut process = Process::builder().spawn(|code: i32| std::process::exit(code), 3)?;
    /// let ended: Result<(), _> = process.join_timeout(std::time::Duration::from_secs(60));
    /// assert_eq!(process.exit_status(), ProcessStatus::Code(3));
    /// assert!(ended.unwrap_err().to_string().ends_with("exited with code 3"));
    /// # Ok::<(), pool_core::Error>(())
    /// ```
    #[must_use]
    pub fn exit_status(&self) -> ProcessStatus {
        if !self.is_mine() {
            return ProcessStatus::Unknown;
        }
        match &self.run {
            Run::Child(child) => {
                child.end().map_or(ProcessStatus::Running, |end| ProcessStatus::from(&end))
            }
            #[cfg(feature = "threads")]
            Run::Thread(thread) => match thread.end() {
                None => ProcessStatus::Running,
                Some(Ok(())) => ProcessStatus::Value,
                Some(Err(kind)) => ProcessStatus::from(&kind),
            },
            #[cfg(not(feature = "threads"))]
            Run::Never(never, _) => match *never {},
        }
    }

    /// Waits for what the function returns.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] with the way in which it ended otherwise: a panic, an exit code, a
    /// signal; [`Error::Resources`] if it could not begin; [`Error::ResultTaken`] after
    /// [`try_join`](Self::try_join) or [`join_timeout`](Self::join_timeout) has returned the value;
    /// [`Error::ForeignProcess`].
    pub fn join(mut self) -> Result<R, Error> {
        with_room::<(), R, _>(move || self.take_within(None))
    }

    /// Waits for what the function returns, at most for `limit`. A process that has ended is
    /// waited for up to a second longer if the server of ForkServer was stopped, by SIGSTOP say; a
    /// thread whose function has returned, until the destructors of its thread-local values have.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if it is not there in time; otherwise those of [`join`](Self::join).
    pub fn join_timeout(&mut self, limit: Duration) -> Result<R, Error> {
        with_room::<(), R, _>(|| self.take_within(Some(limit)))
    }

    /// What the function has returned, without waiting for it; but for what
    /// [`join_timeout`](Self::join_timeout) waits for once it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] while it runs; otherwise those of [`join`](Self::join).
    pub fn try_join(&mut self) -> Result<R, Error> {
        self.join_timeout(Duration::ZERO)
    }

    /// Asks the process to end, by SIGTERM, and does not wait for it. It ends unless its function
    /// has set a handler. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] under Threads; [`Error::Resources`] if it has other rights by now
    /// than this process; [`Error::ForeignProcess`].
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(libc::SIGTERM, "terminate: a thread gets no signals of its own")
    }

    /// Kills the process, by SIGKILL, and does not wait for it; [`join`](Self::join) does. Does
    /// nothing if it has ended.
    ///
    /// # Errors
    ///
    /// Those of [`terminate`](Self::terminate).
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(libc::SIGKILL, "kill: a thread cannot be killed")
    }

    /// Gives the process up: the normal end of this process does not wait for it. It is among
    /// [`active_children`](crate::active_children) until it has ended. A process of Spawn that has
    /// not begun when this one ends does not run.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a daemonic process, which ends with this one: it runs on without
    /// a handle, as after a drop. [`Error::ForeignProcess`].
    pub fn detach(self) -> Result<(), Error> {
        if !self.is_mine() {
            return Err(Error::ForeignProcess);
        }
        if self.is_daemon() {
            let text = "detach: a daemonic process ends with the one that has started it";
            return Err(Error::InvalidInput(text.to_string()));
        }
        either!(&self.run, one => one.detach());
        Ok(())
    }

    fn signal(&self, signal: i32, what: &'static str) -> Result<(), Error> {
        if !self.is_mine() {
            return Err(Error::ForeignProcess);
        }
        match &self.run {
            Run::Child(child) => child
                .signal(signal)
                .map_err(|error| Error::resources("sending a signal to a process", error)),
            #[allow(unreachable_patterns)]
            _ => Err(Error::NotSupported { method: self.method, what }),
        }
    }

    fn is_mine(&self) -> bool {
        either!(&self.run, one => one.is_mine())
    }

    /// The value, once it is there.
    fn take_within(&mut self, limit: Option<Duration>) -> Result<R, Error> {
        if !self.is_mine() {
            return Err(Error::ForeignProcess);
        }
        if !either!(&self.run, one => one.wait_within(limit)) {
            return Err(Error::NotReady);
        }
        self.unlist();
        match &self.run {
            Run::Child(child) => {
                let outcome = child.take().ok_or(Error::NotReady)?;
                let output = child.output();
                match outcome {
                    Outcome::Value(message) => self.decode(message),
                    Outcome::Taken => Err(Error::ResultTaken),
                    Outcome::End(end) => {
                        Err(error_of(child.name(), child.process_id(), end, output))
                    }
                }
            }
            #[cfg(feature = "threads")]
            Run::Thread(thread) => match thread.take().ok_or(Error::NotReady)? {
                Ok(value) => {
                    value.map(crate::compact::Compact::into_inner).ok_or(Error::ResultTaken)
                }
                Err(kind) => Err(self.failed(kind.into())),
            },
            #[cfg(not(feature = "threads"))]
            Run::Never(never, _) => match *never {},
        }
    }

    fn decode(&self, mut message: Message) -> Result<R, Error> {
        // Kept until the handles of the value have them.
        let segments = message.open_segments();
        let _segments = segments.map_err(|fault| self.failed(Cause::Handle(fault)))?;
        let mut decoder = Decoder::new();
        decoder.set_segments(&message.ids);
        decoder.decode(&message.bytes).map_err(|fault| self.failed(Cause::of_result(fault)))
    }

    fn failed(&self, cause: Cause) -> Error {
        ProcessError::new(self.name(), self.pid(), cause).into()
    }

    /// Takes it off the list of children: it has ended.
    fn unlist(&self) {
        children::remove(&self.running());
    }

    pub(super) fn running(&self) -> Arc<dyn Running> {
        either!(&self.run, one => one.clone())
    }

    /// A descriptor that is readable once it has ended.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        either!(&self.run, one => one.fd())
    }

    /// Ends the watch of an awaited process.
    pub(super) fn stop_watching(&mut self) {
        if let Some(handle) = self.watcher.take()
            && let Some(watcher) = handle.here()
        {
            let awaited: Arc<dyn Awaited> = self.running();
            watcher.forget(&awaited);
        }
    }
}

impl<R: Wire> Drop for Process<R> {
    fn drop(&mut self) {
        if !self.is_mine() {
            return;
        }
        self.stop_watching();
        if either!(&self.run, one => one.has_ended(SERVER_LIMIT)) {
            self.unlist();
        }
    }
}

impl<R: Wire> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name())
            .field("method", &self.method)
            .field("pid", &self.pid())
            .field("daemon", &self.is_daemon())
            .finish_non_exhaustive()
    }
}
