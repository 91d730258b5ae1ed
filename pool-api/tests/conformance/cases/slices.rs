//! Tasks on slices of a shared array: what they write is there, whoever else has a handle, and nothing runs on after the call.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use pool_api::{
    Cause, Error, SharedArray, StartMethod, WorkerPool,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
};
use pool_shm::SharedMutex;

use crate::{
    case::{Case, Outcome, builder, pool},
    sys,
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
    Case::new("slices_a_task_panics", panics),
    Case::new("slices_nothing_runs_on_after_a_failure", runs_out),
    Case::new("slices_a_worker_dies", dies).processes(),
    Case::new("slices_a_task_that_does_not_end", endless).processes(),
    Case::new("slices_beside_another_call", beside),
    Case::new("slices_and_a_result_that_panics", bad_result).processes(),
    Case::new("slices_and_a_killed_zygote", no_zygote).processes(),
    Case::new("slices_and_a_killed_zygote_unheard", no_zygote_for_the_deaf).processes(),
    Case::new("slices_and_the_state_of_a_worker", state),
    Case::new("slices_of_parts_that_overlap", overlapping),
    Case::new("slices_to_read_by_several_threads", reading_at_once),
    Case::new("slices_and_the_guard_of_a_lock", guarded),
    Case::new("slices_and_a_nested_fork", nested_fork),
    Case::new("slices_and_terminate", terminated).processes(),
];

fn array(len: usize) -> SharedArray<u64> {
    SharedArray::from_slice(&(0..len as u64).collect::<Vec<_>>()).expect("shared memory")
}

/// What `set_to_part` makes of the part.
fn set_to_part(part: usize, slice: &mut [u64]) -> u64 {
    let sum = slice.iter().sum();
    slice.iter_mut().for_each(|x| *x = *x * 10 + part as u64);
    sum
}

fn expected(len: usize, chunk_len: usize) -> (Vec<u64>, Vec<u64>) {
    let mut elements: Vec<u64> = (0..len as u64).collect();
    let sums = elements.chunks_mut(chunk_len).enumerate().map(|(i, s)| set_to_part(i, s));
    (sums.collect(), elements)
}

fn values(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for (len, chunk_len) in [(1, 1), (10, 3), (1000, 1), (100_003, 1000), (7, 100)] {
        let mut array = array(len);
        let sums = pool.map_slices_mut(&mut array, chunk_len, set_to_part)?;
        assert_eq!((sums, array.to_vec()), expected(len, chunk_len));
        // Once more, on a part of it.
        let mut part = array.slice(len / 2..);
        drop(array);
        let before = part.to_vec();
        pool.map_slices_mut(&mut part, chunk_len, |_, slice| slice.reverse())?;
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
        pool.map_slices_mut(&mut flags, 64, |_, s| s.iter_mut().for_each(|flag| *flag = !*flag))?;
        drop(clone);
        pool.map_slices_mut(&mut flags, 64, |_, s| s.iter_mut().for_each(|flag| *flag = !*flag))?;
    }
    assert_eq!(flags.iter().filter(|flag| *flag).count(), 1);
    let mut bytes = SharedArray::<u8>::new(300_000)?;
    pool.map_slices_mut(&mut bytes, 4096, |part, s| s.fill(part as u8))?;
    assert_eq!(bytes.get(299_999), (299_999 / 4096) as u8);
    let mut floats = SharedArray::<f32>::from_slice(&[1.5; 33])?;
    let sums = pool.map_slices_mut(&mut floats, 16, |_, s| s.iter().sum::<f32>())?;
    assert_eq!(sums, [24.0, 24.0, 1.5]);
    Ok(())
}

fn chunk_len(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut some = array(3);
    let refused = pool.map_slices_mut(&mut some, 0, set_to_part).expect_err("no parts");
    assert_eq!(refused.to_string(), "chunk_len must be at least 1, got 0");
    assert!(matches!(refused, Error::InvalidInput(_)));
    assert!(matches!(pool.map_slices(&some, 0, |_, _| ()), Err(Error::InvalidInput(_))));
    let mut none = array(0);
    assert!(pool.map_slices_mut(&mut none, 5, set_to_part)?.is_empty());
    assert!(pool.map_slices(&none, usize::MAX, |_, _| 1)?.is_empty());
    assert_eq!(pool.map_slices_mut(&mut some, usize::MAX, set_to_part)?, [3]);
    assert_eq!(some.to_vec(), [0, 10, 20]);
    Ok(())
}

