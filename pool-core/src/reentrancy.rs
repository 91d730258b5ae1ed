//! What the calling thread is inside of: calls of backends, the hand-over of outcomes, tasks.
//!
//! Invariant: a thread must not wait for itself there. A task of a pool of threads is also inside
//! of everything that its caller is inside of, as long as that lasts (`Within`). `job/knots.rs`
//! refuses waits of several threads for each other.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
};

/// What a thread does inside a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Runs a call to its end: user code in it may be the input, or a type's own encoding.
    Call,
    /// Runs a call while the user's callback reads results in place: their worker waits for it.
    View,
    /// Runs a callback of a future; a thread that stops the pool waits for it.
    Callback,
    /// Hands an outcome over to its future: user code in it may be a type's own, or a waker.
    Delivery,
    /// Runs a task in a thread of a pool; the backend is identified by its number.
    Task,
    /// Prepares a thread of a pool for its first task, while the thread that starts the backend
    /// waits; identified by the number of its plan.
    Start,
    /// Makes the value that the workers of a pool share, while the thread that needs it waits;
    /// identified by the address of its constructor call.
    Making,
}

impl Inside {
    /// Whether it is inside of a call or a hand-over of the backend, for which a thread that stops
    /// the backend waits.
    fn holds_up(self) -> bool {
        !matches!(self, Self::Task | Self::Start | Self::Making)
    }
}

/// One call, hand-over or task that a thread is inside of.
#[derive(Debug, Clone, Copy)]
struct Frame {
    backend: usize,
    what: Inside,
    /// The address of the future whose outcome is handed over, or 0.
    future: usize,
}

/// A frame of another thread, for as long as that thread is in it.
#[derive(Debug, Clone)]
struct Outer {
    frame: Frame,
    thread: ThreadId,
    over: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Frames {
    own: Vec<Frame>,
    /// For each of the first frames, of which other threads have copies, the flag that is set when
    /// it is over. (Copies are made of all frames at a time.)
    copied: Vec<Arc<AtomicBool>>,
    brought: Vec<Within>,
}

thread_local! {
    static FRAMES: RefCell<Frames> = const { RefCell::new(Frames::none()) };
}

/// The frames inside of which a call was made, for the threads that work for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Within(Option<Arc<Vec<Outer>>>);

/// While it lives, the thread is inside of the frame.
#[derive(Debug)]
pub(crate) struct InCall;

/// While it lives, the thread works for a call that was made inside of other frames.
#[derive(Debug)]
pub(crate) struct Brought(bool);

impl Frames {
    const fn none() -> Self {
        Self { own: Vec::new(), copied: Vec::new(), brought: Vec::new() }
    }

    fn any(&self, mut is_it: impl FnMut(&Frame) -> bool) -> bool {
        self.own.iter().any(&mut is_it) || self.outer().any(|outer| is_it(&outer.frame))
    }

    /// Ends the last frame of this thread.
    #[inline]
    fn pop(&mut self) {
        self.own.pop();
        if self.copied.len() > self.own.len() {
            self.tell_copies();
        }
    }

    /// Tells the threads that have a copy of the last frame that it is over.
    #[cold]
    fn tell_copies(&mut self) {
        if let Some(over) = self.copied.pop() {
            over.store(true, Ordering::Release); // pairs with the Acquire in `outer`
        }
    }

    /// Notes that copies are made of all frames of this thread.
    fn note_copies(&mut self) {
        self.copied.resize_with(self.own.len(), Arc::default);
    }

    /// The frames of other threads that are not over.
    fn outer(&self) -> impl Iterator<Item = &Outer> {
        let all = self.brought.iter().filter_map(|within| within.0.as_deref()).flatten();
        // Acquire: pairs with the Release in `tell_copies`.
        all.filter(|outer| !outer.over.load(Ordering::Acquire))
    }
}

/// Applies `ask` to the frames of this thread; returns `otherwise` at the very end of a thread (a
/// destructor of its own, a handler of `exit`), where there are none any more.
#[inline]
fn among<T>(otherwise: T, ask: impl FnOnce(&mut Frames) -> T) -> T {
    FRAMES.try_with(|frames| ask(&mut frames.borrow_mut())).unwrap_or(otherwise)
}

impl InCall {
    #[inline]
    pub(crate) fn enter(backend: usize, what: Inside) -> Self {
        Self::enter_for(backend, what, std::ptr::null())
    }

