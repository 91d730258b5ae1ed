//! The options about what workers write to standard output and standard error.

use std::sync::Arc;

use pool_core::{Output, OutputEvent};

use super::Builder;

impl<S, W, E> Builder<S, W, E> {
    /// What becomes of the standard output of workers: of what Rust and C code prints there, and
    /// of the programs that tasks start. Without it they have that of the program, or it is
    /// captured, if [`on_output`](Self::on_output) is set.
    ///
    /// Captured output belongs to the item that wrote it: see
    /// [`TaskError::output`](crate::TaskError::output). Each start method has it but Threads, which
    /// share the streams of the program. What an initialiser of the program prints before `main`
    /// in a fresh copy of it, and a function that makes what a pool shares once for all workers,
    /// goes to the stream of the program all the same.
    ///
    /// ```
    /// use pool_api::{Error, Output, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).stdout(Output::Capture).build()?;
    /// let failed = pool.map(0..4u32, |n| {
    ///     println!("item {n}");
    ///     assert!(n != 2);
    /// });
    /// let Err(Error::Task(error)) = failed else { panic!("it fails") };
    /// let output = error.output().expect("it is captured");
    /// assert_eq!(output.stdout(), b"item 2\n");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` refuses, by name and before anything is started: a [`File`](Output::File) with an
    /// empty path, a NUL in it, a directory, one that cannot be opened to append to it
    /// ([`Error::InvalidInput`](crate::Error::InvalidInput)); under Threads all but
    /// [`Inherit`](Output::Inherit) ([`Error::NotSupported`](crate::Error::NotSupported)).
    pub fn stdout(mut self, output: Output) -> Self {
        self.options.output.stdout = Some(output);
        self
    }

    /// What becomes of the standard error of workers; see [`stdout`](Self::stdout).
    ///
    /// Where it is captured, the panic hook writes the text of a task's panic there, as in a
    /// program without a pool; otherwise workers print nothing for it, since the error says it.
    pub fn stderr(mut self, output: Output) -> Self {
        self.options.output.stderr = Some(output);
        self
    }

    /// Gives all captured output to `function`, in this process and as it comes: a line or several
    /// at a time, with the worker, the item and the stream. Streams for which nothing else is set
    /// are captured.
    ///
    /// It is called in a thread of the pool, for one event after the other. All that workers have
    /// written was given to it when [`stop_and_join`](crate::WorkerPool::stop_and_join),
    /// [`terminate`](crate::WorkerPool::terminate) or the drop of the pool returns, but not
    /// when a call returns. While it is slow, workers that write wait for it, as at any pipe.
    /// Where one call of it takes longer than a second and more than 1 MiB waits, what comes is
    /// dropped and [counted](OutputEvent::dropped), so it may use this pool. A panic in it ends
    /// only that call of it.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use pool_api::WorkerPool;
    ///
    /// let lines = Arc::new(Mutex::new(Vec::new()));
    /// let to = lines.clone();
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(2)
    ///     .on_output(move |output| {
    ///         let line = format!("{}: {}", output.item().unwrap(), output.text());
    ///         to.lock().unwrap().push(line);
    ///     })
    ///     .build()?;
    /// pool.map(7..10u32, |n| println!("it is {n}"))?;
    /// pool.stop_and_join()?;
    /// let mut lines = lines.lock().unwrap();
    /// lines.sort();
    /// assert_eq!(*lines, ["0: it is 7\n", "1: it is 8\n", "2: it is 9\n"]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// [`OutputEvent::print`] prints it again, in place of what tasks print under Threads: `cargo
    /// test` shows that with its test.
    ///
    /// ```
    /// # use pool_api::{OutputEvent, WorkerPool};
    /// let pool = WorkerPool::builder().n_jobs(2).on_output(OutputEvent::print).build()?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn on_output(mut self, function: impl Fn(&OutputEvent) + Send + Sync + 'static) -> Self {
        self.options.output.on_output = Some(Arc::new(function));
        self
    }

    /// Bytes of each captured stream that are kept of an item, for its error: from 1 to 1 GiB, 64
    /// KiB without it. Of more than that the end is kept and the rest counted
    /// ([`TaskOutput::stdout_dropped`](crate::TaskOutput::stdout_dropped)). This process takes up
    /// to twice as much for each stream of each worker, however much is written.
    /// [`on_output`](Self::on_output) gets all of it.
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.options.output.max_bytes = Some(bytes);
        self
    }
}
