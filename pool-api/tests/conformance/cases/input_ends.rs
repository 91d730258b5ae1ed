//! An input that has ended is not asked again, by any form of call.

use std::{iter, thread};

use pool_api::{Error, StartMethod, WorkerPool, chunk_tasks};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("input_at_its_end_is_not_asked_again", not_asked_again),
    Case::new("input_at_its_end_in_map_scoped", scoped),
    Case::new("chunks_of_an_input_with_a_lying_length", lying_chunks),
];

/// `len` numbers; asking again behind the end fails.
fn numbers(len: u64) -> impl Iterator<Item = u64> {
    let mut next = 0;
    iter::from_fn(move || {
        assert!(next <= len, "the input is asked again after its end");
        next += 1;
        (next <= len).then_some(next - 1)
    })
}

/// How a call is cut into chunks.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Adaptive,
    Size(usize),
    Splits(usize),
    Window(usize),
    Ordered,
}

const CUTS: [Cut; 6] =
    [Cut::Adaptive, Cut::Size(1), Cut::Size(4), Cut::Splits(3), Cut::Window(1), Cut::Ordered];

/// Checks each form of call on the numbers up to `len`.
fn forms(pool: &WorkerPool<u64>, len: u64, cut: Cut) -> Result<(), Error> {
    let tasks = || {
        let tasks = pool.tasks(numbers(len));
        match cut {
            Cut::Adaptive => tasks,
            Cut::Size(items) => tasks.chunk_size(items),
            Cut::Splits(chunks) => tasks.n_splits(chunks),
            Cut::Window(items) => tasks.max_tasks_active(items).chunk_size(3),
            Cut::Ordered => tasks.order_tasks(true),
        }
    };
    let count = len as usize;
    assert_eq!(tasks().map(|x| x)?.len(), count);
    assert_eq!(tasks().map_unordered(|x| x)?.len(), count);
    assert_eq!(tasks().map_results(|x| x)?.len(), count);
    assert_eq!(tasks().try_map(Ok::<_, u8>).map_or(0, |values| values.len()), count);
    assert_eq!(tasks().view().map(|x| x.to_native())?.len(), count);
    let mut seen = 0;
    tasks().for_each_view(|x| x, |_, _| seen += 1)?;
    assert_eq!(seen, count);
    assert_eq!(tasks().imap(|x| x).count(), count);
    assert_eq!(tasks().imap_unordered(|x| x).count(), count);
    assert_eq!(tasks().imap_results(|x| x).count(), count);
    assert_eq!(tasks().with(1u64).map(|c, x| c + x)?.len(), count);
    assert_eq!(tasks().with(1u64).imap(|c, x| c + x).count(), count);
    assert_eq!(tasks().with_worker().map(|w, x| w.shared + x)?.len(), count);
    assert_eq!(tasks().with_worker().imap(|w, x| w.shared + x).count(), count);
    assert_eq!(tasks().on_worker(1).map(|x| x)?.len(), count);
    assert_eq!(tasks().map_async(|x| x)?.get()?.len(), count);
    // The caller of an iterator may ask it again: the input is not.
    let mut lazy = tasks().imap(|x| x);
    assert_eq!(lazy.by_ref().count(), count);
    assert!(lazy.next().is_none() && lazy.next().is_none());
    #[cfg(feature = "async")]
    assert_eq!(super::streams::all(tasks().imap_stream(|x| x))?.len(), count);
    Ok(())
}

fn not_asked_again(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(5u64).build()?;
    for cut in CUTS {
        for len in [0, 1, 4, 7, 50] {
            forms(&pool, len, cut)?;
        }
    }
    // An input that is longer than the call, and one that is shorter.
    for (len, used) in [(7, 3), (3, 7), (4, 4), (0, 4), (4, 0)] {
        let tasks = || pool.tasks(numbers(len)).iterable_len(used).chunk_size(2);
        let count = len.min(used as u64) as usize;
        assert_eq!(tasks().map(|x| x)?.len(), count);
        assert_eq!(tasks().imap(|x| x).count(), count);
    }
    for size in [1, 2, 5] {
        let chunks = chunk_tasks(numbers(4)).chunk_size(size).chunks()?;
        assert_eq!(chunks.map(|chunk| chunk.len()).sum::<usize>(), 4);
    }
    Ok(())
}

fn scoped(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        return Ok(());
    }
    let pool = pool(method, 2)?;
    let offset = thread::available_parallelism()?.get() as u64;
    for len in [0, 1, 7] {
        for tasks in [pool.tasks(numbers(len)), pool.tasks(numbers(len)).chunk_size(2)] {
            assert_eq!(tasks.map_scoped(|x| x + offset)?.len(), len as usize);
        }
    }
    Ok(())
}

struct Lying(u8);

impl Iterator for Lying {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.checked_sub(1)?;
        Some(u64::from(self.0))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, Some(usize::MAX))
    }
}

fn lying_chunks(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let lens = |chunks: &mut dyn Iterator<Item = Vec<u64>>| {
        chunks.map(|chunk| chunk.len()).collect::<Vec<_>>()
    };
    // An impossible length counts as no length: chunks of 4.
    for splits in [1, 7, usize::MAX] {
        let mut chunks = chunk_tasks(Lying(9)).n_splits(splits).chunks()?;
        assert_eq!(lens(&mut chunks), [4, 4, 1], "{splits} chunks");
        let mut chunks = chunk_tasks(0u64..u64::MAX).n_splits(splits).chunks()?.take(2);
        assert_eq!(lens(&mut chunks), [4, 4], "{splits} chunks");
    }
    // Nor is room made for a length that is only claimed, or asked for.
    let mut chunks = chunk_tasks(Lying(9)).iterable_len(1 << 45).n_splits(1).chunks()?;
    assert_eq!(lens(&mut chunks), [9]);
    for size in [u64::MAX as f64, f64::MAX, (1u64 << 60) as f64] {
        let mut chunks = chunk_tasks(Lying(9)).chunk_size(size).chunks()?;
        assert_eq!(lens(&mut chunks), [9], "chunks of {size}");
    }
    let chunks = chunk_tasks(Lying(9)).n_splits(7).chunks()?;
    assert_eq!(pool.map(chunks, |chunk: Vec<u64>| chunk.len())?, [4, 4, 1]);
    for splits in [1, 7, usize::MAX] {
        assert_eq!(pool.tasks(Lying(9)).n_splits(splits).map(|x| x)?.len(), 9);
        assert_eq!(pool.tasks(Lying(9)).n_splits(splits).imap(|x| x).count(), 9);
        let handle = pool.tasks(Lying(9)).n_splits(splits).map_async(|x| x)?;
        assert_eq!(handle.get()?, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
    Ok(())
}
