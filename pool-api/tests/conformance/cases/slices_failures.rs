//! Calls on slices of a shared array that fail, or beside which something else happens: no task of
//! theirs runs on after they have returned.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use pool_api::{
    Cause, Error, SharedArray, SharedMutex, StartMethod, WorkerPool,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
};

use super::slices::{array, expected, set_to_part, works_in_place};
use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::{Scratch, append, read_numbers, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("slices_a_task_panics", panics),
    Case::new("slices_nothing_runs_on_after_a_failure", runs_out),
    Case::new("slices_a_worker_dies", dies).processes(),
    Case::new("slices_tried_again_change_each_element_once", tried_again).processes(),
    Case::new("slices_overdue_and_tried_again", overdue_once).processes(),
    Case::new("slices_a_task_that_does_not_end", endless).processes(),
    Case::new("slices_beside_another_call", beside),
    Case::new("slices_and_a_result_that_panics", bad_result).processes(),
    Case::new("slices_and_a_killed_zygote", no_zygote).processes(),
    Case::new("slices_and_a_killed_zygote_unheard", no_zygote_for_the_deaf).processes(),
    Case::new("slices_and_the_guard_of_a_lock", guarded),
    Case::new("slices_and_a_nested_fork", nested_fork),
    Case::new("slices_and_a_fork_that_comes_back_late", forked_late).processes(),
    Case::new("slices_and_terminate", terminated).processes(),
];

fn panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for shared in [false, true] {
        let mut array = array(100);
        let clone = shared.then(|| array.clone());
        let result = pool.slices_mut(&mut array, 10).map(|part, slice| {
            slice[0] = 1000;
            assert!(part != 4, "the fifth");
        });
        let Err(Error::Task(task)) = result else { panic!("{result:?}") };
        assert_eq!(task.index(), 4);
        assert!(task.to_string().contains("the fifth"), "{task}");
        // Writes made before the panic are there.
        assert_eq!(array.get(40), 1000);
        for part in 0..10 {
            assert!([1000, 10 * part as u64].contains(&array.get(10 * part)));
        }
        drop(clone);
        assert_eq!(pool.slices_mut(&mut array, 50).map(|_, s| s.len())?, [50, 50]);
        let ends = pool.slices(&array, 10).map(|part, _| assert!(part != 9, "the tenth"));
        assert!(ends.is_err());
    }
    Ok(())
}

fn runs_out(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(64);
    for _ in 0..20 {
        let result = pool.slices_mut(&mut array, 1).map(|part, slice| {
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
        assert_eq!(pool.map(0..10u32, |x| x)?.len(), 10);
        assert_eq!(array.to_vec(), after);
    }
    Ok(())
}

fn dies(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for shared in [false, true] {
        let mut array = array(100);
        let clone = shared.then(|| array.clone());
        let result = pool.slices_mut(&mut array, 10).map(|part, slice| {
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
        pool.slices_mut(&mut array, 7).map(|_, s| s.fill(2))?;
        assert_eq!(array.to_vec(), [2; 100]);
        assert!(works_in_place(&pool, &mut array)?);
        assert_eq!(pool.apply(array, |array| array.get(1))?, 0);
    }
    Ok(())
}

/// Changes the elements for ever, so that a task that runs on is noticed.
fn change_for_ever(slice: &mut [u64]) {
    loop {
        slice[0] = std::hint::black_box(slice[0] + 1);
    }
}

fn endless(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut array = array(2);
    let result = pool.slices_mut(&mut array, 1).map(|part, slice| {
        if part == 0 {
            change_for_ever(slice);
        }
        assert_eq!(part, 0, "ends the call");
    });
    assert!(matches!(result, Err(Error::Task(task)) if task.index() == 1));
    let after = array.get(0);
    assert_eq!(pool.map(0..100u32, |x| x)?.len(), 100);
    assert_eq!(array.get(0), after);
    assert_eq!(pool.slices_mut(&mut array, 1).map(|part, _| part)?, [0, 1]);
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
                let sums = pool.slices_mut(&mut array, 10).map(set_to_part)?;
                assert_eq!((sums, array.to_vec()), expected(1000, 10));
            } else {
                let failed =
                    pool.slices_mut(&mut array, 10).map(|part, _| assert!(part != 9, "a tenth"));
                assert!(failed.is_err());
            }
        }
        other.join().expect("the other thread");
        Ok(())
    })
}

/// A value that panics where it is decoded.
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
        pool.slices_mut(&mut array, 1).map(|part, slice| {
            if part == 1 {
                change_for_ever(slice);
            }
            Bomb(1)
        })
    });
    assert!(catch_unwind(call).is_err());
    let after = array.to_vec();
    assert_eq!(pool.slices_mut(&mut array, 1).map(|part, _| part)?, [0, 1]);
    assert_eq!(array.to_vec(), after);
    Ok(())
}

fn no_zygote(method: StartMethod) -> Outcome {
    // With so much memory of its own a forked zygote has no guard.
    for large in [vec![], vec![1u8; 32 << 20]] {
        let broken = pool(method, 2)?;
        let mut array = array(2);
        let result = broken.slices_mut(&mut array, 1).map(|part, slice| {
            if part == 0 {
                sys::kill(std::os::unix::process::parent_id(), sys::SIGKILL);
            }
            change_for_ever(slice);
        });
        let after = array.to_vec();
        assert!(matches!(result, Err(Error::PoolBroken)), "{result:?}");
        let pool = crate::case::pool(method, 2)?;
        let sums = pool.slices_mut(&mut array, 1).map(|_, s| s.iter().sum::<u64>())?;
        assert_eq!(sums, after);
        drop(large);
    }
    Ok(())
}

