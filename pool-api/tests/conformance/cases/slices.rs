//! Tasks on slices of a shared array: their writes are there, whichever other processes have a
//! handle.

use std::sync::atomic::{AtomicBool, Ordering};

use pool_api::{Error, SharedArray, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("slices_values_and_elements", values),
    Case::new("slices_of_every_element_type", element_types),
    Case::new("slices_chunk_len", chunk_len),
    Case::new("slices_in_place_or_copied", in_place_or_copied),
    Case::new("slices_of_an_array_with_clones", clones),
    Case::new("slices_of_an_array_that_was_sent", sent),
    Case::new("slices_of_an_array_older_than_the_pool", older),
    Case::new("slices_to_read", reading),
    Case::new("slices_and_the_state_of_a_worker", state),
    Case::new("slices_of_parts_that_overlap", overlapping),
    Case::new("slices_to_read_by_several_threads", reading_at_once),
];

pub(super) fn array(len: usize) -> SharedArray<u64> {
    SharedArray::from_slice(&(0..len as u64).collect::<Vec<_>>()).expect("shared memory")
}

/// Makes `10 * x + part` of each element `x`; returns the sum from before.
pub(super) fn set_to_part(part: usize, slice: &mut [u64]) -> u64 {
    let sum = slice.iter().sum();
    slice.iter_mut().for_each(|x| *x = *x * 10 + part as u64);
    sum
}

pub(super) fn expected(len: usize, chunk_len: usize) -> (Vec<u64>, Vec<u64>) {
    let mut elements: Vec<u64> = (0..len as u64).collect();
    let sums = elements.chunks_mut(chunk_len).enumerate().map(|(i, s)| set_to_part(i, s));
    (sums.collect(), elements)
}

fn values(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for (len, chunk_len) in [(1, 1), (10, 3), (1000, 1), (100_003, 1000), (7, 100)] {
        let mut array = array(len);
        let sums = pool.slices_mut(&mut array, chunk_len).map(set_to_part)?;
        assert_eq!((sums, array.to_vec()), expected(len, chunk_len));
        // Once more, on a part of it.
        let mut part = array.slice(len / 2..);
        drop(array);
        let before = part.to_vec();
        pool.slices_mut(&mut part, chunk_len).map(|_, slice| slice.reverse())?;
        let mut reversed = before;
        reversed.chunks_mut(chunk_len).for_each(<[u64]>::reverse);
        assert_eq!(part.to_vec(), reversed);
    }
    Ok(())
}

fn element_types(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut flags = SharedArray::<bool>::new(1000)?;
    flags.set(999, true);
    for _ in 0..2 {
        let clone = flags.clone();
        pool.slices_mut(&mut flags, 64).map(|_, s| s.iter_mut().for_each(|flag| *flag = !*flag))?;
        drop(clone);
        pool.slices_mut(&mut flags, 64).map(|_, s| s.iter_mut().for_each(|flag| *flag = !*flag))?;
    }
    assert_eq!(flags.iter().filter(|flag| *flag).count(), 1);
    let mut bytes = SharedArray::<u8>::new(300_000)?;
    pool.slices_mut(&mut bytes, 4096).map(|part, s| s.fill(part as u8))?;
    assert_eq!(bytes.get(299_999), (299_999 / 4096) as u8);
    let mut floats = SharedArray::<f32>::from_slice(&[1.5; 33])?;
    let sums = pool.slices_mut(&mut floats, 16).map(|_, s| s.iter().sum::<f32>())?;
    assert_eq!(sums, [24.0, 24.0, 1.5]);
    Ok(())
}

fn chunk_len(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut some = array(3);
    let refused = pool.slices_mut(&mut some, 0).map(set_to_part).expect_err("no parts");
    assert_eq!(refused.to_string(), "chunk_len must be at least 1, got 0");
    assert!(matches!(refused, Error::InvalidInput(_)));
    assert!(matches!(pool.slices(&some, 0).map(|_, _| ()), Err(Error::InvalidInput(_))));
    let mut none = array(0);
    assert!(pool.slices_mut(&mut none, 5).map(set_to_part)?.is_empty());
    assert!(pool.slices(&none, usize::MAX).map(|_, _| 1)?.is_empty());
    assert_eq!(pool.slices_mut(&mut some, usize::MAX).map(set_to_part)?, [3]);
    assert_eq!(some.to_vec(), [0, 10, 20]);
    Ok(())
}

