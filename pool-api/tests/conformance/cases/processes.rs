//! One function in one process: how it ends, and what is told of it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use pool_api::{
    ActiveChild, Cause, Error, ExitStatus, Process, ProcessStatus, Runnable, SharedArray,
    StartMethod, active_children, current_process, parent_process, wire,
};

use crate::{
    case::{Case, Outcome},
    executor::block_on,
    footprint::Footprint,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("processes_return_or_panic", return_or_panic),
    Case::new("processes_end_in_each_way", each_way).processes(),
    Case::new("processes_are_told_to_end", told_to_end).processes(),
    Case::new("processes_are_waited_for_in_time", in_time),
    Case::new("processes_have_names_and_ids", names_and_ids),
    Case::new("processes_with_bad_options_are_not_started", bad_options),
    Case::new("processes_by_the_thousand_leave_nothing", by_the_thousand),
    Case::new("processes_side_by_side", side_by_side),
    Case::new("processes_have_large_values", large_values),
    Case::new("processes_have_own_types", own_types),
    Case::new("processes_have_many_handles", many_handles),
    Case::new("processes_are_closures_that_captured", closures),
    Case::new("processes_have_an_environment_of_their_own", environment).processes(),
    Case::new("processes_see_what_the_program_has_set_since", set_since).processes(),
    Case::new("processes_run_on_their_cpus", cpus),
    Case::new("processes_are_started_by_tasks", in_tasks),
    Case::new("processes_where_descriptors_run_out", few_descriptors),
    Case::new("processes_are_values_that_run", runnables),
    Case::new("processes_know_each_other", relatives),
    Case::new("processes_that_are_daemonic_start_none", daemons),
    Case::new("processes_are_awaited", awaited),
    Case::new("processes_are_started_while_others_are_awaited", awaited_beside_starts),
    Case::new("processes_forget_the_handlers_of_the_program", no_handlers).processes(),
];

/// How long a process may take that has nothing to wait for.
const SOON: Duration = Duration::from_secs(60);

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

fn builder(method: StartMethod) -> pool_api::ProcessBuilder {
    Process::builder().start_method(method)
}

fn sleep(_: ()) {
    loop {
        std::thread::park();
    }
}

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
    let rest = |millis: u64| std::thread::sleep(Duration::from_millis(millis));
    let mut process = builder(method).spawn(rest, 300)?;
    let begin = Instant::now();
    let early = process.try_join();
    // On a machine that is busy it may have ended meanwhile.
    if begin.elapsed() < Duration::from_millis(100) {
        assert!(matches!(early, Err(Error::NotReady)), "{early:?}");
        let early = process.join_timeout(Duration::from_millis(1));
        let has_time = begin.elapsed() < Duration::from_millis(200);
        assert!(!has_time || matches!(early, Err(Error::NotReady)), "{early:?}");
        assert!(matches!(early, Err(Error::NotReady)) || early.is_ok());
    }
    let late = process.join_timeout(SOON);
    assert!(matches!(late, Ok(()) | Err(Error::ResultTaken)), "{late:?}");
    Ok(())
}

fn names_and_ids(method: StartMethod) -> Outcome {
    let first = builder(method).spawn(|x: u8| x, 1)?;
    let second = builder(method).name("second").daemon(true).spawn(|x: u8| x, 2)?;
    let third = builder(method).spawn(|()| std::process::id(), ())?;
    assert_eq!([first.name(), second.name(), third.name()], ["Process-1", "second", "Process-3"]);
    assert_eq!([first.is_daemon(), second.is_daemon()], [false, true]);
    assert_eq!(first.start_method(), method);
    let pid = third.pid();
    assert_eq!(pid.is_none(), method == StartMethod::Threads);
    assert!(format!("{third:?}").contains("Process-3"));
    let own = std::process::id();
    assert_eq!(third.join()?, pid.unwrap_or(own));
    assert_eq!((first.join()?, second.join()?), (1, 2));
    Ok(())
}

