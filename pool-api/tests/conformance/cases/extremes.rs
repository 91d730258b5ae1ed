//! Every option of pools, calls and settings with the least, the greatest and meaningless values.
//!
//! Each row is one value of one option: it is refused by the option's name before anything starts,
//! or it works as documented. `every_option_has_its_extremes` checks that each option has a row.

use std::{collections::BTreeSet, time::Duration};

use pool_api::{
    Builder, CancelToken, Cause, Error, InsightsOptions, Result, SharedArray, StartMethod,
    WorkerPool, chunk_tasks,
    progress::{LogLines, Outcome as Ended, Progress},
};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("extremes_of_pool_options", of_pools),
    Case::new("extremes_of_call_options", of_calls),
    Case::new("extremes_of_single_calls", of_single_calls),
    Case::new("extremes_of_settings", of_settings),
    Case::new("extremes_of_waits", of_waits),
    Case::new("every_option_has_its_extremes", complete).threads(),
];

/// The effect of a value.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Refused, and the text names the option.
    Refused,
    /// The calls have their values.
    Works,
    /// An item of a call fails at its limit, or is done before the limit is checked.
    InTime,
    /// Refused under Threads, whose workers have no memory of their own.
    Processes,
    /// Refused under Threads; under processes the worker may be refused memory.
    Hungry,
}

use Then::{Hungry, InTime, Processes, Refused, Works};

const ZERO: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_nanos(1);
const MAX: Duration = Duration::MAX;
/// Longer than 64 bits of nanoseconds.
const AGES: Duration = Duration::from_secs(1 << 40);

