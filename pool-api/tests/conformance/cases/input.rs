//! The input iterator is the caller's own: pulled in the calling thread, however it behaves.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use pool_api::{Error, StartMethod};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("input_that_panics", panics),
    Case::new("input_that_borrows_and_is_not_send", borrows),
    Case::new("input_that_uses_the_pool", nested),
    Case::new("input_with_a_lying_length", lying_length),
    Case::new("consumer_that_panics", consumer_panics),
];

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for at in [0, 1, 500] {
        let input = || (0..1000u64).inspect(|&n| assert!(n != at, "input {at}"));
        let calls: [&dyn Fn() -> usize; 5] = [
            &|| pool.map(input(), |x| x).map_or(0, |values| values.len()),
            &|| pool.tasks(input()).chunk_size(7).map(|x| x).map_or(0, |values| values.len()),
            &|| pool.tasks(input()).map_results(|x| x).map_or(0, |values| values.len()),
            &|| pool.imap(input(), |x| x).count(),
            &|| {
                pool.tasks(input().map(|n| n.to_string()))
                    .view()
                    .map(|x| x.len())
                    .map_or(0, |v| v.len())
            },
        ];
        for call in calls {
            let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("the panic goes on");
            let text = payload.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(text.contains(&format!("input {at}")), "{text}");
            assert_eq!(pool.map(0..100u64, |x| x)?.len(), 100);
        }
    }
    Ok(())
}

fn borrows(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let here = std::thread::current().id();
    let words = [String::from("a"), String::from("bc")];
    let log = Rc::new(RefCell::new(Vec::new()));
    let items = words.iter().cycle().take(100).enumerate().map(|(index, word)| {
        assert_eq!(std::thread::current().id(), here);
        log.borrow_mut().push(index);
        (index, word.clone())
    });
    let lens = pool.map(items, |(index, word)| index + word.len())?;
    assert_eq!(lens[..3], [1, 3, 3]);
    assert_eq!(*log.borrow(), (0..100).collect::<Vec<_>>());
    let shared = log.clone();
    let lazy = pool.imap((0..50u8).inspect(move |_| shared.borrow_mut().clear()), |x| x);
    assert_eq!(lazy.count(), 50);
    assert!(log.borrow().is_empty());
    Ok(())
}

fn nested(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let inner = |n: u64| pool.map(0..n, |x| x).map(|values| values.iter().sum::<u64>());
    let items = (0..40u64).map(|n| inner(n).unwrap_or(u64::MAX));
    let sums = pool.tasks(items).chunk_size(3).map(|x| x)?;
    assert_eq!(sums, (0..40u64).map(|n| n * n.saturating_sub(1) / 2).collect::<Vec<_>>());
    // One lazy call feeds another.
    let first = pool.imap(0..500u64, |x| x + 1).map(|value| value.unwrap_or(0));
    let second: Result<Vec<u64>, Error> = pool.imap(first, |x| 2 * x).collect();
    assert_eq!(second?, (0..500).map(|x| 2 * (x + 1)).collect::<Vec<u64>>());
    Ok(())
}

struct Lying {
    left: u64,
    claimed: usize,
}

impl Iterator for Lying {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.claimed, Some(self.claimed))
    }
}

fn lying_length(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for claimed in [0, 1, 1000, usize::MAX] {
        let expected: Vec<u64> = (0..300).rev().collect();
        assert_eq!(pool.map(Lying { left: 300, claimed }, |x| x)?, expected);
        let split = pool.tasks(Lying { left: 300, claimed }).n_splits(4).map(|x| x)?;
        assert_eq!(split, expected);
    }
    // An input that would go on after its end is not asked again.
    let asked = Cell::new(0);
    let mut items = std::iter::from_fn(|| {
        asked.set(asked.get() + 1);
        (asked.get() != 4).then_some(asked.get())
    });
    assert_eq!(pool.map(&mut items, |x: u32| x)?, [1, 2, 3]);
    assert_eq!(asked.get(), 4);
    Ok(())
}

fn consumer_panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..20 {
        let call = || {
            pool.tasks(0..500u32)
                .chunk_size(2)
                .for_each_view(|n| vec![n; 100], |index, _| assert!(index != 250, "reader"))
        };
        catch_unwind(AssertUnwindSafe(call)).expect_err("the panic goes on");
        let lazy = || pool.tasks(0..500u32).imap(|n| n).for_each(|n| assert!(!matches!(n, Ok(99))));
        catch_unwind(AssertUnwindSafe(lazy)).expect_err("the panic goes on");
    }
    assert_eq!(pool.map(0..1000u64, |x| x)?.len(), 1000);
    Ok(())
}
