//! What workers spend their time with, and what each of them is at.

use std::time::Duration;

use pool_api::{
    Activity, Builder, Error, Insights, InsightsOptions, PoolManager, SharedValue, StartMethod,
};

use crate::{
    case::{Case, Outcome, builder},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("insights_have_all_parts", all_parts),
    Case::new("insights_off", off),
    Case::new("insights_options_out_of_range", out_of_range),
    Case::new("insights_of_killed_workers", killed).processes(),
    Case::new("insights_of_failed_items", failed_items),
    Case::new("insights_go_on_after_a_stop", after_a_stop),
    Case::new("insights_without_keep_alive", without_keep_alive),
    Case::new("insights_and_lifespans", lifespans),
    Case::new("insights_of_futures", futures),
    Case::new("insights_of_a_manager", manager),
    Case::new("insights_show_arguments", arguments),
    Case::new("insights_show_arguments_that_panic", panicking_arguments),
    Case::new("insights_of_an_imap_under_way", under_way),
    Case::new("insights_as_text", as_text),
    Case::new("activity_of_workers", activity),
    Case::new("insights_in_a_forked_child", in_a_child).only_fork(),
];

fn recorded(method: StartMethod, n: usize) -> Builder {
    builder(method, n).enable_insights(InsightsOptions::new())
}

fn completed(insights: &Insights) -> u64 {
    insights.n_completed_tasks.iter().sum()
}

/// Each total is the sum of its list, and the whole that of the totals.
fn check_sums(insights: &Insights, workers: usize) {
    let lists = [
        (&insights.start_up_time, insights.total_start_up_time, insights.start_up_ratio),
        (&insights.init_time, insights.total_init_time, insights.init_ratio),
        (&insights.waiting_time, insights.total_waiting_time, insights.waiting_ratio),
        (&insights.working_time, insights.total_working_time, insights.working_ratio),
        (&insights.exit_time, insights.total_exit_time, insights.exit_ratio),
    ];
    for (list, total, _) in lists {
        assert_eq!((list.len(), list.iter().sum::<Duration>()), (workers, total));
    }
    assert_eq!(lists.iter().map(|list| list.1).sum::<Duration>(), insights.total_time);
    let ratios: f64 = lists.iter().map(|list| list.2).sum();
    assert!((0.98..=1.0).contains(&ratios), "{ratios}");
    assert!(insights.top_5_max_task_durations.is_sorted_by(|a, b| a >= b));
    assert!(insights.top_5_max_task_durations.len() <= 5);
}

fn all_parts(method: StartMethod) -> Outcome {
    let pool = recorded(method, 3)
        .worker_init(|_| std::thread::sleep(Duration::from_millis(1)))
        .worker_exit(|_| std::thread::sleep(Duration::from_millis(1)))
        .build()?;
    assert!(method == StartMethod::Fork || pool.insights().is_empty());
    pool.tasks(0..60u64).chunk_size(4).map(|n| {
        std::thread::sleep(Duration::from_micros(100 + n));
        n
    })?;
    let during = pool.insights();
    check_sums(&during, 3);
    assert_eq!(completed(&during), 60);
    pool.stop_and_join()?;
    let after = pool.insights();
    check_sums(&after, 3);
    assert_eq!(completed(&after), 60);
    let some = [
        after.total_start_up_time,
        after.total_init_time,
        after.total_waiting_time,
        after.total_working_time,
        after.total_exit_time,
    ];
    assert!(some.iter().all(|part| !part.is_zero()), "{some:?}");
    assert!(after.total_working_time >= Duration::from_micros(60 * 100));
    assert_eq!(after.task_times.count(), 60);
    assert!(after.task_times.quantile(0.0) >= Some(Duration::from_micros(100)));
    assert_eq!((after.sampled_every, after.items_left_out), (1, 0));
    assert_eq!(after.top_5_max_tasks.len(), 5);
    assert!(after.top_5_max_tasks.iter().all(|task| task.item < Some(60) && task.worker < 3));
    assert_eq!(after.lives, [1, 1, 1]);
    // Nothing goes on: the workers have ended.
    assert_eq!(pool.insights(), after);
    Ok(())
}

