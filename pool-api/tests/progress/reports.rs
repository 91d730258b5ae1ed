//! What an own `Progress` is told, whatever runs the call.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use pool_api::{
    CancelToken, Error, SharedArray, StartMethod, Worker, WorkerPool, WorkerSteps,
    progress::{Bar, LogLines, Outcome as End, Progress},
};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("progress_of_every_form_ends_with_all_items", every_form),
    Case::new("progress_of_an_unknown_total_learns_it", unknown_total),
    Case::new("progress_says_how_a_call_has_failed", failures),
    Case::new("progress_of_an_item_in_hand_is_told_in_steps", steps),
    Case::new("progress_within_a_chunk_is_seen", within_a_chunk).processes(),
    Case::new("progress_that_panics_ends_no_call", panics),
    Case::new("progress_that_blocks_holds_no_call_up", blocks),
    Case::new("progress_may_use_the_pool", uses_the_pool),
    Case::new("progress_options_are_checked_before_the_start", refused),
    Case::new("progress_of_calls_that_never_run_is_not_shown", never_run),
    Case::new("progress_lets_a_pool_be_forked_meanwhile", forked).only_fork(),
];

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Begin(Option<u64>),
    Total(u64),
    Advance(u64, u64),
    Message(String),
    Steps(Vec<(u32, u64, u64)>),
    End(End),
}

/// Sends what it is told.
struct Sends(Sender<Told>);

impl Sends {
    fn new() -> (Self, Receiver<Told>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    fn send(&self, told: Told) {
        // The case may have what it wants.
        let _ = self.0.send(told);
    }
}

impl Progress for Sends {
    fn begin(&mut self, total: Option<u64>) {
        self.send(Told::Begin(total));
    }

    fn advance(&mut self, done: u64, failed: u64) {
        self.send(Told::Advance(done, failed));
    }

    fn total(&mut self, total: u64) {
        self.send(Told::Total(total));
    }

    fn message(&mut self, text: &str) {
        self.send(Told::Message(text.to_string()));
    }

    fn steps(&mut self, steps: &[WorkerSteps]) {
        let steps = steps.iter().map(|steps| (steps.worker, steps.done, steps.total));
        self.send(Told::Steps(steps.collect()));
    }

