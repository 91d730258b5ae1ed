//! What a process of one function is given: options, arguments, closures, surroundings.

use std::os::fd::AsFd;

use pool_api::{Error, Runnable, SharedArray, StartMethod, wire};

use super::processes::{SOON, builder, sleep};
use crate::{
    case::{Case, Outcome},
    footprint::Footprint,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("processes_have_names_and_ids", names_and_ids),
    Case::new("processes_with_bad_options_are_not_started", bad_options),
    Case::new("processes_have_large_values", large_values),
    Case::new("processes_have_own_types", own_types),
    Case::new("processes_have_many_handles", many_handles),
    Case::new("processes_are_closures_that_captured", closures),
    Case::new("processes_have_an_environment_of_their_own", environment).processes(),
    Case::new("processes_see_what_the_program_has_set_since", set_since).processes(),
    Case::new("processes_run_on_their_cpus", cpus),
    Case::new("processes_where_descriptors_run_out", few_descriptors),
    Case::new("processes_are_values_that_run", runnables),
];

wire! {
    struct Sum { of: Vec<u64> }
}

impl Runnable for Sum {
    type Output = u64;

    fn run(self) -> u64 {
        self.of.iter().sum()
    }
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

fn large_values(method: StartMethod) -> Outcome {
    // Nothing waits for the parent to read, however large a value is.
    let mut process = builder(method).spawn(
        |mut words: Vec<u64>| {
            words.iter_mut().for_each(|word| *word += 1);
            words
        },
        vec![6; 1 << 20],
    )?;
    assert!(sys::is_readable(process.as_fd(), 60_000));
    assert!(!process.is_alive());
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

fn runnables(method: StartMethod) -> Outcome {
    let process = builder(method).name("sum").spawn_runnable(Sum { of: vec![1, 2, 3] })?;
    assert_eq!(process.join()?, 6);
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

fn cpus(method: StartMethod) -> Outcome {
    let cpus = |()| pool_affinity::current_cpus().map(|cpus| cpus.iter().collect::<Vec<_>>()).ok();
    let all = cpus(()).ok_or("no CPUs")?;
    let one = *all.last().ok_or("no CPU")?;
    assert_eq!(builder(method).cpu_ids([one]).spawn(cpus, ())?.join()?, Some(vec![one]));
    assert_eq!(builder(method).cpu_ids(all.clone()).spawn(cpus, ())?.join()?, Some(all.clone()));
    assert_eq!(cpus(()), Some(all));
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