fn bad_options(method: StartMethod) -> Outcome {
    let before = Footprint::now();
    let bad = [
        (builder(method).name(""), "name"),
        (builder(method).name("a\0b"), "name"),
        (builder(method).cpu_ids([]), "cpu_ids"),
        (builder(method).cpu_ids([1023]), "cpu_ids"),
        (builder(method).cpu_ids([usize::MAX]), "cpu_ids"),
        (builder(method).env("", "x"), "env"),
        (builder(method).env("A=B", "x"), "env"),
        (builder(method).env("A\0", "x"), "env"),
        (builder(method).env("A", "x\0"), "env"),
        (builder(method).current_dir("/nowhere/at/all"), "current_dir"),
        (builder(method).current_dir("/dev/null"), "current_dir"),
        (builder(method).current_dir("/\0"), "current_dir"),
        (builder(method).current_dir(""), "current_dir"),
    ];
    for (builder, option) in bad {
        let error = builder.spawn(|x: u8| x, 1).expect_err(option);
        let by_name = match &error {
            Error::InvalidInput(text) => text.starts_with(option),
            Error::NotSupported { method: named, what } => {
                *named == StartMethod::Threads && method == *named && what.starts_with(option)
            }
            _ => false,
        };
        assert!(by_name, "{option}: {error}");
        assert_eq!(before.changes(), None, "{option}");
    }
    if method == StartMethod::Threads {
        let process = builder(method).spawn(|x: u8| x, 1)?;
        for refused in [process.terminate(), process.kill()] {
            assert!(matches!(refused, Err(Error::NotSupported { .. })), "{refused:?}");
        }
        assert_eq!(process.join()?, 1);
    }
    Ok(())
}

/// A tenth of `all`, unless the environment asks for all.
fn count(all: u64) -> u64 {
    if std::env::var_os("POOL_FULL_COUNTS").is_some() { all } else { all / 10 }
}

fn by_the_thousand(method: StartMethod) -> Outcome {
    let before = Footprint::now();
    let (count, step) = (count(10_000), 20);
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
    // Fork refuses a process with other threads, so the array is what holds them all.
    let gate = SharedArray::<u32>::new(2)?;
    let wait = |(gate, x): (SharedArray<u32>, u64)| {
        gate.fetch_add(0, 1);
        while gate.get(1) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        x
    };
    let count = 200;
    let start = |x| builder(method).spawn(wait, (gate.clone(), x));
    let processes = (0..count).map(start).collect::<Result<Vec<_>, _>>()?;
    while u64::from(gate.get(0)) < count {
        assert!(processes.iter().all(Process::is_alive));
        std::thread::sleep(Duration::from_millis(5));
    }
    gate.set(1, 1);
    for (x, process) in (0..).zip(processes) {
        assert_eq!(process.join()?, x);
    }
    Ok(())
}

fn large_values(method: StartMethod) -> Outcome {
    // Nothing waits for the parent to read, however large a value is.
    let mut process = builder(method).spawn(
        |mut words: Vec<u64>| {
            words.iter_mut().for_each(|word| *word += 1);
            words
        },
        vec![6; 1 << 20],
    )?;
    let begin = Instant::now();
    while process.is_alive() {
        assert!(begin.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(1));
    }
    let words = process.try_join()?;
    assert_eq!((words.len(), words.iter().all(|word| *word == 7)), (1 << 20, true));
    Ok(())
}

fn own_types(method: StartMethod) -> Outcome {
    wire! {
        struct Nested { inner: Option<Box<u8>>, text: String }
    }
    let process = builder(method).spawn(
        |(nested, n): (Nested, usize)| (nested.inner.is_none(), nested.text.repeat(n)),
        (Nested { inner: None, text: "ab".to_string() }, 3),
    )?;
    assert_eq!(process.join()?, (true, "ababab".to_string()));
    Ok(())
}

/// More handles than one packet has room for.
fn many_handles(method: StartMethod) -> Outcome {
    let array = |x: u64| SharedArray::from_slice(&vec![x; 1 << 14]);
    let arrays = (0..250).map(array).collect::<Result<Vec<_>, _>>()?;
    let add = |arrays: Vec<SharedArray<u64>>| {
        for array in &arrays {
            array.fetch_add(1, 1);
        }
        arrays
    };
    let mut process = builder(method).spawn(add, arrays)?;
    let arrays = process.join_timeout(SOON)?;
    assert_eq!(arrays.len(), 250);
    assert!((0..).zip(&arrays).all(|(x, array)| (array.get(0), array.get(1)) == (x, x + 1)));
    Ok(())
}

