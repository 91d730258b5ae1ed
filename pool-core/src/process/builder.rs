//! How a process of one function is set up.
//!
//! Invariant: what a process could not have is refused before anything is started.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use pool_affinity::{CpuSet, Machine};
use pool_ipc::Wire;

use super::{
    handle::Process,
    runnable::Runnable,
    start::{Start, Task},
};
#[cfg(feature = "capture-log")]
use crate::capture::{Capture, LogCapture};
use crate::{
    child::{ChildConfig, identity},
    compact::Compact,
    environment::Environment,
    error::{Error, full_text},
    hooks::is_in_daemon,
    output::{Output, OutputEvent, OutputOptions},
    pool::ForkWithThreads,
    stack::move_with_room,
    start::start_of,
    start_method::StartMethod,
};

/// Sets up a [`Process`] before it is started; made by [`Process::builder`].
///
/// Options are checked when the process is started: what it could not have is refused by name, and
/// nothing is started then. A builder can start several processes.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ProcessBuilder {
    method: Option<StartMethod>,
    name: Option<String>,
    daemon: bool,
    cpu_ids: Option<Vec<usize>>,
    environment: Environment,
    output: OutputOptions,
    fork_with_threads: bool,
    #[cfg(feature = "capture-log")]
    capture_logs: Option<LogCapture>,
}

impl ProcessBuilder {
    /// How the process is started; without it ForkServer, or the first of Spawn, Fork and Threads
    /// that is compiled in.
    ///
    /// Under Fork it is a copy of this process as it is then; under ForkServer it is forked from a
    /// small fresh copy of the executable, which lives while a process of it does; under Spawn it
    /// is such a copy itself; under Threads it is a thread.
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// The name; without it `Process-1`, `Process-2` and so on, and `Process-1:1` for the first one
    /// that `Process-1` starts. The kernel keeps 15 bytes of it, for `ps` and `top`.
    ///
    /// Refused ([`Error::InvalidInput`]): an empty name, one with a NUL.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether the process is daemonic (without it: no): it ends with this process, however this
    /// one ends, and can neither build a pool nor start a process.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// The CPUs that the process runs on, by their ids.
    ///
    /// Refused ([`Error::InvalidInput`]): no id at all, and the id of a CPU that is not there, not
    /// online, or that this process may not use.
    pub fn cpu_ids(mut self, ids: impl IntoIterator<Item = usize>) -> Self {
        self.cpu_ids = Some(ids.into_iter().collect());
        self
    }

