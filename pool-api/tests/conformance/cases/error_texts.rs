//! Texts of errors: `TryError` prints as `Error` does, and a failure says which future it is of.

use pool_api::{Cause, Error, StartMethod, TaskError, TryError, Worker};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("try_errors_print_as_errors_do", try_errors),
    Case::new("futures_fail_under_their_own_numbers", numbers),
    Case::new("numbers_of_futures_go_on_beyond_a_stop", beyond_a_stop),
    Case::new("refused_futures_have_no_number", refused).processes(),
];

pool_api::wire! {
    #[derive(Clone)]
    #[rkyv(attr(repr(align(64))))]
    struct Wide(u8);
}

/// The failure of a task in a call that fails with a task's error only.
fn task<R>(result: Result<R, Error>) -> TaskError {
    match result {
        Err(Error::Task(task)) => task,
        Err(other) => panic!("no task failed: {other}"),
        Ok(_) => panic!("no task failed"),
    }
}

fn try_errors(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let fails = |n: u32| match n {
        1 => Err(String::from("no")),
        2 => panic!("bad"),
        n => Ok(n),
    };
    for n in 0..3u32 {
        // There are no other variants.
        match pool.try_map([n], fails) {
            Ok(values) => assert_eq!(values, [0]),
            Err(error @ TryError::Task { .. }) => {
                assert_eq!((n, &*error.to_string()), (1, "task 0: no"));
                assert_eq!(format!("{error:?}"), "task 0: \"no\"");
            }
            Err(TryError::Pool(inner)) => {
                let (text, shown) = (inner.to_string(), format!("{inner:?}"));
                assert!(text.contains("panicked: bad") && shown.starts_with(&text), "{shown}");
                let error = TryError::<String>::Pool(inner);
                assert_eq!((n, error.to_string(), format!("{error:?}")), (2, text, shown));
            }
        }
    }
    Ok(())
}

fn numbers(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let odd = |n: u64| if n % 2 == 1 { panic!("odd: {n}") } else { n };
    let handles: Vec<_> = (0..20).map(|n| pool.apply_async(n, odd)).collect::<Result<_, _>>()?;
    for (n, handle) in (0..20).zip(handles) {
        assert_eq!(handle.number(), n);
        let outcome = handle.get();
        if n % 2 == 0 {
            assert_eq!(outcome?, n);
            continue;
        }
        let failed = task(outcome);
        assert_eq!((failed.index(), failed.future()), (0, Some(n)));
        let text = format!("future {n} on worker {}: panicked: odd: {n} at ", failed.worker());
        assert!(failed.to_string().starts_with(&text), "{failed}");
    }
    // A map is one of them, and its error says which item.
    let map = pool.tasks(0..9u64).chunk_size(2).map_async(|n| assert!(n != 5, "no"))?;
    let with = pool.tasks(0..3u64).with(1u64).map_async(|bad, n| assert!(n != *bad, "no"))?;
    let one = pool.task(3u64).apply_async(odd)?;
    let state =
        pool.task(3u64).with_worker().apply_async(|_: &mut Worker<'_>, n| assert!(n == 0, "no"))?;
    assert_eq!((map.number(), with.number(), one.number(), state.number()), (20, 21, 22, 23));
    let failed = task(map.get());
    assert_eq!((failed.index(), failed.future()), (5, Some(20)));
    assert!(failed.to_string().starts_with("task 5 of future 20 on worker "), "{failed}");
    let failed = task(with.get());
    assert_eq!((failed.index(), failed.future()), (1, Some(21)));
    // Callbacks get the number, too.
    let (told, hears) = std::sync::mpsc::channel();
    one.error_callback(move |error| told.send(task(Err::<(), _>(error)).future()).expect("sent"));
    assert_eq!(hears.recv()?, Some(22));
    assert_eq!(task(one.get()).future(), Some(22));
    assert_eq!(task(state.get()).future(), Some(23));
    // Other calls have no number.
    let failed = task(pool.apply(1u64, odd));
    assert_eq!((failed.index(), failed.future()), (0, None));
    if method != StartMethod::Threads {
        let died = pool.apply_async((), |()| std::process::abort())?;
        let failed = task::<()>(died.get());
        assert!(matches!(failed.cause(), Cause::Death(_)), "{failed}");
        assert_eq!((failed.index(), failed.future()), (0, Some(24)));
    }
    Ok(())
}

fn beyond_a_stop(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let fails = |n: u64| -> u64 { panic!("no {n}") };
    let before = pool.apply_async(0u64, fails)?;
    pool.stop_and_join()?;
    let after = pool.apply_async(1u64, fails)?;
    let other = crate::case::pool(method, 1)?.apply_async(1u64, |n| n)?;
    assert_eq!((before.number(), after.number(), other.number()), (0, 1, 0));
    assert_eq!((task(before.get()).future(), task(after.get()).future()), (Some(0), Some(1)));
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let wide = |n: u8| [const { Vec::new() }; 3].map(|_: Vec<Wide>| vec![Wide(n)]);
    assert_eq!(pool.apply_async(0u8, |n| n)?.number(), 0);
    pool.stop_and_join()?;
    let back = pool.apply_async(wide(7), |lists| lists.len()).expect_err("it has no archive");
    assert!(matches!(back.error, Error::Encode { .. }), "{:?}", back.error);
    assert_eq!(back.item[2][0].0, 7);
    assert!(pool.apply_async(1u8, |n| n)?.number() > 0);
    Ok(())
}
