//! The cases.

use std::{
    fmt,
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use log::{Level, LevelFilter, error, info, trace, warn};
use pool_api::{Builder, Cause, StartMethod, WorkerPool, logging::LogCapture};

use crate::{
    at_end,
    case::{Case, Outcome, builder, sized},
    collect::{Seen, install},
    loggers, processes, sys,
};

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    #[cfg(feature = "tracing")]
    let traces = crate::traces::CASES;
    #[cfg(not(feature = "tracing"))]
    let traces: &[Case] = &[];
    CASES.iter().chain(at_end::CASES).chain(loggers::CASES).chain(processes::CASES).chain(traces)
}

const CASES: &[Case] = &[
    Case::new("records_come_with_all_that_they_have", whole),
    Case::new("records_of_threads_come_without_additions", of_threads).threads(),
    Case::new("all_records_of_a_killed_worker_come_in_order", killed).processes(),
    Case::new("other_targets_stay", other_targets).processes(),
    Case::new("levels_of_the_program_hold_in_workers", levels).processes(),
    Case::new("a_logger_that_blocks_loses_what_overflows", blocks).processes(),
    Case::new("a_logger_that_panics_harms_nothing", panics).processes(),
    Case::new("a_logger_that_uses_the_pool_never_hangs", uses_the_pool).processes(),
    Case::new("records_within_records_are_counted", within_records).processes(),
    Case::new("records_that_are_too_long_are_cut", too_long).processes(),
    Case::new("hooks_log_too", hooks).processes(),
    Case::new("threads_of_tasks_log_too", threads_of_tasks).processes(),
    Case::new("children_of_tasks_do_not_disturb", children).processes(),
    Case::new("a_drop_of_the_pool_delivers", dropped).processes(),
    Case::new("closures_with_captures_log_too", scoped),
    Case::new("a_pool_in_a_task_logs_through_both", nested).processes(),
    Case::new("what_is_shared_is_built_with_logs", shared_built).processes(),
];

pub(crate) fn capturing(method: StartMethod, n: usize) -> Builder {
    builder(method, n).capture_logs(LogCapture::all())
}

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn flushed<S, W, E>(pool: &WorkerPool<S, W, E>) -> Outcome {
    assert!(pool.flush_logs(LIMIT)?);
    Ok(())
}

fn whole(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 2).build()?;
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let (line, pid) = pool.apply(7u32, |n| {
        info!(target: "app::part", n, name = "x", half = 0.5, yes = true, big = u128::MAX; "item {n} ä");
        (line!() - 1, std::process::id())
    })?;
    flushed(&pool)?;
    let ended = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let records = seen.take();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.level, &*record.target), (Level::Info, "app::part"));
    assert_eq!(record.text, "item 7 ä");
    assert_eq!(record.module.as_deref(), Some(module_path!()));
    assert_eq!((record.file.as_deref(), record.line), (Some(file!()), Some(line)));
    let big = u128::MAX.to_string();
    let own = [("n", "7"), ("name", "x"), ("half", "0.5"), ("yes", "true"), ("big", &*big)];
    for (key, value) in own {
        assert_eq!(record.value(key), Some(value), "{key}");
    }
    if method == StartMethod::Threads {
        return Ok(());
    }
    assert!(record.number("worker").is_some_and(|worker| worker < 2));
    assert_eq!(record.number("pid"), Some(u64::from(pid)));
    assert!((begun..=ended).contains(&record.number("time_unix_nanos").expect("it is there")));
    Ok(())
}

fn of_threads(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 2).build()?;
    pool.apply((), |()| warn!("here"))?;
    assert_eq!(seen.take()[0].value("worker"), None);
    Ok(())
}

pub(crate) fn log_and_die(count: u64) {
    (0..count).for_each(|n| info!("{n}"));
    sys::kill(std::process::id(), sys::SIGKILL);
}

fn killed(method: StartMethod) -> Outcome {
    const COUNT: u64 = sized(100_000, 20_000) as u64;
    let seen = install();
    let capture = LogCapture::all().buffer_bytes(64 << 20);
    let pool = builder(method, 2).capture_logs(capture).build()?;
    let results = pool.tasks([COUNT, COUNT]).chunk_size(1).map_results(log_and_die)?;
    assert!(
        results.iter().all(|r| matches!(r.as_ref().expect_err("refused").cause(), Cause::Death(_)))
    );
    flushed(&pool)?;
    let records = seen.take();
    let mut pids: Vec<_> =
        records.iter().map(|seen| seen.number("pid").expect("it is there")).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let of_pid = records.iter().filter(|seen| seen.number("pid") == Some(pid));
        assert!(of_pid.map(|seen| seen.text.parse::<u64>().expect("it is there")).eq(0..COUNT));
    }
    // Those that come after them write where they have written.
    pool.map(0..4u8, |n| info!("after {n}"))?;
    flushed(&pool)?;
    assert_eq!(seen.take().len(), 4);
    Ok(())
}