    fn end(&mut self, outcome: &End) {
        self.send(Told::End(outcome.clone()));
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(10)
    }
}

fn increment(x: u32) -> u32 {
    x + 1
}

/// What was told of a call that has ended: the reporter is gone, so all of it is there.
fn all(receiver: Receiver<Told>) -> Vec<Told> {
    let told: Vec<_> = receiver.iter().collect();
    assert!(matches!(told[0], Told::Begin(_)), "{told:?}");
    let begins = told.iter().filter(|told| matches!(told, Told::Begin(_))).count();
    let ends = told.iter().filter(|told| matches!(told, Told::End(_))).count();
    assert_eq!((begins, ends), (1, 1), "{told:?}");
    assert!(matches!(told[told.len() - 1], Told::End(_)), "{told:?}");
    let done = told.iter().filter_map(|told| match told {
        Told::Advance(done, _) => Some(*done),
        _ => None,
    });
    assert!(done.is_sorted(), "{told:?}");
    told
}

/// Checks that a call was told as one of `total` items that have ended.
fn check_done(receiver: Receiver<Told>, total: u64) {
    let told = all(receiver);
    let [.., Told::Advance(done, 0), Told::End(End::Done)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*done, total, "{told:?}");
}

fn every_form(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let expect = |total: u64, call: &mut dyn FnMut(Sends) -> Outcome| -> Outcome {
        let (sends, receiver) = Sends::new();
        call(sends)?;
        check_done(receiver, total);
        Ok(())
    };
    let tasks = |n: u32, sends| pool.tasks(0..n).progress_with(sends);
    expect(10, &mut |sends| {
        tasks(10, sends).map(increment)?;
        Ok(())
    })?;
    expect(11, &mut |sends| {
        tasks(11, sends).map_unordered(increment)?;
        Ok(())
    })?;
    expect(12, &mut |sends| {
        tasks(12, sends).map_results(increment)?;
        Ok(())
    })?;
    expect(13, &mut |sends| {
        let values = tasks(13, sends).try_map(Ok::<_, u8>);
        {
            values.map_err(|error| error.to_string())?;
            Ok(())
        }
    })?;
    expect(14, &mut |sends| {
        assert_eq!(tasks(14, sends).imap(increment).count(), 14);
        Ok(())
    })?;
    expect(15, &mut |sends| {
        assert_eq!(tasks(15, sends).imap_unordered(increment).count(), 15);
        Ok(())
    })?;
    expect(16, &mut |sends| {
        assert_eq!(tasks(16, sends).imap_results(increment).count(), 16);
        Ok(())
    })?;
    expect(17, &mut |sends| {
        assert_eq!(tasks(17, sends).imap_unordered_results(increment).count(), 17);
        Ok(())
    })?;
    expect(18, &mut |sends| {
        tasks(18, sends).for_each_view(increment, |_, _| ())?;
        Ok(())
    })?;
    expect(19, &mut |sends| {
        let handle = tasks(19, sends).map_async(increment).map_err(|refused| refused.error)?;
        {
            assert_eq!(handle.get()?.len(), 19);
            Ok(())
        }
    })?;
    expect(1, &mut |sends| {
        assert_eq!(pool.task(1).progress_with(sends).apply(increment)?, 2);
        Ok(())
    })?;
    expect(1, &mut |sends| {
        let handle = pool.task(1).progress_with(sends).apply_async(increment);
        {
            assert_eq!(handle.map_err(|refused| refused.error)?.get()?, 2);
            Ok(())
        }
    })?;
    expect(2, &mut |sends| {
        assert_eq!(pool.workers().progress_with(sends).broadcast(|w| w.id())?, [0, 1]);
        Ok(())
    })?;
    expect(2, &mut |sends| {
        let lens = pool.workers().progress_with(sends).scatter(&[1u8, 2], |_, part| part.len())?;
        {
            assert_eq!(lens, [1, 1]);
            Ok(())
        }
    })?;
    let mut array = SharedArray::<u64>::new(30)?;
    expect(3, &mut |sends| {
        let slices = pool.slices(&array, 10).progress_with(sends);
        {
            assert_eq!(slices.map(|_, part| part.len())?, [10; 3]);
            Ok(())
        }
    })?;
    expect(3, &mut |sends| {
        let slices = pool.slices_mut(&mut array, 10).progress_with(sends);
        {
            assert_eq!(slices.map_results(|_, part| part.len())?.len(), 3);
            Ok(())
        }
    })?;
    expect(0, &mut |sends| {
        assert!(tasks(0, sends).map(increment)?.is_empty());
        Ok(())
    })?;
    if matches!(method, StartMethod::Fork | StartMethod::Threads) {
        let more = 3;
        expect(20, &mut |sends| {
            tasks(20, sends).map_scoped(|x| x + more)?;
            Ok(())
        })?;
    }
    Ok(())
}

fn unknown_total(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (sends, receiver) = Sends::new();
    let odd = (0..100u32).filter(|x| x % 2 == 1);
    pool.tasks(odd).progress_with(sends).map(increment)?;
    let told = all(receiver);
    assert!(told.contains(&Told::Total(50)), "{told:?}");
    // Where it is known, it is told at the beginning, and again if it was wrong.
    let (sends, receiver) = Sends::new();
    pool.tasks(0..7u32).iterable_len(9).progress_with(sends).map(increment)?;
    let told = all(receiver);
    let total = told.iter().rev().find_map(|told| match told {
        Told::Total(total) => Some(*total),
        Told::Begin(total) => *total,
        _ => None,
    });
    assert_eq!(total, Some(7), "{told:?}");
    Ok(())
}

fn fails_at_7(x: u32) -> u32 {
    assert!(x != 7, "seven is refused");
    x
}

fn failures(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (sends, receiver) = Sends::new();
    pool.tasks(0..20).progress_with(sends).map(fails_at_7).expect_err("an item fails");
    let told = all(receiver);
    let Told::End(End::Failed(text)) = &told[told.len() - 1] else { panic!("{told:?}") };
    assert!(text.contains("seven is refused"), "{text}");

    let (sends, receiver) = Sends::new();
    pool.tasks(0..20).progress_with(sends).map_results(fails_at_7)?;
    let told = all(receiver);
    let [.., Told::Advance(20, 1), Told::End(End::Done)] = &told[..] else { panic!("{told:?}") };
    let is_why = |told: &Told| matches!(told, Told::Message(why) if why.contains("seven"));
    assert!(told.iter().any(is_why), "{told:?}");

    let (token, (sends, receiver)) = (CancelToken::new()?, Sends::new());
    let pulls = token.clone();
    let items = (0..).inspect(|x| {
        if *x == 9 {
            pulls.cancel()
        }
    });
    let call = pool.tasks(items).cancel_token(&token).progress_with(sends);
    assert!(matches!(call.map(increment), Err(Error::Cancelled)));
    assert_eq!(all(receiver).pop(), Some(Told::End(End::Cancelled)));

    let (sends, receiver) = Sends::new();
    let mut dropped = pool.tasks(0..).progress_with(sends).imap(increment);
    assert!(dropped.next().is_some());
    drop(dropped);
    assert_eq!(all(receiver).pop(), Some(Told::End(End::Cancelled)));
    Ok(())
}

/// Reports steps until the flag is set.
fn walks(w: &mut Worker<'_>, flag: &SharedArray<u32>, x: u32) -> u32 {
    w.progress(u64::from(x), 9);
    while flag.get(0) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    w.progress(u64::MAX, 0);
    x
}

fn steps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (flag, (sends, receiver)) = (SharedArray::<u32>::new(1)?, Sends::new());
    let told = thread::scope(|scope| {
        let call = scope.spawn(|| {
            let tasks = pool.tasks([4u32, 4]).chunk_size(1).with(flag.clone()).with_worker();
            tasks.progress_with(sends).map(walks)
        });
        let both = Told::Steps(vec![(0, 4, 9), (1, 4, 9)]);
        let limit = Duration::from_secs(60);
        let mut told = Vec::new();
        while told.last() != Some(&both) {
            match receiver.recv_timeout(limit) {
                Ok(next) => told.push(next),
                Err(_) => break,
            }
        }
        flag.set(0, 1);
        assert_eq!(call.join().expect("no panic").map_err(|error| error.to_string())?, [4, 4]);
        assert_eq!(told.last(), Some(&both), "{told:?}");
        Ok::<_, String>(receiver.iter().collect::<Vec<_>>())
    })?;
    let last = told.iter().rev().find(|told| matches!(told, Told::Steps(_)));
    assert_eq!(last, Some(&Told::Steps(Vec::new())), "{told:?}");
    // Where it is not shown, it has no effect.
    assert_eq!(pool.tasks([1u32]).with(flag).with_worker().map(walks)?, [1]);
    pool.task(()).with_worker().apply(|w, ()| w.progress(1, 2))?;
    Ok(())
}

