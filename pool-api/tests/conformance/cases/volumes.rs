//! Large volumes: many gibibytes in large items, and one item of a gibibyte.

use std::fs;

use pool_api::StartMethod;

use crate::case::{Case, Outcome, builder, pool, sized, words};

pub(crate) const CASES: &[Case] = &[
    Case::new("six_gibibytes_in_large_items", many_gibibytes).alone(),
    Case::new("one_item_of_a_gibibyte", one_gibibyte).heavy().alone(),
];

const LARGE: usize = 64 << 20;

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

fn many_gibibytes(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let items = sized(96, 3);
    let block = |n: usize| {
        let mut block = words(LARGE, 0);
        let last = block.len() - 1;
        block[n] = 1;
        block[last - n] = 2;
        block
    };
    let check = |block: Vec<u64>| {
        let at = block.iter().position(|word| *word == 1).expect("it was set");
        (at, size_of_val(&block[..]), block[block.len() - 1 - at])
    };
    for (n, seen) in pool.imap((0..items).map(block), check).enumerate() {
        assert_eq!(seen?, (n, LARGE, 2));
    }
    let peak = peak_memory().ok_or("no peak in /proc/self/status")?;
    assert!(peak < 1 << 30, "the parent's peak was {} MiB", peak >> 20);
    Ok(())
}

fn one_gibibyte(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).arena_limit(3 << 30).build()?;
    let words = (1 << 30) / size_of::<u64>();
    let item: Vec<u64> = (0..words as u64).collect();
    let back = pool.apply(item, |mut words| {
        words[12_345] ^= 1;
        words
    })?;
    assert_eq!(back.len(), words);
    let intact = |(n, word): (u64, &u64)| *word == n ^ u64::from(n == 12_345);
    assert!((0..).zip(&back).all(intact));
    Ok(())
}
