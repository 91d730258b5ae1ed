//! Tasks that fail with an error of their own: it arrives typed, and ends the call.

use std::fmt;

use pool_api::{Cause, Error, StartMethod, TryError, chunk_tasks, wire};

use crate::{
    case::{Case, Outcome, pool},
    scratch::{Scratch, append},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("try_map_gives_all_values_or_the_first_typed_error", typed),
    Case::new("try_map_ends_an_endless_input", endless),
    Case::new("try_map_runs_nothing_after_its_error", nothing_after),
    Case::new("try_map_tells_panics_and_deaths_from_errors", other_failures),
    Case::new("chunk_tasks_as_input", chunked),
];

wire! {
    #[derive(Debug, PartialEq)]
    enum Complaint {
        TooLarge { number: u64, limit: u64 },
        Unreadable(String),
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

fn below_700(number: u64) -> Result<String, Complaint> {
    match number {
        1000.. => Err(Complaint::Unreadable("x".repeat(100_000))),
        700.. => Err(Complaint::TooLarge { number, limit: 700 }),
        _ => Ok(number.to_string()),
    }
}

fn typed(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let wanted: Vec<String> = (0..700).map(|n| n.to_string()).collect();
    assert_eq!(pool.try_map(0..700u64, below_700)?, wanted);
    assert_eq!(pool.try_map(Vec::<u64>::new(), below_700)?, Vec::<String>::new());
    for chunk_size in [1, 7, 2000] {
        let tried = pool.tasks((0..500).chain([800])).chunk_size(chunk_size).try_map(below_700);
        match tried {
            Err(TryError::Task { index: 500, error }) => {
                assert_eq!(error, Complaint::TooLarge { number: 800, limit: 700 });
            }
            other => panic!("{other:?}"),
        }
    }
    let large = pool.try_map([1, 1000], below_700);
    let Err(TryError::Task { index: 1, error: Complaint::Unreadable(text) }) = large else {
        panic!("{large:?}");
    };
    assert_eq!(text.len(), 100_000);
    let with =
        pool.tasks([5u8, 7]).with(6u8).try_map(|most, x| if x > *most { Err(x) } else { Ok(x) });
    assert!(matches!(with, Err(TryError::Task { index: 1, error: 7 })), "{with:?}");
    // Errors without a size, and the text.
    let text = pool.try_map([1u8], |_| Err::<(), _>(String::from("no")));
    assert_eq!(text.expect_err("it fails").to_string(), "task 0: no");
    assert!(matches!(
        pool.try_map([1u8], |_| Err::<u8, ()>(())),
        Err(TryError::Task { index: 0, error: () })
    ));
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn endless(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let tried = pool.try_map(0u64.., |n| if n < 5000 { Ok(n) } else { Err(n) });
    match tried {
        Err(TryError::Task { index, error }) => assert!(index == error && index >= 5000),
        other => panic!("{other:?}"),
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn nothing_after(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..100_000u64).chunk_size(10).with(scratch.path());
    let tried = tasks.try_map(|path, n| {
        append(path, n);
        if n == 5 { Err(n) } else { Ok(()) }
    });
    assert!(matches!(tried, Err(TryError::Task { index: 5, error: 5 })), "{tried:?}");
    // The one worker runs this after all its other tasks.
    pool.apply((), |()| ())?;
    let ran = scratch.numbers().len();
    assert!(ran < 100_000, "all {ran} items ran");
    pool.apply((), |()| ())?;
    assert_eq!(scratch.numbers().len(), ran);
    Ok(())
}

fn other_failures(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let panicked = pool.try_map(0..50u32, |n| {
        assert!(n != 20, "bad");
        Ok::<_, String>(n)
    });
    match panicked {
        Err(TryError::Pool(Error::Task(task))) => {
            assert_eq!(task.index(), 20);
            assert!(matches!(task.cause(), Cause::Panic { message, .. } if message == "bad"));
        }
        other => panic!("{other:?}"),
    }
    if method != StartMethod::Threads {
        let died = pool.try_map(0..50u32, |n| {
            if n == 20 {
                sys::raise(sys::SIGKILL);
            }
            Ok::<_, String>(n)
        });
        assert!(
            matches!(&died, Err(TryError::Pool(Error::Task(task))) if task.index() == 20),
            "{died:?}"
        );
    }
    let refused = pool.tasks(0..2u8).n_splits(0).try_map(Ok::<u8, u8>);
    assert!(matches!(refused, Err(TryError::Pool(Error::InvalidInput(_)))), "{refused:?}");
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn chunked(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let chunks = chunk_tasks(0..1000u64).n_splits(7).chunks()?;
    let lens = pool.map(chunks, |chunk| chunk.len())?;
    assert_eq!(lens, [143, 143, 143, 143, 143, 143, 142]);
    let chunks = chunk_tasks(0u64..).iterable_len(10).chunk_size(2.5).chunks()?;
    assert_eq!(pool.map(chunks, |chunk| chunk.len())?, [3, 2, 3, 2]);
    let refused = chunk_tasks(0..10u8).chunks().expect_err("neither is set");
    assert!(matches!(refused, Error::InvalidInput(_)), "{refused}");
    Ok(())
}
