use std::{error::Error as _, time::Duration};

use pool_affinity::CpuSet;
use pool_ipc::SealError;

use super::*;
use crate::ids::{ItemIndex, WorkerId};

fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// How many variants there are, and the position of one; a new variant has to be added here.
const VARIANTS: usize = 32;

fn position(error: &Error) -> usize {
    match error {
        Error::Task(_) => 0,
        Error::InvalidInput(_) => 1,
        Error::ForkWithThreads { .. } => 2,
        Error::ForkWhileBorrowed => 3,
        Error::InitialiserThreads { .. } => 4,
        Error::NotInitialised => 5,
        Error::CannotExecute(_) => 6,
        Error::ForeignFunction => 7,
        Error::NotSupported { .. } => 8,
        Error::ForeignProcess => 9,
        Error::NestedUse => 10,
        Error::NestedPool => 11,
        Error::PoolBroken => 12,
        Error::Terminated => 13,
        Error::Cancelled => 14,
        Error::ResultsUnread { .. } => 15,
        Error::NotReady => 16,
        Error::ResultTaken => 17,
        Error::WorkersDie(_) => 18,
        Error::SharedFailed(_) => 19,
        Error::SharedLeftThreads { .. } => 20,
        Error::WorkerStartFailed(_) => 21,
        Error::WorkerInitFailed { .. } => 22,
        Error::WorkerExitFailed { .. } => 23,
        Error::ItemTooLarge { .. } => 24,
        Error::Encode { .. } => 25,
        Error::Handle { .. } => 26,
        Error::Resources { .. } => 27,
        Error::QueueFull => 28,
        Error::Process(_) => 29,
        Error::OtherLogger => 30,
        Error::Serde { .. } => 31,
    }
}

fn causes() -> Vec<Cause> {
    vec![
        Cause::Panic { message: "bad".into(), location: Some("a:1:2".into()), backtrace: None },
        Cause::Death(ExitStatus::Signal(9)),
        Cause::StackOverflow,
        Cause::Timeout { limit: Duration::from_secs(1) },
        Cause::Cancelled,
        Cause::MemoryLimit { limit: 1 << 20, peak: 1 << 20, refused: true },
        Cause::Undecodable,
        Cause::BadResult,
        Cause::Handle(SegmentFault::Os(libc::EPERM)),
        Cause::Serde(SerdeFault::FieldLeftOut),
        Cause::ResultTooLarge { bytes: 2, limit: 1 },
        Cause::ExitResultsUnread { bytes: 2, limit: 1 },
    ]
}

/// One error of each variant at least, and one of each cause and source.
fn all() -> Vec<Error> {
    let in_memory = || pool_shm::Error::Os { doing: "mapping a segment", source: not_permitted() };
    let pin =
        || pool_affinity::Error::Pin { cpus: Box::new(CpuSet::default()), source: not_permitted() };
    let mut all = vec![
        Error::InvalidInput("no".into()),
        Error::ForkWithThreads { threads: 2 },
        Error::ForkWhileBorrowed,
        Error::InitialiserThreads { threads: 2 },
        Error::NotInitialised,
        Error::CannotExecute("no".into()),
        Error::ForeignFunction,
        Error::OtherLogger,
        Error::NotSupported { method: StartMethod::Fork, what: "it" },
        Error::ForeignProcess,
        Error::NestedUse,
        Error::NestedPool,
        Error::PoolBroken,
        Error::Terminated,
        Error::Cancelled,
        Error::ResultsUnread { bytes: 2, limit: 1 },
        Error::NotReady,
        Error::QueueFull,
        Error::ResultTaken,
        Error::WorkersDie("was killed".into()),
        Error::SharedLeftThreads { threads: vec!["one".into()] },
        Error::ItemTooLarge { bytes: 2, limit: 1 },
        Error::Encode { index: 3 },
        Error::Serde { index: Some(3), fault: SerdeFault::TooDeep },
        Error::Serde { index: None, fault: SerdeFault::Refused },
        Error::Handle { index: Some(3), fault: SegmentFault::Gone },
        Error::Handle { index: None, fault: SegmentFault::Os(libc::EPERM) },
        in_memory().into(),
        pool_shm::Error::Empty.into(),
        Error::resources("a test", not_permitted()),
        Error::resources("a test", Errno::EPERM),
        Error::resources("a test", in_memory()),
        Error::resources("a test", pool_shm::Error::MemoryLocked { len: 2, limit: 1 }),
        Error::resources("a test", SealError::from(in_memory())),
        Error::resources("a test", pin()),
        Error::resources("a test", "a text"),
    ];
    for cause in causes() {
        all.push(TaskError::new(ItemIndex::new(3), WorkerId::new(1), cause.clone(), 2).into());
        all.push(ProcessError::new("one", Some(7), cause.clone()).into());
        all.push(Error::SharedFailed(cause.clone()));
        all.push(Error::WorkerStartFailed(cause.clone()));
        all.push(Error::WorkerInitFailed { worker: 1, cause: cause.clone() });
        all.push(Error::WorkerExitFailed { worker: 1, cause });
    }
    all
}

fn texts(error: &Error) -> Vec<String> {
    let first: Option<&dyn std::error::Error> = Some(error);
    std::iter::successors(first, |&error| error.source()).map(ToString::to_string).collect()
}

#[test]
fn no_text_has_that_of_its_source_in_it() {
    let mut seen = [false; VARIANTS];
    for error in all() {
        seen[position(&error)] = true;
        let texts = texts(&error);
        for (index, text) in texts.iter().enumerate() {
            let repeated = texts[index + 1..].iter().find(|source| text.contains(&**source));
            assert_eq!(repeated, None, "{texts:?}");
        }
    }
    assert_eq!(seen, [true; VARIANTS]);
}

#[test]
fn debug_has_all_texts() {
    for error in all() {
        let (shown, texts) = (format!("{error:?}"), texts(&error));
        assert!(texts.iter().all(|text| shown.contains(text)), "{shown}: {texts:?}");
        assert!(shown.starts_with(&error.to_string()), "{shown}");
    }
}

#[test]
fn an_answer_of_the_system_is_found_by_its_number() {
    for error in all() {
        let text = not_permitted().to_string();
        if !matches!(error, Error::Resources { .. }) || !format!("{error:?}").contains(&text) {
            continue;
        }
        let mut sources = std::iter::successors(error.source(), |&error| error.source());
        let number = |error: &(dyn std::error::Error + 'static)| {
            error.downcast_ref::<io::Error>()?.raw_os_error()
        };
        assert_eq!(sources.find_map(number), Some(libc::EPERM), "{error:?}");
    }
}

#[test]
fn a_copy_has_the_source() {
    let error = Error::resources("a test", Errno::EPERM).clone();
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EPERM));
}

#[test]
fn what_may_help_is_in_the_text() {
    let locked = pool_shm::Error::MemoryLocked { len: 2, limit: 1 };
    assert!(Error::resources("a test", locked).to_string().contains("ulimit -l"));
}
