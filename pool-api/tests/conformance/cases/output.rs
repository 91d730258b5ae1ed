//! Output of tasks that is captured: whole, in order, and by item, whether Rust code, the C library
//! or a child program wrote it, and however the task ended.

use std::{
    fs,
    io::Write,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use pool_api::{
    Cause, Error, ManagerError, Output, OutputEvent, PoolManager, Process, StartMethod, Stream,
    TaskError, TaskOutput, WorkerPool,
};

use crate::{
    case::{Case, Outcome, builder},
    scratch::Scratch,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("a_failed_task_has_its_output", failed_tasks).processes(),
    Case::new("output_before_a_death_is_kept", deaths).processes(),
    Case::new("output_before_a_time_limit_is_kept", time_limit).processes(),
    Case::new("output_of_the_last_try_is_kept", tries).processes(),
    Case::new("output_of_single_calls_is_kept", single_calls).processes(),
    Case::new("all_output_is_delivered", delivered).processes(),
    Case::new("output_of_hooks_has_no_item", hooks).processes(),
    Case::new("much_output_is_bounded", bounded).processes(),
    Case::new("a_callback_may_use_its_pool", callbacks).processes(),
    Case::new("a_program_that_lives_on_holds_nothing_up", left_behind).processes(),
    Case::new("a_task_may_close_and_fill_its_streams", closed_streams).processes(),
    Case::new("output_goes_to_files", files).processes(),
    Case::new("output_of_a_process_is_captured", processes).processes(),
    Case::new("a_manager_captures_output", managers).processes(),
    Case::new("threads_refuse_to_capture", refused).threads(),
];

fn capturing(method: StartMethod, n: usize) -> pool_api::Result<WorkerPool> {
    builder(method, n).stdout(Output::Capture).stderr(Output::Capture).build()
}

fn error_of<T>(result: pool_api::Result<T>) -> TaskError {
    match result {
        Err(Error::Task(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it has a value"),
    }
}

fn output_of(error: &TaskError) -> &TaskOutput {
    error.output().expect("it is captured")
}

/// Prints to standard output in every way, and to standard error.
fn print_all(n: u32) {
    println!("line {n}");
    sys::write_by_c(c"by C without a line break,");
    print!("by Rust,");
    std::io::stdout().flush().expect("it goes");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("printf 'by a child'; echo err >&2");
    assert!(shell.status().expect("a shell").success());
    print!(",the rest");
    eprint!("{n}");
}

const PRINTED: &str = "by C without a line break,by Rust,by a child,the rest";

fn failed_tasks(method: StartMethod) -> Outcome {
    let pool = capturing(method, 2)?;
    let results = pool.tasks(0..40u32).map_results(|n| {
        print_all(n);
        assert!(n % 8 != 3, "it is {n}");
    })?;
    for (n, result) in results.iter().enumerate() {
        let Err(error) = result else {
            assert_ne!(n % 8, 3);
            continue;
        };
        let output = output_of(error);
        assert_eq!(output.stdout_text(), format!("line {n}\n{PRINTED}"));
        let errors = output.stderr_text();
        // And the text of the panic hook.
        assert!(errors.starts_with(&format!("err\n{n}")), "{errors}");
        assert!(errors.contains("panicked at ") && errors.contains(&format!("it is {n}")));
        assert!(format!("{error:#}").contains(&format!("\n  stderr: it is {n}")), "{error:#}");
        assert!(!error.to_string().contains("stderr"), "{error}");
        assert_eq!((output.stdout_dropped(), output.stderr_dropped()), (0, 0));
    }
    // Without the capture there is nothing.
    let pool = builder(method, 1).build()?;
    assert_eq!(error_of(pool.map([1u32], |n| assert_eq!(n, 2))).output(), None);
    Ok(())
}

fn deaths(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).on_output(|_| ()).task_timeout(Duration::from_millis(300));
    let pool = pool.build()?;
    let results = pool.tasks(0..8u32).chunk_size(3).map_results(|n| {
        println!("item {n}");
        eprint!("error {n}");
        sys::write_by_c(c"by C");
        match n {
            1 => assert!(sys::kill(std::process::id(), sys::SIGKILL)),
            2 => {
                print!("without a line break");
                std::process::abort()
            }
            3 => {
                print!("without a line break");
                sys::raise(11)
            }
            4 => std::thread::sleep(Duration::MAX),
            5 => {
                print!("without a line break");
                std::process::exit(7)
            }
            // Unlike `abort`, this sends the signal only once.
            7 => sys::raise(6),
            _ => {}
        }
    })?;
    for (n, result) in results.iter().enumerate().filter(|(n, _)| !matches!(n, 0 | 6)) {
        let error = result.as_ref().expect_err("it fails");
        let output = output_of(error);
        // Of an unfinished line a process that is killed knows nothing.
        let rest = if matches!(n, 2 | 3 | 5) { "without a line break" } else { "" };
        assert_eq!(output.stdout_text(), format!("item {n}\nby C{rest}"), "{error}");
        assert!(output.stderr_text().starts_with(&format!("error {n}")), "{error}");
    }
    assert!(matches!(results[4].as_ref().expect_err("late").cause(), Cause::Timeout { .. }));
    assert!(results[0].is_ok() && results[6].is_ok());
    Ok(())
}

/// The call has ended before its worker: nothing else asks for the news of that.
fn time_limit(method: StartMethod) -> Outcome {
    let pool = capturing(method, 1)?;
    for _ in 0..2 {
        let call = pool.task(0u32).task_timeout(Duration::from_millis(500));
        let error = error_of(call.apply(|n| {
            println!("begun {n}");
            std::thread::sleep(Duration::MAX);
        }));
        assert_eq!(output_of(&error).stdout_text(), "begun 0\n", "{error}");
    }
    Ok(())
}

fn tries(method: StartMethod) -> Outcome {
    let pool = capturing(method, 1)?;
    let error = error_of(pool.tasks([5u32]).retry(2).map(|_| -> () {
        println!("process {}", std::process::id());
        std::process::abort();
    }));
    assert_eq!(error.tries(), 3);
    let output = output_of(&error).stdout_text();
    assert!(output.starts_with("process ") && output.lines().count() == 1, "{output}");
    Ok(())
}

fn single_calls(method: StartMethod) -> Outcome {
    let pool = capturing(method, 2)?;
    fn fails(n: u32) {
        print!("{n}");
        assert!(n > 100);
    }
    assert_eq!(output_of(&error_of(pool.apply(7, fails))).stdout(), b"7");
    let futures: Vec<_> = (0..50).map(|n| pool.apply_async(n, fails)).collect::<Result<_, _>>()?;
    for (n, future) in futures.into_iter().enumerate() {
        assert_eq!(output_of(&error_of(future.get())).stdout_text(), n.to_string());
    }
    let map = pool.map_async(0..3u32, fails)?;
    let lazy = pool.imap(0..5u32, fails).next().expect("a result");
    // The first failure in time, which may be of any item.
    for error in [error_of(map.get()), error_of(lazy)] {
        assert_eq!(output_of(&error).stdout_text(), error.index().to_string());
    }
    // The error has its output when the pool is gone.
    let late = pool.apply_async(9, fails)?;
    let late = error_of(late.get());
    drop(pool);
    assert_eq!(output_of(&late.clone()).stdout(), b"9");
    Ok(())
}

type Events = Arc<Mutex<Vec<OutputEvent>>>;

fn collected() -> (Events, impl Fn(&OutputEvent) + Send + Sync + 'static) {
    let events = Events::default();
    let to = events.clone();
    (events, move |event: &OutputEvent| to.lock().expect("no panic").push(event.clone()))
}

/// What came of one stream for which `is_wanted` holds, in its order.
fn text_of(events: &Events, stream: Stream, is_wanted: impl Fn(&OutputEvent) -> bool) -> String {
    let events = events.lock().expect("no panic");
    let wanted = events.iter().filter(|event| event.stream() == stream && is_wanted(event));
    wanted.map(|event| event.text().into_owned()).collect()
}

fn delivered(method: StartMethod) -> Outcome {
    let (events, collect) = collected();
    let pool = builder(method, 2).on_output(collect).build()?;
    pool.map(0..100u32, print_all)?;
    pool.stop_and_join()?;
    for n in 0..100 {
        let of_item = |event: &OutputEvent| event.item() == Some(n);
        assert_eq!(text_of(&events, Stream::Stdout, of_item), format!("line {n}\n{PRINTED}"));
        assert_eq!(text_of(&events, Stream::Stderr, of_item), format!("err\n{n}"));
        let workers = events.lock().expect("no panic");
        let mut workers = workers.iter().filter(|event| of_item(event)).map(OutputEvent::worker);
        let first = workers.next();
        assert!(first.is_some_and(|first| first < 2 && workers.all(|worker| worker == first)));
    }
    // The pool can be used again, and a drop delivers, too.
    events.lock().expect("no panic").clear();
    pool.map(0..3u32, |n| print!("{n}"))?;
    drop(pool);
    assert_eq!(text_of(&events, Stream::Stdout, |event| event.item() == Some(1)), "1");
    assert_eq!(text_of(&events, Stream::Stdout, |_| true).len(), 3);
    Ok(())
}

fn hooks(method: StartMethod) -> Outcome {
    let (events, collect) = collected();
    let pool = builder(method, 1)
        .at_worker_start(|| println!("start"))
        .worker_init(|_| print!("init"))
        .worker_exit(|_| println!("exit"))
        .on_output(collect)
        .build()?;
    pool.tasks(0..3u32).with_worker().map(|_, n| print!("<{n}>"))?;
    pool.stop_and_join()?;
    let no_item = |event: &OutputEvent| event.item().is_none();
    assert_eq!(text_of(&events, Stream::Stdout, no_item), "start\ninitexit\n");
    assert_eq!(text_of(&events, Stream::Stdout, |_| true), "start\ninit<0><1><2>exit\n");
    Ok(())
}

fn bounded(method: StartMethod) -> Outcome {
    /// Bytes of the output of one item: far more than a pipe has room for.
    const MUCH: usize = 24 << 20;
    let pool = builder(method, 1).stdout(Output::Capture).max_output_bytes(1000).build()?;
    let before = sys::peak_bytes();
    let error = error_of(pool.apply(MUCH, |much| -> () {
        let block: Vec<u8> = (0..1u32 << 16).map(|n| b'a' + (n % 23) as u8).collect();
        let mut left = much;
        while left > 0 {
            let part = &block[..block.len().min(left)];
            std::io::stdout().write_all(part).expect("it goes");
            left -= part.len();
        }
        print!("the end");
        panic!("and a panic");
    }));
    let output = output_of(&error);
    assert_eq!(output.stdout().len(), 1000);
    assert!(output.stdout().ends_with(b"the end"));
    assert_eq!(output.stdout_dropped() as usize, MUCH + 7 - 1000);
    assert_eq!(output.stderr(), b"");
    let grown = sys::peak_bytes().saturating_sub(before);
    assert!(grown < MUCH / 2, "{grown} bytes more");
    Ok(())
}

fn callbacks(method: StartMethod) -> Outcome {
    // The callback makes a call whose task writes more than any pipe has room for.
    let inner = Arc::new(builder(method, 1).on_output(|_| ()).build()?);
    let (lines, own) = (Arc::new(Mutex::new(0)), inner.clone());
    let count = lines.clone();
    let pool = builder(method, 1).on_output(move |event| {
        let lines = event.text().lines().count();
        let counted = own.apply(lines, |lines| {
            (0..20_000).for_each(|n| println!("a long line of another pool, number {n}"));
            lines
        });
        *count.lock().expect("no panic") += counted.expect("a call");
        panic!("a callback that panics");
    });
    let pool = pool.build()?;
    pool.map(0..5u32, |n| println!("{n}"))?;
    drop(pool);
    assert_eq!(*lines.lock().expect("no panic"), 5);
    drop(inner);

    // It uses its own pool while that one writes.
    let slot: Arc<Mutex<Option<Arc<WorkerPool>>>> = Arc::default();
    let own = slot.clone();
    let pool = builder(method, 2).on_output(move |event| {
        let pool = own.lock().expect("no panic").clone();
        if let (Some(pool), Some(_)) = (pool, event.item()) {
            let long = |()| (0..4000).for_each(|n| println!("a line that is not counted, {n}"));
            let _ = pool.apply_async((), long);
        }
    });
    let pool = Arc::new(pool.build()?);
    *slot.lock().expect("no panic") = Some(pool.clone());
    pool.map(0..20u32, |n| println!("{n}"))?;
    *slot.lock().expect("no panic") = None;
    pool.stop_and_join()?;
    Ok(())
}

fn left_behind(method: StartMethod) -> Outcome {
    let pool = capturing(method, 1)?;
    let error = error_of(pool.apply((), |()| -> () {
        // It keeps the writing ends of the pipes.
        let sleeper = Command::new("sleep").arg("1000").spawn().expect("sleep");
        print!("started {}", sleeper.id());
        std::io::stdout().flush().expect("it goes");
        std::process::abort();
    }));
    assert!(output_of(&error).stdout_text().starts_with("started "));
    assert_eq!(pool.apply(2u32, |n| n + 1)?, 3);
    drop(pool);
    Ok(())
}

fn closed_streams(method: StartMethod) -> Outcome {
    let pool = capturing(method, 1)?;
    let error = error_of(pool.apply((), |()| -> () {
        print!("before");
        std::io::stdout().flush().expect("it goes");
        sys::close(1);
        let other = fs::File::create("/dev/null").expect("a file");
        println!("to nowhere");
        eprint!("still there");
        drop(other);
        panic!("now");
    }));
    assert_eq!(output_of(&error).stdout(), b"before");
    assert!(output_of(&error).stderr_text().starts_with("still there"));
    assert_eq!(pool.apply(2u32, |n| n + 1)?, 3);
    Ok(())
}

fn files(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.path();
    fs::write(&path, "there before\n")?;
    let pool = builder(method, 2).stdout(Output::File(path.clone().into())).stderr(Output::Null);
    let pool = pool.build()?;
    pool.map(0..10u32, |n| {
        println!("item {n}");
        eprintln!("to nowhere");
    })?;
    drop(pool);
    let text = fs::read_to_string(&path)?;
    assert!(text.starts_with("there before\n"), "{text}");
    assert!((0..10).all(|n| text.contains(&format!("item {n}\n"))), "{text}");
    assert_eq!(text.lines().count(), 11);
    let refused = |file: &str| {
        let pool = builder(method, 1).stderr(Output::File(file.into())).build();
        pool.expect_err("it is refused").to_string()
    };
    assert!(refused("").starts_with("stderr: the path of the file is empty"));
    assert!(refused("a\0b").contains("stderr: the path of the file contains a NUL"));
    assert!(refused("/").contains("stderr: / cannot be appended to"));
    for bytes in [0, usize::MAX] {
        let pool = builder(method, 1).max_output_bytes(bytes).build();
        let text = pool.expect_err("it is refused").to_string();
        assert!(text.starts_with("max_output_bytes must be from 1 to"), "{text}");
    }
    Ok(())
}

fn processes(method: StartMethod) -> Outcome {
    let (events, collect) = collected();
    let builder = Process::builder().start_method(method).on_output(collect);
    for n in 0..4 {
        events.lock().expect("no panic").clear();
        let run: fn(u32) = match n {
            0 => print_all,
            1 => |n| {
                print_all(n);
                panic!("it is {n}")
            },
            2 => |n| {
                print_all(n);
                sys::kill(std::process::id(), sys::SIGKILL);
            },
            _ => |n| {
                print_all(n);
                std::process::exit(3)
            },
        };
        let joined = builder.spawn(run, n)?.join();
        let expected = format!("line {n}\n{PRINTED}");
        // What std keeps of a line that is not complete is lost with a process that is killed.
        let expected = if n == 2 { expected.replace(",the rest", "") } else { expected };
        assert_eq!(text_of(&events, Stream::Stdout, |event| event.worker() == 0), expected);
        let errors = text_of(&events, Stream::Stderr, |event| event.item().is_none());
        assert!(errors.starts_with(&format!("err\n{n}")), "{errors}");
        match (n, joined) {
            (0, joined) => joined?,
            (_, Err(Error::Process(error))) => {
                let output = error.output().expect("it is captured");
                assert_eq!(output.stdout_text(), expected);
                assert_eq!(output.stderr_text(), errors);
                assert!(n != 1 || errors.contains("it is 1"), "{errors}");
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    let file = Scratch::new();
    let builder = Process::builder().start_method(method).stdout(Output::File(file.path().into()));
    builder.stderr(Output::Null).spawn(|n: u32| println!("line {n}"), 7)?.join()?;
    assert_eq!(fs::read_to_string(file.path())?, "line 7\n");
    // Its pipe is read although this process only waits for its end.
    let builder = Process::builder().start_method(method).stdout(Output::Capture);
    let mut much = builder.spawn(|()| (0..50_000).for_each(|n| println!("many lines, {n}")), ())?;
    much.join_timeout(Duration::from_secs(60))?;
    Ok(())
}

fn managers(method: StartMethod) -> Outcome {
    let (events, collect) = collected();
    let manager = PoolManager::builder(|n: u32| {
        print!("<{n}>");
        assert!(n != 2);
    });
    let manager = manager.size(1).start_method(method).stdout(Output::Capture);
    let manager = manager.on_output(collect).start()?;
    (0..3u32).try_for_each(|n| manager.put(n)).expect("it is open");
    let results: Vec<_> = (0..3).map(|_| manager.get()).collect();
    let failed = results.iter().find_map(|result| match result {
        Err(ManagerError::Failed(Error::Task(error))) => Some(error),
        _ => None,
    });
    assert_eq!(output_of(failed.expect("one fails")).stdout(), b"<2>");
    drop(manager);
    assert_eq!(text_of(&events, Stream::Stdout, |_| true), "<0><1><2>");
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let process = Process::builder().start_method(method).stderr(Output::Null);
    assert!(matches!(process.spawn(|()| (), ()), Err(Error::NotSupported { .. })));
    for (pool, option) in [
        (builder(method, 1).stdout(Output::Capture), "stdout"),
        (builder(method, 1).stderr(Output::Null), "stderr"),
        (builder(method, 1).on_output(|_| ()), "on_output"),
    ] {
        let error = pool.build().expect_err("threads have the streams of the program");
        assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
        assert!(
            error.to_string().contains(&format!("does not offer {option}: threads")),
            "{error}"
        );
    }
    let inherits = builder(method, 1).stdout(Output::Inherit).build()?;
    assert_eq!(inherits.apply(1u32, |n| n)?, 1);
    Ok(())
}
