//! A failure of a task is reported with its item, its worker and its cause.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pool_api::{
    Cause, Error, ExitStatus, StartMethod, TaskError,
    rkyv::{
        self, Archive, Deserialize, Serialize,
        rancor::{Fallible, Source},
    },
};

use crate::{
    case::{Case, Outcome, pool},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    // (In the process that makes a backtrace, std keeps the mappings that it made for it.)
    Case::new("panics_with_a_backtrace_if_the_environment_asks", backtraces),
    Case::new("panic_message_and_location", panics),
    Case::new("panic_payloads_of_any_type", payloads),
    Case::new("pools_of_a_destructor_during_a_panic", unwinding),
    Case::new("exit_codes", exits).processes(),
    Case::new("signals_by_name", signals).processes(),
    Case::new("stack_overflow", overflow).processes(),
    Case::new("items_that_do_not_decode", undecodable_items).processes(),
    Case::new("items_that_do_not_encode", unencodable_items).processes(),
    Case::new("results_that_do_not_encode_or_decode", bad_results).processes(),
    Case::new("worker_in_the_error_is_the_one_that_ran_it", named_worker),
    Case::new("deaths_in_every_form_of_a_call", deaths).processes(),
    Case::new("deaths_one_after_the_other", many_deaths).processes(),
];

fn task<T: std::fmt::Debug>(result: Result<T, Error>) -> TaskError {
    match result {
        Err(Error::Task(task)) => task,
        other => panic!("no task failed: {other:?}"),
    }
}

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let line = line!() + 1;
    let failed = task(pool.map(0..100u32, |n| assert!(n != 42, "item {n} is bad")));
    assert_eq!(failed.index(), 42);
    assert!(failed.worker() < 2);
    let Cause::Panic { message, location, backtrace } = failed.cause() else {
        panic!("not a panic: {failed}");
    };
    assert_eq!(message, "item 42 is bad");
    let location = location.as_ref().expect("a location");
    assert!(location.starts_with(&format!("{}:{line}:", file!())), "{location}");
    assert_eq!(*backtrace, None, "no backtrace was asked for");
    let text =
        format!("task 42 on worker {}: panicked: item 42 is bad at {location}", failed.worker());
    assert_eq!(failed.to_string(), text);
    assert_eq!(pool.map(0..10u32, |n| n)?.len(), 10);
    Ok(())
}

/// A value that maps with a pool of its own when it is dropped.
struct Cleaner<'m> {
    method: StartMethod,
    mapped: &'m RefCell<Result<Vec<Result<u32, TaskError>>, Error>>,
}

impl Drop for Cleaner<'_> {
    fn drop(&mut self) {
        let task = |n| {
            assert!(n != 2, "item {n} is bad");
            n
        };
        *self.mapped.borrow_mut() =
            pool(self.method, 2).and_then(|pool| pool.tasks(0..4u32).map_results(task));
    }
}

fn unwinding(method: StartMethod) -> Outcome {
    let mapped = RefCell::new(Ok(Vec::new()));
    let panics = || {
        let _cleaner = Cleaner { method, mapped: &mapped };
        panic!("while there is something to clean");
    };
    catch_unwind(AssertUnwindSafe(panics)).expect_err("the panic goes on");
    let mapped = mapped.into_inner()?;
    let values: Vec<_> = mapped.iter().map(|result| result.as_ref().ok().copied()).collect();
    assert_eq!(values, [Some(0), Some(1), None, Some(3)]);
    let failed = mapped[2].as_ref().expect_err("it panics");
    let Cause::Panic { message, .. } = failed.cause() else { panic!("not a panic: {failed}") };
    assert_eq!(message, "item 2 is bad");
    Ok(())
}

fn payloads(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let message = |n: u32| match task(pool.apply(n, throw)).cause() {
        Cause::Panic { message, .. } => message.clone(),
        cause => panic!("not a panic: {cause}"),
    };
    assert_eq!(message(0), "text");
    assert_eq!(message(1), "owned");
    assert!(!message(2).is_empty(), "a payload that is no text");
    assert_eq!(message(3).len(), 1 << 20);
    assert_eq!(message(4), "");
    Ok(())
}

