//! The spans of a worker.
//!
//! Invariant: numbers are never used twice in a process. A span is gone when as many handles were
//! dropped as there were.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tracing_core::{Metadata, span::Id};

use crate::mutex::lock;

/// A span that has handles.
#[derive(Debug, Clone)]
pub(super) struct Span {
    handles: usize,
    pub(super) metadata: &'static Metadata<'static>,
    /// Whether the parent was told of it.
    pub(super) is_captured: bool,
    /// The span around it.
    pub(super) parent: Option<u64>,
    /// The span that the subscriber from before has in its place.
    pub(super) before: Option<Id>,
}

static SPANS: LazyLock<Mutex<HashMap<u64, Span>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The spans that this thread is in, the innermost last; beside each, what `captured` says.
    static ENTERED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds a span; answers with its number.
pub(super) fn add(
    metadata: &'static Metadata<'static>,
    is_captured: bool,
    parent: Option<u64>,
    before: Option<Id>,
) -> u64 {
    // Relaxed: each number is given out once.
    let number = NEXT.fetch_add(1, Relaxed);
    let span = Span { handles: 1, metadata, is_captured, parent, before };
    lock(&SPANS).insert(number, span);
    number
}

pub(super) fn get(number: u64) -> Option<Span> {
    lock(&SPANS).get(&number).cloned()
}

pub(super) fn clone_handle(number: u64) {
    if let Some(span) = lock(&SPANS).get_mut(&number) {
        span.handles += 1;
    }
}

/// Drops a handle; the span, if that was the last one.
pub(super) fn drop_handle(number: u64) -> Option<Span> {
    let mut spans = lock(&SPANS);
    let span = spans.get_mut(&number)?;
    span.handles -= 1;
    if span.handles == 0 { spans.remove(&number) } else { None }
}

pub(super) fn enter(number: u64) {
    let captured = captured(Some(number));
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((number, captured)));
}

pub(super) fn exit(number: u64) {
    let _ = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        if let Some(at) = entered.iter().rposition(|(known, _)| *known == number) {
            entered.remove(at);
        }
    });
}

/// The innermost span that this thread is in.
pub(super) fn current() -> Option<u64> {
    innermost().map(|(number, _)| number)
}

/// The innermost captured span that this thread is in; 0: none.
pub(super) fn current_captured() -> u64 {
    innermost().map_or(0, |(_, captured)| captured)
}

fn innermost() -> Option<(u64, u64)> {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten()
}

/// The span itself if it is captured, or the nearest one around it that is; 0: none.
pub(super) fn captured(mut number: Option<u64>) -> u64 {
    let spans = lock(&SPANS);
    while let Some(at) = number {
        match spans.get(&at) {
            Some(span) if span.is_captured => return at,
            Some(span) => number = span.parent,
            None => return 0,
        }
    }
    0
}