type OfPool = (&'static str, fn(Builder) -> Builder, Then);

const POOLS: &[OfPool] = &[
    ("n_jobs", |b| b.n_jobs(0), Refused),
    ("n_jobs", |b| b.n_jobs(usize::MAX), Refused),
    ("n_jobs", |b| b.n_jobs(1), Works),
    ("n_jobs", |b| b.n_jobs(0).n_jobs(2), Works),
    ("start_method", |b| b, Works),
    ("keep_alive", |b| b.keep_alive(false).keep_alive(true), Works),
    ("keep_alive", |b| b.keep_alive(true).keep_alive(false), Works),
    ("order_tasks", |b| b.order_tasks(false).order_tasks(true), Works),
    ("worker_lifespan", |b| b.worker_lifespan(0), Refused),
    ("worker_lifespan", |b| b.worker_lifespan(1), Works),
    ("worker_lifespan", |b| b.worker_lifespan(1).worker_lifespan(u64::MAX), Works),
    ("cpu_ids", |b| b.cpu_ids([usize::MAX]), Refused),
    ("cpu_ids", |b| b.cpu_ids([0usize, 0, 0]), Refused),
    ("cpu_ids", |b| b.cpu_ids([[usize::MAX; 2]]), Refused),
    ("arena_limit", |b| b.arena_limit(0), Refused),
    ("arena_limit", |b| b.arena_limit(1), Refused),
    ("arena_limit", |b| b.arena_limit(1 << 20), Works),
    ("arena_limit", |b| b.arena_limit(u64::MAX), Works),
    ("max_result_bytes", |b| b.max_result_bytes(0), Works),
    ("max_result_bytes", |b| b.max_result_bytes(u64::MAX), Works),
    ("allow_fork_with_threads", |b| b, Works),
    ("shared_timeout", |b| b.shared_timeout(ZERO), Refused),
    ("shared_timeout", |b| b.shared_timeout(MAX), Works),
    ("shared_timeout", |b| b.shared_timeout(AGES), Works),
    ("task_timeout", |b| b.task_timeout(ZERO), Refused),
    ("task_timeout", |b| b.task_timeout(SHORT), InTime),
    ("task_timeout", |b| b.task_timeout(SHORT).task_timeout(MAX), Works),
    ("task_timeout", |b| b.task_timeout(AGES), Works),
    ("timeout_grace", |b| b.timeout_grace(ZERO), Works),
    ("timeout_grace", |b| b.timeout_grace(MAX).task_timeout(MAX), Works),
    ("timeout_grace", |b| b.timeout_grace(MAX).task_timeout(SHORT), InTime),
    ("timeout_grace", |b| b.timeout_grace(AGES).task_timeout(AGES), Works),
    ("worker_init_timeout", |b| b.worker_init_timeout(ZERO), Refused),
    ("worker_init_timeout", |b| b.worker_init_timeout(MAX), Works),
    ("worker_init_timeout", |b| b.worker_init_timeout(AGES), Works),
    ("worker_exit_timeout", |b| b.worker_exit_timeout(ZERO), Refused),
    ("worker_exit_timeout", |b| b.worker_exit_timeout(MAX), Works),
    ("worker_exit_timeout", |b| b.worker_exit_timeout(AGES), Works),
    ("memory_limit", |b| b.memory_limit(0), Refused),
    ("memory_limit", |b| b.memory_limit(1), Hungry),
    ("memory_limit", |b| b.memory_limit(1).memory_limit(u64::MAX), Processes),
    ("max_worker_rss", |b| b.max_worker_rss(0), Refused),
    ("max_worker_rss", |b| b.max_worker_rss(1), Processes),
    ("max_worker_rss", |b| b.max_worker_rss(u64::MAX), Processes),
    ("stack_size", |b| b.stack_size(0), Refused),
    ("stack_size", |b| b.stack_size(1), Refused),
    ("stack_size", |b| b.stack_size((256 << 10) - 1), Refused),
    ("stack_size", |b| b.stack_size((64 << 30) + 1), Refused),
    ("stack_size", |b| b.stack_size(usize::MAX), Refused),
    ("stack_size", |b| b.stack_size(0).stack_size(256 << 10), Works),
    ("stack_size", |b| b.stack_size((1 << 20) + 1), Works),
    ("daemon", |b| b.daemon(false).daemon(true), Works),
    ("dump_shared_memory", |b| b.dump_shared_memory(true).dump_shared_memory(false), Works),
    ("first_serial", |b| b.first_serial(0), Refused),
    ("first_serial", |b| b.first_serial(u64::MAX), Refused),
    ("first_serial", |b| b.first_serial(0).first_serial(1 << 47), Works),
    ("at_worker_start", |b| b.at_worker_start(|| ()).at_worker_start(|| ()), Works),
    ("watched", |b| b.watched(false).watched(true), Works),
    ("enable_insights", |b| b.enable_insights(InsightsOptions::new().trace_records(0)), Works),
    ("enable_insights", |b| b.enable_insights(InsightsOptions::new().trace_records(1)), Works),
    (
        "enable_insights",
        |b| b.enable_insights(InsightsOptions::new().trace_records(1 << 24)),
        Works,
    ),
    (
        "enable_insights",
        |b| b.enable_insights(InsightsOptions::new().trace_records((1 << 24) + 1)),
        Refused,
    ),
    (
        "enable_insights",
        |b| b.enable_insights(InsightsOptions::new().trace_records(usize::MAX)),
        Refused,
    ),
];

/// Checks that the value or the error is the expected one.
fn judge<T: std::fmt::Debug + PartialEq>(
    what: &str,
    method: StartMethod,
    then: Then,
    result: Result<T>,
    right: &T,
) {
    let (name, _) = what.split_once(' ').unwrap_or((what, ""));
    let threads = method == StartMethod::Threads;
    let is_right = match (then, &result) {
        (Refused, Err(Error::InvalidInput(text))) => text.contains(name),
        (Processes | Hungry, Err(Error::NotSupported { what, .. })) if threads => {
            what.contains(name)
        }
        (Processes | Hungry, _) if threads => false,
        (Works | InTime | Processes | Hungry, Ok(value)) => value == right,
        (InTime, Err(Error::Task(task))) => matches!(task.cause(), Cause::Timeout { .. }),
        (Hungry, Err(Error::Task(task))) => matches!(task.cause(), Cause::MemoryLimit { .. }),
        (Hungry, Err(Error::WorkersDie(_) | Error::WorkerInitFailed { .. })) => true,
        _ => false,
    };
    assert!(is_right, "{what}: {then:?} was to be, not {result:?}");
}

fn of_pools(method: StartMethod) -> Outcome {
    for (row, (name, set, then)) in POOLS.iter().enumerate() {
        let what = format!("{name} (row {row})");
        let pool = match set(builder(method, 2)).build() {
            Ok(pool) => pool,
            Err(error) => {
                judge(&what, method, *then, Err(error), &());
                continue;
            }
        };
        assert!(!matches!(then, Refused), "{what} was to be refused");
        let called = pool.map(0..5u64, |x| x + 1);
        judge(&what, method, *then, called, &vec![1, 2, 3, 4, 5]);
        let single = match pool.apply_async(7u64, |x| x) {
            Ok(handle) => handle.get(),
            Err(refused) => panic!("{what}: {refused:?}"),
        };
        judge(&what, method, *then, single, &7);
        pool.stop_and_join()?;
        // The option is read again for the next life.
        judge(&what, method, *then, pool.apply(8u64, |x| x), &8);
    }
    Ok(())
}

type Call<'p> = pool_api::Call<'p, std::ops::Range<u64>>;
type OfCall = (&'static str, for<'p> fn(Call<'p>) -> Call<'p>, Then);

const CALLS: &[OfCall] = &[
    ("chunk_size", |t| t.chunk_size(0), Refused),
    ("chunk_size", |t| t.chunk_size(0.0), Refused),
    ("chunk_size", |t| t.chunk_size(-0.0), Refused),
    ("chunk_size", |t| t.chunk_size(0.999), Refused),
    ("chunk_size", |t| t.chunk_size(f64::MIN), Refused),
    ("chunk_size", |t| t.chunk_size(f64::NAN), Refused),
    ("chunk_size", |t| t.chunk_size(f64::INFINITY), Refused),
    ("chunk_size", |t| t.chunk_size(f64::NEG_INFINITY), Refused),
    ("chunk_size", |t| t.chunk_size(1), Works),
    ("chunk_size", |t| t.chunk_size(1.0 + f64::EPSILON), Works),
    ("chunk_size", |t| t.chunk_size(f64::MAX), Works),
    ("chunk_size", |t| t.chunk_size(f64::NAN).chunk_size(usize::MAX), Works),
    ("n_splits", |t| t.n_splits(0), Refused),
    ("n_splits", |t| t.n_splits(1), Works),
    ("n_splits", |t| t.n_splits(0).n_splits(usize::MAX), Works),
    ("iterable_len", |t| t.iterable_len(0).iterable_len(usize::MAX), Works),
    ("iterable_len", |t| t.iterable_len(usize::MAX).n_splits(usize::MAX), Works),
    ("iterable_len", |t| t.iterable_len(usize::MAX).n_splits(1), Works),
    ("iterable_len", |t| t.iterable_len(5).chunk_size(usize::MAX), Works),
    ("max_tasks_active", |t| t.max_tasks_active(0), Refused),
    ("max_tasks_active", |t| t.max_tasks_active(1), Works),
    ("max_tasks_active", |t| t.max_tasks_active(usize::MAX), Works),
    ("max_tasks_active", |t| t.max_tasks_active(usize::MAX).chunk_size(usize::MAX), Works),
    ("task_timeout", |t| t.task_timeout(ZERO), Refused),
    ("task_timeout", |t| t.task_timeout(SHORT), InTime),
    ("task_timeout", |t| t.task_timeout(ZERO).task_timeout(MAX), Works),
    ("task_timeout", |t| t.task_timeout(AGES), Works),
    ("timeout_grace", |t| t.timeout_grace(ZERO), Works),
    ("timeout_grace", |t| t.timeout_grace(MAX), Works),
    ("timeout_grace", |t| t.timeout_grace(MAX).task_timeout(MAX), Works),
    ("timeout_grace", |t| t.timeout_grace(MAX).task_timeout(SHORT), InTime),
    ("timeout_grace", |t| t.timeout_grace(AGES).task_timeout(AGES), Works),
    ("retry", |t| t.retry(0), Works),
    ("retry", |t| t.retry(0).retry(u32::MAX), Works),
    ("retry", |t| t.retry(1).task_timeout(SHORT), InTime),
    ("cancel_token", |t| t, Works),
    ("kill_running", |t| t.kill_running(ZERO), Works),
    ("kill_running", |t| t.kill_running(MAX), Works),
    ("kill_running", |t| t.kill_running(AGES).kill_running(SHORT), Works),
    ("order_tasks", |t| t.order_tasks(false).order_tasks(true), Works),
    ("on_worker", |t| t.on_worker(2), Refused),
    ("on_worker", |t| t.on_worker(u32::MAX), Refused),
    ("on_worker", |t| t.on_worker(u32::MAX).on_worker(1), Works),
    ("on_worker", |t| t.on_worker(0).order_tasks(true), Works),
    ("progress_with", |t| t.progress_with(Every(ZERO)).progress_with(Every(ZERO)), Works),
    ("progress_with", |t| t.progress_with(Every(MAX)), Works),
    (
        "progress_with",
        |t| t.progress(LogLines::new().interval(ZERO)).progress_with(Every(MAX)),
        Works,
    ),
];

/// A progress that shows nothing, as often as this.
struct Every(Duration);

impl Progress for Every {
    fn begin(&mut self, _: Option<u64>) {}
    fn advance(&mut self, _: u64, _: u64) {}
    fn end(&mut self, _: &Ended) {}
    fn interval(&self) -> Duration {
        self.0
    }
}

/// The number of rows at the beginning that are refused.
const FIRST_REFUSALS: usize = 8;

/// The name in a refusal; that of `on_worker` names its argument.
fn named(name: &'static str) -> &'static str {
    if name == "on_worker" { "worker id" } else { name }
}

fn of_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let right: Vec<u64> = vec![1, 2, 3, 4, 5];
    for (row, (name, set, then)) in CALLS.iter().enumerate() {
        let call = || set(pool.tasks(0..5u64));
        let check = |form: &str, result: Result<Vec<u64>>| {
            let result = match result {
                Err(Error::InvalidInput(text)) if text.contains(named(name)) => {
                    Err(Error::InvalidInput((*name).to_string()))
                }
                other => other,
            };
            judge(&format!("{name} (row {row}, {form})"), method, *then, result, &right);
        };
        check("map", call().map(|x| x + 1));
        check("imap", call().imap(|x| x + 1).collect());
        let mut unordered = call().map_unordered(|x| x + 1);
        if let Ok(values) = &mut unordered {
            values.sort_unstable();
        }
        check("map_unordered", unordered);
        check("map_with", call().with_worker().map(|_, x| x + 1));
        check("with", call().with(1u64).map(|one, x| x + one));
        let handed = call().map_async(|x| x + 1);
        check("map_async", handed.map_err(Error::from).and_then(|handle| handle.get()));
        let each = call().map_results(|x| x + 1);
        check(
            "map_results",
            each.and_then(|all| all.into_iter().map(|one| one.map_err(Error::Task)).collect()),
        );
        let mut viewed = vec![0; 5];
        let read = call().for_each_view(|x| x + 1, |at, x| viewed[at] = x.to_native());
        check("for_each_view", read.map(|()| viewed));
        // Fork has started its zygote in `build()`, and later rows have made calls.
        if row + 1 == FIRST_REFUSALS && method != StartMethod::Fork {
            assert!(pool.worker_pids().is_empty(), "nothing was started for a refusal");
        }
    }
    let none: Vec<u64> = Vec::new();
    assert_eq!(pool.tasks(0..5u64).iterable_len(0).map(|x| x)?, none);
    assert_eq!(pool.tasks(0..0u64).chunk_size(f64::MAX).n_splits(usize::MAX).map(|x| x)?, none);
    assert_eq!(chunk_tasks(0..5u64).chunk_size(f64::MAX).chunks()?.count(), 1);
    assert_eq!(chunk_tasks(0..5u64).n_splits(usize::MAX).chunks()?.count(), 5);
    assert_eq!(chunk_tasks(0..5u64).n_splits(1).iterable_len(0).chunks()?.count(), 0);
    for chunks in [
        chunk_tasks(0..5u64).n_splits(0).chunks(),
        chunk_tasks(0..5u64).chunk_size(f64::NAN).chunks(),
        chunk_tasks(0..5u64).chunks(),
    ] {
        assert!(matches!(chunks, Err(Error::InvalidInput(_))), "{chunks:?}");
    }
    let mut array = SharedArray::<u64>::new(5).expect("shared memory");
    let refused = pool.slices_mut(&mut array, 0).map(|_, _| ());
    assert!(matches!(&refused, Err(Error::InvalidInput(t)) if t.contains("chunk_len")));
    let refused = pool.slices(&array, 0).map(|_, _| ());
    assert!(matches!(&refused, Err(Error::InvalidInput(t)) if t.contains("chunk_len")));
    assert_eq!(pool.slices_mut(&mut array, usize::MAX).map(|_, part| part.len())?, [5]);
    assert_eq!(pool.slices(&array, usize::MAX).map(|_, part| part.len())?, [5]);
    Ok(())
}

fn of_single_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let refused = |result: Result<u64>, name: &str| {
        let named = matches!(&result, Err(Error::InvalidInput(text)) if text.contains(name));
        assert!(named, "{name}: {result:?}");
    };
    refused(pool.task(1u64).task_timeout(ZERO).apply(|x| x), "task_timeout");
    let handed = pool.task(1u64).task_timeout(ZERO).apply_async(|x| x);
    refused(handed.map_err(Error::from).and_then(|handle| handle.get()), "task_timeout");
    refused(pool.task(1u64).task_timeout(ZERO).on_worker(0).apply(|x| x), "task_timeout");
    refused(pool.task(1u64).on_worker(2).apply(|x| x), "worker id");
    refused(pool.task(1u64).on_worker(u32::MAX).apply(|x| x), "worker id");
    let none = pool.workers().task_timeout(ZERO).broadcast(|w| w.id());
    assert!(matches!(none, Err(Error::InvalidInput(_))), "{none:?}");
    if method != StartMethod::Fork {
        assert!(pool.worker_pids().is_empty(), "nothing was started for a refusal");
    }
    for long in [MAX, AGES] {
        let task = || pool.task(1u64).task_timeout(long).timeout_grace(long).kill_running(long);
        assert_eq!(task().retry(u32::MAX).apply(|x| x)?, 1);
        let handle = task().retry(u32::MAX).apply_async(|x| x).map_err(Error::from)?;
        assert_eq!(handle.get()?, 1);
        let token = CancelToken::new()?;
        let second = || task().retry(u32::MAX).cancel_token(&token).on_worker(1);
        let every = || {
            let every = pool.workers().task_timeout(long).timeout_grace(long).kill_running(long);
            every.retry(u32::MAX).cancel_token(&token)
        };
        assert_eq!(second().apply(|x| x)?, 1);
        assert_eq!(every().broadcast(|w| w.id())?, [0, 1]);
        token.kill(long);
        token.kill(ZERO);
        token.cancel();
        assert!(matches!(second().apply(|x| x), Err(Error::Cancelled)));
        let pulled = pool.tasks(0..5u64).cancel_token(&token);
        assert!(matches!(pulled.map(|x| x), Err(Error::Cancelled)));
    }
    let short = pool.task(1u64).task_timeout(SHORT).apply(|x| x);
    judge("task_timeout (apply)", method, InTime, short, &1);
    let short = pool.task(1u64).task_timeout(SHORT).on_worker(0).apply(|x| x);
    judge("task_timeout (on_worker)", method, InTime, short, &1);
    assert_eq!(pool.apply(2u64, |x| x)?, 2);
    Ok(())
}

type Setting = (&'static str, fn(&WorkerPool) -> Result<()>, Then);

const SETTINGS: &[Setting] = &[
    ("keep_alive", |p| p.set_keep_alive(false), Works),
    ("keep_alive", |p| p.set_keep_alive(true), Works),
    ("worker_lifespan", |p| p.set_worker_lifespan(0), Refused),
    ("worker_lifespan", |p| p.set_worker_lifespan(1), Works),
    ("worker_lifespan", |p| p.set_worker_lifespan(u64::MAX), Works),
    ("worker_lifespan", |p| p.set_worker_lifespan(None), Works),
    ("order_tasks", |p| p.set_order_tasks(true), Works),
    ("order_tasks", |p| p.set_order_tasks(false), Works),
    ("task_timeout", |p| p.set_task_timeout(ZERO), Refused),
    ("task_timeout", |p| p.set_task_timeout(SHORT), InTime),
    ("task_timeout", |p| p.set_task_timeout(MAX), Works),
    ("task_timeout", |p| p.set_task_timeout(AGES), Works),
    ("task_timeout", |p| p.set_task_timeout(None), Works),
    ("worker_init_timeout", |p| p.set_worker_init_timeout(ZERO), Refused),
    ("worker_init_timeout", |p| p.set_worker_init_timeout(MAX), Works),
    ("worker_init_timeout", |p| p.set_worker_init_timeout(None), Works),
    ("worker_exit_timeout", |p| p.set_worker_exit_timeout(ZERO), Refused),
    ("worker_exit_timeout", |p| p.set_worker_exit_timeout(MAX), Works),
    ("worker_exit_timeout", |p| p.set_worker_exit_timeout(None), Works),
];

fn of_settings(method: StartMethod) -> Outcome {
    type End = fn(&WorkerPool) -> Result<()>;
    // Before the first call, after one, and after either end of a life; each twice.
    let moments: [End; 4] = [
        |_| Ok(()),
        |pool| pool.apply(1u64, |_| ()),
        WorkerPool::stop_and_join,
        WorkerPool::terminate,
    ];
    let pool = pool(method, 2)?;
    for (moment, reach) in moments.into_iter().enumerate() {
        for (row, (name, set, then)) in SETTINGS.iter().enumerate() {
            let what = format!("{name} (row {row}, moment {moment})");
            match reach(&pool) {
                Err(Error::Task(_)) | Ok(()) => {} // `task_timeout` of the row before
                Err(error) => panic!("{what}: {error:?}"),
            }
            for _ in 0..2 {
                match set(&pool) {
                    Err(error) => judge(&what, method, *then, Err(error), &()),
                    Ok(()) => assert!(!matches!(then, Refused), "{what} was to be refused"),
                }
            }
            if row % 4 == 0 || matches!(then, InTime) {
                let then = if matches!(then, Refused) { Works } else { *then };
                judge(&what, method, then, pool.map(0..3u64, |x| x), &vec![0, 1, 2]);
            }
        }
    }
    Ok(())
}

fn of_waits(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for long in [MAX, AGES] {
        let mut handle = pool.apply_async(1u64, |x| x).map_err(Error::from)?;
        let now = handle.get_timeout(ZERO);
        assert!(matches!(now, Ok(1) | Err(Error::NotReady)), "{now:?}");
        if now.is_err() {
            handle.wait_timeout(ZERO)?;
            assert!(handle.wait_timeout(long)?);
            assert_eq!(handle.get_timeout(long)?, 1);
        }
        assert!(matches!(handle.get_timeout(long), Err(Error::ResultTaken)));
        assert!(matches!(handle.get_timeout(ZERO), Err(Error::ResultTaken)));
        // The task has ended.
        assert!(!handle.cancel() && !handle.kill(ZERO) && !handle.kill(long));
        let map = pool.map_async(0..3u64, |x| x).map_err(Error::from)?;
        assert!(map.wait_timeout(long)?);
        assert_eq!(map.get()?, [0, 1, 2]);
    }
    Ok(())
}

/// Compares the options in the sources with the rows here.
fn complete(_: StartMethod) -> Outcome {
    let options = |source: &str, functions: &[&str]| {
        let lines = source.lines().filter_map(|line| line.trim().strip_prefix("pub fn "));
        let names = lines.filter(|line| line.contains("(mut self, "));
        let names = names.filter_map(|line| line.split(['(', '<']).next());
        let names = names.filter(|name| !functions.contains(name));
        names.map(str::to_string).collect::<BTreeSet<_>>()
    };
    let rows = |names: &mut dyn Iterator<Item = &'static str>| {
        names.map(str::to_string).collect::<BTreeSet<_>>()
    };
    // Functions have no extremes.
    let functions = ["worker_init", "worker_exit"];
    assert_eq!(
        options(include_str!("../../../src/builder.rs"), &functions),
        rows(&mut POOLS.iter().map(|row| row.0))
    );
    let calls = rows(&mut CALLS.iter().map(|row| row.0));
    let mut of_a_call = options(include_str!("../../../src/call/options.rs"), &[]);
    of_a_call.append(&mut options(include_str!("../../../src/cutting.rs"), &[]));
    assert_eq!(of_a_call, calls);
    let set = include_str!("../../../src/settings.rs").lines();
    let set = set.filter_map(|line| line.trim().strip_prefix("pub fn set_"));
    let set = set.filter_map(|line| line.split('(').next()).map(str::to_string);
    assert_eq!(set.collect::<BTreeSet<_>>(), rows(&mut SETTINGS.iter().map(|row| row.0)));
    Ok(())
}
