//! Which crews the calling thread is inside a call of: what it does there must not wait for itself.

use std::cell::RefCell;

/// What the thread does inside the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Runs a call to its end: user code in it may be the input, or a type's own encoding.
    Call,
    /// The same, while the user's callback reads results where they lie: their worker waits for it.
    View,
    /// Runs a callback of a future, which whoever stops the pool waits for.
    Callback,
}

thread_local! {
    static CALLS: RefCell<Vec<(usize, Inside)>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the thread is inside a call of the crew.
#[derive(Debug)]
pub(crate) struct InCall;

impl InCall {
    pub(crate) fn enter(crew: usize, what: Inside) -> Self {
        // Not at the end of the thread (a destructor of its own, a handler of `exit`), where there is no list any more: nothing is noted
        // then, and `drop` takes nothing back.
        let _ = CALLS.try_with(|calls| calls.borrow_mut().push((crew, what)));
        Self
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        // Calls nest, so the last one ends first.
        let _ = CALLS.try_with(|calls| calls.borrow_mut().pop());
    }
}

/// Whether the thread is inside a call of the crew; `what`: of that kind, otherwise of any.
pub(crate) fn is_inside(crew: usize, what: Option<Inside>) -> bool {
    CALLS
        .try_with(|calls| {
            let same =
                |(of, kind): &(usize, Inside)| *of == crew && what.is_none_or(|what| what == *kind);
            calls.borrow().iter().any(same)
        })
        .unwrap_or(false)
}