fn closures(method: StartMethod) -> Outcome {
    let (words, array) = (vec!["a".to_string()], SharedArray::<u64>::new(1)?);
    let here = array.clone();
    let closure = move || {
        array.set(0, 7);
        (words.join("-"), std::process::id())
    };
    let started = builder(method).spawn_closure(closure);
    if matches!(method, StartMethod::ForkServer | StartMethod::Spawn) {
        let refused = started.expect_err("nothing gets there");
        assert!(matches!(refused, Error::NotSupported { method: named, .. } if named == method));
        return Ok(());
    }
    let process = started?;
    let pid = process.pid().unwrap_or(std::process::id());
    assert_eq!(process.join()?, ("a".to_string(), pid));
    assert_eq!(here.get(0), 7);
    let process = builder(method).spawn_closure(|| -> () { panic!("of a closure") })?;
    assert!(process.join().is_err_and(|error| error.to_string().contains("of a closure")));
    Ok(())
}

fn environment(method: StartMethod) -> Outcome {
    let look = |()| {
        let names = ["POOL_PROCESS_A", "POOL_PROCESS_B", "HOME"];
        let folder = std::env::current_dir().map(|path| path.to_string_lossy().into_owned());
        (names.map(|name| std::env::var(name).ok()), folder.ok())
    };
    let here = look(());
    let process = builder(method)
        .env("POOL_PROCESS_A", "first")
        .env("POOL_PROCESS_B", "=b \u{e4}")
        .env("POOL_PROCESS_A", "last")
        .current_dir("/")
        .spawn(look, ())?;
    let ([a, b, home], folder) = process.join()?;
    assert_eq!([a.as_deref(), b.as_deref()], [Some("last"), Some("=b \u{e4}")]);
    assert_eq!((home, folder.as_deref()), (here.0[2].clone(), Some("/")));
    // Nothing of it is here, and the next one has nothing of it.
    assert_eq!(look(()), here);
    assert_eq!(builder(method).spawn(look, ())?.join()?, here);
    let deep = builder(method).current_dir("/proc/self").spawn(look, ())?.join()?.1;
    assert!(deep.is_some_and(|path| path.starts_with("/proc/")));
    Ok(())
}

/// A server that is there already has the environment of an earlier time.
fn set_since(method: StartMethod) -> Outcome {
    let look = |()| {
        let names = ["POOL_PROCESS_SET", "POOL_PROCESS_REMOVED"];
        let folder = std::env::current_dir().map(|path| path.to_string_lossy().into_owned());
        (names.map(|name| std::env::var(name).ok()), folder.ok())
    };
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("POOL_PROCESS_REMOVED", "1") };
    let first = builder(method).spawn(sleep, ())?;
    // SAFETY: as above.
    unsafe {
        std::env::set_var("POOL_PROCESS_SET", "2");
        std::env::remove_var("POOL_PROCESS_REMOVED");
    }
    std::env::set_current_dir("/proc")?;
    let seen = builder(method).spawn(look, ())?.join()?;
    assert_eq!(seen, ([Some("2".to_string()), None], Some("/proc".to_string())));
    let below = builder(method).current_dir("sys").env("POOL_PROCESS_SET", "3");
    let seen = below.spawn(look, ())?.join()?;
    assert_eq!(seen, ([Some("3".to_string()), None], Some("/proc/sys".to_string())));
    first.kill()?;
    assert!(first.join().is_err());
    Ok(())
}