    /// Enters the hand-over of the outcome of the future at this address.
    pub(crate) fn enter_delivery(backend: usize, future: *const ()) -> Self {
        Self::enter_for(backend, Inside::Delivery, future)
    }

    #[inline]
    fn enter_for(backend: usize, what: Inside, future: *const ()) -> Self {
        let frame = Frame { backend, what, future: future.addr() };
        // Where there is no list, nothing is noted, and `drop` removes nothing.
        among((), |frames| frames.own.push(frame));
        Self
    }
}

impl Drop for InCall {
    #[inline]
    fn drop(&mut self) {
        // Frames nest, so the last one ends first.
        among((), Frames::pop);
    }
}

impl Within {
    /// The frames that the calling thread is inside of.
    pub(crate) fn here() -> Self {
        among(Self(None), |frames| {
            if frames.own.is_empty() && frames.brought.is_empty() {
                return Self(None);
            }
            let thread = thread::current().id();
            let mut all: Vec<_> = frames.outer().cloned().collect();
            frames.note_copies();
            all.extend(frames.own.iter().zip(&frames.copied).map(|(frame, over)| {
                let (mut frame, over) = (*frame, over.clone());
                if frame.what == Inside::Callback {
                    // Only the thread that runs the callbacks can resign.
                    frame.what = Inside::Call;
                }
                Outer { frame, thread, over }
            }));
            Self((!all.is_empty()).then(|| Arc::new(all)))
        })
    }

    /// Puts the calling thread inside of these frames while the returned value lives.
    pub(crate) fn bring(&self) -> Brought {
        let some = self.0.is_some();
        if some {
            among((), |frames| frames.brought.push(self.clone()));
        }
        Brought(some)
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        if self.0 {
            drop(among(None, |frames| frames.brought.pop()));
        }
    }
}

/// Whether the thread is inside a call of the backend; `what`: of that kind; `None`: of any kind
/// that holds up a stop.
#[inline]
pub(crate) fn is_inside(backend: usize, what: Option<Inside>) -> bool {
    let of_kind = |kind: Inside| match what {
        Some(what) => what == kind,
        None => kind.holds_up(),
    };
    among(false, |frames| frames.any(|frame| frame.backend == backend && of_kind(frame.what)))
}

/// Whether the calling thread hands over the outcome of the future at this address: the future is
/// not complete before the thread goes on.
pub(crate) fn is_delivering(future: *const ()) -> bool {
    among(false, |frames| frames.any(|frame| frame.future != 0 && frame.future == future.addr()))
}

/// Whether the thread `waiting` waits for the calling one, as far as is known here.
#[cfg(feature = "threads")]
pub(crate) fn is_within_task_of(waiting: ThreadId) -> bool {
    among(false, |frames| {
        frames.outer().any(|outer| outer.thread == waiting && outer.frame.what == Inside::Task)
    })
}

/// The backends and futures, by their addresses, that wait for the calling thread.
pub(crate) fn waiting_for_this_thread() -> Vec<usize> {
    among(Vec::new(), |frames| {
        let mut all = Vec::new();
        frames.any(|frame| {
            if frame.what.holds_up() {
                all.extend([frame.backend, frame.future].into_iter().filter(|node| *node != 0));
            }
            false
        });
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_inside_of_what_its_caller_is_inside_of_as_long_as_that_lasts() {
        assert!(Within::here().0.is_none());
        let call = InCall::enter(7, Inside::View);
        let within = Within::here();
        let (go_on, goes_on) = std::sync::mpsc::channel();
        let (seen, is_seen) = std::sync::mpsc::channel();
        let task = thread::spawn(move || {
            assert!(!is_inside(7, None));
            let brought = within.bring();
            assert!(is_inside(7, Some(Inside::View)) && !is_inside(8, None));
            let further = Within::here();
            thread::spawn(move || {
                let _brought = further.bring();
                assert!(is_inside(7, None));
            })
            .join()
            .unwrap();
            seen.send(()).unwrap();
            goes_on.recv().unwrap();
            assert!(!is_inside(7, None), "the call is over");
            drop(brought);
        });
        is_seen.recv().unwrap();
        drop(call);
        go_on.send(()).unwrap();
        task.join().unwrap();
    }
}
