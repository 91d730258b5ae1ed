//! The state of this program: its pools, and what the system says of their workers.

use std::{env, process};

use nix::unistd::{User, gethostname, getuid};
use pool_core::{CallSnapshot, Insights, WatchedPool, closed_pools, watched_pools};

use crate::{
    state::{
        CallState, ErrorState, InsightsState, LongestState, Outcome, PartState, PoolState, Program,
        WorkerState, WorkerTimes,
    },
    time::{millis, unix_millis},
    usage::Usage,
};

/// What stands between the text of a failure and its backtrace.
const BACKTRACE: &str = "\nstack backtrace:\n";

#[derive(Debug)]
pub(crate) struct OwnProgram {
    name: String,
    user: String,
    host: String,
    may_cancel: bool,
    usage: Usage,
}

impl OwnProgram {
    /// `name`: by which the page calls it; its executable's by default.
    pub(crate) fn new(name: Option<String>, may_cancel: bool) -> Self {
        let executable = || {
            let path = env::current_exe().ok()?;
            Some(path.file_name()?.to_string_lossy().into_owned())
        };
        let uid = getuid();
        let user = User::from_uid(uid).ok().flatten().map_or(uid.to_string(), |user| user.name);
        let host = gethostname().map_or(String::new(), |name| name.to_string_lossy().into());
        let name = name.or_else(executable).unwrap_or_else(|| "program".to_owned());
        Self { name, user, host, may_cancel, usage: Usage::default() }
    }

    pub(crate) fn state(&mut self) -> Program {
        let closed = closed_pools().into_iter().map(|pool| (pool, true));
        let open = watched_pools().into_iter().map(|pool| (pool, false));
        let mut pools: Vec<_> =
            closed.chain(open).map(|(pool, is_closed)| self.pool(&pool, is_closed)).collect();
        // One that was dropped in between is there twice.
        pools.sort_by_key(|pool| pool.number);
        pools.dedup_by_key(|pool| pool.number);
        self.usage.forget_gone();
        Program {
            name: self.name.clone(),
            user: self.user.clone(),
            host: self.host.clone(),
            pid: process::id(),
            may_cancel: self.may_cancel,
            pools,
        }
    }

    /// Cancels a call; `false` where there is no such one (any more).
    pub(crate) fn cancel(&self, pool: u64, call: u64) -> bool {
        self.may_cancel
            && watched_pools().iter().any(|open| open.number() == pool && open.cancel(call))
    }

    fn pool(&mut self, pool: &WatchedPool, is_closed: bool) -> PoolState {
        let mut calls: Vec<_> = pool.calls().iter().map(call_state).collect();
        calls.reverse();
        PoolState {
            number: pool.number(),
            method: pool.start_method().to_string(),
            is_closed,
            jobs: u32::try_from(pool.n_jobs()).unwrap_or(u32::MAX),
            workers: if is_closed { Vec::new() } else { self.workers(pool) },
            calls,
            insights: pool.insights().as_ref().map(insights_state),
        }
    }

    fn workers(&mut self, pool: &WatchedPool) -> Vec<WorkerState> {
        let now = unix_millis();
        let activity = pool.worker_activity();
        if activity.is_empty() {
            // Without insights only the processes are known.
            let pids = pool.worker_pids().into_iter().zip(0..);
            return pids.map(|(pid, id)| self.worker(id, Some(pid))).collect();
        }
        let is_threads = pool.start_method() == pool_core::StartMethod::Threads;
        let states = activity.into_iter().map(|worker| {
            let id = u32::try_from(worker.worker).unwrap_or(u32::MAX);
            let elapsed = u64::try_from(worker.elapsed.as_millis()).unwrap_or(u64::MAX);
            let pid = worker.pid.filter(|_| !is_threads);
            WorkerState {
                stage: worker.stage.name().to_owned(),
                call: worker.call,
                item: worker.item,
                since: (worker.lives > 0).then(|| now.saturating_sub(elapsed)),
                completed: Some(worker.completed),
                lives: worker.lives,
                ..self.worker(id, pid)
            }
        });
        states.collect()
    }