/// Tasks of workers that are not daemonic may start processes, of every kind.
fn in_tasks(method: StartMethod) -> Outcome {
    let start = |number: u8| {
        let method = StartMethod::ALL[usize::from(number)];
        let own = std::process::id();
        let seen = builder(method).name("inner").spawn(
            |own: u32| (current_process().name().to_string(), std::process::id() == own),
            own,
        );
        seen.and_then(Process::join).map_err(|error| error.to_string())
    };
    let outer = crate::case::builder(method, 2).daemon(false).build()?;
    for (number, inner) in (0..).zip(StartMethod::ALL) {
        let seen = outer.apply(number, start)?;
        if (method, inner) == (StartMethod::Threads, StartMethod::Fork) {
            assert!(seen.is_err_and(|text| text.contains("thread")));
            continue;
        }
        assert_eq!(seen, Ok(("inner".to_string(), inner == StartMethod::Threads)), "{inner}");
    }
    // And processes may start processes of every kind.
    for (number, inner) in (0..).zip(StartMethod::ALL) {
        let seen = builder(method).spawn(start, number)?.join()?;
        if (method, inner) == (StartMethod::Threads, StartMethod::Fork) {
            continue;
        }
        assert_eq!(seen, Ok(("inner".to_string(), inner == StartMethod::Threads)), "{inner}");
    }
    Ok(())
}

/// With each number of free descriptors a process is started, or is not and leaves nothing behind.
fn few_descriptors(method: StartMethod) -> Outcome {
    let mut limit = 3;
    let mut started = 0;
    while started < 3 {
        let before = sys::limit_descriptors(limit);
        let mut result = builder(method).spawn(|x: u64| x + 1, 1);
        if let Ok(process) = &mut result {
            started += 1;
            // What it has sent may be without a number here.
            let ended = process.join_timeout(SOON);
            assert!(matches!(ended, Ok(2) | Err(Error::Resources { .. })), "{ended:?}");
        }
        sys::limit_descriptors(before);
        if let Err(error) = result {
            let expected = matches!(error, Error::Resources { .. } | Error::ForkWithThreads { .. });
            assert!(expected, "{limit}: {error}");
            // The next one is as good as ever.
            assert_eq!(builder(method).spawn(|x: u64| x + 1, limit)?.join()?, limit + 1);
        }
        limit += 1;
        assert!(limit < 100);
    }
    Ok(())
}

fn cpus(method: StartMethod) -> Outcome {
    let cpus = |()| pool_affinity::current_cpus().map(|cpus| cpus.iter().collect::<Vec<_>>()).ok();
    let all = cpus(()).ok_or("no CPUs")?;
    let one = *all.last().ok_or("no CPU")?;
    assert_eq!(builder(method).cpu_ids([one]).spawn(cpus, ())?.join()?, Some(vec![one]));
    assert_eq!(builder(method).cpu_ids(all.clone()).spawn(cpus, ())?.join()?, Some(all.clone()));
    assert_eq!(cpus(()), Some(all));
    Ok(())
}

wire! {
    struct Sum { of: Vec<u64> }
}

impl Runnable for Sum {
    type Output = u64;

    fn run(self) -> u64 {
        self.of.iter().sum()
    }
}

fn runnables(method: StartMethod) -> Outcome {
    let process = builder(method).name("sum").spawn_runnable(Sum { of: vec![1, 2, 3] })?;
    assert_eq!(process.join()?, 6);
    Ok(())
}