fn off(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    pool.map(0..10u64, |n| n)?;
    let insights = pool.insights();
    assert!(insights.is_empty() && insights == Insights::default());
    let text = insights.to_string();
    assert!(
        text.starts_with("No profiling stats available. Try to run a function first"),
        "{text}"
    );
    assert!(pool.worker_activity().is_empty());
    for (what, refused) in
        [("write_trace", pool.write_trace("/none/x")), ("write_svg", pool.write_svg("/none/x"))]
    {
        let Err(Error::InvalidInput(text)) = refused else { panic!("{refused:?}") };
        assert!(text.starts_with(what) && text.contains("enable_insights"), "{text}");
    }
    // A pool that has not begun has none, either.
    let unused = recorded(StartMethod::Spawn, 1).build()?;
    assert!(unused.insights().is_empty());
    assert_eq!(unused.worker_activity()[0].stage, Activity::NotStarted);
    Ok(())
}

fn out_of_range(method: StartMethod) -> Outcome {
    for records in [(1 << 24) + 1, usize::MAX] {
        let options = InsightsOptions::new().trace_records(records);
        let refused = builder(method, 1).enable_insights(options).build();
        let Err(Error::InvalidInput(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("trace_records") && text.contains(&records.to_string()), "{text}");
    }
    for records in [0, 1, 1 << 24] {
        let options = InsightsOptions::new().trace_records(records);
        let pool = builder(method, 2).enable_insights(options).build()?;
        pool.map(0..50u64, |n| n)?;
        assert_eq!(completed(&pool.insights()), 50);
    }
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    let results = pool.tasks(0..40u64).chunk_size(8).map_results(|n| {
        if n % 20 == 11 {
            std::process::abort();
        }
        n
    })?;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);
    pool.stop_and_join()?;
    let insights = pool.insights();
    check_sums(&insights, 2);
    assert_eq!(completed(&insights), 38);
    assert_eq!(insights.lives.iter().sum::<u64>(), 4, "two, and two that replace them");
    Ok(())
}

fn failed_items(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    let results = pool.tasks(0..30u64).map_results(|n| {
        assert!(n != 7, "seven");
        n
    })?;
    assert!(results[7].is_err());
    assert_eq!(completed(&pool.insights()), 29);
    Ok(())
}

fn after_a_stop(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    for round in 1..=3 {
        pool.map(0..20u64, |n| n)?;
        assert_eq!(completed(&pool.insights()), 20 * round);
        match round {
            1 => pool.stop_and_join()?,
            _ => pool.terminate()?,
        }
        let insights = pool.insights();
        check_sums(&insights, 2);
        assert_eq!((completed(&insights), insights.lives), (20 * round, vec![round; 2]));
        let ended = |worker: &pool_api::WorkerActivity| worker.stage == Activity::Ended;
        assert!(pool.worker_activity().iter().all(ended));
    }
    Ok(())
}

fn without_keep_alive(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).keep_alive(false).worker_init(|_| ()).build()?;
    for round in 1..=4 {
        pool.map(0..20u64, |n| n)?;
        let insights = pool.insights();
        check_sums(&insights, 2);
        assert_eq!(completed(&insights), 20 * round);
    }
    pool.stop_and_join()?;
    let insights = pool.insights();
    assert_eq!(completed(&insights), 80);
    // (So short items may be sampled.)
    assert!((8..=80).contains(&insights.task_times.count()));
    // (A call may be over before its second worker was started.)
    assert!(insights.lives.iter().sum::<u64>() >= 4, "{:?}", insights.lives);
    Ok(())
}