/// Whether tasks work on the elements themselves.
fn works_in_place(pool: &WorkerPool, array: &mut SharedArray<u64>) -> pool_api::Result<bool> {
    array.fill(0);
    let whole = array.len();
    let shared = pool.map_slices_mut(array, whole, |_, slice| {
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
        assert!(works_in_place(&pool, &mut array)?, "nobody else has it");
        let clone = array.slice(1..2);
        assert!(!works_in_place(&pool, &mut array)?, "there is another handle");
        drop(clone);
        assert!(works_in_place(&pool, &mut array)?, "it is the only one again");
        pool.map_slices(&array, 2, |_, _| ())?;
        let failed = pool.map_slices_mut(&mut array, 1 << 20, |_, s| assert!(s.is_empty(), "no"));
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
    let sums = pool.map_slices_mut(&mut array, chunk_len, set_to_part)?;
    let (expected_sums, expected) = expected(len, chunk_len);
    assert_eq!(sums, expected_sums);
    assert_eq!((clone.to_vec(), part.to_vec()), (expected.clone(), expected[5..9].to_vec()));
    // Others may write while the call runs.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                (0..len).for_each(|index| clone.set(index, 7));
            }
        });
        let result = pool.map_slices_mut(&mut array, chunk_len, |_, s| s.iter().max().copied());
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(())
}

fn sent(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (len, chunk_len) = (5000, 100);
    let mut array = array(len);
    // It waits in the input of a call that has not ended.
    let mut waiting = pool.imap([array.clone(), array.clone()], |array| array.to_vec()[4999]);
    assert_eq!(waiting.next().transpose()?, Some(4999));
    let sums = pool.map_slices_mut(&mut array, chunk_len, set_to_part)?;
    assert_eq!((sums, array.to_vec()), expected(len, chunk_len));
    assert!(waiting.next().transpose()?.is_some());
    drop(waiting);
    let handle = pool.apply(array.clone(), |array| array)?;
    pool.map_slices_mut(&mut array, chunk_len, |_, s| s.fill(3))?;
    assert_eq!(handle.to_vec(), vec![3; len]);
    Ok(())
}

fn older(method: StartMethod) -> Outcome {
    let (len, chunk_len) = (5000, 100);
    let mut older = array(len);
    let pool = pool(method, 2)?;
    let sums = pool.map_slices_mut(&mut older, chunk_len, set_to_part)?;
    assert_eq!((sums, older.to_vec()), expected(len, chunk_len));
    // A process that was forked since then has a handle.
    assert_eq!(works_in_place(&pool, &mut older)?, method != StartMethod::Fork);
    assert!(works_in_place(&pool, &mut array(len))?);
    Ok(())
}

fn reading(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let array = array(10_001);
    let sums = pool.map_slices(&array, 1000, |part, s| (part, s.len(), s.iter().sum::<u64>()))?;
    assert_eq!((sums.len(), sums[10]), (11, (10, 1, 10_000)));
    assert_eq!(sums.iter().map(|(_, _, sum)| sum).sum::<u64>(), 10_000 * 10_001 / 2);
    assert!(sums.iter().enumerate().all(|(index, (part, ..))| index == *part));
    Ok(())
}

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for shared in [false, true] {
        let mut array = array(100);
        let clone = shared.then(|| array.clone());
        let result = pool.map_slices_mut(&mut array, 10, |part, slice| {
            slice[0] = 1000;
            assert!(part != 4, "the fifth");
        });
        let Err(Error::Task(task)) = result else { panic!("{result:?}") };
        assert_eq!(task.index(), 4);
        assert!(task.to_string().contains("the fifth"), "{task}");
        // What was done is there, up to the panic.
        assert_eq!(array.get(40), 1000);
        for part in 0..10 {
            assert!([1000, 10 * part as u64].contains(&array.get(10 * part)));
        }
        drop(clone);
        assert_eq!(pool.map_slices_mut(&mut array, 50, |_, s| s.len())?, [50, 50]);
        let ends = pool.map_slices(&array, 10, |part, _| assert!(part != 9, "the tenth"));
        assert!(ends.is_err());
    }
    Ok(())
}

fn runs_out(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(64);
    for _ in 0..20 {
        let result = pool.map_slices_mut(&mut array, 1, |part, slice| {
            if part == 5 {
                panic!("ends the call");
            }
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until {
                slice[0] = std::hint::black_box(slice[0] + 1);
            }
        });
        assert!(result.is_err());
        let after = array.to_vec();
        std::thread::yield_now();
        assert_eq!(array.to_vec(), after);
    }
    assert_eq!(pool.map(0..10u32, |x| x)?.len(), 10);
    Ok(())
}