fn relatives(method: StartMethod) -> Outcome {
    type Seen = (String, bool, Option<(String, u32, bool)>);

    fn seen() -> Seen {
        let parent = parent_process().map(|p| (p.name().to_string(), p.pid(), p.is_alive()));
        let own = current_process();
        assert_eq!(own.pid(), std::process::id());
        (own.name().to_string(), own.is_daemon(), parent)
    }

    fn both(method: u8) -> (Seen, Seen, usize) {
        let method = StartMethod::ALL[usize::from(method)];
        let inner = builder(method).spawn(|()| seen(), ()).and_then(Process::join);
        (seen(), inner.expect("a value"), active_children().len())
    }

    let main = || ("MainProcess".to_string(), false, None);
    assert_eq!(seen(), main());
    assert!(active_children().is_empty());
    let number = StartMethod::ALL.iter().position(|m| *m == method).ok_or("unknown")? as u8;
    let mut process = builder(method).spawn(both, number)?;
    let pid = process.pid().unwrap_or(std::process::id());
    let listed = active_children();
    // Under Threads the inner one is a child of this process, too.
    let is_thread = method == StartMethod::Threads;
    let is_outer =
        |child: &ActiveChild| (child.name(), child.pid()) == ("Process-1", process.pid());
    assert!(listed.iter().all(|child| is_outer(child) || is_thread));
    let (outer, inner, children) = process.join_timeout(SOON)?;
    let own = std::process::id();
    assert_eq!(
        outer,
        ("Process-1".to_string(), false, Some(("MainProcess".to_string(), own, true)))
    );
    let name = if is_thread { "Process-1:2" } else { "Process-1:1" };
    assert_eq!(inner, (name.to_string(), false, Some(("Process-1".to_string(), pid, true))));
    assert_eq!(children, usize::from(is_thread));
    assert!(active_children().is_empty());
    assert!(listed.iter().all(|child| !child.is_alive()));
    assert_eq!(seen(), main());
    let pool = crate::case::pool(method, 1)?;
    let worker = pool.apply((), |()| current_process().name().to_string())?;
    assert_eq!(worker, if is_thread { "MainProcess" } else { "worker-0" });
    Ok(())
}

fn daemons(method: StartMethod) -> Outcome {
    let refused = |method: u8| {
        let method = StartMethod::ALL[usize::from(method)];
        let process = builder(method).spawn(|x: u8| x, 1).and_then(Process::join).map(drop);
        let pool = crate::case::pool(method, 1).map(drop);
        [process, pool].map(|result| matches!(result, Err(Error::NestedPool)))
    };
    let number = StartMethod::ALL.iter().position(|m| *m == method).ok_or("unknown")? as u8;
    let daemon = builder(method).daemon(true).spawn(refused, number)?;
    assert_eq!(daemon.join()?, [true, true]);
    assert_eq!(builder(method).spawn(refused, number)?.join()?, [false, false]);
    Ok(())
}

fn awaited(method: StartMethod) -> Outcome {
    let slow = |x: u64| {
        std::thread::sleep(Duration::from_millis(20));
        assert!(x != 3, "it is {x}");
        x
    };
    assert_eq!(block_on(builder(method).spawn(slow, 1)?)?, 1);
    let panicked = block_on(builder(method).spawn(slow, 3)?);
    assert!(panicked.is_err_and(|error| error.to_string().contains("it is 3")));
    // Several at once, by one thread, in any order.
    let start = |x| builder(method).spawn(slow, x);
    let mut processes = (10..20).map(start).collect::<Result<Vec<_>, _>>()?;
    let mut sum = 0;
    let all = poll_fn(|context| {
        processes.retain_mut(|process| match Pin::new(process).poll(context) {
            Poll::Ready(value) => {
                sum += value.unwrap_or(1_000_000);
                false
            }
            Poll::Pending => true,
        });
        if processes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    block_on(all);
    assert_eq!(sum, (10..20).sum::<u64>());
    // What was awaited once is waited for as ever, and a future that is ready has no value more.
    let mut process = start(5)?;
    assert!(Pin::new(&mut process).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(process.join_timeout(SOON)?, 5);
    assert!(matches!(block_on(process), Err(Error::ResultTaken)));
    Ok(())
}

fn awaited_beside_starts(method: StartMethod) -> Outcome {
    let gate = SharedArray::<u32>::new(1)?;
    let wait = |gate: SharedArray<u32>| {
        while gate.get(0) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut first = builder(method).spawn(wait, gate.clone())?;
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut first).poll(&mut context).is_pending());
    // Fork refuses a process with several threads, but not the one that watches.
    if method != StartMethod::Threads {
        assert_eq!(builder(method).spawn(|x: u64| x, 7)?.join()?, 7);
        let mut second = builder(method).spawn(wait, gate.clone())?;
        assert!(Pin::new(&mut second).poll(&mut context).is_pending());
        second.kill()?;
        assert!(block_on(second).is_err());
    }
    gate.set(0, 1);
    block_on(first)?;
    Ok(())
}

extern "C" fn on_signal(_: i32) {}

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
