//! Values with a part whose archive is aligned to more than the encoder can place.

use pool_api::{Cause, Error, Result, StartMethod, WireFault};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[Case::new("wide_alignments_are_refused_by_name", refused)];

pool_api::wire! {
    #[derive(Clone)]
    #[rkyv(attr(repr(align(64))))]
    struct Wide(u8);
}

/// Three lists, of which one or more need a padding that is too long.
type Item = (Vec<u8>, [Vec<Wide>; 3]);

fn item(number: u8) -> Item {
    (vec![number], [const { Vec::new() }; 3].map(|_: Vec<Wide>| vec![Wide(number)]))
}

fn number((_, lists): &Item) -> u8 {
    lists[2][0].0
}

fn refused(method: StartMethod) -> Outcome {
    let moves = method == StartMethod::Threads;
    let pool = pool(method, 1)?;

    let sent = pool.map([item(7)], |item| number(&item));
    let returned = pool.tasks([7]).map_results(item)?.remove(0).map(|item| number(&item));
    let around = pool.tasks([1u8]).with(item(7)).map(|context, one| number(context) + one);
    if moves {
        assert_eq!(sent?, [7], "values move");
        assert_eq!(returned.ok(), Some(7));
        assert_eq!(around?, [8]);
    } else {
        assert!(matches!(sent, Err(Error::Encode { index: 0 })), "{sent:?}");
        let cause = returned.as_ref().err().map(|task| task.cause());
        assert!(matches!(cause, Some(Cause::BadResult)), "{cause:?}");
        let words = WireFault::Alignment.to_string();
        let named = |error: &Error| error.to_string().contains(&words);
        assert!(around.as_ref().is_err_and(named), "{around:?}");
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);

    let shared = || -> Result<Vec<u8>> {
        let pool = builder(method, 1).shared(item(7)).build()?;
        pool.tasks([1u8]).with_worker().map(|w, x| number(w.shared) + x)
    };
    let seen = shared();
    if moves || method == StartMethod::Fork {
        assert_eq!(seen?, [8], "it is not encoded");
    } else {
        let words = WireFault::Alignment.to_string();
        let named = matches!(&seen, Err(Error::InvalidInput(text)) if text.contains(&words));
        assert!(named, "{seen:?}");
    }
    Ok(pool.stop_and_join()?)
}