fn throw(n: u32) {
    match n {
        0 => std::panic::panic_any("text"),
        1 => std::panic::panic_any(String::from("owned")),
        2 => std::panic::panic_any(17u64),
        3 => std::panic::panic_any("x".repeat(1 << 20)),
        _ => std::panic::panic_any(""),
    }
}

fn exits(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for code in [0, 1, 7, 255] {
        let items = (0..20).map(|n| (n, code));
        let failed = task(pool.tasks(items).chunk_size(3).map(|(n, code)| {
            if n == 11 {
                std::process::exit(code);
            }
        }));
        assert_eq!(failed.index(), 11);
        assert_eq!(*failed.cause(), Cause::Death(ExitStatus::Code(code)));
        let text =
            format!("task 11 on worker {}: its worker exited with code {code}", failed.worker());
        assert_eq!(failed.to_string(), text);
    }
    assert_eq!(pool.map(0..10u32, |n| n)?.len(), 10);
    Ok(())
}

extern "C" fn unmoved(_: i32) {}

const ENDING: [(i32, &str); 4] = [(1, "SIGHUP"), (2, "SIGINT"), (3, "SIGQUIT"), (15, "SIGTERM")];

fn signals(method: StartMethod) -> Outcome {
    // Signals that this program ignores, as under `nohup`, its workers ignore as well.
    ENDING.iter().for_each(|(number, _)| sys::on_signal(*number, unmoved));
    let pool = pool(method, 2)?;
    for (number, name) in [(9, "SIGKILL"), (8, "SIGFPE"), (10, "SIGUSR1"), (14, "SIGALRM")] {
        let failed = task(pool.map((0..50).map(|n| (n, number)), |(n, number)| {
            if n == 33 {
                sys::raise(number);
            }
        }));
        assert_eq!(
            (failed.index(), failed.cause().clone()),
            (33, Cause::Death(ExitStatus::Signal(number)))
        );
        let worker = failed.worker();
        let text = format!(
            "task 33 on worker {worker}: its worker was killed by {name} (signal {number})"
        );
        assert_eq!(failed.to_string(), text);
    }
    let aborted = task(pool.apply((), |()| -> u8 { std::process::abort() }));
    assert!(aborted.to_string().contains("SIGABRT (signal 6)"), "{aborted}");
    // A real-time signal has no name.
    let failed = task(pool.apply(40, sys::raise));
    assert!(failed.to_string().ends_with("its worker was killed by signal 40"), "{failed}");
    // A signal that is usually sent to the whole program ends a worker that gets it alone.
    for (number, name) in ENDING {
        let failed = task(pool.apply(number, sys::raise));
        assert!(failed.to_string().ends_with(&format!("{name} (signal {number})")), "{failed}");
    }
    assert_eq!(pool.map(0..4u64, |n| n)?, [0, 1, 2, 3]);
    Ok(())
}

fn overflow(method: StartMethod) -> Outcome {
    #[allow(unconditional_recursion)]
    fn deep(n: u64) -> u64 {
        let frame = std::hint::black_box([n; 512]);
        deep(n + 1) + frame[3]
    }
    let pool = pool(method, 2)?;
    let failed = task(pool.map(0..4u64, |n| if n == 2 { deep(n) } else { n }));
    assert_eq!(failed.index(), 2);
    assert_eq!(failed.cause(), &Cause::StackOverflow);
    assert_eq!(pool.map(0..4u64, |n| n)?, [0, 1, 2, 3]);
    Ok(())
}

/// A number that encodes as it is; the value 13 does not decode.
#[derive(Debug, Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct NeverThirteen(u32);

impl<D: Fallible<Error: Source> + ?Sized> Deserialize<NeverThirteen, D> for ArchivedNeverThirteen {
    fn deserialize(&self, _: &mut D) -> Result<NeverThirteen, D::Error> {
        match self.0.to_native() {
            13 => Err(D::Error::new(std::fmt::Error)),
            n => Ok(NeverThirteen(n)),
        }
    }
}