/// Waits at its third item until the flag is set.
fn stops_at_2(flag: &SharedArray<u32>, x: u32) -> u32 {
    while x == 2 && flag.get(0) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    x
}

fn within_a_chunk(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (flag, (sends, receiver)) = (SharedArray::<u32>::new(1)?, Sends::new());
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            let tasks = pool.tasks(0..4u32).chunk_size(4).with(flag.clone());
            tasks.progress_with(sends).map(stops_at_2)
        });
        let two = |told: Told| told == Told::Advance(2, 0);
        let seen = std::iter::from_fn(|| receiver.recv_timeout(Duration::from_secs(60)).ok());
        let seen = { seen }.any(two);
        flag.set(0, 1);
        assert_eq!(call.join().expect("no panic").map_err(|error| error.to_string())?.len(), 4);
        assert!(seen, "two of four are seen while the third goes on");
        Ok(())
    })
}

/// Panics in one of its methods.
struct Panics(&'static str);

impl Panics {
    fn at(&self, method: &str) {
        assert!(self.0 != method, "a progress panics, as it is to");
    }
}

impl Progress for Panics {
    fn begin(&mut self, _: Option<u64>) {
        self.at("begin");
    }

    fn advance(&mut self, _: u64, _: u64) {
        self.at("advance");
    }

    fn end(&mut self, _: &End) {
        self.at("end");
    }

    fn interval(&self) -> Duration {
        self.at("interval");
        Duration::MAX
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at("drop");
    }
}

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for at in ["begin", "advance", "end", "interval", "drop", "nowhere"] {
        let values = pool.tasks(0..9).progress_with(Panics(at)).map(increment)?;
        assert_eq!(values.len(), 9, "{at}");
    }
    Ok(())
}

/// Blocks until it is let go, and says that it was.
struct Blocks(Arc<(Mutex<bool>, Condvar)>);

impl Progress for Blocks {
    fn begin(&mut self, _: Option<u64>) {
        let (free, changed) = &*self.0;
        let free = free.lock().expect("no panic");
        drop(changed.wait_while(free, |free| !*free).expect("no panic"));
    }

    fn advance(&mut self, _: u64, _: u64) {}

    fn end(&mut self, _: &End) {}
}

