//! The family of calls: each method with each shape of its function.
//!
//! `each_shape!`, `each_part_shape!` and `each_worker_shape!` are the tables of shapes, `CASES` is
//! that of methods, which `every_method_has_a_row` compares with the sources.

use std::collections::BTreeSet;

use pool_api::{Error, SharedArray, StartMethod, TaskError, TryError, WorkerPool};

use super::streams::{all, next};
use crate::{
    case::{Case, Outcome, builder},
    executor::block_on,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("every_method_has_a_row", complete),
    Case::new("forms_of_map", map),
    Case::new("forms_of_map_unordered", map_unordered),
    Case::new("forms_of_map_results", map_results),
    Case::new("forms_of_try_map", try_map),
    Case::new("forms_of_imap", imap),
    Case::new("forms_of_imap_unordered", imap_unordered),
    Case::new("forms_of_imap_results", imap_results),
    Case::new("forms_of_imap_unordered_results", imap_unordered_results),
    Case::new("forms_of_for_each_view", for_each_view),
    Case::new("forms_of_map_async", map_async),
    Case::new("forms_of_imap_stream", imap_stream),
    Case::new("forms_of_imap_unordered_stream", imap_unordered_stream),
    Case::new("forms_of_imap_results_stream", imap_results_stream),
    Case::new("forms_of_apply", apply),
    Case::new("forms_of_apply_async", apply_async),
    Case::new("forms_of_try_apply_async", try_apply_async),
    Case::new("forms_of_submit", submit),
    Case::new("forms_of_slices", slices),
    Case::new("forms_of_slices_mut", slices_mut),
    Case::new("forms_of_broadcast", broadcast),
    Case::new("forms_of_broadcast_results", broadcast_results),
    Case::new("forms_of_scatter", scatter),
    Case::new("forms_of_gather", gather),
];

/// Items of the calls, and the one that some functions fail at.
const ITEMS: std::ops::Range<u64> = 0..30;
const BAD: u64 = 13;

/// A pool that shares 2, and whose workers' state is 4.
fn pool(method: StartMethod) -> pool_api::Result<WorkerPool<u64, u64>> {
    builder(method, 2).shared(2u64).worker_init(|w| 2 * *w.shared).build()
}