/// Whether tasks work on the elements themselves.
pub(super) fn works_in_place(
    pool: &WorkerPool,
    array: &mut SharedArray<u64>,
) -> pool_api::Result<bool> {
    array.fill(0);
    let whole = array.len();
    let shared = pool.slices_mut(array, whole).map(|_, slice| {
        slice[0] = 1;
        is_shared_memory(slice.as_ptr().addr())
    })?;
    assert_eq!(array.get(0), 1);
    Ok(shared[0])
}

/// Whether other processes may have the memory at an address.
fn is_shared_memory(address: usize) -> bool {
    let maps =
        std::fs::read_to_string("/proc/self/maps").expect("a process has a list of its memory");
    let holds = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        range.is_some_and(|(start, end)| {
            let number = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
            (number(start)..number(end)).contains(&address)
        })
    };
    let line = maps.lines().find(holds).expect("the address is mapped");
    line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s'))
}

fn in_place_or_copied(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [4, 100_000] {
        let mut array = array(len);
        assert!(works_in_place(&pool, &mut array)?, "no other handle to it is left");
        let clone = array.slice(1..2);
        assert!(!works_in_place(&pool, &mut array)?, "there is another handle");
        drop(clone);
        assert!(works_in_place(&pool, &mut array)?, "it is the only one again");
        pool.slices(&array, 2).map(|_, _| ())?;
        let failed = pool.slices_mut(&mut array, 1 << 20).map(|_, s| assert!(s.is_empty(), "no"));
        assert!(failed.is_err());
        assert!(works_in_place(&pool, &mut array)?, "the calls have left none");
        let back = pool.apply(array.clone(), |array| array)?;
        drop(back);
        let sent = works_in_place(&pool, &mut array)?;
        assert_eq!(sent, method == StartMethod::Threads, "it was in another process");
    }
    Ok(())
}

fn clones(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (len, chunk_len) = (10_000, 77);
    let mut array = array(len);
    let (clone, part) = (array.clone(), array.slice(5..9));
    let sums = pool.slices_mut(&mut array, chunk_len).map(set_to_part)?;
    let (expected_sums, expected) = expected(len, chunk_len);
    assert_eq!(sums, expected_sums);
    assert_eq!((clone.to_vec(), part.to_vec()), (expected.clone(), expected[5..9].to_vec()));
    // Others may write while the call runs.
    const WRITTEN: [u64; 2] = [7, u64::MAX - 7];
    let stop = AtomicBool::new(false);
    let greatest = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for value in WRITTEN {
                    (0..len).for_each(|index| clone.set(index, value));
                }
            }
        });
        wait_until("the other thread writes", || WRITTEN.contains(&clone.get(0)));
        let result = pool.slices_mut(&mut array, chunk_len).map(|_, s| s.iter().max().copied());
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("no panic");
        result
    })?;
    // Only values that were written appear, in the slices and afterwards.
    assert_eq!(greatest.len(), len.div_ceil(chunk_len));
    for (greatest, part) in greatest.into_iter().zip(expected.chunks(chunk_len)) {
        let greatest = greatest.expect("no part is empty");
        assert!(WRITTEN.contains(&greatest) || part.contains(&greatest), "{greatest}");
    }
    for (now, before) in array.to_vec().into_iter().zip(expected) {
        assert!(WRITTEN.contains(&now) || now == before, "{now}, {before} before");
    }
    Ok(())
}

