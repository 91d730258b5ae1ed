//! One function in one process: how it ends, and what is told of it.

use std::time::Duration;

use pool_api::{
    Cause, Error, ExitStatus, Process, ProcessStatus, SharedEvent, SharedSemaphore, StartMethod,
};

use crate::{
    case::{Case, Outcome, tenth_of},
    footprint::Footprint,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("processes_return_or_panic", return_or_panic),
    Case::new("processes_end_in_each_way", each_way).processes(),
    Case::new("processes_are_told_to_end", told_to_end).processes(),
    Case::new("processes_are_waited_for_in_time", in_time),
    Case::new("processes_by_the_thousand_leave_nothing", by_the_thousand),
    Case::new("processes_side_by_side", side_by_side),
    Case::new("processes_forget_the_handlers_of_the_program", no_handlers).processes(),
];

/// How long a process may take that has nothing to wait for.
pub(super) const SOON: Duration = Duration::from_secs(60);
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

pub(super) fn builder(method: StartMethod) -> pool_api::ProcessBuilder {
    Process::builder().start_method(method)
}

pub(super) fn sleep(_: ()) {
    loop {
        std::thread::park();
    }
}

extern "C" fn on_signal(_: i32) {}

fn return_or_panic(method: StartMethod) -> Outcome {
    let text = |words: Vec<String>| words.join(" ");
    let mut process = builder(method).spawn(text, vec!["a".to_string(), "b".to_string()])?;
    assert_eq!(process.join_timeout(SOON)?, "a b");
    assert_eq!(process.exit_status(), ProcessStatus::Value);
    assert_eq!(process.exit_status().exit_code(), Some(0));
    assert!(!process.is_alive());
    assert!(matches!(process.try_join(), Err(Error::ResultTaken)));
    assert!(matches!(process.join(), Err(Error::ResultTaken)));

    let mut process = builder(method).name("one").spawn(|x: u8| -> u8 { panic!("for {x}") }, 3)?;
    let error = process.join_timeout(SOON).expect_err("it panics");
    let Error::Process(failed) = &error else { return Err(format!("{error}").into()) };
    assert_eq!((failed.name(), failed.pid()), ("one", process.pid()));
    let Cause::Panic { message, location, .. } = failed.cause() else {
        return Err(format!("{error}").into());
    };
    assert_eq!(message, "for 3");
    assert!(location.as_ref().is_some_and(|place| place.contains("processes.rs")));
    let (message, location) = (message.clone(), location.clone());
    assert_eq!(process.exit_status(), ProcessStatus::Panic { message, location });
    assert_eq!(process.exit_status().exit_code(), Some(101));
    assert!(error.to_string().contains("\"one\""), "{error}");
    // The end stays known.
    assert_eq!(process.join().expect_err("still").to_string(), error.to_string());
    Ok(())
}

fn each_way(method: StartMethod) -> Outcome {
    fn end(how: u8) {
        match how {
            0 => std::process::exit(3),
            1 => std::process::exit(0),
            2 => std::process::abort(),
            3 => sys::raise(SIGSEGV),
            4 => sys::raise(sys::SIGKILL),
            _ => sys::raise(SIGTERM),
        }
    }
    let ways = [
        (0, ExitStatus::Code(3)),
        (1, ExitStatus::Code(0)),
        (2, ExitStatus::Signal(6)),
        (3, ExitStatus::Signal(SIGSEGV)),
        (4, ExitStatus::Signal(sys::SIGKILL)),
        (5, ExitStatus::Signal(SIGTERM)),
    ];
    for (how, status) in ways {
        let mut process = builder(method).spawn(end, how)?;
        let error = process.join_timeout(SOON).expect_err("it has no value");
        let Error::Process(failed) = &error else { return Err(format!("{error}").into()) };
        assert_eq!(*failed.cause(), Cause::Death(status));
        let (told, code) = match status {
            ExitStatus::Code(code) => (ProcessStatus::Code(code), code),
            ExitStatus::Signal(signal) => (ProcessStatus::Signal(signal), -signal),
            other => return Err(format!("{other}").into()),
        };
        assert_eq!(process.exit_status(), told);
        assert_eq!(process.exit_status().exit_code(), Some(code));
        assert!(error.to_string().ends_with(&status.to_string()), "{error}");
    }
    Ok(())
}