    /// Sets a variable in the environment of the process; a later value of a name counts. Under
    /// Spawn it is there for the loader and for initialisers, under Fork and ForkServer it is set
    /// before the function begins.
    ///
    /// Refused: an empty name, one with `=`, a NUL in name or value ([`Error::InvalidInput`]);
    /// Threads ([`Error::NotSupported`]).
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.set(name.into(), value.into());
        self
    }

    /// The working directory of the process, which it enters before its function begins. A relative
    /// path is one from this process's directory.
    ///
    /// Refused: what is no directory now, a NUL ([`Error::InvalidInput`]); Threads
    /// ([`Error::NotSupported`]). A directory that is gone when the process enters it is
    /// [`Error::Resources`] from [`Process::join`].
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.environment.enter(folder.into());
        self
    }

    /// What becomes of the standard output of the process; without it, it is that of this process,
    /// or captured, if [`on_output`](Self::on_output) is set. What was captured is in the
    /// [error](crate::ProcessError::output) of a process that ends without its value.
    ///
    /// ```
    /// # use pool_core as pool_api;
    /// use pool_api::{Error, Output, Process};
    ///
    /// let builder = Process::builder().stdout(Output::Capture);
    /// let process = builder.spawn(|code: i32| -> () { println!("so far"); std::process::exit(code) }, 3)?;
    /// let Err(Error::Process(error)) = process.join() else { panic!("it has no value") };
    /// assert_eq!(error.output().unwrap().stdout(), b"so far\n");
    /// # Ok::<(), pool_core::Error>(())
    /// ```
    ///
    /// Refused: a file that cannot be appended to ([`Error::InvalidInput`]); under Threads all but
    /// [`Output::Inherit`] ([`Error::NotSupported`]).
    pub fn stdout(mut self, output: Output) -> Self {
        self.output.stdout = Some(output);
        self
    }

    /// What becomes of its standard error; see [`stdout`](Self::stdout).
    pub fn stderr(mut self, output: Output) -> Self {
        self.output.stderr = Some(output);
        self
    }

    /// Gives the captured output to `function`, in this process and as it comes, in a thread of its
    /// own; streams for which nothing else is set are captured. All of it was given when
    /// [`Process::join`] returns. While `function` is slow, the process waits for it, but not
    /// longer than a second for one call: then what comes is dropped and counted.
    pub fn on_output(mut self, function: impl Fn(&OutputEvent) + Send + Sync + 'static) -> Self {
        self.output.on_output = Some(Arc::new(function));
        self
    }

    /// Bytes of each captured stream that are kept for the error: from 1 to 1 GiB, 64 KiB without
    /// it. Of more than that the end is kept.
    ///
    /// Refused ([`Error::InvalidInput`]): any other number.
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.output.max_bytes = Some(bytes);
        self
    }

    /// Lets Fork copy a process with more than one thread.
    pub fn allow_fork_with_threads(mut self, _promise: ForkWithThreads) -> Self {
        self.fork_with_threads = true;
        self
    }

    /// Brings what the process logs through the `log` crate to the logger of this process, with the
    /// key-values `process` (its name), `pid` and `time_unix_nanos`; `targets` and all else as for
    /// workers of a pool. What it has handed over is delivered when [`Process::join`] returns,
    /// which waits for a logger up to 5 seconds. Under Threads it changes nothing.
    ///
    /// Refused: targets and sizes that cannot be ([`Error::InvalidInput`]); another logger of the
    /// program under Fork ([`Error::OtherLogger`]).
    #[cfg(feature = "capture-log")]
    pub fn capture_logs(mut self, targets: impl Into<LogCapture>) -> Self {
        self.capture_logs = Some(targets.into());
        self
    }

    /// Starts `function(argument)`. Returns once the process is there, and does not wait for its
    /// function to begin.
    ///
    /// # Errors
    ///
    /// Options that are wrong, by name; [`Error::Encode`] and [`Error::Handle`] for an argument
    /// that cannot cross; [`Error::NestedPool`] in a daemonic worker or process; what the start
    /// method cannot do in this process; resources that the system refuses, among them pidfds
    /// (Linux 5.4).
    pub fn spawn<A: Wire, R: Wire>(
        &self,
        function: fn(A) -> R,
        argument: A,
    ) -> Result<Process<R>, Error> {
        move_with_room!(<A, R>(argument => argument) => {
            let argument = Compact::new(argument);
            self.start(Task::Function { function, argument })
        })
    }

    /// Starts a closure, which may have captured anything that another thread may have: under Fork
    /// the process has a copy of it, under Threads the thread has it itself. Under Fork what was
    /// captured is dropped here, too, once the process is there.
    ///
    /// ```
    /// # use pool_core as pool_api;
    /// # if !cfg!(feature = "threads") { return Ok(()); }
    /// use pool_api::{Process, StartMethod};
    ///
    /// let words = vec!["a", "b"];
    /// let builder = Process::builder().start_method(StartMethod::Threads);
    /// let process = builder.spawn_closure(move || words.join(" "))?;
    /// assert_eq!(process.join()?, "a b");
    /// # Ok::<(), pool_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] under ForkServer and Spawn, where nothing that was captured could
    /// get to the process; otherwise those of [`spawn`](Self::spawn).
    pub fn spawn_closure<R: Wire>(
        &self,
        closure: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Process<R>, Error> {
        self.start::<(), R>(Task::Closure(Box::new(closure)))
    }

    /// Starts a value that [runs](Runnable): the form of a class in Python.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn).
    pub fn spawn_runnable<T: Runnable>(&self, value: T) -> Result<Process<T::Output>, Error> {
        self.spawn(T::run, value)
    }

    fn start<A: Wire, R: Wire>(&self, task: Task<A, R>) -> Result<Process<R>, Error> {
        if is_in_daemon() {
            return Err(Error::NestedPool);
        }
        let method = self.method.unwrap_or(StartMethod::first_compiled());
        let cpus = self.check(method)?;
        let plan = self.output.plan(method)?;
        let identity = identity::next(self.name.clone(), self.daemon);
        let (environment, output) = (self.environment.clone(), plan.config);
        #[cfg(feature = "capture-log")]
        let capture = match &self.capture_logs {
            Some(capture) => Some(Capture::new(capture, method)?),
            None => None,
        };
        let config = ChildConfig {
            identity,
            cpus,
            environment,
            output,
            #[cfg(feature = "capture-log")]
            logs: None,
        };
        let start = Start {
            method,
            config,
            fork_with_threads: self.fork_with_threads,
            #[cfg(feature = "capture-log")]
            capture: capture.filter(|_| method != StartMethod::Threads),
        };
        start.start(task, &plan)
    }

    /// Refuses what a process could not have; answers with its CPUs.
    fn check(&self, method: StartMethod) -> Result<Option<CpuSet>, Error> {
        start_of(method)?;
        let refuse = |text: String| Err(Error::InvalidInput(text));
        if let Some(name) = &self.name
            && (name.is_empty() || name.contains('\0'))
        {
            return refuse(format!("name: it must not be empty or contain a NUL, got {name:?}"));
        }
        if method == StartMethod::Threads {
            if !self.environment.variables().is_empty() {
                return Err(Error::NotSupported { method, what: "env: threads share one" });
            }
            if self.environment.has_folder() {
                return Err(Error::NotSupported { method, what: "current_dir: threads share one" });
            }
        }
        self.environment.check()?;
        let Some(ids) = &self.cpu_ids else { return Ok(None) };
        if ids.is_empty() {
            return refuse("cpu_ids: there must be one at least, got none".to_string());
        }
        let refused = |error: pool_affinity::Error| {
            Error::InvalidInput(format!("cpu_ids: {}", full_text(&error)))
        };
        let machine = Machine::read().map_err(refused)?;
        ids.iter().try_for_each(|id| machine.check(*id)).map_err(refused)?;
        CpuSet::from_ids(ids.iter().copied()).map(Some).map_err(refused)
    }
}

impl Process<()> {
    /// Sets up a process step by step.
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::default()
    }
}

impl<R: Wire> Process<R> {
    /// Starts `function(argument)`, with the usual options: see [`ProcessBuilder::spawn`].
    ///
    /// ```
    /// # use pool_core as pool_api;
    /// use pool_api::{Process, StartMethod};
    ///
    /// let process = Process::spawn(StartMethod::ForkServer, |x: u64| x * x, 12)?;
    /// assert_eq!(process.join()?, 144);
    /// # Ok::<(), pool_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ProcessBuilder::spawn`].
    pub fn spawn<A: Wire>(
        method: StartMethod,
        function: fn(A) -> R,
        argument: A,
    ) -> Result<Self, Error> {
        Process::builder().start_method(method).spawn(function, argument)
    }
}
