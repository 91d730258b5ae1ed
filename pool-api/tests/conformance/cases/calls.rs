//! Which calls go on and went on is known where that is asked for.

use std::{num::NonZeroU8, thread};

use pool_api::{
    CallSnapshot, CancelToken, Error, Outcome as End, SharedArray, StartMethod, Worker, WorkerPool,
    progress::Progress, watch_all, watched_pools,
};

use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("calls_of_every_form_are_recorded", every_form),
    Case::new("calls_end_as_they_say", ends),
    Case::new("calls_are_seen_while_they_go_on", go_on),
    Case::new("calls_of_a_pool_that_is_not_watched_are_unknown", unwatched),
    Case::new("calls_are_cancelled_by_number", cancelled),
    Case::new("calls_that_have_ended_are_kept_in_part", history),
    Case::new("calls_of_all_pools_can_be_watched", all_pools),
    Case::new("calls_that_show_their_progress_list_their_pool", shown),
    Case::new("calls_of_the_parent_are_unknown_to_tasks", in_tasks),
];

fn increment(x: u32) -> u32 {
    x + 1
}

fn last(pool: &WorkerPool) -> CallSnapshot {
    pool.calls().into_iter().next().expect("a call was made")
}

fn every_form(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).watched(true).build()?;
    let seen = |form: &str, total: u64| {
        let call = last(&pool);
        assert_eq!((call.form, call.total, call.done), (form, Some(total), total), "{call:?}");
        assert!(matches!(call.ended, Some((_, End::Done))) && call.failed == 0, "{call:?}");
        assert_eq!((call.read, call.can_be_cancelled), (total, false));
        assert!(call.caller.is_some_and(|at| at.file() == file!()), "{call:?}");
    };
    let unknown = |n: u32| (0..n).filter(|_| true);
    pool.map(0..10, increment)?;
    seen("map", 10);
    let name = last(&pool).function;
    assert!(name.ends_with("calls::increment"), "{name}");
    pool.map_unordered(unknown(11), increment)?;
    seen("map_unordered", 11);
    pool.tasks(0..12).iterable_len(7).map_results(increment)?;
    seen("map_results", 7);
    pool.try_map(0..13, |x: u32| Ok::<_, u8>(x)).map_err(|error| error.to_string())?;
    seen("try_map", 13);
    assert_eq!(pool.imap(unknown(14), increment).count(), 14);
    seen("imap", 14);
    assert_eq!(pool.imap_unordered(0..15, increment).count(), 15);
    seen("imap_unordered", 15);
    assert_eq!(pool.tasks(0..16).imap_results(increment).count(), 16);
    seen("imap_results", 16);
    assert_eq!(pool.tasks(0..17).imap_unordered_results(increment).count(), 17);
    seen("imap_unordered_results", 17);
    pool.tasks(0..18).for_each_view(increment, |_, _| ())?;
    seen("for_each_view", 18);
    pool.map_async(0..19, increment).map_err(|refused| refused.error)?.get()?;
    wait_until("the future's call has ended", || last(&pool).ended.is_some());
    seen("map_async", 19);
    pool.broadcast(|w| w.id())?;
    seen("broadcast", 2);
    pool.scatter(&[1u8], |_, part| part.len())?;
    seen("scatter", 2);
    let array = SharedArray::<u64>::new(30)?;
    pool.slices(&array, 10).map(|_, part| part.len())?;
    seen("map", 3);
    let empty: Vec<u32> = pool.map(0..0, increment)?;
    assert!(empty.is_empty());
    if matches!(method, StartMethod::Fork | StartMethod::Threads) {
        let more = 3;
        pool.tasks(0..20).map_scoped(|x: u32| x + more)?;
        seen("map_scoped", 20);
    }
    // A call that never runs is none.
    let before = pool.calls().len();
    drop(pool.imap(0..3, increment));
    let refused = pool.tasks(0..3).chunk_size(1).n_splits(0).map(increment);
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    assert_eq!(pool.calls().len(), before);
    let mut numbers: Vec<_> = pool.calls().iter().map(|call| call.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "the latest first: {numbers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), before);
    Ok(())
}

