//! Values nested so deep that a recursion over them would end the stack.

use pool_api::{Cause, Error, Recursive, StartMethod, rkyv};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("deep_values_are_refused_by_their_sender", refused),
    Case::new("deep_values_of_every_shape_have_one_bound", shapes),
];

/// A type with fields that lead back to it, and the bounds that its boxes and lists need.
macro_rules! recursive {
    ($($item:tt)*) => {
        pool_api::wire! {
            #[rkyv(
                serialize_bounds(
                    __S: rkyv::ser::Writer + rkyv::ser::Allocator,
                    __S::Error: rkyv::rancor::Source,
                ),
                deserialize_bounds(__D::Error: rkyv::rancor::Source),
                bytecheck(bounds(
                    __C: rkyv::validation::ArchiveContext,
                    __C::Error: rkyv::rancor::Source,
                )),
            )]
            $($item)*
        }
    };
}

recursive! {
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
    // The values are sent on the smallest stack that a thread usually has.
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

recursive! {
    enum Tree {
        Leaf,
        Pair(
            #[rkyv(omit_bounds, with = Recursive)] Box<Tree>,
            #[rkyv(omit_bounds, with = Recursive)] Box<Tree>,
        ),
        Many { #[rkyv(omit_bounds, with = Recursive)] all: Vec<Tree> },
    }
}

recursive! {
    struct Left {
        #[rkyv(omit_bounds, with = Recursive)]
        right: Option<Box<Right>>,
    }
}

recursive! {
    struct Right {
        #[rkyv(omit_bounds, with = Recursive)]
        left: Vec<Left>,
    }
}

/// A tree so many levels deep, by boxes or by lists.
fn tree(depth: u32, boxes: bool) -> Tree {
    (1..depth).fold(Tree::Leaf, |below, _| match boxes {
        true => Tree::Pair(Box::new(Tree::Leaf), Box::new(below)),
        false => Tree::Many { all: vec![Tree::Leaf, below] },
    })
}

/// Two types that lead to each other.
fn mutual(depth: u32) -> Left {
    (0..depth / 2).fold(Left { right: None }, |left, _| Left {
        right: Some(Box::new(Right { left: vec![left] })),
    })
}

fn shapes(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let sent = || {
        for boxes in [true, false] {
            assert_eq!(pool.map([tree(999, boxes)], |_| 7u8)?, [7]);
            assert_eq!(pool.map([(999, boxes)], |(n, boxes)| tree(n, boxes))?.len(), 1);
        }
        assert_eq!(pool.map([mutual(998)], |_| 7u8)?, [7]);
        assert_eq!(pool.map([998], mutual)?.len(), 1);
        if method == StartMethod::Threads {
            return Ok(vec![1]);
        }
        for refused in [
            pool.map([tree(1003, true)], |_| 7u8),
            pool.map([tree(1003, false)], |_| 7u8),
            pool.map([mutual(1004)], |_| 7u8),
        ] {
            assert!(matches!(refused, Err(Error::Encode { index: 0 })), "{refused:?}");
        }
        let results = pool.tasks([1003]).map_results(|n| tree(n, false))?;
        let cause = results[0].as_ref().err().map(|task| task.cause());
        assert!(matches!(cause, Some(Cause::BadResult)), "{cause:?}");
        pool.map([1u8], |x| x)
    };
    let seen = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(2 << 20);
        builder.spawn_scoped(scope, sent).expect("a thread").join().expect("no panic")
    })?;
    assert_eq!(seen, [1]);
    Ok(())
}