    fn worker(&mut self, id: u32, pid: Option<u32>) -> WorkerState {
        let (cpu, memory_bytes) = pid.map_or((None, None), |pid| self.usage.of(pid));
        WorkerState {
            id,
            pid,
            stage: String::new(),
            call: None,
            item: None,
            since: None,
            completed: None,
            lives: 0,
            cpu,
            memory_bytes,
        }
    }
}

fn call_state(call: &CallSnapshot) -> CallState {
    let (mut errors, mut outcome) = (Vec::new(), Outcome::Running);
    errors.extend(call.errors.iter().map(|text| error_state(text)));
    let mut ended = None;
    if let Some((at, how)) = &call.ended {
        ended = Some(millis(*at));
        outcome = match how {
            pool_core::Outcome::Done => Outcome::Done,
            pool_core::Outcome::Failed(text) => {
                let error = error_state(text);
                // What has ended the call is one of the failures of its items, or more than that.
                if !errors.iter().any(|present| present.text == error.text) {
                    errors.push(error);
                }
                Outcome::Failed
            }
            _ => Outcome::Cancelled,
        };
    }
    CallState {
        number: call.number,
        function: call.function.clone(),
        location: call.caller.map_or(String::new(), ToString::to_string),
        form: call.form.to_owned(),
        total: call.total,
        done: call.done,
        failed: call.failed,
        began: millis(call.started),
        ended,
        outcome,
        may_cancel: call.can_be_cancelled,
        errors,
    }
}

fn error_state(text: &str) -> ErrorState {
    let (text, backtrace) = text.split_once(BACKTRACE).unwrap_or((text, ""));
    ErrorState { text: text.to_owned(), backtrace: backtrace.to_owned() }
}

fn insights_state(insights: &Insights) -> InsightsState {
    let part = |name: &str, total: std::time::Duration, (mean, std), ratio| PartState {
        name: name.to_owned(),
        total: total.as_secs_f64(),
        mean: std::time::Duration::as_secs_f64(&mean),
        std: std::time::Duration::as_secs_f64(&std),
        ratio,
    };
    macro_rules! parts {
        ($($name:literal $total:ident $mean:ident $std:ident $ratio:ident;)*) => {
            vec![$(part(
                $name,
                insights.$total,
                (insights.$mean, insights.$std),
                insights.$ratio,
            ),)*]
        };
    }
    let parts = parts! {
        "start up" total_start_up_time start_up_time_mean start_up_time_std start_up_ratio;
        "init" total_init_time init_time_mean init_time_std init_ratio;
        "waiting" total_waiting_time waiting_time_mean waiting_time_std waiting_ratio;
        "working" total_working_time working_time_mean working_time_std working_ratio;
        "exit" total_exit_time exit_time_mean exit_time_std exit_ratio;
    };
    let times = [
        &insights.start_up_time,
        &insights.init_time,
        &insights.waiting_time,
        &insights.working_time,
        &insights.exit_time,
    ];
    let workers = insights.n_completed_tasks.iter().enumerate().map(|(id, completed)| {
        let of = |times: &&Vec<std::time::Duration>| times.get(id).map(|time| time.as_secs_f64());
        let times = times.iter().map(|times| of(times).unwrap_or(0.0)).collect();
        WorkerTimes { id: u32::try_from(id).unwrap_or(u32::MAX), completed: *completed, times }
    });
    let longest = insights.top_5_max_tasks.iter().map(|task| LongestState {
        time: task.duration.as_secs_f64(),
        item: task.item,
        argument: task.args.clone().unwrap_or_default(),
    });
    let note = match insights.sampled_every {
        0 | 1 => String::new(),
        every => format!("The longest tasks are those of a sample, of one task in {every}."),
    };
    InsightsState {
        completed: insights.n_completed_tasks.iter().fold(0, |sum, more| sum.saturating_add(*more)),
        parts,
        longest: longest.collect(),
        workers: workers.collect(),
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_backtrace() {
        let error = error_state("it panicked\n\nin two lines\nstack backtrace:\n   0: f");
        assert_eq!(error.text, "it panicked\n\nin two lines");
        assert_eq!(error.backtrace, "   0: f");
        assert_eq!(error_state("plain").backtrace, "");
    }
}
