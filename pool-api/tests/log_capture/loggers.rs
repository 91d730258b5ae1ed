//! Which logger a worker has, and what is refused.

use std::time::Duration;

use log::{LevelFilter, debug, info};
use pool_api::{
    Error, StartMethod,
    logging::{self, CapturedLogger, InstallError, LogCapture},
};

use crate::{
    case::{Case, Outcome, builder},
    cases::{capturing, flushed},
    collect::install,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("loggers_of_at_worker_start_get_the_rest", at_worker_start).processes(),
    Case::new("options_are_refused_by_name", refused),
    Case::new("capture_is_a_setting", setting).processes(),
    Case::new("other_loggers_are_refused_under_fork", other_logger).only_fork(),
    Case::new("captured_loggers_of_the_program_are_found", captured_logger).processes(),
    Case::new("without_a_logger_nothing_is_delivered", no_logger).processes(),
];

fn at_worker_start(method: StartMethod) -> Outcome {
    struct ToTarget;
    impl log::Log for ToTarget {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            // What is not captured comes here, and goes on as a record that is.
            info!(target: "captured", "inner: {} {}", record.target(), record.args());
        }
        fn flush(&self) {}
    }
    fn set_up() {
        let installed = logging::install(Box::new(ToTarget));
        info!(target: "captured", "{installed:?} {:?}", log::set_logger(&ToTarget).is_err());
        log::set_max_level(LevelFilter::Info);
    }
    let seen = install();
    let pool = builder(method, 1).at_worker_start(set_up).capture_logs("captured").build()?;
    pool.apply((), |()| {
        debug!(target: "captured", "captured at the program's level");
        info!(target: "other", "seen");
        debug!(target: "other", "beyond its own level");
    })?;
    flushed(&pool)?;
    let texts = seen.texts();
    if method == StartMethod::Fork {
        assert_eq!(texts, ["Err(Twice) true", "captured at the program's level"]);
    } else {
        let rest = "inner: other seen";
        assert_eq!(texts, ["Ok(()) true", "captured at the program's level", rest]);
    }
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let names: [(LogCapture, &str); 6] = [
        (LogCapture::all().buffer_bytes(0), "buffer_bytes"),
        (LogCapture::all().buffer_bytes((64 << 20) + 1), "buffer_bytes"),
        (LogCapture::from(""), "a target has"),
        (LogCapture::from("a\0"), "a target has"),
        (LogCapture::targets::<String>([]), "1 to 1024 targets"),
        (LogCapture::from(vec!["a"; 1025]), "1 to 1024 targets"),
    ];
    for (capture, why) in names {
        match builder(method, 1).capture_logs(capture).build() {
            Err(Error::InvalidInput(text)) if text.contains(why) => {}
            other => panic!("{other:?}"),
        }
    }
    let pool = builder(method, 1).build()?;
    assert!(pool.flush_logs(Duration::ZERO)?);
    assert!(matches!(pool.set_capture_logs(LogCapture::from("")), Err(Error::InvalidInput(_))));
    Ok(())
}

fn setting(method: StartMethod) -> Outcome {
    let seen = install();
    let pool = builder(method, 1).build()?;
    let log_both = |()| {
        info!(target: "a", "a");
        info!(target: "b", "b");
    };
    pool.apply((), log_both)?;
    pool.set_capture_logs(LogCapture::from("b"))?;
    pool.apply((), log_both)?;
    pool.set_capture_logs(LogCapture::from("a"))?;
    pool.apply((), log_both)?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["b", "a"]);
    pool.set_capture_logs(None)?;
    pool.apply((), log_both)?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), Vec::<String>::new());
    Ok(())
}

struct Silent;

impl log::Log for Silent {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {}

    fn flush(&self) {}
}

fn other_logger(method: StartMethod) -> Outcome {
    log::set_logger(&Silent)?;
    let refused = capturing(method, 1).build().expect_err("refused");
    assert!(matches!(refused, Error::OtherLogger));
    assert!(refused.to_string().contains("logging::install"));
    assert_eq!(logging::install(Box::new(Silent)), Err(InstallError::OtherLogger));
    assert!(logging::log_to_stderr(LevelFilter::Info).is_err());
    let pool = builder(method, 1).build()?;
    assert!(matches!(pool.set_capture_logs(LogCapture::all()), Err(Error::OtherLogger)));
    assert_eq!(pool.apply(1u8, |x| x)?, 1);
    Ok(())
}

fn captured_logger(method: StartMethod) -> Outcome {
    /// A logger of the program's own around the one that captures.
    struct Outer(CapturedLogger, std::sync::Mutex<Vec<String>>);
    impl log::Log for Outer {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            self.0.enabled(metadata)
        }
        fn log(&self, record: &log::Record<'_>) {
            self.1.lock().expect("no panic beside it").push(record.args().to_string());
            self.0.log(record);
        }
        fn flush(&self) {}
    }
    let outer: &'static Outer = Box::leak(Box::new(Outer(
        CapturedLogger::new(Box::new(Silent)),
        std::sync::Mutex::default(),
    )));
    log::set_logger(outer)?;
    log::set_max_level(LevelFilter::Info);
    let pool = capturing(method, 1).build()?;
    pool.apply((), |()| info!("captured"))?;
    flushed(&pool)?;
    assert_eq!(*outer.1.lock().expect("no panic beside it"), ["captured"]);
    Ok(())
}

fn no_logger(method: StartMethod) -> Outcome {
    let pool = capturing(method, 1).build()?;
    log::set_max_level(LevelFilter::Info);
    pool.apply((), |()| info!("to none"))?;
    flushed(&pool)?;
    // Fork has installed an empty one, which can be filled; otherwise there is none.
    let seen = install();
    pool.apply((), |()| info!("to this"))?;
    flushed(&pool)?;
    assert_eq!(seen.texts(), ["to this"]);
    Ok(())
}