fn sent(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (len, chunk_len) = (5000, 100);
    let mut array = array(len);
    // A handle waits in the input of a call that has not ended.
    let mut waiting = pool.imap([array.clone(), array.clone()], |array| array.to_vec()[4999]);
    assert_eq!(waiting.next().transpose()?, Some(4999));
    let sums = pool.slices_mut(&mut array, chunk_len).map(set_to_part)?;
    assert_eq!((sums, array.to_vec()), expected(len, chunk_len));
    assert!(waiting.next().transpose()?.is_some());
    drop(waiting);
    let handle = pool.apply(array.clone(), |array| array)?;
    pool.slices_mut(&mut array, chunk_len).map(|_, s| s.fill(3))?;
    assert_eq!(handle.to_vec(), vec![3; len]);
    Ok(())
}

fn older(method: StartMethod) -> Outcome {
    let (len, chunk_len) = (5000, 100);
    let mut older = array(len);
    let pool = pool(method, 2)?;
    let sums = pool.slices_mut(&mut older, chunk_len).map(set_to_part)?;
    assert_eq!((sums, older.to_vec()), expected(len, chunk_len));
    // A process that was forked since then has a handle.
    assert_eq!(works_in_place(&pool, &mut older)?, method != StartMethod::Fork);
    assert!(works_in_place(&pool, &mut array(len))?);
    Ok(())
}

fn reading(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let array = array(10_001);
    let sums = pool.slices(&array, 1000).map(|part, s| (part, s.len(), s.iter().sum::<u64>()))?;
    assert_eq!((sums.len(), sums[10]), (11, (10, 1, 10_000)));
    assert_eq!(sums.iter().map(|(_, _, sum)| sum).sum::<u64>(), 10_000 * 10_001 / 2);
    assert!(sums.iter().enumerate().all(|(index, (part, ..))| index == *part));
    Ok(())
}

/// `worker_init` runs before a chunk of slices, as before any other chunk.
fn state(method: StartMethod) -> Outcome {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let builder = WorkerPool::builder().n_jobs(1).start_method(method);
    let pool = builder.worker_init(|_| BEGUN.store(true, Ordering::SeqCst)).build()?;
    let mut array = array(2);
    let begun = |_: usize, _: &mut [u64]| BEGUN.load(Ordering::SeqCst);
    assert_eq!(pool.slices_mut(&mut array, 1).map(begun)?, [true, true]);
    Ok(())
}

fn overlapping(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let whole = array(900);
    let (mut front, mut back) = (whole.slice(..600), whole.slice(300..));
    drop(whole);
    assert_eq!(pool.slices_mut(&mut front, 7).map(|_, s| s.fill(1))?.len(), 86);
    assert_eq!(pool.slices_mut(&mut back, 7).map(|_, s| s.fill(2))?.len(), 86);
    assert_eq!((front.get(299), front.get(300), back.get(599)), (1, 2, 2));
    assert!(!works_in_place(&pool, &mut front)?);
    // Two calls at once, and one that reads.
    std::thread::scope(|scope| {
        let (pool, reader) = (&pool, front.slice(..));
        let front = scope.spawn(|| pool.slices_mut(&mut front, 10).map(|_, s| s.fill(3)));
        let back = scope.spawn(|| pool.slices_mut(&mut back, 10).map(|_, s| s.fill(4)));
        let read = scope.spawn(move || pool.slices(&reader, 10).map(|_, s| s.to_vec()));
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("a call");
        join(front)?;
        join(back)?;
        let read = read.join().expect("a call")?;
        assert!(read.into_iter().flatten().all(|element| element <= 4));
        Ok::<_, Error>(())
    })?;
    assert_eq!((front.get(0), back.get(599)), (3, 4));
    assert!((300..600).all(|index| [3, 4].contains(&front.get(index))));
    drop(back);
    assert!(works_in_place(&pool, &mut front)?, "there is one handle left");
    Ok(())
}

fn reading_at_once(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let array = array(4000);
    std::thread::scope(|scope| {
        let sum = |len| pool.slices(&array, len).map(|_, s| s.iter().sum::<u64>());
        let calls = [1, 3, 100].map(|len| scope.spawn(move || sum(len)));
        for call in calls {
            let sums = call.join().expect("a call")?;
            assert_eq!(sums.iter().sum::<u64>(), 4000 * 3999 / 2);
        }
        Ok(())
    })
}