fn lifespans(method: StartMethod) -> Outcome {
    let pool = recorded(method, 1).worker_lifespan(5).worker_exit(|_| ()).build()?;
    pool.tasks(0..20u64).chunk_size(5).map(|n| n)?;
    pool.stop_and_join()?;
    let insights = pool.insights();
    check_sums(&insights, 1);
    assert_eq!(completed(&insights), 20);
    assert!(insights.lives[0] >= 4, "{:?}", insights.lives);
    Ok(())
}

fn futures(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    let handles: Vec<_> =
        (0..20u64).map(|n| pool.apply_async(n, |n| n + 1)).collect::<Result<_, _>>()?;
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get()?, n + 1);
    }
    assert_eq!(pool.apply(4u64, |n| n)?, 4);
    pool.stop_and_join()?;
    let insights = pool.insights();
    assert_eq!(completed(&insights), 21);
    assert_eq!(insights.task_times.count(), 21);
    Ok(())
}

fn manager(method: StartMethod) -> Outcome {
    let manager = PoolManager::builder(|n: u64| n + 1)
        .size(2)
        .start_method(method)
        .enable_insights(InsightsOptions::new())
        .start()?;
    for n in 0..10 {
        manager.put(n).map_err(|error| error.without_item())?;
    }
    for _ in 0..10 {
        manager.get()?;
    }
    assert_eq!(manager.worker_activity().len(), 2);
    manager.join()?;
    let insights = manager.insights();
    // Each worker runs one task before it takes items.
    assert_eq!(completed(&insights), 12);
    assert!(insights.to_string().starts_with("WorkerPool insights\n---"));
    Ok(())
}

fn arguments(method: StartMethod) -> Outcome {
    let options = InsightsOptions::new().show_args::<(String, u64)>().show_args::<u8>();
    let pool = builder(method, 2).enable_insights(options).build()?;
    let items = (0..30u64).map(|n| (format!("<\"{n}\">\u{1b}"), n));
    pool.tasks(items.clone()).chunk_size(7).map(|(_, n)| {
        std::thread::sleep(Duration::from_micros(50 * n));
    })?;
    let insights = pool.insights();
    assert_eq!(insights.top_5_max_task_args.len(), 5);
    for (task, text) in insights.top_5_max_tasks.iter().zip(&insights.top_5_max_task_args) {
        let (shown, n) =
            items.clone().nth(task.item.expect("it has a number") as usize).expect("it is an item");
        assert_eq!(*text, format!("Arg 0: {:?}", (shown, n)));
        assert_eq!(task.args.as_ref(), Some(text));
    }
    // Other types have none.
    let before = insights.top_5_max_task_durations[0];
    pool.map([1u32], |_| std::thread::sleep(Duration::from_millis(40)))?;
    let insights = pool.insights();
    assert!(insights.top_5_max_task_durations[0] > before || before.as_millis() >= 40);
    assert!(insights.top_5_max_tasks.iter().any(|task| task.args.is_none()));
    Ok(())
}

/// Shows nothing.
#[derive(Debug)]
struct Shy;

fn panicking_arguments(method: StartMethod) -> Outcome {
    pool_api::wire! {
        struct Loud(u64);
    }
    impl std::fmt::Debug for Loud {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("{Shy:?} {}", self.0)
        }
    }
    let options = InsightsOptions::new().show_args::<Loud>();
    let pool = builder(method, 2).enable_insights(options).build()?;
    let doubled = pool.map((0..20).map(Loud), |Loud(n)| 2 * n)?;
    assert_eq!(doubled[19], 38);
    let insights = pool.insights();
    assert_eq!(completed(&insights), 20);
    assert!(insights.top_5_max_tasks.iter().all(|task| task.args.is_none()));
    assert_eq!(insights.lives, [1, 1]);
    Ok(())
}

fn under_way(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    let mut results = pool.tasks(0..100u64).chunk_size(2).imap(|n| n);
    let mut last = 0;
    for taken in 1..=100 {
        assert_eq!(results.next().transpose()?, Some(taken - 1));
        let now = pool.insights();
        check_sums(&now, 2);
        assert!(completed(&now) >= last.max(taken) && completed(&now) <= 100);
        last = completed(&now);
    }
    Ok(())
}

