//! Values nested so deep that a recursion over them would end the stack.

use pool_api::{Cause, Error, Recursive, StartMethod, rkyv};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[Case::new("deep_values_are_refused_by_their_sender", refused)];

pool_api::wire! {
    #[rkyv(
        serialize_bounds(__S: rkyv::ser::Writer, __S::Error: rkyv::rancor::Source),
        deserialize_bounds(__D::Error: rkyv::rancor::Source),
        bytecheck(bounds(
            __C: rkyv::validation::ArchiveContext,
            __C::Error: rkyv::rancor::Source,
        )),
    )]
    #[derive(Default)]
    struct List {
        value: u32,
        #[rkyv(omit_bounds, with = Recursive)]
        next: Option<Box<List>>,
    }
}

impl List {
    fn of(len: u32) -> Self {
        (1..len).fold(Self::default(), |next, value| Self { value, next: Some(Box::new(next)) })
    }

    fn len(&self) -> u32 {
        std::iter::successors(Some(self), |list| list.next.as_deref()).map(|_| 1).sum()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut list) = next {
            next = list.next.take();
        }
    }
}

fn refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    // On the smallest stack that a thread usually has.
    let sent = || {
        assert_eq!(pool.map([List::of(1000)], |list| list.len())?, [1000]);
        assert_eq!(pool.map([1000], List::of)?[0].len(), 1000);
        for len in [1001, 20_000] {
            let item = pool.map([List::of(2), List::of(len)], |list| list.len());
            let result = pool.tasks([len, 7]).map_results(List::of)?;
            assert_eq!(result[1].as_ref().map(List::len).ok(), Some(7));
            if method == StartMethod::Threads {
                assert_eq!(item?, [2, len], "values move");
                assert_eq!(result[0].as_ref().map(List::len).ok(), Some(len));
            } else {
                assert!(matches!(item, Err(Error::Encode { index: 1 })), "{item:?}");
                let cause = result[0].as_ref().err().map(|task| task.cause());
                assert!(matches!(cause, Some(Cause::BadResult)), "{cause:?}");
            }
        }
        pool.map([1u8], |x| x)
    };
    let seen = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(2 << 20);
        builder.spawn_scoped(scope, sent).expect("a thread").join().expect("no panic")
    })?;
    assert_eq!(seen, [1]);
    Ok(())
}