fn blocks(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    assert_eq!(pool.tasks(0..9).progress_with(Blocks(gate.clone())).map(increment)?.len(), 9);
    // Others are shown meanwhile, by a thread of their own.
    let (sends, receiver) = Sends::new();
    pool.tasks(0..9).progress_with(sends).map(increment)?;
    check_done(receiver, 9);
    // While a call goes on whose progress blocks, many others end that show theirs.
    let tasks = pool.tasks(0..9u32).max_tasks_active(1).progress_with(Blocks(gate.clone()));
    let mut stream = tasks.imap(increment);
    assert!(stream.next().is_some());
    for _ in 0..200 {
        assert_eq!(pool.tasks([1]).progress_with(Sends::new().0).map(increment)?, [2]);
    }
    *gate.0.lock().expect("no panic") = true;
    gate.1.notify_all();
    assert_eq!(stream.count(), 8);
    // Its threads end: the runner looks for them.
    Ok(())
}

/// Makes calls of the pool, also such that show their progress.
struct Calls(Arc<WorkerPool>, Sender<Told>);

impl Progress for Calls {
    fn begin(&mut self, _: Option<u64>) {
        let inner = self.0.tasks(0..3).progress_with(Sends(self.1.clone())).map(increment);
        assert_eq!(inner.expect("no failure"), [1, 2, 3]);
    }

    fn advance(&mut self, _: u64, _: u64) {
        assert_eq!(self.0.map(0..3, increment).expect("no failure"), [1, 2, 3]);
    }

    fn end(&mut self, outcome: &End) {
        let _ = self.1.send(Told::End(outcome.clone()));
    }
}

fn uses_the_pool(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 2)?);
    let (sender, receiver) = channel();
    let calls = Calls(pool.clone(), sender);
    assert_eq!(pool.tasks(0..9).progress_with(calls).map(increment)?.len(), 9);
    let told: Vec<_> = receiver.iter().collect();
    assert!(told.iter().filter(|told| matches!(told, Told::End(End::Done))).count() >= 1);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).watched(true).build()?;
    let asked = std::cell::Cell::new(0);
    let tasks = || pool.tasks((0..3u32).inspect(|_| asked.set(asked.get() + 1)));
    let check = |result: Result<Vec<u32>, Error>, text: &str| match result {
        Err(Error::InvalidInput(why)) => assert!(why.contains(text), "{why}"),
        other => panic!("{text}: {other:?}"),
    };
    for interval in [Duration::ZERO, Duration::from_millis(9), Duration::MAX] {
        check(tasks().progress(Bar::new().interval(interval)).map(increment), "interval");
        check(tasks().progress(LogLines::new().interval(interval)).map(increment), "interval");
    }
    for text in ["a\nb", "\0", "\x1b[2J"] {
        check(tasks().progress(Bar::new().message(text)).map(increment), "message");
        check(tasks().progress(LogLines::new().message(text)).map(increment), "message");
        check(tasks().progress(Bar::new().template(text)).map(increment), "template");
    }
    for template in ["{nothing}", "{bar", "bar}"] {
        check(tasks().progress(Bar::new().template(template)).map(increment), "template");
    }
    let mut lazy = tasks().progress(Bar::new().template("{")).imap(increment);
    assert!(matches!(lazy.next(), Some(Err(Error::InvalidInput(_)))) && lazy.next().is_none());
    drop(lazy);
    let handle = pool.task(1u32).progress(Bar::new().template("{")).apply_async(increment);
    assert!(handle.is_err_and(|refused| matches!(refused.error, Error::InvalidInput(_))));
    assert_eq!((asked.get(), pool.calls().len(), pool.worker_pids().len()), (0, 0, 0));
    // Of several the last one counts.
    let (sends, receiver) = Sends::new();
    let tasks = tasks().progress(Bar::new().template("{")).progress(true).progress_with(sends);
    assert_eq!(tasks.map(increment)?, [1, 2, 3]);
    check_done(receiver, 3);
    Ok(())
}

fn never_run(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (sends, receiver) = Sends::new();
    drop(pool.tasks(0..3u32).progress_with(sends).imap(increment));
    assert!(receiver.recv().is_err(), "nothing is told");
    let (sends, receiver) = Sends::new();
    let refused = pool.tasks(0..3u32).progress_with(sends).chunk_size(0).map(increment);
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    assert!(receiver.recv().is_err(), "nothing is told");
    Ok(())
}

fn forked(method: StartMethod) -> Outcome {
    let outer = pool(method, 1)?;
    let (sends, receiver) = Sends::new();
    let mut stream = outer.tasks(0..4u32).max_tasks_active(1).progress_with(sends).imap(increment);
    assert!(stream.next().is_some());
    // The thread that shows the call ends for the fork, and goes on afterwards.
    let inner = pool(method, 1)?;
    assert_eq!(inner.map([1], increment)?, [2]);
    assert_eq!(stream.count(), 3);
    check_done(receiver, 4);
    Ok(())
}
