//! Bars: one for each call, with what the tasks say in between.
//!
//! `cargo run --features progress --example progress`; with `2> file` there are lines instead.

use std::{thread, time::Duration};

use pool_api::{
    Error, OutputEvent, Worker, WorkerPool,
    progress::{Bar, println},
};

fn square(x: u64) -> u64 {
    thread::sleep(Duration::from_millis(5));
    if x % 100 == 99 {
        println!("{x} is done");
    }
    x * x
}

/// A long item, which says how far it is.
fn pages(w: &mut Worker<'_>, count: u64) -> u64 {
    for page in 0..count {
        thread::sleep(Duration::from_millis(10));
        w.progress(page + 1, count);
    }
    count
}

fn main() -> Result<(), Error> {
    let bar = |text: &str| Bar::new().message(text).always(true);
    let pool = WorkerPool::builder().n_jobs(2).on_output(OutputEvent::print).build()?;
    let squares = pool.tasks(0..500u64).progress(bar("squares")).map(square)?;
    println(&format!("the sum is {}", squares.iter().sum::<u64>()));

    // The total shows when the input ends.
    let odd = (0..600u64).filter(|x| x % 2 == 1);
    assert_eq!(pool.tasks(odd).progress(bar("odd")).imap_unordered(square).count(), 300);

    // Two calls at once, each with a line of its own; and a line for each worker.
    thread::scope(|scope| {
        let first = scope.spawn(|| pool.tasks(0..200u64).progress(bar("first")).map(square));
        let books = [60u64, 90, 120];
        let tasks = pool.tasks(books).progress(bar("books")).chunk_size(1).with_worker();
        let second = tasks.map(pages);
        first.join().expect("no panic")?;
        second
    })?;
    Ok(())
}
