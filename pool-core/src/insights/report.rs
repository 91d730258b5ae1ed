//! The times of workers as users get them, and their printed layout.

use std::{fmt, time::Duration};

use super::{
    clock_text::clock_text,
    escape::OneLine,
    row::{Longest, keep_longest, sum},
    snapshot::Snapshot,
    stage::TIMED_STAGES,
    task_times::TaskTimes,
};

/// Added to the total time before ratios are taken of it, so that there is no division by zero.
const EPSILON: f64 = 1e-8;

/// What the workers of a pool have spent their time with: see
/// [`Pool::insights`](crate::Pool::insights).
///
/// The times of a worker have five parts, which sum to the time from the order of its start to its
/// end: *start up*, until it can take chunks (with `at_worker_start` and the making of what is
/// shared); *init*, its `worker_init`; *waiting* for chunks; *working* at them, with the decoding
/// of items and the encoding of results; *exit*, its `worker_exit` and the end of its process.
/// Workers with one id, one after the other, are summed. Lists have an entry for each id.
///
/// Displayed, it is a report of some lines.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Insights {
    /// Tasks that each worker has completed: those whose function returned.
    pub n_completed_tasks: Vec<u64>,
    /// The start-up of each worker.
    pub start_up_time: Vec<Duration>,
    /// The `worker_init` of each worker.
    pub init_time: Vec<Duration>,
    /// What each worker waited for chunks.
    pub waiting_time: Vec<Duration>,
    /// What each worker worked at chunks.
    pub working_time: Vec<Duration>,
    /// The exit of each worker.
    pub exit_time: Vec<Duration>,
    /// The sum over all workers.
    pub total_start_up_time: Duration,
    /// The sum over all workers.
    pub total_init_time: Duration,
    /// The sum over all workers.
    pub total_waiting_time: Duration,
    /// The sum over all workers.
    pub total_working_time: Duration,
    /// The sum over all workers.
    pub total_exit_time: Duration,
    /// The sum of the five sums.
    pub total_time: Duration,
    /// The mean over the workers.
    pub start_up_time_mean: Duration,
    /// The standard deviation over the workers, of the whole population.
    pub start_up_time_std: Duration,
    /// The part of the total time.
    pub start_up_ratio: f64,
    /// The mean over the workers.
    pub init_time_mean: Duration,
    /// The standard deviation over the workers, of the whole population.
    pub init_time_std: Duration,
    /// The part of the total time.
    pub init_ratio: f64,
    /// The mean over the workers.
    pub waiting_time_mean: Duration,
    /// The standard deviation over the workers, of the whole population.
    pub waiting_time_std: Duration,
    /// The part of the total time.
    pub waiting_ratio: f64,
    /// The mean over the workers.
    pub working_time_mean: Duration,
    /// The standard deviation over the workers, of the whole population.
    pub working_time_std: Duration,
    /// The part of the total time.
    pub working_ratio: f64,
    /// The mean over the workers.
    pub exit_time_mean: Duration,
    /// The standard deviation over the workers, of the whole population.
    pub exit_time_std: Duration,
    /// The part of the total time.
    pub exit_ratio: f64,
    /// The times of the five longest tasks, the longest first.
    pub top_5_max_task_durations: Vec<Duration>,
    /// For each of these tasks the text of its argument, where that was asked for: `Arg 0: 7`.
    pub top_5_max_task_args: Vec<String>,
    /// Which tasks these are.
    pub top_5_max_tasks: Vec<LongTask>,
    /// How many workers there were with each id.
    pub lives: Vec<u64>,
    /// How long tasks took.
    pub task_times: TaskTimes,
    /// At least one task in so many had its own time taken; 1: each. Tasks that take less than 64
    /// readings of the clock on average, up to 2 µs by machine, are sampled, since a reading for
    /// each would cost too much; `task_times` and the longest tasks are those of the sample then.
    pub sampled_every: u64,
    /// Tasks without a record of their own in the trace, since they were sampled or there was no
    /// room any more.
    pub items_left_out: u64,
    /// Chunks without a record in the trace, since there was no room any more.
    pub chunks_left_out: u64,
}

/// One of the longest tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongTask {
    /// How long it took.
    pub duration: Duration,
    /// The worker that ran it.
    pub worker: usize,
    /// The number of its call; `None` at calls of a single item whose result is waited for later.
    pub call: Option<u64>,
    /// Its position in the input of its call.
    pub item: Option<u64>,
    /// The text of its argument, where that was asked for: `Arg 0: 7`.
    pub args: Option<String>,
}

/// One of the five parts.
struct Part {
    name: &'static str,
    times: Vec<Duration>,
    total: Duration,
    mean: Duration,
    std: Duration,
    ratio: f64,
}

impl Part {
    fn new(name: &'static str, times: Vec<u64>, total_time: f64) -> Self {
        let total = sum(times.iter().copied());
        let count = times.len().max(1) as f64;
        let mean = total as f64 / count;
        let square = |time: &u64| (*time as f64 - mean).powi(2);
        let std = (times.iter().map(square).sum::<f64>() / count).sqrt();
        Self {
            name,
            total: Duration::from_nanos(total),
            mean: Duration::from_nanos(mean as u64),
            std: Duration::from_nanos(std as u64),
            ratio: total as f64 / 1e9 / (total_time + EPSILON),
            times: times.into_iter().map(Duration::from_nanos).collect(),
        }
    }
}