fn other_targets(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = builder(method, 1).capture_logs(["a::b", "c"]).build()?;
    let enabled = pool.apply((), |()| {
        for target in ["a", "a::b", "a::b::d", "a::bc", "c", "x::c", "refused"] {
            error!(target: target, "{target}");
        }
        error!("the crate's own");
        ["a::b", "c::d", "a"].map(|target| log::log_enabled!(target: target, Level::Error))
    })?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["a::b", "a::b::d", "c"]);
    // Under Fork a copy of the program's logger gets the rest.
    assert_eq!(enabled, [true, true, method == StartMethod::Fork]);
    Ok(())
}

fn levels(method: StartMethod) -> Outcome {
    struct Never;
    impl fmt::Display for Never {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("what is dropped is not encoded");
        }
    }
    let seen = install();
    let pool = capturing(method, 1).build()?;
    let log_all = |()| {
        trace!("{Never}");
        (log::log_enabled!(Level::Debug), log::log_enabled!(Level::Warn))
    };
    assert_eq!(pool.apply((), log_all)?, (true, true));
    log::set_max_level(LevelFilter::Warn);
    assert_eq!(pool.apply((), log_all)?, (false, true));
    pool.apply((), |()| {
        info!("not this");
        warn!("this");
    })?;
    flushed(&pool)?; // the level counts once more when a record is delivered
    log::set_max_level(LevelFilter::Trace);
    pool.apply((), |()| trace!("and this"))?;
    // The filter of the logger itself.
    pool.apply((), |()| error!(target: "refused", "not that"))?;
    flushed(&pool)?;
    log::set_max_level(LevelFilter::Off);
    pool.apply((), |()| error!("nor that"))?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["this", "and this"]);
    Ok(())
}

/// The records but those that say how many were lost, and that number.
fn without_lost(records: Vec<Seen>) -> (Vec<Seen>, u64) {
    let is_lost = |seen: &Seen| seen.value("lost").is_some();
    let (lost, records): (Vec<_>, Vec<_>) = records.into_iter().partition(is_lost);
    for seen in &lost {
        assert_eq!((seen.level, &*seen.target), (Level::Warn, "pool"));
    }
    (records, lost.iter().filter_map(|seen| seen.number("lost")).sum())
}

fn blocks(method: StartMethod) -> Outcome {
    let seen = install();
    let capture = LogCapture::all().buffer_bytes(4096);
    let pool = builder(method, 1).capture_logs(capture).build()?;
    seen.block(true);
    pool.apply((), |()| info!("first"))?;
    seen.await_blocked();
    pool.apply(1000u32, |count| (0..count).for_each(|n| info!("{n}")))?;
    assert!(!pool.flush_logs(Duration::from_millis(1))?);
    seen.block(false);
    flushed(&pool)?;
    let (records, lost) = without_lost(seen.take());
    assert!(lost > 0 && records.len() as u64 + lost == 1001, "{} {lost}", records.len());
    assert_eq!(records[0].text, "first");
    // What was handed over before the ring was full.
    for (n, record) in records[1..].iter().enumerate().take(10) {
        assert_eq!(record.text, n.to_string());
    }
    pool.apply((), |()| info!("later"))?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["later"]);
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 1).build()?;
    seen.panics.store(true, Ordering::SeqCst);
    assert_eq!(
        pool.map(0..3u32, |n| {
            info!("{n}");
            n
        })?,
        [0, 1, 2]
    );
    flushed(&pool)?;
    seen.panics.store(false, Ordering::SeqCst);
    pool.map(0..3u32, |n| info!("{n}"))?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["0", "1", "2"]);
    Ok(())
}

fn uses_the_pool(method: StartMethod) -> Outcome {
    let seen = install();
    assert!(seen.pool.set(capturing(method, 1).build()?).is_ok());
    let pool = seen.pool.get().expect("it is there");
    pool.apply((), |()| info!(target: "uses the pool", "one"))?;
    // The pool is used and stopped by its own logger meanwhile.
    let flushed_at_once = || pool.flush_logs(LIMIT);
    assert!(flushed_at_once()?);
    assert_eq!(*seen.answers.lock().expect("no panic beside it"), ["Ok(9) Ok(())"]);
    assert_eq!(seen.texts(), ["one"]);
    pool.stop_and_join()?;
    std::process::exit(0); // a static keeps the pool
}

fn within_records(method: StartMethod) -> Outcome {
    struct Logs;
    impl fmt::Display for Logs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("within");
            f.write_str("made")
        }
    }
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("its own")
        }
    }
    let seen = install();
    let pool = capturing(method, 1).build()?;
    pool.apply((), |()| info!("{Logs}"))?;
    let panicked = pool.apply((), |()| info!("{Panics}")).expect_err("refused");
    assert!(panicked.to_string().contains("its own"));
    pool.apply((), |()| info!("after"))?;
    flushed(&pool)?;
    let (records, lost) = without_lost(seen.take());
    let texts: Vec<_> = records.iter().map(|seen| &*seen.text).collect();
    assert_eq!((texts, lost), (vec!["made", "after"], 1));
    Ok(())
}