fn six_times() -> Vec<u64> {
    ITEMS.map(|x| 6 * x).collect()
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

/// Calls `$form!(call, |argument, …| value)` for each shape of a function that gets an item:
/// `value` is six times the item.
macro_rules! each_shape {
    ($call:expr, $form:ident) => {
        $form!($call, |x| 6 * x);
        $form!($call.with(6u64), |six, x| six * x);
        $form!($call.with_worker(), |w, x| *w.shared * x + *w.state * x);
        $form!($call.with(2u64).with_worker(), |w, two, x| (two + *w.state) * x);
        $form!($call.with_worker().with(2u64), |w, two, x| (two + *w.state) * x);
        $form!($call.view(), |x| 6 * x.to_native());
        $form!($call.with(6u64).view(), |six, x| six * x.to_native());
        $form!($call.view().with(6u64), |six, x| six * x.to_native());
        $form!($call.view().with_worker(), |w, x| (*w.shared + *w.state) * x.to_native());
        $form!($call.with(2u64).view().with_worker(), |w, two, x| {
            (two + *w.state) * x.to_native()
        });
        $form!($call.with_worker().view().with(2u64), |w, two, x| {
            (two + *w.state) * x.to_native()
        });
    };
}

/// Calls `$form!(call, |argument, …| slice, six)` for each shape of a function that gets a part.
macro_rules! each_part_shape {
    ($call:expr, $form:ident) => {
        $form!($call, |[part, slice]| 6);
        $form!($call.with(6u64), |six, [part, slice]| *six);
        $form!($call.with_worker(), |w, [part, slice]| *w.shared + *w.state);
        $form!($call.with(2u64).with_worker(), |w, two, [part, slice]| two + *w.state);
        $form!($call.with_worker().with(2u64), |w, two, [part, slice]| two + *w.state);
    };
}

/// Calls `$form!(call, |argument, …| six)` for each shape of a function that gets nothing.
macro_rules! each_worker_shape {
    ($call:expr, $form:ident) => {
        $form!($call, |w| *w.shared + *w.state);
        $form!($call.with(2u64), |w, two| two + *w.state);
    };
}

/// The results of a function that has panicked at the item `BAD`, in order.
fn check_results(results: Vec<Result<u64, TaskError>>) {
    assert_eq!(results.len() as u64, ITEMS.end);
    for (item, result) in ITEMS.zip(results) {
        match result {
            Ok(value) => assert_eq!(value, 6 * item),
            Err(task) => assert_eq!((task.index(), item), (BAD, BAD)),
        }
    }
}

/// Takes the failure of a task for a result.
fn of_task<T>(result: Result<T, Error>) -> Result<Result<T, TaskError>, Error> {
    match result {
        Err(Error::Task(task)) => Ok(Err(task)),
        other => other.map(Ok),
    }
}

fn map(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.map(|$($arg),*| $value)?, six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn map_unordered(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!(sorted($call.map_unordered(|$($arg),*| $value)?), six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn map_results(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            check_results($call.map_results(|$($arg),*| {
                let value = $value;
                assert!(value != 6 * BAD, "the bad one");
                value
            })?);
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn try_map(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.try_map(|$($arg),*| Ok::<u64, u8>($value)).unwrap(), six_times());
            let tried = $call.try_map(|$($arg),*| if $value == 6 * BAD { Err(7u8) } else { Ok(()) });
            assert!(matches!(tried, Err(TryError::Task { index: BAD, error: 7 })), "{tried:?}");
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let values = $call.imap(|$($arg),*| $value).collect::<Result<Vec<_>, _>>()?;
            assert_eq!(values, six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_unordered(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let values = $call.imap_unordered(|$($arg),*| $value).collect::<Result<Vec<_>, _>>()?;
            assert_eq!(sorted(values), six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_results(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let results = $call.imap_results(|$($arg),*| {
                let value = $value;
                assert!(value != 6 * BAD, "the bad one");
                value
            });
            check_results(results.map(of_task).collect::<Result<Vec<_>, Error>>()?);
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_unordered_results(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let results = $call.imap_unordered_results(|$($arg),*| {
                let value = $value;
                assert!(value != 6 * BAD, "the bad one");
                value
            });
            let mut results = results.map(of_task).collect::<Result<Vec<_>, Error>>()?;
            results.sort_by_key(|result| match result {
                Ok((index, _)) => *index,
                Err(task) => task.index(),
            });
            check_results(results.into_iter().map(|result| result.map(|(_, value)| value)).collect());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_results_stream(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let mut stream = $call.imap_results_stream(|$($arg),*| {
                let value = $value;
                assert!(value != 6 * BAD, "the bad one");
                value
            });
            let mut results = Vec::new();
            while let Some(result) = block_on(next(&mut stream)) {
                results.push(of_task(result)?);
            }
            check_results(results);
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn for_each_view(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let mut seen = vec![0; ITEMS.end as usize];
            $call.for_each_view(|$($arg),*| $value, |index, six| seen[index] = six.to_native())?;
            assert_eq!(seen, six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn map_async(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.map_async(|$($arg),*| $value)?.get()?, six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_stream(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!(all($call.imap_stream(|$($arg),*| $value))?, six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn imap_unordered_stream(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!(sorted(all($call.imap_unordered_stream(|$($arg),*| $value))?), six_times());
        };
    }
    each_shape!(pool.tasks(ITEMS), form);
    Ok(())
}

fn apply(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.apply(|$($arg),*| $value)?, 42);
            assert_eq!($call.on_worker(1).apply(|$($arg),*| $value)?, 42);
        };
    }
    each_shape!(pool.task(7u64), form);
    Ok(())
}

fn apply_async(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.apply_async(|$($arg),*| $value)?.get()?, 42);
        };
    }
    each_shape!(pool.task(7u64), form);
    Ok(())
}

fn try_apply_async(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.try_apply_async(|$($arg),*| $value)?.get()?, 42);
        };
    }
    each_shape!(pool.task(7u64), form);
    Ok(())
}

fn submit(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!(block_on($call.submit(|$($arg),*| $value))?.get()?, 42);
        };
    }
    each_shape!(pool.task(7u64), form);
    Ok(())
}

fn slices(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    let array = SharedArray::from_slice(&[1u64, 2, 3, 4, 5])?;
    macro_rules! form {
        ($call:expr, |$($before:ident,)* [$part:ident, $slice:ident]| $six:expr) => {
            let sums = $call.map(|$($before,)* $part, $slice| {
                $six * ($part as u64 + $slice.iter().sum::<u64>())
            })?;
            assert_eq!(sums, [18, 48, 42]);
            let results = $call.map_results(|$($before,)* $part, $slice| {
                assert!($part != 1, "the bad one");
                $six * $slice.len() as u64
            })?;
            assert_eq!((&results[0], &results[2]), (&Ok(12), &Ok(6)));
            assert!(matches!(&results[1], Err(task) if task.index() == 1));
        };
    }
    each_part_shape!(pool.slices(&array, 2), form);
    Ok(())
}

fn slices_mut(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    let mut array = SharedArray::from_slice(&[1u64, 2, 3, 4, 5])?;
    let held = array.clone();
    // In place, then on copies, since there is a second handle.
    for array in [&mut SharedArray::from_slice(&[1u64, 2, 3, 4, 5])?, &mut array] {
        macro_rules! form {
            ($call:expr, |$($before:ident,)* [$part:ident, $slice:ident]| $six:expr) => {
                array.copy_from_slice(&[1, 2, 3, 4, 5]);
                let parts = $call.map(|$($before,)* $part, $slice| {
                    $slice.iter_mut().for_each(|x| *x *= $six);
                    $part
                })?;
                assert_eq!((parts, array.to_vec()), (vec![0, 1, 2], vec![6, 12, 18, 24, 30]));
                let results = $call.map_results(|$($before,)* $part, $slice| {
                    $slice.fill($six);
                    assert!($part != 1, "the bad one");
                })?;
                assert!(matches!(&results[1], Err(task) if task.index() == 1));
                assert_eq!(array.to_vec(), [6; 5]);
            };
        }
        each_part_shape!(pool.slices_mut(array, 2), form);
    }
    assert_eq!(held.to_vec(), [6; 5]);
    held.fill(0);
    Ok(())
}

fn broadcast(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            assert_eq!($call.broadcast(|$($arg),*| $value)?, [6, 6]);
        };
    }
    each_worker_shape!(pool.workers(), form);
    Ok(())
}

fn broadcast_results(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$w:ident $(, $arg:ident)*| $value:expr) => {
            let results = $call.broadcast_results(|$w $(, $arg)*| {
                assert!($w.id() != 1, "the bad one");
                $value
            })?;
            assert_eq!(results[0], Ok(6));
            assert!(matches!(&results[1], Err(task) if (task.index(), task.worker()) == (1, 1)));
        };
    }
    each_worker_shape!(pool.workers(), form);
    Ok(())
}

