//! One function in one process: the smallest pool.

use std::fmt;

use pool_ipc::Wire;

use crate::{
    error::{Cause, Error, ExitStatus, TaskError},
    ids::{ItemIndex, WorkerId},
    job::{JobOptions, ResultStream},
    pool::{Pool, PoolOptions},
    stack::{move_with_room, with_room},
    start_method::StartMethod,
    task::{Form, PlainForm},
};

/// A function that runs in a process of its own (in a thread, under [`StartMethod::Threads`]).
///
/// Dropping it kills the process.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::{Process, StartMethod};
///
/// let process = Process::spawn(StartMethod::ForkServer, |x: u64| x * x, 12)?;
/// assert_eq!(process.join()?, 144);
/// # Ok::<(), pool_core::Error>(())
/// ```
pub struct Process<R: Wire> {
    run: Box<dyn Run<R>>,
    pid: Option<u32>,
    killed: bool,
    pool: Pool,
}

impl<R: Wire> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("method", &self.pool.start_method())
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// The call, whatever its argument's type.
trait Run<R>: Send {
    /// Takes in what has arrived; returns whether the call has ended.
    fn poll_end(&mut self) -> bool;
    fn end(&mut self) -> Result<R, Error>;
}

impl<F: Form, I: Iterator<Item = F::Item> + Send> Run<F::Output> for ResultStream<F, I, F::Output> {
    fn poll_end(&mut self) -> bool {
        self.poll_arrivals()
    }

    fn end(&mut self) -> Result<F::Output, Error> {
        self.next().unwrap_or(Err(Error::Terminated))
    }
}

impl<R: Wire> Process<R> {
    /// Starts `function(argument)`.
    ///
    /// # Errors
    ///
    /// What the start method cannot do in this process; resources that the system refuses.
    pub fn spawn<A: Wire>(
        method: StartMethod,
        function: fn(A) -> R,
        argument: A,
    ) -> Result<Self, Error> {
        move_with_room!(<A, R>(argument => argument) => Self::spawn_here(method, function, argument))
    }

    fn spawn_here<A: Wire>(
        method: StartMethod,
        function: fn(A) -> R,
        argument: A,
    ) -> Result<Self, Error> {
        let options = PoolOptions {
            n_jobs: Some(1),
            start_method: method,
            daemon: false,
            ..PoolOptions::default()
        };
        let pool = Pool::build(&options)?;
        let items = std::iter::once(argument);
        let mut job =
            pool.job::<PlainForm<A, R>, _>(function, (), items, &JobOptions::default(), true)?;
        job.start()?;
        let pid = pool.wait_for_pid()?;
        Ok(Self { run: Box::new(job.results(true)), pid, killed: false, pool })
    }

    /// The process id; `None` under Threads.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether the function still runs.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        !self.killed && !self.run.poll_end()
    }

    /// Waits for the function's value.
    ///
    /// # Errors
    ///
    /// [`Error::Task`] with the way in which it ended otherwise: a panic, an exit code, a signal.
    pub fn join(self) -> Result<R, Error> {
        with_room::<(), R, _>(move || self.join_here())
    }

    fn join_here(mut self) -> Result<R, Error> {
        if self.killed {
            let cause = Cause::Death(ExitStatus::Signal(libc::SIGKILL));
            return Err(TaskError::new(ItemIndex::FIRST, WorkerId::FIRST, cause, 1).into());
        }
        let value = self.run.end();
        let stopped = self.pool.stop_and_join();
        let value = value?;
        stopped.map(|()| value)
    }

    /// Kills the process; [`Process::join`] then returns that, unless the function had ended
    /// before.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] under Threads: nothing can be killed there.
    pub fn kill(&mut self) -> Result<(), Error> {
        let method = self.pool.start_method();
        if method == StartMethod::Threads {
            return Err(Error::NotSupported { method, what: "killing a task" });
        }
        if !self.run.poll_end() {
            self.pool.terminate()?;
            self.killed = true;
        }
        Ok(())
    }
}