fn told_to_end(method: StartMethod) -> Outcome {
    let told = [
        (ProcessStatus::Signal(SIGTERM), SIGTERM),
        (ProcessStatus::Signal(sys::SIGKILL), sys::SIGKILL),
        (ProcessStatus::Signal(SIGINT), SIGINT),
        (ProcessStatus::Signal(SIGHUP), SIGHUP),
    ];
    for (status, signal) in told {
        let mut process = builder(method).spawn(sleep, ())?;
        assert!(process.is_alive());
        assert_eq!(process.exit_status(), ProcessStatus::Running);
        // It may not have begun: no signal is lost then.
        match signal {
            SIGTERM => process.terminate()?,
            sys::SIGKILL => process.kill()?,
            _ => assert!(sys::kill(process.pid().ok_or("no id")?, signal)),
        }
        let ended = process.join_timeout(SOON);
        assert_eq!(process.exit_status(), status, "{ended:?}");
        // It has ended: nothing happens.
        process.terminate()?;
        process.kill()?;
    }
    Ok(())
}

fn in_time(method: StartMethod) -> Outcome {
    let gate = SharedEvent::new()?;
    let wait = |gate: SharedEvent| {
        gate.wait();
        7
    };
    let mut process = builder(method).spawn(wait, gate.clone())?;
    assert!(matches!(process.try_join(), Err(Error::NotReady)));
    let late = process.join_timeout(Duration::from_millis(1));
    assert!(matches!(late, Err(Error::NotReady)), "{late:?}");
    assert!(process.is_alive());
    gate.set();
    assert_eq!(process.join_timeout(SOON)?, 7);
    assert!(matches!(process.join_timeout(Duration::ZERO), Err(Error::ResultTaken)));
    Ok(())
}

fn no_handlers(method: StartMethod) -> Outcome {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        sys::on_signal(signal, on_signal);
    }
    let process = builder(method).spawn(sleep, ())?;
    process.terminate()?;
    let status = process.exit_status();
    assert!(process.join().is_err());
    assert!(matches!(status, ProcessStatus::Running | ProcessStatus::Signal(SIGTERM)));
    let same = builder(method).spawn(
        |signal: i32| {
            sys::raise(signal);
        },
        SIGINT,
    )?;
    assert!(same.join().is_err_and(|error| error.to_string().contains("SIGINT")));
    Ok(())
}

fn by_the_thousand(method: StartMethod) -> Outcome {
    let before = Footprint::now();
    let (count, step) = (tenth_of(10_000), 20);
    for begin in (0..count).step_by(step) {
        let start = |x| builder(method).spawn(|x: u64| x * 2, x);
        let processes = (begin..begin + step as u64).map(start).collect::<Result<Vec<_>, _>>()?;
        for (x, process) in (begin..).zip(processes) {
            assert_eq!(process.join()?, 2 * x);
        }
    }
    assert_eq!(before.changes(), None);
    Ok(())
}

fn side_by_side(method: StartMethod) -> Outcome {
    const COUNT: u64 = 200;
    let (gate, begun) = (SharedEvent::new()?, SharedSemaphore::with_limit(0, COUNT as usize)?);
    let wait = |(gate, begun, x): (SharedEvent, SharedSemaphore, u64)| {
        begun.add_permit().expect("each gives one");
        gate.wait();
        x
    };
    let start = |x| builder(method).spawn(wait, (gate.clone(), begun.clone(), x));
    let processes = (0..COUNT).map(start).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..COUNT {
        begun.acquire_timeout(SOON)?.consume();
    }
    assert!(processes.iter().all(Process::is_alive));
    gate.set();
    for (x, process) in (0..).zip(processes) {
        assert_eq!(process.join()?, x);
    }
    Ok(())
}