/// A number that does not encode if it is 13.
#[derive(Debug, Archive, Deserialize)]
#[rkyv(crate = rkyv)]
struct Unlucky {
    number: u32,
    name: String,
}

fn unlucky(number: u32) -> Unlucky {
    Unlucky { number, name: number.to_string() }
}

impl<S: Fallible<Error: Source> + ?Sized> Serialize<S> for Unlucky
where
    String: Serialize<S>,
{
    fn serialize(&self, encoder: &mut S) -> Result<Self::Resolver, S::Error> {
        match self.number {
            13 => Err(S::Error::new(std::fmt::Error)),
            _ => Ok(UnluckyResolver { number: (), name: self.name.serialize(encoder)? }),
        }
    }
}

fn undecodable_items(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 5] {
        let items = || pool.tasks((0..30).map(NeverThirteen)).chunk_size(chunk_size);
        let failed = task(items().map(|n| n.0));
        assert_eq!((failed.index(), failed.cause()), (13, &Cause::Undecodable));
        let text = "the item was no valid value where it arrived";
        assert!(failed.to_string().ends_with(text), "{failed}");
        let results = items().map_results(|n| n.0)?;
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), index == 13);
        }
    }
    let failed = task(pool.tasks(0..3u8).with(NeverThirteen(13)).map(|c, x| c.0 as u8 + x));
    assert_eq!(*failed.cause(), Cause::Undecodable);
    assert_eq!(pool.tasks(0..3u8).with(NeverThirteen(14)).map(|c, x| c.0 as u8 + x)?, [14, 15, 16]);
    Ok(())
}

fn unencodable_items(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 5] {
        let items = (0..30).map(unlucky);
        let failed = pool.tasks(items).chunk_size(chunk_size).map(|n| n.number);
        assert!(matches!(failed, Err(Error::Encode { index: 13 })), "{failed:?}");
    }
    let text = Error::Encode { index: 13 }.to_string();
    assert!(text.starts_with("item 13 could not be encoded"), "{text}");
    let refused = pool.tasks(0..3u8).with(unlucky(13)).map(|_, x| x);
    assert!(matches!(refused, Err(Error::InvalidInput(_))), "{refused:?}");
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn bad_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 5] {
        let tasks = || pool.tasks(0..30u32).chunk_size(chunk_size);
        let failed = task(tasks().map(unlucky));
        assert_eq!((failed.index(), failed.cause()), (13, &Cause::BadResult));
        let failed = task(tasks().map(NeverThirteen));
        assert_eq!((failed.index(), failed.cause()), (13, &Cause::BadResult));
        for (index, result) in tasks().map_results(unlucky)?.iter().enumerate() {
            assert_eq!(result.is_err(), index == 13, "{result:?}");
        }
        for (index, result) in tasks().map_results(NeverThirteen)?.iter().enumerate() {
            assert_eq!(result.is_err(), index == 13, "{result:?}");
        }
        let mut lazy = tasks().imap(NeverThirteen);
        assert_eq!(lazy.by_ref().take(13).filter(Result::is_ok).count(), 13);
        assert_eq!(task(lazy.next().expect("the failure")).index(), 13);
        assert!(lazy.next().is_none());
    }
    Ok(())
}

fn named_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let results = pool.tasks(0..60u32).chunk_size(2).map_results(|n| {
        let name = std::thread::current().name().unwrap_or_default().to_string();
        let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
        assert!(n % 7 != 3, "{}", if name.starts_with("worker-") { name } else { comm });
    })?;
    let mut failures = 0;
    for (index, result) in results.into_iter().enumerate() {
        if let Err(task) = result {
            failures += 1;
            assert_eq!(task.index() as usize, index);
            let Cause::Panic { message, .. } = task.cause() else { panic!("{task}") };
            assert_eq!(message.trim(), format!("worker-{}", task.worker()));
        }
    }
    assert_eq!(failures, 9);
    Ok(())
}

