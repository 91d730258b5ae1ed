//! Programs that draw: each runs in a process of its own, whose output the case reads.

use std::{process::ExitCode, thread, time::Duration};

use pool_api::{
    CancelToken, OutputEvent, StartMethod, Worker, WorkerPool,
    progress::{Bar, LogLines, bars, indicatif::ProgressBar, println, stderr, suspend},
};

use crate::case::{Outcome, builder, pool};

/// The word before a method and the name of a program.
pub(crate) const PROGRAM: &str = "--program";

/// How many items a call has.
pub(crate) const ITEMS: u64 = 60;

pub(crate) fn run_here(method: &str, name: &str) -> ExitCode {
    let method: StartMethod = method.parse().expect("a case names a start method");
    let program: fn(StartMethod) -> Outcome = match name {
        "one" => one,
        "two" => two,
        "torn" => torn,
        "failed" => failed,
        "cancelled" => cancelled,
        "steps" => steps,
        "lines" => lines,
        "clear" => clear,
        name => panic!("there is no program {name}"),
    };
    match program(method) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn nap(x: u64) -> u64 {
    thread::sleep(Duration::from_millis(5)); // the work
    x
}

fn bar(text: &str) -> Bar {
    Bar::new().message(text).interval(Duration::from_millis(10))
}

fn one(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.tasks(0..ITEMS).progress(true).map(nap)?;
    // All is shown before the call returns.
    suspend(|| println!("the call has returned"));
    Ok(())
}

fn two(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let own = bars().add(ProgressBar::new(10));
    own.set_position(5);
    thread::scope(|scope| {
        let call = |text: &'static str| {
            let pool = &pool;
            scope.spawn(move || pool.tasks(0..ITEMS).progress(bar(text)).map(nap).map(drop))
        };
        let calls = [call("first"), call("second")];
        calls.into_iter().try_for_each(|call| call.join().expect("no panic"))
    })?;
    own.finish_and_clear();
    Ok(())
}

fn says(x: u64) -> u64 {
    println!("item {x} on stdout");
    eprintln!("item {x} on stderr");
    nap(x)
}

fn torn(method: StartMethod) -> Outcome {
    use std::io::Write as _;

    let (builder, threads) = (builder(method, 2), method == StartMethod::Threads);
    // Threads print to the terminal themselves: what they print is not captured.
    let builder = if threads { builder } else { builder.on_output(OutputEvent::print) };
    let pool = builder.build()?;
    let task = if threads { nap } else { says };
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20 {
                println(&format!("line {n} of println"));
                let _ = writeln!(stderr(), "line {n} of stderr");
                thread::sleep(Duration::from_millis(3)); // among the drawings
            }
        });
        pool.tasks(0..ITEMS).progress(bar("torn")).map(task)
    })?;
    pool.stop_and_join()?;
    Ok(())
}

fn failed(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let task = |x: u64| {
        assert!(x != 7, "seven\nis\x1b[2Jrefused");
        nap(x)
    };
    assert!(pool.tasks(0..ITEMS).progress(bar("failed")).map(task).is_err());
    pool.tasks(0..ITEMS).progress(bar("counted")).map_results(task)?;
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    let (pool, token) = (pool(method, 2)?, CancelToken::new()?);
    let pulls = token.clone();
    let items = (0..).inspect(|x| {
        if *x == ITEMS {
            pulls.cancel();
        }
    });
    let tasks = pool.tasks(items).chunk_size(1).cancel_token(&token).progress(bar("cancelled"));
    assert!(tasks.map(nap).is_err());
    Ok(())
}

fn walk(w: &mut Worker<'_>, steps: u64) -> u64 {
    for step in 0..steps {
        thread::sleep(Duration::from_millis(10)); // the work
        w.progress(step + 1, steps);
    }
    steps
}

fn steps(method: StartMethod) -> Outcome {
    let pool: WorkerPool = pool(method, 2)?;
    let tasks = pool.tasks([30u64, 30]).chunk_size(1).progress(bar("steps")).with_worker();
    tasks.map(walk)?;
    Ok(())
}

fn lines(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.tasks(0..ITEMS).progress(true).map(nap)?;
    pool.tasks(0..ITEMS).progress(bar("not asked for")).map(nap)?;
    pool.tasks(0..ITEMS).progress(bar("asked for").always(true)).map(nap)?;
    let lines = LogLines::new().message("lines").interval(Duration::from_millis(20));
    pool.tasks((0..ITEMS).filter(|_| true)).progress(lines).map(nap)?;
    Ok(())
}

fn clear(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.tasks(0..ITEMS).progress(bar("clear").clear(true)).map(nap)?;
    println("what follows");
    let template = "[{prefix}{pos}/{len}]";
    pool.tasks(0..ITEMS).progress(bar("own").template(template)).map(nap)?;
    Ok(())
}