fn dies(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for shared in [false, true] {
        let mut array = array(100);
        let clone = shared.then(|| array.clone());
        let result = pool.map_slices_mut(&mut array, 10, |part, slice| {
            slice[0] = 1000;
            if part == 3 {
                sys::kill(std::process::id(), sys::SIGKILL);
            }
        });
        let Err(Error::Task(task)) = result else { panic!("{result:?}") };
        assert!(matches!(task.cause(), Cause::Death(status) if status.signal() == Some(9)));
        assert_eq!(task.index(), 3);
        drop(clone);
        // The array is as usable as before, in place too.
        pool.map_slices_mut(&mut array, 7, |_, s| s.fill(2))?;
        assert_eq!(array.to_vec(), [2; 100]);
        assert!(works_in_place(&pool, &mut array)?);
        assert_eq!(pool.apply(array, |array| array.get(1))?, 0);
    }
    Ok(())
}

/// Whoever sees the elements change is seen by this.
fn change_for_ever(slice: &mut [u64]) {
    loop {
        slice[0] = std::hint::black_box(slice[0] + 1);
    }
}

fn endless(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(2);
    let result = pool.map_slices_mut(&mut array, 1, |part, slice| {
        if part == 0 {
            change_for_ever(slice);
        }
        assert_eq!(part, 0, "ends the call");
    });
    assert!(matches!(result, Err(Error::Task(task)) if task.index() == 1));
    let after = array.get(0);
    assert_eq!(pool.map(0..100u32, |x| x)?.len(), 100);
    assert_eq!(array.get(0), after);
    assert_eq!(pool.map_slices_mut(&mut array, 1, |part, _| part)?, [0, 1]);
    Ok(())
}

fn beside(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            for _ in 0..20 {
                assert_eq!(pool.map(0..200u64, |x| x + 1).expect("a map").len(), 200);
            }
        });
        for round in 0..20 {
            let mut array = array(1000);
            if round % 2 == 0 {
                let sums = pool.map_slices_mut(&mut array, 10, set_to_part)?;
                assert_eq!((sums, array.to_vec()), expected(1000, 10));
            } else {
                let failed =
                    pool.map_slices_mut(&mut array, 10, |part, _| assert!(part != 9, "a tenth"));
                assert!(failed.is_err());
            }
        }
        other.join().expect("the other thread");
        Ok(())
    })
}

/// Panics where it is decoded.
#[derive(Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct Bomb(u8);

impl<D: Fallible + ?Sized> Deserialize<Bomb, D> for ArchivedBomb {
    fn deserialize(&self, _: &mut D) -> Result<Bomb, D::Error> {
        panic!("bomb {}", self.0)
    }
}

fn bad_result(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(2);
    let call = AssertUnwindSafe(|| {
        pool.map_slices_mut(&mut array, 1, |part, slice| {
            if part == 1 {
                change_for_ever(slice);
            }
            Bomb(1)
        })
    });
    assert!(catch_unwind(call).is_err());
    let after = array.to_vec();
    assert_eq!(pool.map_slices_mut(&mut array, 1, |part, _| part)?, [0, 1]);
    assert_eq!(array.to_vec(), after);
    Ok(())
}

fn no_zygote(method: StartMethod) -> Outcome {
    // With so much memory of its own a forked zygote has no guard.
    for large in [vec![], vec![1u8; 32 << 20]] {
        let broken = pool(method, 2)?;
        let mut array = array(2);
        let result = broken.map_slices_mut(&mut array, 1, |part, slice| {
            if part == 0 {
                sys::kill(std::os::unix::process::parent_id(), sys::SIGKILL);
            }
            change_for_ever(slice);
        });
        let after = array.to_vec();
        assert!(matches!(result, Err(Error::PoolBroken)), "{result:?}");
        let pool = crate::case::pool(method, 2)?;
        let sums = pool.map_slices_mut(&mut array, 1, |_, s| s.iter().sum::<u64>())?;
        assert_eq!(sums, after);
        drop(large);
    }
    Ok(())
}

/// As above, with a worker to which the kernel does not tell of its parent's death.
fn no_zygote_for_the_deaf(method: StartMethod) -> Outcome {
    let large = vec![1u8; 32 << 20];
    let pool = pool(method, 2)?;
    let mut array = array(2);
    let result = pool.map_slices_mut(&mut array, 1, |part, slice| {
        sys::forget_parent();
        if part == 0 {
            sys::kill(std::os::unix::process::parent_id(), sys::SIGKILL);
        }
        change_for_ever(slice);
    });
    let after = array.to_vec();
    assert!(matches!(result, Err(Error::PoolBroken)), "{result:?}");
    std::thread::yield_now();
    assert_eq!(array.to_vec(), after);
    drop((large, pool));
    Ok(())
}