#[inline(never)]
fn deep_in_here(n: u32) -> u32 {
    assert!(n != 3, "three");
    n
}

fn backtraces(method: StartMethod) -> Outcome {
    if method != StartMethod::Threads {
        return with_backtraces(method);
    }
    // The files that std maps to name the frames stay mapped, so this runs in a process of its own.
    let child = sys::fork();
    if child == 0 {
        let passed = std::panic::catch_unwind(|| with_backtraces(method).is_ok());
        std::process::exit(i32::from(!passed.unwrap_or(false)));
    }
    assert_eq!(sys::wait_for(child), 0);
    Ok(())
}

fn with_backtraces(method: StartMethod) -> Outcome {
    // SAFETY: this process has one thread, and the pool's are started later.
    unsafe { std::env::set_var("RUST_BACKTRACE", "1") };
    let pool = pool(method, 2)?;
    let failed = task(pool.map(0..6u32, deep_in_here));
    let Cause::Panic { message, location, backtrace } = failed.cause() else { panic!("{failed}") };
    assert_eq!((&message[..], failed.index()), ("three", 3));
    assert!(location.as_ref().is_some_and(|location| location.contains("failures.rs")));
    assert!(backtrace.as_ref().is_some_and(|text| text.contains("deep_in_here")), "{backtrace:?}");
    assert!(
        backtrace.as_ref().is_some_and(|text| !text.contains("pool_core::worker")),
        "{backtrace:?}"
    );
    assert!(!failed.to_string().contains("deep_in_here"), "{failed}");
    let shown = format!("{:?}", Error::from(failed.clone()));
    assert!(shown.starts_with(&format!("{failed}\n   0: ")), "{shown}");
    Ok(())
}

fn die_at_20(n: u32) -> u32 {
    if n == 20 {
        sys::raise(sys::SIGKILL);
    }
    n
}

fn deaths(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let tasks = || pool.tasks(0..60u32).chunk_size(4);
    assert_eq!(task(tasks().map(die_at_20)).index(), 20);
    assert_eq!(task(tasks().map_unordered(die_at_20)).index(), 20);
    assert_eq!(task(tasks().with_worker().map(|_, n| die_at_20(n))).index(), 20);
    assert_eq!(task(tasks().view().map(|n| die_at_20(n.to_native()))).index(), 20);
    assert_eq!(task(tasks().for_each_view(die_at_20, |_, _| ())).index(), 20);
    assert_eq!(task(tasks().with(1u8).map(|_, n| die_at_20(n))).index(), 20);
    let mut lazy = tasks().imap(die_at_20);
    for n in 0..20 {
        assert_eq!(lazy.next().transpose()?, Some(n));
    }
    assert_eq!(task(lazy.next().expect("the failure")).index(), 20);
    assert!(lazy.next().is_none());
    drop(lazy);
    let failures: Vec<u64> = tasks()
        .imap_results(die_at_20)
        .filter_map(Result::err)
        .map(|e| task(Err::<(), _>(e)).index())
        .collect();
    assert_eq!(failures, [20]);
    let error = tasks().imap_unordered(die_at_20).find_map(Result::err).expect("the failure");
    assert_eq!(task(Err::<(), _>(error)).index(), 20);
    if method == StartMethod::Fork {
        let at = std::hint::black_box(20);
        let failed = tasks().map_scoped(|n| if n == at { die_at_20(n) } else { n });
        assert_eq!(task(failed).index(), 20);
    }
    assert_eq!(pool.map(0..20u32, die_at_20)?.len(), 20);
    Ok(())
}

fn many_deaths(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let results = pool.tasks(0..120u32).chunk_size(10).map_results(|n| {
        if n % 3 == 1 {
            sys::raise(sys::SIGKILL);
        }
        n
    })?;
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(n) => assert!(n as usize == index && n % 3 != 1),
            Err(task) => assert!(task.index() as usize == index && index % 3 == 1),
        }
    }
    assert_eq!(pool.map(0..20u32, |n| n)?.len(), 20);
    Ok(())
}