fn as_text(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    pool.map(0..10u64, |n| n)?;
    pool.stop_and_join()?;
    let insights = pool.insights();
    let text = insights.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        ["WorkerPool insights", "-------------------", "Total number of tasks completed: 10"]
    );
    for (line, name) in lines[3..8].iter().zip(["start up", "init", "waiting", "working", "exit"]) {
        assert!(line.starts_with(&format!("Total {name} time: 0:00:0")), "{line}");
        assert!(line.contains("s (mean: 0:") && line.ends_with("%)"), "{line}");
    }
    let warning = "Efficiency warning: working ratio is < 80%!";
    assert_eq!(text.contains(warning), insights.working_ratio < 0.8);
    let at = |title: &str| lines.iter().position(|line| *line == title).expect("a title");
    let (stats, top) = (at("Stats per worker"), at("Top 5 longest tasks"));
    assert_eq!((lines[stats + 1], lines[top + 1]), ("----------------", "-------------------"));
    for (worker, tasks) in insights.n_completed_tasks.iter().enumerate() {
        let line = lines[stats + 2 + worker];
        let begin = format!("Worker {worker} - Tasks completed: {tasks} - start up: 0:");
        assert!(line.starts_with(&begin) && line.contains("s - exit: 0:"), "{line}");
    }
    assert!(lines[top + 2].starts_with("1. Time: 0:00:00"), "{}", lines[top + 2]);
    Ok(())
}

fn activity(method: StartMethod) -> Outcome {
    let pool = recorded(method, 2).build()?;
    let gate = SharedValue::new(0u32)?;
    let mut results = pool.tasks(10..12u64).chunk_size(1).with(gate.clone()).imap(|gate, n| {
        wait_until("the gate is open", || gate.get() > 0);
        n
    });
    std::thread::scope(|scope| -> Outcome {
        let watched = scope.spawn(|| {
            let busy = || {
                let workers = pool.worker_activity();
                workers.iter().all(|worker| worker.stage == Activity::Working)
            };
            wait_until("both workers have an item", busy);
            let workers = pool.worker_activity();
            gate.set(1);
            workers
        });
        assert_eq!(results.next().transpose()?, Some(10));
        assert_eq!(results.next().transpose()?, Some(11));
        let workers = watched.join().expect("no panic");
        let mut items: Vec<_> = workers.iter().map(|worker| worker.item).collect();
        items.sort();
        assert_eq!(items, [Some(0), Some(1)]);
        assert!(workers[0].call.is_some() && workers[0].call == workers[1].call);
        if method != StartMethod::Threads {
            let pids: Vec<_> = workers.iter().filter_map(|worker| worker.pid).collect();
            assert_eq!(pids, pool.worker_pids());
        }
        assert_eq!([workers[0].worker, workers[1].worker], [0, 1]);
        Ok(())
    })?;
    drop(results);
    pool.stop_and_join()?;
    for worker in pool.worker_activity() {
        assert_eq!((worker.stage, worker.item, worker.pid), (Activity::Ended, None, None));
        assert_eq!(worker.stage.name(), "ended");
    }
    Ok(())
}

fn in_a_child(_: StartMethod) -> Outcome {
    // A child has no workers, and leaves those of its parent alone.
    let pool = recorded(StartMethod::Fork, 1).build()?;
    pool.map(0..4u64, |n| n)?;
    let before = completed(&pool.insights());
    let seen = builder(StartMethod::Fork, 1).build()?.tasks([0u64]).map_scoped(|n| {
        let refused = pool.write_trace("/dev/null");
        assert!(matches!(refused, Err(Error::ForeignProcess)));
        n + (pool.insights().n_completed_tasks.len() + pool.worker_activity().len()) as u64
    })?;
    assert_eq!((seen, completed(&pool.insights())), (vec![0], before));
    Ok(())
}