/// As before any other chunk of the pool.
fn state(method: StartMethod) -> Outcome {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let builder = WorkerPool::builder().n_jobs(1).start_method(method);
    let pool = builder.worker_init(|_| BEGUN.store(true, Ordering::SeqCst)).build()?;
    let mut array = array(2);
    let begun = |_: usize, _: &mut [u64]| BEGUN.load(Ordering::SeqCst);
    assert_eq!(pool.map_slices_mut(&mut array, 1, begun)?, [true, true]);
    Ok(())
}

fn overlapping(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let whole = array(900);
    let (mut front, mut back) = (whole.slice(..600), whole.slice(300..));
    drop(whole);
    assert_eq!(pool.map_slices_mut(&mut front, 7, |_, s| s.fill(1))?.len(), 86);
    assert_eq!(pool.map_slices_mut(&mut back, 7, |_, s| s.fill(2))?.len(), 86);
    assert_eq!((front.get(299), front.get(300), back.get(599)), (1, 2, 2));
    assert!(!works_in_place(&pool, &mut front)?);
    // Two calls at once, and one that reads.
    std::thread::scope(|scope| {
        let (pool, reader) = (&pool, front.slice(..));
        let front = scope.spawn(|| pool.map_slices_mut(&mut front, 10, |_, s| s.fill(3)));
        let back = scope.spawn(|| pool.map_slices_mut(&mut back, 10, |_, s| s.fill(4)));
        let read = scope.spawn(move || pool.map_slices(&reader, 10, |_, s| s.to_vec()));
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
        let sum = |len| pool.map_slices(&array, len, |_, s| s.iter().sum::<u64>());
        let calls = [1, 3, 100].map(|len| scope.spawn(move || sum(len)));
        for call in calls {
            let sums = call.join().expect("a call")?;
            assert_eq!(sums.iter().sum::<u64>(), 4000 * 3999 / 2);
        }
        Ok(())
    })
}

fn guarded(method: StartMethod) -> Outcome {
    let lock = SharedMutex::new(0u8)?;
    let mut array = array(2);
    let earlier = pool(method, 1)?;
    let guard = lock.lock().map_err(|error| error.give_up())?;
    let built = pool(method, 1);
    let scoped = earlier.tasks(0..2u8).map_scoped(|x| x + 1);
    // Workers that are there already work.
    assert_eq!(earlier.map_slices_mut(&mut array, 1, |part, _| part)?, [0, 1]);
    if method == StartMethod::Fork {
        assert!(matches!(built, Err(Error::ForkWhileBorrowed)));
        assert!(matches!(scoped, Err(Error::ForkWhileBorrowed)));
        drop(guard);
        assert_eq!(earlier.tasks(0..2u8).map_scoped(|x| x + 1)?, [1, 2]);
        assert_eq!(pool(method, 1)?.apply(1u8, |x| x)?, 1);
    } else {
        assert_eq!(built?.apply(1u8, |x| x)?, 1);
        assert_eq!(scoped.is_ok(), method == StartMethod::Threads);
    }
    Ok(())
}

fn nested_fork(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).daemon(false).build()?;
    let mut array = array(2);
    for shared in [false, true] {
        let clone = shared.then(|| array.clone());
        let texts = pool.map_slices_mut(&mut array, 1, |_, _| {
            let builder = WorkerPool::builder().n_jobs(1).start_method(StartMethod::Fork);
            matches!(builder.build(), Err(Error::ForkWhileBorrowed))
        })?;
        assert_eq!(texts, [true, true]);
        drop(clone);
    }
    Ok(())
}

fn terminated(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(2);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = pool.map_slices_mut(&mut array, 1, |_, slice| change_for_ever(slice));
            let after = array.to_vec();
            assert_eq!(array.to_vec(), after);
            result
        });
        while pool.worker_pids().len() < 2 && !call.is_finished() {
            std::thread::yield_now();
        }
        while !call.is_finished() {
            pool.terminate()?;
        }
        let result: pool_api::Result<Vec<()>> = call.join().expect("the call does not panic");
        assert!(result.is_err());
        Ok::<_, Error>(())
    })?;
    assert_eq!(pool.map_slices_mut(&mut array, 1, |part, _| part)?, [0, 1]);
    Ok(())
}