/// The zygote dies, and the kernel does not tell a worker of its parent's death.
fn no_zygote_for_the_deaf(method: StartMethod) -> Outcome {
    let large = vec![1u8; 32 << 20];
    let pool = pool(method, 2)?;
    let mut array = array(2);
    let result = pool.slices_mut(&mut array, 1).map(|part, slice| {
        sys::forget_parent();
        if part == 0 {
            sys::kill(std::os::unix::process::parent_id(), sys::SIGKILL);
        }
        change_for_ever(slice);
    });
    let after = array.to_vec();
    assert!(matches!(result, Err(Error::PoolBroken)), "{result:?}");
    drop(pool);
    assert_eq!(crate::case::pool(method, 1)?.apply(1u8, |x| x)?, 1);
    assert_eq!(array.to_vec(), after);
    drop(large);
    Ok(())
}

fn guarded(method: StartMethod) -> Outcome {
    let lock = SharedMutex::new(0u8)?;
    let mut array = array(2);
    let earlier = pool(method, 1)?;
    let guard = lock.lock().map_err(|error| error.give_up())?;
    let built = pool(method, 1);
    let scoped = earlier.tasks(0..2u8).map_scoped(|x| x + 1);
    // Workers that are running already work.
    assert_eq!(earlier.slices_mut(&mut array, 1).map(|part, _| part)?, [0, 1]);
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
        let texts = pool.slices_mut(&mut array, 1).map(|_, _| {
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
    let after = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = pool.slices_mut(&mut array, 1).map(|_, slice| change_for_ever(slice));
            (result, array.to_vec())
        });
        while pool.worker_pids().len() < 2 && !call.is_finished() {
            std::thread::yield_now();
        }
        while !call.is_finished() {
            pool.terminate()?;
        }
        let (result, after) = call.join().expect("the call does not panic");
        assert!(result.is_err());
        Ok::<_, Error>(after)
    })?;
    // Fresh workers start meanwhile.
    assert_eq!(pool.map(0..100u32, |x| x)?.len(), 100);
    assert_eq!(array.to_vec(), after);
    assert_eq!(pool.slices_mut(&mut array, 1).map(|part, _| part)?, [0, 1]);
    Ok(())
}

/// The environment variable with the path of the file for which the forked children wait.
const RETURNED: &str = "POOL_SLICES_RETURNED";

fn returned() -> bool {
    let path = std::env::var(RETURNED).expect("set before the pool was built");
    std::fs::exists(path).unwrap_or(false)
}

fn forked_late(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var(RETURNED, scratch.path()) };
    let pool = pool(method, 2)?;
    let mut array = array(4);
    let clone = array.clone(); // so that tasks work on copies
    let children = pool.slices_mut(&mut array, 2).map(|_, slice| {
        slice.fill(7);
        let child = sys::fork();
        while child == 0 && !returned() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    })?;
    assert_eq!(array.to_vec(), [7; 4]);
    array.fill(9);
    std::fs::write(scratch.path(), b"now")?;
    let has_ended = |child: &i32| sys::has_ended(*child as u32);
    wait_until("the children have ended", || children.iter().all(has_ended));
    assert_eq!((array.to_vec(), clone.to_vec()), (vec![9; 4], vec![9; 4]));
    Ok(())
}

/// Doubles half of the slice, then calls `once` if no task has done so before, then the rest.
fn double(path: &str, slice: &mut [u64], once: fn()) {
    let (first, rest) = slice.split_at_mut(slice.len() / 2);
    first.iter_mut().for_each(|x| *x *= 2);
    if read_numbers(path).is_empty() {
        append(path, 1);
        once();
    }
    rest.iter_mut().for_each(|x| *x *= 2);
}

fn tried_again(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for shared in [false, true] {
        let scratch = Scratch::new();
        let mut array = SharedArray::from_slice(&(0..100u64).collect::<Vec<_>>())?;
        // With a second handle tasks work on copies anyway.
        let other = shared.then(|| array.clone());
        let call = pool.slices_mut(&mut array, 7).with(scratch.path()).retry(1);
        let parts = call.map(|path, part, slice| {
            double(path, slice, || std::process::abort());
            part
        })?;
        assert!(parts.into_iter().eq(0..15));
        assert!(array.to_vec().into_iter().eq((0..100).map(|x| 2 * x)));
        assert!(other.is_none_or(|other| other.to_vec() == array.to_vec()));
        // Without a retry the part is the error, and the elements stay the caller's.
        let failed = pool.slices_mut(&mut array, 50).map(|_, _| std::process::abort());
        assert!(matches!(failed, Err::<Vec<()>, _>(Error::Task(_))), "{failed:?}");
    }
    Ok(())
}

fn overdue_once(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let mut array = SharedArray::from_slice(&(0..40u64).collect::<Vec<_>>())?;
    let call = pool.slices_mut(&mut array, 10).with(scratch.path()).retry(9);
    call.task_timeout(Duration::from_secs(1)).map(|path, _, slice| {
        double(path, slice, || {
            loop {
                std::hint::spin_loop();
            }
        });
    })?;
    assert!(array.to_vec().into_iter().eq((0..40).map(|x| 2 * x)));
    Ok(())
}
