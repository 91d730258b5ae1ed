//! Atomics for the model checker, with the SeqCst that it lacks.
//!
//! loom takes a SeqCst access for AcqRel and so reports store–load pairs that are right. Its SeqCst
//! fence is right, and there are two classic ways to make SeqCst accesses of weaker ones and
//! fences: one before each load, or one after each store. Both are correct; each overlooks one kind
//! of mistake, a store or a load that is too weak. So a model that needs SeqCst is checked under
//! both, and all other models under neither.
//!
//! Invariant: no access is stronger than what its ordering asks for, but for the fence named.

use std::cell::Cell;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Release, SeqCst};

use loom::sync::atomic::fence;

/// How the models make a SeqCst access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqCstAs {
    /// By acquire and release alone.
    AcqRel,
    /// By a fence before it.
    FenceBefore,
    /// By Acquire for loads, and by a fence after each other access.
    FenceAfter,
}

std::thread_local! {
    // All threads of a model run on the one of the operating system that checks it.
    static MODE: Cell<SeqCstAs> = const { Cell::new(SeqCstAs::AcqRel) };
}

impl SeqCstAs {
    /// Checks `model` in this mode.
    pub fn check(self, model: impl Fn() + Send + Sync + 'static) {
        MODE.set(self);
        let mut builder = loom::model::Builder::new();
        // A higher bound finds nothing here that three does not, and takes hours.
        builder.preemption_bound.get_or_insert(3);
        builder.check(model);
        MODE.set(Self::AcqRel);
    }

    /// Checks `model`, which needs SeqCst, in both ways to make it.
    pub fn check_both(model: impl Fn() + Send + Sync + Clone + 'static) {
        Self::FenceBefore.check(model.clone());
        Self::FenceAfter.check(model);
    }
}

/// Runs `access`, whose part that loads or stores has no SeqCst of its own: `plain` instead.
fn access<R>(order: Ordering, plain: Ordering, access: impl FnOnce(Ordering) -> R) -> R {
    if order != SeqCst {
        return access(order);
    }
    let mode = MODE.get();
    if mode == SeqCstAs::FenceBefore {
        fence(SeqCst);
    }
    let result = access(plain);
    if mode == SeqCstAs::FenceAfter && plain != Acquire {
        fence(SeqCst);
    }
    result
}

macro_rules! atomics {
    ($($name:ident: $value:ty),*) => {$(
        pub(crate) struct $name(loom::sync::atomic::$name);

        #[allow(dead_code, reason = "the three have the same methods")]
        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                access(order, Acquire, |order| self.0.load(order))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                if order == SeqCst {
                    // loom forgets that a store comes after the swap that read the value before it,
                    // and would let a later swap read the older one's value. For swaps it does not.
                    access(order, Release, |order| {
                        let _ = self.0.swap(value, order);
                    });
                } else {
                    self.0.store(value, order);
                }
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                access(order, AcqRel, |order| self.0.swap(value, order))
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                access(order, AcqRel, |order| self.0.fetch_add(value, order))
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                access(order, AcqRel, |order| self.0.fetch_sub(value, order))
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                access(order, AcqRel, |order| self.0.fetch_and(value, order))
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                access(order, AcqRel, |order| self.0.fetch_or(value, order))
            }

            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut next: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(failure);
                while let Some(new) = next(seen) {
                    match self.compare_exchange(seen, new, success, failure) {
                        Ok(before) => return Ok(before),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                // A failure is a load of its own ordering. The fence before it may be too much,
                // since it is known afterwards only; the one after it is not.
                let weak = if failure == SeqCst { Acquire } else { failure };
                let exchange = |order| self.0.compare_exchange(current, new, order, weak);
                match MODE.get() {
                    SeqCstAs::FenceAfter if success == SeqCst => {
                        let result = exchange(AcqRel);
                        if result.is_ok() || failure == SeqCst {
                            fence(SeqCst);
                        }
                        result
                    }
                    _ => access(success, AcqRel, exchange),
                }
            }
        }
    )*};
}

atomics! { AtomicU32: u32, AtomicU64: u64, AtomicI64: i64 }

/// Waits like a futex, as far as its caller can tell: returns when the word has changed.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    while word.load(SeqCst) == expected {
        loom::thread::yield_now();
    }
}

/// Does nothing: the changed word ends the wait.
pub(crate) fn wake(_word: &AtomicU32) {}

/// Waits like [`wait`]: no time is over in a model, so no sleep may depend on its end.
pub(crate) fn wait_for(word: &AtomicU32, expected: u32, _limit: std::time::Duration) {
    wait(word, expected);
}

/// Does nothing, and says that no thread slept: so the mark of sleepers is taken away each time.
pub(crate) fn wake_up_to(_word: &AtomicU32, _most: u32) -> u32 {
    0
}