fn fails_at_7(x: u32) -> u32 {
    assert!(x != 7, "seven is refused");
    x
}

fn ends(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).watched(true).build()?;
    let end = || last(&pool).ended.map(|(_, outcome)| outcome);
    let failed = |text: &str| match end() {
        Some(End::Failed(why)) => assert!(why.contains(text), "{why}"),
        other => panic!("{other:?}"),
    };
    pool.map(0..20, fails_at_7).expect_err("an item fails");
    failed("seven is refused");
    let call = last(&pool);
    assert!(call.failed >= 1 && call.errors[0].contains("seven is refused"), "{call:?}");
    pool.tasks(0..20).map_results(fails_at_7)?;
    assert_eq!((end(), last(&pool).failed), (Some(End::Done), 1));
    let odd = |x: u32| NonZeroU8::new(x as u8).map(|_| x).ok_or(7u8);
    pool.try_map(0..20, odd).expect_err("an item returns an error");
    failed("item 0 returned an error");
    assert!(pool.imap(0..20, fails_at_7).any(|result| result.is_err()));
    failed("seven is refused");
    let mut dropped = pool.imap(0.., increment);
    assert!(dropped.next().is_some());
    drop(dropped);
    assert_eq!(end(), Some(End::Cancelled));
    let token = CancelToken::new()?;
    let pulls = token.clone();
    let items = (0..).inspect(|x| {
        if *x == 9 {
            pulls.cancel()
        }
    });
    assert!(matches!(pool.tasks(items).cancel_token(&token).map(increment), Err(Error::Cancelled)));
    assert_eq!(end(), Some(End::Cancelled));
    let broken = (0..9).inspect(|x| assert!(*x < 5, "the input breaks"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = pool.map(broken, increment);
    }));
    assert!(panicked.is_err());
    failed("panicked");
    let handle = pool.map_async(0..20, fails_at_7).map_err(|refused| refused.error)?;
    assert!(handle.get().is_err());
    wait_until("the future's call has ended", || end().is_some());
    failed("seven is refused");
    Ok(())
}

/// Returns once the flag of its item is set.
fn waits(flags: &SharedArray<u32>, x: usize) {
    wait_until("the flag is set", || flags.get(x) == 1);
}

fn go_on(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).watched(true).build()?;
    let flags = SharedArray::<u32>::new(3)?;
    thread::scope(|scope| {
        let call =
            scope.spawn(|| pool.tasks(0..3usize).with(flags.clone()).chunk_size(1).map(waits));
        let now = || pool.calls().into_iter().next();
        wait_until("the call is seen", || now().is_some());
        assert!(now().is_some_and(|call| call.ended.is_none() && call.can_be_cancelled));
        for index in 0..3 {
            flags.set(index, 1);
            let done = index as u64 + 1;
            wait_until("the item is counted", || now().is_some_and(|call| call.done == done));
        }
        call.join().expect("no panic").map_err(|error| error.to_string())
    })?;
    let call = last(&pool);
    assert!(call.ended.is_some() && call.remaining().is_none(), "{call:?}");
    Ok(())
}