fn scatter(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$($arg:ident),*| $value:expr) => {
            let sums = $call.scatter(&[1u64, 2, 3], |$($arg,)* part: Vec<u64>| {
                $value * part.iter().sum::<u64>()
            })?;
            assert_eq!(sums, [18, 18]);
        };
    }
    each_worker_shape!(pool.workers(), form);
    Ok(())
}

fn gather(method: StartMethod) -> Outcome {
    let pool = pool(method)?;
    macro_rules! form {
        ($call:expr, |$w:ident $(, $arg:ident)*| $value:expr) => {
            assert_eq!($call.gather(|$w $(, $arg)*| vec![$value + u64::from($w.id()); 2])?, [6, 6, 7, 7]);
        };
    }
    each_worker_shape!(pool.workers(), form);
    Ok(())
}

/// Compares the methods that take a function, in the sources, with the rows here and in the guide.
fn complete(_: StartMethod) -> Outcome {
    let sources = [
        include_str!("../../../src/call/items.rs"),
        include_str!("../../../src/call/async_items.rs"),
        include_str!("../../../src/call/streams.rs"),
        include_str!("../../../src/call/item.rs"),
        include_str!("../../../src/call/slices.rs"),
        include_str!("../../../src/call/workers.rs"),
    ];
    let methods = sources.iter().flat_map(|source| source.split("    pub fn ").skip(1));
    let methods = methods.filter(|method| method.contains("f: H::Fn<"));
    let names = methods.filter_map(|method| method.split(['<', '(', ' ']).next());
    let names = names.collect::<BTreeSet<_>>();
    let rows = CASES.iter().filter_map(|case| case.name.strip_prefix("forms_of_"));
    let rows = rows.filter(|row| !row.starts_with("slices")).collect();
    assert_eq!(names, rows);
    let guide = include_str!("../../../docs/guide/calls.md");
    let columns = guide.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let columns = columns.collect::<String>();
    let told = columns.split(|c: char| !c.is_alphanumeric() && c != '_').collect::<BTreeSet<_>>();
    let missing = names.difference(&told).collect::<Vec<_>>();
    assert!(missing.is_empty(), "the guide has no row for {missing:?}");
    Ok(())
}
