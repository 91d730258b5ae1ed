//! Counts how often the prefixes of words occur in a text: each worker keeps its counts in its
//! state, and hands them over when it ends.
//!
//! The second of the three benchmarks that MPIRE has published; `cargo xtask bench published`
//! measures it.

use std::{collections::HashMap, time::Instant};

use pool_api::{Error, StartMethod, WorkerPool};

/// How often each prefix occurs.
pub(crate) type Counts = HashMap<String, u64>;

/// So many documents of so many words each, the same in each run.
pub(crate) fn make(documents: usize, words: usize) -> Vec<String> {
    const SYLLABLES: [&str; 16] = [
        "an", "be", "cor", "da", "en", "fi", "gra", "ho", "in", "ka", "lo", "mi", "no", "per",
        "ti", "us",
    ];
    let mut state = 7u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as usize
    };
    let mut word = move || {
        let syllables = 1 + next() % 4;
        (0..syllables).map(|_| SYLLABLES[next() % SYLLABLES.len()]).collect::<String>()
    };
    let document = |_| (0..words).map(|_| word()).collect::<Vec<_>>().join(" ");
    (0..documents).map(document).collect()
}

/// Adds the prefixes of a document's words.
pub(crate) fn count(counts: &mut Counts, document: &str) {
    for word in document.split(' ') {
        for len in 1..=word.len() {
            match counts.get_mut(&word[..len]) {
                Some(count) => *count += 1,
                None => _ = counts.insert(word[..len].to_owned(), 1),
            }
        }
    }
}

/// Adds the counts of others.
pub(crate) fn merge(mut counts: Counts, more: Counts) -> Counts {
    for (prefix, count) in more {
        *counts.entry(prefix).or_insert(0) += count;
    }
    counts
}

/// One document after the other.
pub(crate) fn serial(documents: &[String]) -> Counts {
    let mut counts = Counts::new();
    documents.iter().for_each(|document| count(&mut counts, document));
    counts
}

/// By a pool whose workers keep counts, which are its results at their exit.
pub(crate) fn pooled(
    method: StartMethod,
    workers: usize,
    documents: &[String],
) -> Result<Counts, Error> {
    let pool = WorkerPool::builder()
        .start_method(method)
        .n_jobs(workers)
        .worker_init(|_| Counts::new())
        .worker_exit(|worker| std::mem::take(worker.state))
        .build()?;
    let tasks = pool.tasks(documents.iter().cloned()).with_worker();
    tasks.map(|worker, document: String| count(worker.state, &document))?;
    pool.stop_and_join()?;
    Ok(pool.exit_results().into_iter().reduce(merge).unwrap_or_default())
}

fn main() -> Result<(), Error> {
    let documents = make(500, 200);
    let begun = Instant::now();
    let expected = serial(&documents);
    println!("serial: {:?}, {} prefixes", begun.elapsed(), expected.len());
    for method in StartMethod::ALL {
        let begun = Instant::now();
        let counts = pooled(method, 2, &documents)?;
        assert!(counts == expected, "{method} has other counts");
        println!("{method}: {:?}", begun.elapsed());
    }
    Ok(())
}