fn too_long(method: StartMethod) -> Outcome {
    let seen = install();
    let capture = LogCapture::all().buffer_bytes(4096);
    let pool = builder(method, 1).capture_logs(capture).build()?;
    pool.apply((), |()| {
        info!("{}", "ä".repeat(100_000));
        let target = "t".repeat(2000);
        info!(target: &target, "no room for its target");
        let text = "v".repeat(5000);
        info!(text = &*text; "a value too much");
        info!("a text with a \0 and \u{1F980}");
    })?;
    flushed(&pool)?;
    let (records, lost) = without_lost(seen.take());
    let texts: Vec<_> = records.iter().map(|seen| &*seen.text).collect();
    assert!(texts[0].starts_with("ää") && texts[0].ends_with("ä … (cut)") && texts[0].len() > 800);
    assert_eq!(texts[1..], ["a value too much … (cut)", "a text with a \0 and \u{1F980}"]);
    assert_eq!((records[1].value("text"), lost), (None, 1));
    Ok(())
}

fn hooks(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 1)
        .at_worker_start(|| info!("start"))
        .worker_init(|_| info!("init"))
        .worker_exit(|_| info!("exit"))
        .build()?;
    pool.apply((), |()| info!("task"))?;
    pool.stop_and_join()?;
    assert_eq!(seen.texts(), ["start", "init", "task", "exit"]);
    Ok(())
}

fn threads_of_tasks(method: StartMethod) -> Outcome {
    const EACH: usize = 1000;
    let seen = install();
    let capture = LogCapture::all().buffer_bytes(4 << 20);
    let pool = builder(method, 1).capture_logs(capture).build()?;
    pool.apply((), |()| {
        std::thread::scope(|scope| {
            (0..4).for_each(|thread| {
                scope.spawn(move || (0..EACH).for_each(|n| info!("{thread} {n}")));
            });
        });
    })?;
    flushed(&pool)?;
    let texts = seen.texts();
    for thread in 0..4 {
        let prefix = format!("{thread} ");
        let of_thread = texts.iter().filter_map(|text| text.strip_prefix(&prefix));
        assert!(of_thread.map(|n| n.parse::<usize>().expect("it is there")).eq(0..EACH));
    }
    Ok(())
}

fn children(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 1).build()?;
    let status = pool.apply((), |()| {
        info!("before");
        let child = sys::fork();
        if child == 0 {
            (0..10_000).for_each(|n| info!("child {n}"));
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(3) };
        }
        let status = sys::wait_for(child);
        info!("after");
        status
    })?;
    flushed(&pool)?;
    assert_eq!((status >> 8, seen.texts()), (3, vec!["before".into(), "after".into()]));
    Ok(())
}

fn dropped(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 2).build()?;
    pool.map(0..100u32, |n| info!("{n}"))?;
    drop(pool);
    assert_eq!(seen.take().len(), 100);
    let pool = capturing(method, 1).build()?;
    pool.apply((), |()| info!("last"))?;
    pool.terminate()?;
    assert_eq!(seen.texts(), ["last"]);
    Ok(())
}

fn scoped(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        return Ok(());
    }
    let seen = install();
    let pool = capturing(method, 2).build()?;
    let word = String::from("word");
    pool.tasks(0..3u32).map_scoped(|n| info!("{word} {n}"))?;
    pool.stop_and_join()?;
    let mut texts = seen.texts();
    texts.sort();
    assert_eq!(texts, ["word 0", "word 1", "word 2"]);
    Ok(())
}

fn shared_built(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 1)
        .shared_built(|| {
            info!("built {}", 5);
            6u64
        })
        .build()?;
    assert_eq!(
        pool.tasks([1u64]).with_worker().map(|w, x| {
            info!("used");
            *w.shared + x
        })?,
        [7]
    );
    flushed(&pool)?;
    let records = seen.take();
    // By another process than the worker's, if there is a template, whose ring is read last.
    let mut texts: Vec<_> = records.iter().map(|seen| &*seen.text).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["built 5", "used"]);
    let built = records.iter().find(|seen| seen.text == "built 5").expect("it is there");
    if method == StartMethod::ForkServer {
        assert_eq!(built.value("process"), Some("template"));
    }
    Ok(())
}

fn nested(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = capturing(method, 1).daemon(false).build()?;
    pool.apply(method as u8, |_| {
        let method = StartMethod::ForkServer;
        let inner = capturing(method, 1).build().expect("it may build one");
        inner.apply((), |()| info!("inner")).expect("it runs");
        inner.stop_and_join().expect("it ends");
        info!("outer");
    })?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["inner", "outer"]);
    Ok(())
}
