//! Forks while a reference into memory that no fork keeps is lent out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pool_api::{
    Error, SharedObject, StartMethod, WorkerPool,
    rkyv::{Archive, Deserialize, Place, Serialize, rancor::Fallible},
};

use crate::case::{Case, Outcome, builder, sized};

pub(crate) const CASES: &[Case] = &[
    Case::new("forks_with_a_result_read_in_place", results),
    Case::new("forks_with_an_item_read_in_place", items),
    Case::new("forks_in_the_code_of_a_value", values).processes(),
];

const WORKS: u8 = 0;
const BORROWED: u8 = 1;
const THREADS: u8 = 2;

/// The outcome of a pool that is forked here.
fn fork() -> u8 {
    let builder = WorkerPool::builder().start_method(StartMethod::Fork).n_jobs(1);
    match builder.build().and_then(|pool| pool.apply(20u8, |x| x + 1)) {
        Ok(21) => WORKS,
        Err(Error::ForkWhileBorrowed) => BORROWED,
        Err(Error::ForkWithThreads { .. }) => THREADS,
        other => panic!("{other:?}"),
    }
}

/// The expected outcomes while memory of a pool of this kind is lent, and otherwise.
fn expected(method: StartMethod) -> (u8, u8) {
    if method == StartMethod::Threads { (THREADS, THREADS) } else { (BORROWED, WORKS) }
}

fn results(method: StartMethod) -> Outcome {
    let (lent, otherwise) = expected(method);
    let scoped = builder(StartMethod::Fork, 1).build()?;
    let pool = builder(method, 1).build()?;
    let mut seen = 0;
    // Small results share a chunk; large ones have blocks of their own.
    for count in [1, sized(100_000, 1000)] {
        let make = |n: usize| vec![String::from("too long to lie inline, 0123456789"); n];
        pool.tasks([count; 3]).for_each_view(make, |_, view| {
            let sum = || view.iter().map(|text| text.len()).sum::<usize>();
            assert_eq!((view.len(), sum()), (count, 34 * count));
            assert_eq!(fork(), lent);
            match scoped.tasks([()]).map_scoped(|()| (view.len(), sum())) {
                Err(Error::ForkWhileBorrowed) => assert_eq!(lent, BORROWED),
                Err(Error::ForkWithThreads { .. }) => assert_eq!(lent, THREADS),
                other => panic!("{other:?}"),
            }
            seen += 1;
        })?;
        assert_eq!(fork(), otherwise);
    }
    assert_eq!(seen, 6);
    let view = |_: usize, _: &_| panic!("in the callback");
    let broken = catch_unwind(AssertUnwindSafe(|| pool.tasks([1u8]).for_each_view(|x| x, view)));
    assert!(broken.is_err());
    assert_eq!(fork(), otherwise);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn items(method: StartMethod) -> Outcome {
    let (lent, otherwise) = expected(method);
    let pool = builder(method, 1).daemon(false).build()?;
    let texts = ["a", "bc"].map(String::from);
    let seen = pool.tasks(texts.clone()).view().map(|text| (text.len(), fork()))?;
    assert_eq!(seen, [(1, lent), (2, lent)]);
    // An item that panics leaves nothing counted.
    assert!(pool.tasks(texts).view().map(|text| assert_eq!(text.len(), 0)).is_err());
    assert_eq!(pool.map([()], |()| fork())?, [otherwise]);
    Ok(())
}

/// A value that forks in its own code, with the outcomes: when it was encoded, and when it was
/// decoded.
struct Probe {
    encoded: u8,
    decoded: u8,
}

impl Probe {
    fn new() -> Self {
        Self { encoded: u8::MAX, decoded: u8::MAX }
    }
}

impl Archive for Probe {
    type Archived = u8;
    type Resolver = u8;

    fn resolve(&self, encoded: u8, out: Place<u8>) {
        out.write(encoded);
    }
}

impl<S: Fallible + ?Sized> Serialize<S> for Probe {
    fn serialize(&self, _: &mut S) -> Result<u8, S::Error> {
        Ok(fork())
    }
}

impl<D: Fallible + ?Sized> Deserialize<Probe, D> for u8 {
    fn deserialize(&self, _: &mut D) -> Result<Probe, D::Error> {
        Ok(Probe { encoded: *self, decoded: fork() })
    }
}

fn values(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).daemon(false).build()?;
    let seen = pool.map([(); 2], |()| fork())?;
    assert_eq!(seen, [WORKS; 2], "an ordinary task may fork");
    let seen = pool.map([Probe::new(), Probe::new()], |probe| (probe.encoded, probe.decoded))?;
    assert_eq!(seen, [(BORROWED, BORROWED); 2], "items");
    let seen = pool.tasks([()]).with(Probe::new()).map(|c: &Probe, ()| (c.encoded, c.decoded))?;
    assert_eq!(seen, [(BORROWED, BORROWED)], "contexts");
    // The caller decodes results from copies of its own, which a fork copies.
    let both = |probe: Probe| (probe.encoded, probe.decoded);
    let seen = pool.map([(); 2], |()| Probe::new())?;
    assert_eq!(seen.into_iter().map(both).collect::<Vec<_>>(), [(BORROWED, WORKS); 2], "results");
    let object = SharedObject::new(&Probe::new()).map_err(|error| error.to_string())?;
    assert_eq!(*object.archived(), BORROWED, "what is sealed");
    assert_eq!(fork(), WORKS, "nothing is counted any more");
    Ok(())
}