impl Insights {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let workers = &snapshot.workers;
        if workers.iter().all(|worker| worker.lives == 0) {
            return Self::default();
        }
        let total = sum(workers.iter().flat_map(|worker| worker.totals));
        let part = |at: usize, name| {
            let times = workers.iter().map(|worker| worker.totals[at]).collect();
            Part::new(name, times, total as f64 / 1e9)
        };
        let [start_up, init, waiting, working, exit] = [
            part(0, "start up"),
            part(1, "init"),
            part(2, "waiting"),
            part(3, "working"),
            part(4, "exit"),
        ];
        let mut longest: Vec<Longest> =
            workers.iter().flat_map(|worker| worker.longest.iter().cloned()).collect();
        keep_longest(&mut longest);
        let tasks: Vec<_> = longest.into_iter().map(LongTask::from).collect();
        let args = |task: &LongTask| task.args.clone().unwrap_or_default();
        let count = |count: fn(&super::row::RowTimes) -> u64| sum(workers.iter().map(count));
        Self {
            n_completed_tasks: workers.iter().map(|worker| worker.completed).collect(),
            total_start_up_time: start_up.total,
            total_init_time: init.total,
            total_waiting_time: waiting.total,
            total_working_time: working.total,
            total_exit_time: exit.total,
            total_time: Duration::from_nanos(total),
            start_up_time_mean: start_up.mean,
            start_up_time_std: start_up.std,
            start_up_ratio: start_up.ratio,
            init_time_mean: init.mean,
            init_time_std: init.std,
            init_ratio: init.ratio,
            waiting_time_mean: waiting.mean,
            waiting_time_std: waiting.std,
            waiting_ratio: waiting.ratio,
            working_time_mean: working.mean,
            working_time_std: working.std,
            working_ratio: working.ratio,
            exit_time_mean: exit.mean,
            exit_time_std: exit.std,
            exit_ratio: exit.ratio,
            start_up_time: start_up.times,
            init_time: init.times,
            waiting_time: waiting.times,
            working_time: working.times,
            exit_time: exit.times,
            top_5_max_task_durations: tasks.iter().map(|task| task.duration).collect(),
            top_5_max_task_args: tasks.iter().map(args).collect(),
            top_5_max_tasks: tasks,
            lives: workers.iter().map(|worker| worker.lives).collect(),
            task_times: TaskTimes::of(workers),
            sampled_every: workers.iter().map(|worker| worker.stride).max().unwrap_or(0).max(1),
            items_left_out: count(|worker| worker.items_left_out),
            chunks_left_out: count(|worker| worker.chunks_left_out),
        }
    }

    /// Whether there is nothing: the pool records no insights, or no worker was started yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    fn parts(&self) -> [Part; TIMED_STAGES] {
        let part = |name, times: &Vec<Duration>, total, mean, std, ratio| Part {
            name,
            times: times.clone(),
            total,
            mean,
            std,
            ratio,
        };
        [
            part(
                "start up",
                &self.start_up_time,
                self.total_start_up_time,
                self.start_up_time_mean,
                self.start_up_time_std,
                self.start_up_ratio,
            ),
            part(
                "init",
                &self.init_time,
                self.total_init_time,
                self.init_time_mean,
                self.init_time_std,
                self.init_ratio,
            ),
            part(
                "waiting",
                &self.waiting_time,
                self.total_waiting_time,
                self.waiting_time_mean,
                self.waiting_time_std,
                self.waiting_ratio,
            ),
            part(
                "working",
                &self.working_time,
                self.total_working_time,
                self.working_time_mean,
                self.working_time_std,
                self.working_ratio,
            ),
            part(
                "exit",
                &self.exit_time,
                self.total_exit_time,
                self.exit_time_mean,
                self.exit_time_std,
                self.exit_ratio,
            ),
        ]
    }
}

impl From<Longest> for LongTask {
    fn from(longest: Longest) -> Self {
        Self {
            duration: Duration::from_nanos(longest.time),
            worker: longest.worker,
            call: longest.call,
            item: longest.item,
            args: longest.text,
        }
    }
}

impl fmt::Display for Insights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str(
                "No profiling stats available. Try to run a function first with insights enabled \
                 (`enable_insights` of the pool's builder).",
            );
        }
        writeln!(f, "WorkerPool insights\n-------------------")?;
        let completed = sum(self.n_completed_tasks.iter().copied());
        writeln!(f, "Total number of tasks completed: {completed}")?;
        let parts = self.parts();
        for Part { name, total, mean, std, ratio, .. } in &parts {
            writeln!(
                f,
                "Total {name} time: {}s (mean: {}, std: {}, ratio: {:.2}%)",
                clock_text(*total),
                clock_text(*mean),
                clock_text(*std),
                ratio * 100.0
            )?;
        }
        if self.working_ratio < 0.8 {
            writeln!(f, "\nEfficiency warning: working ratio is < 80%!")?;
        }
        writeln!(f, "\nStats per worker\n----------------")?;
        for (worker, tasks) in self.n_completed_tasks.iter().enumerate() {
            write!(f, "Worker {worker} - Tasks completed: {tasks}")?;
            for Part { name, times, .. } in &parts {
                let time = times.get(worker).copied().unwrap_or_default();
                write!(f, " - {name}: {}s", clock_text(time))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nTop 5 longest tasks\n-------------------")?;
        for (rank, task) in (1..).zip(&self.top_5_max_tasks) {
            write!(f, "{rank}. Time: {}", clock_text(task.duration))?;
            if let Some(args) = &task.args {
                write!(f, " - {}", OneLine(args))?;
            }
            match task.item {
                Some(item) => writeln!(f, " - item {item}, worker {}", task.worker)?,
                None => writeln!(f, " - worker {}", task.worker)?,
            }
        }
        if self.sampled_every > 1 {
            writeln!(
                f,
                "\nSome tasks were short: at least one in {} had its time taken ({} tasks in all).",
                self.sampled_every,
                self.task_times.count()
            )?;
        }
        Ok(())
    }
}
