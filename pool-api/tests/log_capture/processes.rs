//! Logs of a `PoolManager` and of a `Process`.

use log::info;
use pool_api::{Error, ManagerError, PoolManager, Process, StartMethod, logging::LogCapture};

use crate::{
    case::{Case, Outcome},
    cases::log_and_die,
    collect::{Seen, install},
};

pub(crate) const CASES: &[Case] =
    &[Case::new("loggers_of_a_manager", manager), Case::new("a_process_logs_too", process)];

fn manager(method: StartMethod) -> Outcome {
    let seen = install();
    let log_all = |n: u8| {
        for target in ["a", "b::c", "d", "e"] {
            info!(target: target, "{target} {n}");
        }
    };
    let manager = PoolManager::builder(log_all)
        .size(1)
        .start_method(method)
        .logger("a")
        .logger("d")
        .build()?;
    manager.add_logger("b")?;
    manager.add_logger("b")?;
    manager.remove_logger("d")?;
    for unknown in ["d", "b::c", ""] {
        let removed = manager.remove_logger(unknown);
        assert!(matches!(&removed, Err(ManagerError::UnknownLogger(name)) if name == unknown));
        assert!(removed.expect_err("refused").to_string().contains(&format!("{unknown:?}")));
    }
    let refused = |added| matches!(added, Err(ManagerError::Failed(Error::InvalidInput(_))));
    assert!(refused(manager.add_logger("")) && refused(manager.add_logger("a\0")));
    manager.start()?;
    assert!(matches!(manager.add_logger("e"), Err(ManagerError::AlreadyStarted)));
    assert!(matches!(manager.remove_logger("a"), Err(ManagerError::AlreadyStarted)));
    manager.put(1).map_err(ManagerError::without_item)?;
    manager.get()?;
    manager.join()?;
    let expected: &[&str] = match method {
        StartMethod::Threads => &["a 1", "b::c 1", "d 1", "e 1"],
        _ => &["a 1", "b::c 1"],
    };
    assert_eq!(seen.texts(), expected);

    // Without any, nothing is captured.
    let manager = PoolManager::builder(log_all).size(1).start_method(method).build()?;
    manager.add_logger("a")?;
    manager.remove_logger("a")?;
    manager.start()?;
    manager.put(2).map_err(ManagerError::without_item)?;
    manager.get()?;
    manager.join()?;
    assert_eq!(seen.take().is_empty(), method != StartMethod::Threads);
    let all = PoolManager::builder(log_all).size(1).start_method(method);
    let manager = all.capture_logs(LogCapture::all()).build()?;
    assert!(matches!(manager.remove_logger("a"), Err(ManagerError::UnknownLogger(_))));
    Ok(())
}

fn process(method: StartMethod) -> Outcome {
    let seen = install();
    let builder = Process::builder().name("counter").start_method(method);
    let logging = builder.clone().capture_logs(LogCapture::from("app"));
    let count = |n: u64| {
        (0..n).for_each(|n| info!(target: "app::x", "{n}"));
        info!(target: "other", "stays");
        n
    };
    assert_eq!(logging.spawn(count, 100)?.join()?, 100);
    let own = |seen: Vec<Seen>| -> Vec<Seen> {
        seen.into_iter().filter(|seen| seen.target == "app::x").collect()
    };
    let records = own(seen.take());
    assert!(records.iter().map(|seen| seen.text.parse::<usize>().expect("it is there")).eq(0..100));
    if method == StartMethod::Threads {
        return Ok(());
    }
    assert!(records.iter().all(|seen| seen.value("process") == Some("counter")));
    let killed = logging.spawn(log_and_die, 1000)?;
    let pid = killed.pid();
    let _ = killed.join().expect_err("refused");
    assert!(seen.take().is_empty(), "another target");
    let all = builder.clone().capture_logs(LogCapture::all());
    let killed = all.spawn(log_and_die, 1000)?;
    assert!(killed.pid() != pid && killed.join().is_err());
    let records = seen.take();
    assert!(
        records.iter().map(|seen| seen.text.parse::<usize>().expect("it is there")).eq(0..1000)
    );
    let refused = builder.capture_logs("").spawn(count, 1).expect_err("refused");
    assert!(matches!(refused, Error::InvalidInput(_)));
    Ok(())
}