fn unwatched(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10, increment)?;
    assert!(pool.calls().is_empty() && !pool.cancel_call(1));
    let number = pool.watch().number();
    assert!(watched_pools().iter().all(|watched| watched.number() != number));
    let seen = builder(method, 2).watched(true).build()?;
    seen.apply(1, increment)?;
    seen.apply_async(1, increment).map_err(|refused| refused.error)?.get()?;
    assert!(seen.calls().is_empty(), "calls of one item");
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).watched(true).build()?;
    assert!(!pool.cancel_call(0) && !pool.cancel_call(u64::MAX));
    // (Results are not kept: a call that is not cancelled would take all memory.)
    let endless = |pool: &WorkerPool| pool.imap(0.., increment).find_map(Result::err);
    thread::scope(|scope| {
        let calls = [scope.spawn(|| endless(&pool)), scope.spawn(|| endless(&pool))];
        let running = || pool.calls().into_iter().filter(|call| call.ended.is_none());
        wait_until("both go on", || running().count() == 2);
        let number = running().next().expect("two").number;
        let others = pool.watch();
        assert!(others.cancel(number));
        wait_until("one has ended", || running().count() == 1);
        assert!(running().all(|call| call.number != number));
        assert!(!others.cancel(number), "it has ended");
        assert!(pool.cancel_call(running().next().expect("one").number));
        for call in calls {
            assert!(matches!(call.join().expect("no panic"), Some(Error::Cancelled)));
        }
    });
    // The user's token is the one that is pulled.
    let token = CancelToken::new()?;
    let mut stream = pool.tasks(0..).cancel_token(&token).imap(increment);
    assert!(stream.next().is_some());
    assert!(pool.cancel_call(last(&pool).number) && token.is_cancelled());
    assert!(stream.any(|result| matches!(result, Err(Error::Cancelled))));
    assert_eq!(pool.map([1], increment)?, [2]);
    Ok(())
}

fn history(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).watched(true).build()?;
    for _ in 0..130 {
        pool.map([1], increment)?;
    }
    let calls = pool.calls();
    assert_eq!(calls.len(), 100);
    assert_eq!(calls[0].number - calls[99].number, 99);
    Ok(())
}

fn all_pools(method: StartMethod) -> Outcome {
    let unwatched = pool(method, 2)?;
    let number = unwatched.watch().number();
    let listed = || watched_pools().into_iter().find(|pool| pool.number() == number);
    let (first, second) = (watch_all(), watch_all());
    assert!(listed().is_none(), "it had no call");
    unwatched.map([1], increment)?;
    let pool = listed().expect("listed");
    assert_eq!((pool.n_jobs(), pool.start_method(), pool.is_open()), (2, method, true));
    // One of them may come up between the two.
    wait_until("both say the same", || pool.worker_pids() == unwatched.worker_pids());
    drop(first);
    unwatched.map([1], increment)?;
    drop(second);
    unwatched.map([1], increment)?;
    assert_eq!(pool.calls().len(), 2);
    drop(unwatched);
    assert!(listed().is_none() && !pool.is_open());
    assert_eq!((pool.calls().len(), pool.worker_pids()), (2, Vec::new()));
    let watched = builder(method, 1).watched(true).build()?;
    let number = watched.watch().number();
    assert!(watched_pools().iter().any(|pool| pool.number() == number));
    Ok(())
}

/// A progress that shows nothing.
struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: Option<u64>) {}
    fn advance(&mut self, _: u64, _: u64) {}
    fn end(&mut self, _: &End) {}
}

fn shown(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let number = pool.watch().number();
    let is_listed = || watched_pools().iter().any(|pool| pool.number() == number);
    pool.tasks([1]).progress_with(Silent).map(increment)?;
    assert!(!is_listed() && pool.calls().len() == 1, "recorded, but of no watched pool");
    let watch = watch_all();
    pool.tasks([1]).progress_with(Silent).map(increment)?;
    assert!(is_listed() && pool.calls().len() == 2);
    drop(watch);
    Ok(())
}

/// How many pools and calls a task sees.
fn look(_: &mut Worker<'_>, _: u32) -> (usize, usize) {
    let pools = watched_pools();
    (pools.len(), pools.iter().map(|pool| pool.calls().len()).sum())
}

fn in_tasks(method: StartMethod) -> Outcome {
    let watch = watch_all();
    let pool = builder(method, 2).watched(true).build()?;
    pool.map(0..9, increment)?;
    let seen = pool.tasks(0..2).with_worker().map(look)?;
    let here = method == StartMethod::Threads;
    assert!(seen.iter().all(|seen| *seen == if here { (1, 2) } else { (0, 0) }), "{seen:?}");
    drop(watch);
    Ok(())
}
